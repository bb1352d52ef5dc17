"""The embedded letters: drawn from the fonts that matplotlib ships. They need no network.

26 classes, upper and lower case in one. What is drawn are the 52 letters of 26 alphabets: DejaVu (Sans, Sans Mono and
Serif, each upright, bold, slanted and both), Computer Modern (roman, bold, sans, typewriter and math
italic) and STIX (upright, bold, italic and both, and the sans-serif and monospaced alphabets of its mathematical
letters). Each letter of each alphabet is drawn several times, every time turned, slanted, stretched, moved, thickened
and blurred by random numbers, and brought to MNIST's form: a box of 20 x 20, with its centre of mass in the middle of
28 x 28. The numbers come from fixed seeds; versions of FreeType may differ in a grey level.

The splits have no typeface in common: DejaVu and Computer Modern train, STIX's sans-serifs choose, its serifs and its
typewriter test. So the test asks for letters in typefaces never seen. They are print, though: how well a network reads
handwriting, EMNIST must tell.
"""

import math
from functools import lru_cache
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample

from tinytorch_course.data.splits import About, Split, mixed_order
from tinytorch_course.seeds import derive_seed

LOCATION = "drawn from matplotlib's fonts"
CANVAS = 48  # pixels: the side on which each letter is drawn once
LARGER_SIDE = 34  # pixels of the letter there, to be brought to
BOX = 20 / 28  # of the image's side
CHUNK = 512  # drawings at a time


class Alphabet(NamedTuple):
    """One font, and which of its letters are drawn."""

    file: str  # of matplotlib's fonts
    upper: int = ord("A")  # code point of the first letter; the others follow
    lower: int = ord("a")


def _mathematical(first: int, file: str = "STIXGeneral") -> Alphabet:
    """An alphabet of Unicode's mathematical letters, where a follows Z."""
    return Alphabet(file, first, first + 26)


DEJAVU = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
)
COMPUTER_MODERN = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmmi10")  # cmti10 came with matplotlib 3.11
STIX = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta")
ALPHABETS = {
    "train": tuple(Alphabet(file) for file in DEJAVU + COMPUTER_MODERN),
    "val": tuple(_mathematical(first) for first in (0x1D5A0, 0x1D5D4, 0x1D608, 0x1D63C)),
    "test": (*(Alphabet(file) for file in STIX), _mathematical(0x1D670)),
}
DRAWINGS = {"train": 8, "val": 5, "test": 8}  # of each letter of each alphabet
SIZES = {split: 52 * len(alphabets) * DRAWINGS[split] for split, alphabets in ALPHABETS.items()}
ABOUT = About(
    title="embedded letters (drawn from matplotlib's fonts)",
    classes=tuple(ascii_uppercase),
    default_epochs=5,
    val_size=SIZES["val"],
    train_size=SIZES["train"] + SIZES["val"],
    test_size=SIZES["test"],
    made_of="printed letters, upper and lower case in one class, drawn from matplotlib's fonts; "
    "typefaces of the test are in no other split",
)


def read() -> tuple[Split, Split]:
    """The images that are not for testing, with those for validation at their end, and those that are."""
    train, val, test = (_draw(split) for split in ALPHABETS)
    return Split(torch.cat([train.images, val.images]), torch.cat([train.labels, val.labels])), test


@lru_cache(maxsize=3)
def _draw(split: str) -> Split:
    canvases = torch.cat([_canvases(alphabet) for alphabet in ALPHABETS[split]])  # (52 alphabets, 1, CANVAS, CANVAS)
    which = torch.arange(len(canvases)).repeat_interleave(DRAWINGS[split])
    generator = torch.Generator().manual_seed(derive_seed("embedded letters", split))
    images = torch.cat([_vary(canvases[chunk], generator) for chunk in which.split(CHUNK)])
    labels = which % 52 % 26
    order = mixed_order(labels.tolist(), f"embedded letters, {split}")
    return Split(images[order], labels[order])


