"""Pictures as arrays, made larger and smaller.

Legend: H, W the picture's height and width in pixels, C its channels.
"""

import numpy as np
from PIL import Image

COARSE_SIDE = 96  # pixels of the picture in which paper is told from ink


def box_of(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around what is True in ``mask`` (H, W), and ``margin`` pixels more."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down, across = (slice(max(each[0] - margin, 0), each[-1] + margin + 1) for each in (rows, cols))
    return down, across


def rim_of(values: np.ndarray) -> np.ndarray:
    """The outermost pixels of (H, W), those in the corners twice."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def shrunk(colors: np.ndarray, longest: int) -> np.ndarray:
    """The picture with at most ``longest`` pixels a side, every pixel counting."""
    scale = longest / max(colors.shape[:2])
    return colors if scale >= 1 else resized(colors, scaled_shape(colors.shape, scale), Image.Resampling.BOX)


def scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """H and W times ``scale``, but at least a pixel."""
    return max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))


def resized(
    values: np.ndarray, shape: tuple[int, int], method: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    """(H, W) or (H, W, C) resized to ``shape``."""
    if values.ndim == 2:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize(shape[::-1], method))
    return np.stack([resized(channel, shape, method) for channel in np.moveaxis(values, 2, 0)], axis=-1)
