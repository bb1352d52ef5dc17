"""Pictures as arrays, made larger and smaller.

Legend: H, W the picture's height and width in pixels, C its channels.
"""

import numpy as np
from PIL import Image

COARSE_SIDE = 96  # pixels of the picture in which paper is told from ink


def shrunk(colors: np.ndarray, longest: int) -> np.ndarray:
    """The picture with at most ``longest`` pixels a side, every pixel counting."""
    height, width = colors.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return colors
    return resized(colors, (max(1, round(scale * height)), max(1, round(scale * width))), Image.Resampling.BOX)


def resized(
    values: np.ndarray, shape: tuple[int, int], method: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    """(H, W) or (H, W, C) resized to ``shape``."""
    if values.ndim == 2:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize(shape[::-1], method))
    return np.stack([resized(channel, shape, method) for channel in np.moveaxis(values, 2, 0)], axis=-1)
