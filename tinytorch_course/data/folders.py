"""Images out of a folder that has a subfolder for each class, as torchvision's ``ImageFolder`` takes it.

Where there are folders ``train``, ``val`` and ``test`` (or two of them), their subfolders are the classes; otherwise
the images are split, always in the same way. All are brought to one square size, the whole picture squeezed into it:
that of the files if they are all alike, square and at most 64x64, else 32x32, or what is asked for. Colour is kept
where there is any; what is transparent becomes white; photographs stand as their camera says.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tinytorch_course.data.own import Found
from tinytorch_course.data.splits import Split
from tinytorch_course.data_names import Place
from tinytorch_course.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
KEPT_UP_TO, USUAL = 64, 32  # pixels of a side
NAMED = 3  # unreadable files that an error names


def read_folder(place: Place) -> Found:
    """What the folder holds.

    Raises:
        InputError: naming the files that cannot be read, or what else is wrong with the folder.
    """
    folders = _parts(place.path)
    classes = _subfolders(folders["train"])
    if not classes:
        raise InputError(
            f"{place.path} has no subfolders: a folder of images needs one for each class, named after it, "
            "or train and test with such subfolders"
        )
    files = {part: _files(folder, classes, place) for part, folder in folders.items()}
    paths = [path for part in files.values() for path, _ in part]
    size = place.size or _common_size(paths)
    images = _read(paths, size)
    labels = torch.tensor([label for part in files.values() for _, label in part])
    counts = [len(part) for part in files.values()]
    parts = zip(files, images.split(counts), labels.split(counts), strict=True)
    return Found({part: Split(*both) for part, *both in parts}, tuple(classes), named=True)


def _parts(path: Path) -> dict[str, Path]:
    """Where the images to train, choose and test with are. A folder "train" without subfolders is a class."""
    present = {name.lower(): path / name for name in _subfolders(path)}
    parts = {}
    for part, names in PARTS.items():
        found = next((present[name] for name in names if name in present and _subfolders(present[name])), None)
        if found:
            parts[part] = found
    return parts if "train" in parts and len(parts) > 1 else {"train": parts.get("train", path)}


def _subfolders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _files(folder: Path, classes: Sequence[str], place: Place) -> list[tuple[Path, int]]:
    """The images below a folder, with their labels."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    for name in _subfolders(folder):
        if name not in classes:
            raise InputError(f"{folder} has a class '{name}' without training images")
    there = {name: label for label, name in enumerate(classes) if (folder / name).is_dir()}
    found = make_dataset(folder, there, extensions=IMG_EXTENSIONS, allow_empty=True) if there else []
    files = [(Path(path), label) for path, label in found if not Path(path).name.startswith(".")]
    if not files:
        raise InputError(f"{folder} contains no images, that is, files that end in {', '.join(IMG_EXTENSIONS)}")
    return files


def _common_size(paths: list[Path]) -> int:
    """The side of all images if it is one and small, else the usual one."""
    sizes = set(_each(paths, lambda image: image.size))
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height <= KEPT_UP_TO else USUAL


def _read(paths: list[Path], size: int) -> Tensor:
    """(N, C, size, size), uint8: three channels only if any image has colour."""
    pixels = np.stack(_each(paths, lambda image: _pixels(image, size)))  # (N, size, size, 3)
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _pixels(image: "Image", size: int) -> np.ndarray:
    """(size, size, 3), uint8."""
    from PIL import Image, ImageOps

    image.draft("RGB", (2 * size, 2 * size))  # a large JPEG need not be decoded in full
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def _each(paths: list[Path], work: Callable[["Image"], Any]) -> list[Any]:
    """What ``work`` makes of each image; those that cannot be read are named."""
    from PIL import Image

    def open_and_work(path: Path) -> Any:
        try:
            with Image.open(path) as image:
                return work(image)
        except Exception as error:  # bytes from anywhere make a decoder fail in any way at all
            return _Unreadable(path, error)

    with ThreadPoolExecutor() as threads:  # Pillow decodes outside Python's lock
        results = list(threads.map(open_and_work, paths))
    bad = [result for result in results if isinstance(result, _Unreadable)]
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise InputError(
            f"{len(bad):,} of {len(paths):,} images cannot be read: "
            f"{', '.join(str(one.path) for one in bad[:NAMED])}{more}; remove or replace them"
        )
    return results


class _Unreadable(NamedTuple):
    path: Path
    error: Exception
