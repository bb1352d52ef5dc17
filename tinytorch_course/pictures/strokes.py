"""Strokes made thicker or thinner.

Legend: H, W the picture's height and width in pixels.
"""

import numpy as np
from scipy import ndimage


def stroke_width(mask: np.ndarray) -> float:
    """The mean width of the strokes in ``mask`` (H, W), in pixels.

    In a stroke of width w, the distance to its edge goes from 0 to w / 2 and is w / 4 on average.
    """
    distances = ndimage.distance_transform_edt(mask)
    return 4 * float(distances[mask].mean()) - 1  # minus 1: the distance is to the middle of the first pixel outside


def with_width(mask: np.ndarray, width: float) -> np.ndarray:
    """``mask`` with strokes of about ``width`` pixels; there must be room for them around it.

    Thinning keeps the middle line of every stroke, so that none breaks.
    """
    change = (width - stroke_width(mask)) / 2
    if change > 0:
        return ndimage.distance_transform_edt(~mask) <= change
    inner = ndimage.distance_transform_edt(mask) > -change
    bones = skeleton(mask & (ndimage.distance_transform_edt(mask) > 0))
    return inner | (mask & (ndimage.distance_transform_edt(~bones) <= width / 3))


def skeleton(mask: np.ndarray) -> np.ndarray:
    """The middle lines of ``mask``, one pixel wide and connected as it is.

    Source: Zhang & Suen (1984), "A fast parallel algorithm for thinning digital patterns".
    """
    mask = np.pad(mask, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            # The eight neighbours, clockwise from the one above.
            p2, p3, p4, p5, p6, p7, p8, p9 = (
                np.roll(mask, (-dy, -dx), (0, 1))
                for dy, dx in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
            )
            ring = np.stack([p2, p3, p4, p5, p6, p7, p8, p9])
            neighbours = ring.sum(axis=0)
            changes = (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)  # from paper to ink, going round
            if first:
                open_side = ~(p2 & p4 & p6) & ~(p4 & p6 & p8)
            else:
                open_side = ~(p2 & p4 & p8) & ~(p2 & p6 & p8)
            edge = mask & (neighbours >= 2) & (neighbours <= 6) & (changes == 1) & open_side
            if edge.any():
                mask, changed = mask & ~edge, True
    return mask[1:-1, 1:-1]
