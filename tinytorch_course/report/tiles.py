"""Small pictures made of numbers, as PNG inside the page: filters, activation maps, images, tables of errors.

One pixel is one number; the browser enlarges them without smoothing.
"""

import base64
import io
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from PIL import Image

# Blue, white and orange: which sign is which can be seen with every kind of colour vision.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#00529b", "#f7f7f7", "#c85000"], N=511)


def to_uri(pixels: np.ndarray) -> str:
    """uint8 (H, W), (H, W, 3) or (H, W, 4) as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def diverging(values: np.ndarray, largest: float) -> np.ndarray:
    """Signed numbers (...) as colours (..., 4): white at 0, full colour at ``largest``; NaN is transparent."""
    return coloured(values, -(largest or 1.0), largest or 1.0, SIGNED)


def grey(values: np.ndarray, largest: float) -> np.ndarray:
    """Numbers from 0 to ``largest`` as greys (..., 4), 0 black; NaN is transparent."""
    return coloured(values, 0, largest or 1.0, matplotlib.colormaps["gray"])


def coloured(values: np.ndarray, low: float, high: float, colours: Colormap) -> np.ndarray:
    """Numbers (...) as colours (..., 4), uint8, of the map's whole range from ``low`` to ``high``."""
    known = np.ma.masked_where(np.isnan(values), values)
    return colours(Normalize(low, high, clip=True)(known), bytes=True)


def montage(tiles: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Pictures (N, H, W, 4) side by side in rows, as one (H', W', 4) with transparent gaps."""
    count, height, width, channels = tiles.shape
    columns = min(count, columns or _columns(count))
    rows = math.ceil(count / columns)
    out = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), dtype=np.uint8)
    for position, tile in enumerate(tiles):
        y, x = (position // columns) * (height + gap), (position % columns) * (width + gap)
        out[y : y + height, x : x + width] = tile
    return out


def image(pixels: np.ndarray) -> np.ndarray:
    """An image (C, H, W) of uint8 as PIL takes it: grey for one channel, colours for three, else the first channel."""
    return pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]


def strip(values: Sequence[float] | np.ndarray, width: int = 32) -> np.ndarray:
    """A vector as rows of ``width``, the last filled up with NaN."""
    vector = np.asarray(values, dtype=np.float64)
    width = min(width, len(vector))
    rows = np.full((math.ceil(len(vector) / width), width), np.nan)
    rows.reshape(-1)[: len(vector)] = vector
    return rows


def _columns(count: int) -> int:
    """About twice as many columns as rows, such that the last row is as full as may be."""
    ideal = math.sqrt(2 * count)
    candidates = range(math.ceil(0.7 * ideal), math.floor(1.5 * ideal) + 1)
    return min(candidates, key=lambda columns: (-count % columns, abs(columns - ideal)))
