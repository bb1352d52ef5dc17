"""Looking at a dataset: a contact sheet as a picture, and a few images in letters for the terminal.

Legend: H, W of one image in pixels.
"""

from pathlib import Path

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tinytorch_course.data.splits import Dataset, Split
from tinytorch_course.errors import InputError

SHADES = " .:-=+*#%@"  # from black to white, in letters that every console has
CELL = 56  # pixels: the least side of an image on the sheet
LETTERING = 16  # pixels


def first_of_each_class(part: Split, classes: int, count: int) -> list[Tensor]:
    """For each class its first ``count`` images, or as many as there are: (n, C, H, W) each."""
    return [part.images[(part.labels == label).nonzero()[:count, 0]] for label in range(classes)]


def write_sheet(dataset: Dataset, path: Path, count: int) -> None:
    """A PNG with a line for each class: its name, and its first ``count`` training images.

    Raises:
        InputError: if the file cannot be written.
    """
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    rows = first_of_each_class(dataset.train, len(dataset.classes), count)
    side = dataset.train.images.shape[-1]
    cell = side * max(1, -(-CELL // side))
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", LETTERING)
    margin = 16 + max(round(font.getlength(name)) for name in dataset.classes)
    sheet = Image.new("RGB", (margin + count * (cell + 4) + 4, len(rows) * (cell + 4) + 4), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(zip(dataset.classes, rows, strict=True)):
        top = 4 + row * (cell + 4)
        draw.text((8, top + cell // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(images):
            picture = Image.fromarray(image.expand(3, side, side).permute(1, 2, 0).numpy())
            sheet.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (margin + column * (cell + 4), top))
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise InputError(f"--out is '{path}', which cannot be written ({error.strerror or error})") from error


def in_letters(image: Tensor, width: int) -> list[str]:
    """An image in characters, half as many lines as columns: the lighter, the denser."""
    levels = (shrunk(image, width // 2, width).double().mean(0) / 255 * (len(SHADES) - 1)).round().int().tolist()
    return ["".join(SHADES[level] for level in row) for row in levels]


def shrunk(image: Tensor, height: int, width: int) -> Tensor:
    """An image (C, H, W) as (C, height, width), uint8: means of its pixels."""
    return adaptive_avg_pool2d(image.double(), (height, width)).round().byte()
