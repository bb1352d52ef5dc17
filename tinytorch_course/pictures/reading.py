"""Picture files of any kind as arrays of red, green and blue.

Legend: H, W the picture's height and width in pixels.
"""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tinytorch_course.errors import InputError
from tinytorch_course.files import read_bounded

STDIN = "-"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")  # what is taken from a folder
LONGEST_SIDE = 256  # pixels; finer than that, no digit has anything to show
MOST_PIXELS = 150_000_000  # more is refused: a few kilobytes can claim to be any number of pixels
MOST_MEMORY = 600_000_000  # bytes of a picture's pixels, unpacked
LARGEST_FILE = 500_000_000  # bytes
ROWS = 64  # of a deep picture that are brought to 8 bits at a time
DEPTH = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "I;16": 2, "I;16B": 2, "I;16L": 2, "RGB": 4}  # bytes; others: 4
PAPER_SPREAD = 0.5  # opaque parts that differ more in brightness hold both ink and paper


class Source(NamedTuple):
    """One picture, not read yet."""

    name: str  # for people
    data: Path | bytes


def find_sources(names: list[str]) -> list[Source]:
    """Files as they are, folders as the pictures in them (by name, not in folders within), "-" as standard input.

    Raises:
        InputError: if there is no such file or folder, a folder holds no picture, or standard input holds nothing.
    """
    sources: list[Source] = []
    for name in names:
        if name == STDIN:
            sources.append(Source("standard input", _read_stdin()))
        elif os.path.isdir(name):
            sources += [Source(str(path), path) for path in _pictures_in(Path(name))]
        elif not os.path.lexists(name):
            raise InputError(f"there is no picture {name}")
        else:
            sources.append(Source(name, Path(name)))
    return sources


def read_picture(source: Source) -> np.ndarray:
    """The picture as people see it: upright, on paper where it is transparent, at most 256 pixels a side.

    Returns:
        (H, W, 3), float32 from 0 (black) to 1.

    Raises:
        InputError: if it cannot be read, is no picture, or is damaged.
    """
    data = source.data if isinstance(source.data, bytes) else _read_file(source.data, source.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning about large pictures; ours is an error
            with Image.open(io.BytesIO(data)) as image:
                return _to_array(image, source.name)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{source.name} is not a picture that can be read: it begins with {data[:12]!r}; save it as PNG or JPEG"
        ) from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, some way above ours
        raise _too_large(source.name) from error
    except InputError:
        raise
    except Exception as error:  # bytes from anywhere make a decoder fail in any way at all
        raise InputError(f"{source.name} is a damaged picture: {error}") from error


def _too_large(name: str) -> InputError:
    return InputError(f"{name} claims to have more than {MOST_PIXELS:,} pixels: shrink it")


def _to_array(image: Image.Image, name: str) -> np.ndarray:
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(name)
    image.draft("RGB" if image.mode != "L" else "L", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))  # quick for large JPEGs
    if image.width * image.height * DEPTH.get(image.mode, 4) > MOST_MEMORY:
        raise InputError(f"{name} claims to need more than {MOST_MEMORY:,} bytes for its pixels: shrink it")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = _deep_grey(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if max(image.size) > LONGEST_SIDE:
        # Every pixel counts in those that are left: a hairline becomes fainter, it does not vanish.
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=None)
    values = np.asarray(image, dtype=np.float32) / 255
    return values if values.shape[2] == 3 else on_paper(values)


def _deep_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as 8 bits."""
    values = np.asarray(image)
    low, top = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        finite = values[np.isfinite(values)]
        low, top = min(0.0, float(finite.min(initial=0))), float(finite.max(initial=0))
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS):  # float64 is four times as large
        rows = values[start : start + ROWS].astype(np.float64)
        grey[start : start + ROWS] = 255 * (np.where(np.isfinite(rows), rows, 0) - low) / max(top - low, 1e-12)
    return Image.fromarray(grey)


def on_paper(values: np.ndarray) -> np.ndarray:
    """A picture with transparency on paper that its ink can be seen on: white under dark ink, black under light.

    Args:
        values: (H, W, 4), red, green, blue and opacity from 0 to 1.

    Returns:
        (H, W, 3).
    """
    colors, opacity = values[..., :3], values[..., 3:]
    brightness = colors.mean(axis=2)[opacity[..., 0] > 0.5]
    paper = 1.0
    if len(brightness):
        dark, middle, light = np.quantile(brightness, [0.02, 0.5, 0.98])
        holds_paper = light - dark > PAPER_SPREAD and opacity.mean() > 0.5
        paper = middle if holds_paper else float(middle < 0.5)
    return (colors * opacity + paper * (1 - opacity)).astype(values.dtype)


def _pictures_in(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not found:
        raise InputError(f"the folder {folder} contains no picture: none of its files ends in {', '.join(SUFFIXES)}")
    return found


def _read_file(path: Path, name: str) -> bytes:
    try:
        if not path.is_file() and path.exists():  # a device might never end
            raise InputError(f"{name} is not a regular file, so it cannot be a picture")
        return _not_empty(read_bounded(path, LARGEST_FILE), name)
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from error


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("'-' reads a picture from standard input, but that is the keyboard: pipe a file into it")
    data = sys.stdin.buffer.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise InputError(f"standard input holds more than {LARGEST_FILE:,} bytes, which no picture has")
    return _not_empty(data, "standard input")


def _not_empty(data: bytes, name: str) -> bytes:
    if not data:
        raise InputError(f"{name} is empty (0 bytes), not a picture")
    return data