def _canvases(alphabet: Alphabet) -> Tensor:
    """The 52 letters, each as large as fits its canvas, blurred: (52, 1, CANVAS, CANVAS) from 0 to 1."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{alphabet.file}.ttf", 80)
    canvases = []
    for first in (alphabet.upper, alphabet.lower):
        for letter in map(chr, range(first, first + 26)):
            left, top, right, bottom = font.getbbox(letter)
            drawn = Image.new("L", (int(right - left), int(bottom - top)))
            ImageDraw.Draw(drawn).text((-left, -top), letter, fill=255, font=font)
            scale = LARGER_SIDE / max(drawn.size)
            drawn = drawn.resize([max(1, round(side * scale)) for side in drawn.size], Image.Resampling.BOX)
            canvas = Image.new("L", (CANVAS, CANVAS))
            canvas.paste(drawn, ((CANVAS - drawn.width) // 2, (CANVAS - drawn.height) // 2))
            canvases.append(np.asarray(canvas))
    return _blur(torch.from_numpy(np.stack(canvases))[:, None].float() / 255)


def _vary(canvases: Tensor, generator: torch.Generator) -> Tensor:
    """One drawing of each canvas, each with random numbers of its own.

    Args:
        canvases: (N, 1, CANVAS, CANVAS) from 0 to 1.

    Returns:
        (N, 1, 28, 28), uint8.
    """

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(canvases), generator=generator)

    turn, slant, stretch = between(-0.17, 0.17), between(-0.2, 0.2), between(-0.12, 0.12).exp()
    cos, sin = turn.cos(), turn.sin()
    # Rotation times slant times stretch: where a point of the canvas goes, from -1 to 1 with y downwards.
    linear = torch.stack(
        [
            torch.stack([cos * stretch, (cos * slant - sin) / stretch], 1),
            torch.stack([sin * stretch, (sin * slant + cos) / stretch], 1),
        ],
        1,
    )  # (N, 2, 2)
    level = between(0.2, 0.5)  # a lower level of the blurred letter: a thicker one
    softness = level * between(0.8, 1.9)  # below 2: what is black stays black
    inked = ((canvases - level.view(-1, 1, 1, 1)) / softness.view(-1, 1, 1, 1) + 0.5).clamp(0, 1)

    scale, centre = _fit(inked[:, 0], linear)
    scale = scale * between(0.92, 1.0)
    shift = torch.stack([between(-1, 1), between(-1, 1)], 1) / 28  # of up to half a pixel
    # grid_sample asks where each point of the result comes from: the inverse of scale * linear @ (p - centre) + shift.
    inverse = torch.linalg.inv(linear) / scale.view(-1, 1, 1)
    offset = centre - (inverse @ shift[:, :, None])[:, :, 0]
    theta = torch.cat([inverse, offset[:, :, None]], dim=2)  # (N, 2, 3)
    grid = affine_grid(theta, [len(canvases), 1, 56, 56], align_corners=False)
    large = grid_sample(inked, grid, align_corners=False)  # (N, 1, 56, 56)
    return (avg_pool2d(large, 2) * 255).round().clamp(0, 255).to(torch.uint8)  # (N, 1, 28, 28)


def _fit(inked: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
    """The factor that brings each letter into its box after ``linear``, and its centre of mass before.

    Args:
        inked: (N, CANVAS, CANVAS).
        linear: (N, 2, 2).

    Returns:
        factors (N,); centres (N, 2), x and y from -1 to 1.
    """
    axis = (torch.arange(CANVAS) + 0.5) * 2 / CANVAS - 1
    points = torch.cartesian_prod(axis, axis).flip(1)  # (CANVAS^2, 2), x and y in the order of the pixels
    mass = inked.flatten(1)  # (N, CANVAS^2)
    centre = mass @ points / mass.sum(1, keepdim=True)  # (N, 2)
    places = points @ linear.transpose(1, 2)  # (N, CANVAS^2, 2)
    empty = (mass < 0.5)[:, :, None]
    extent = places.masked_fill(empty, -math.inf).amax(1) - places.masked_fill(empty, math.inf).amin(1)  # (N, 2)
    return 2 * BOX / extent.amax(1), centre


def _blur(canvases: Tensor, deviation: float = 1.2) -> Tensor:
    """Gaussian blur, of that many pixels."""
    reach = torch.arange(-4, 5).float()
    kernel = (-((reach / deviation) ** 2) / 2).exp()
    kernel = kernel / kernel.sum()
    return conv2d(conv2d(canvases, kernel.view(1, 1, -1, 1), padding=(4, 0)), kernel.view(1, 1, 1, -1), padding=(0, 4))
