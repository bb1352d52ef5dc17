"""A note on a darker ground: where the paper does not fill the picture.

Legend: H, W the picture's height and width in pixels.
"""

import numpy as np
from scipy import ndimage

from tinytorch_course.pictures.sizes import COARSE_SIDE, box_of, resized, rim_of, shrunk

SMALLEST_SHEET = 0.12  # of the picture
MOST_ON_RIM = 0.25  # of the picture's rim that may belong to the sheet
LEAST_FILLED = 0.85  # of the smallest rectangle around it, turned as it is
LEAST_WRITTEN, MOST_WRITTEN = 0.01, 0.35  # of the sheet, which is darker than it
MOST_LIGHT_AROUND = 0.5  # of what is around it: between ruled lines there is paper, and around it paper again
EDGE = 0.04  # of the sheet's side, which its shadow and the desk may still show in


def sheet_in(colors: np.ndarray) -> np.ndarray | None:
    """The sheet of paper in the picture, cut out, with paper in place of what is around it; None if there is none.

    A sheet is light and lies on something darker, it has four straight sides, and something darker is on it: no light
    character on dark ground is like that, and no paper that fills the picture.

    Args:
        colors: (H, W, 3), from 0 to 1.
    """
    small = shrunk(colors, COARSE_SIDE).mean(axis=2)
    light = ndimage.binary_opening(small > otsu(small), structure=np.ones((3, 3)))
    labels, count = ndimage.label(light)
    if count == 0:
        return None
    largest = labels == 1 + np.argmax(ndimage.sum_labels(light, labels, range(1, count + 1)))
    sheet = ndimage.binary_fill_holes(largest)
    written = 1 - (small > otsu(small))[sheet].mean()
    if (
        sheet.mean() < SMALLEST_SHEET
        or rim_of(sheet).mean() > MOST_ON_RIM
        or light[~sheet].mean() > MOST_LIGHT_AROUND
        or not LEAST_WRITTEN <= written <= MOST_WRITTEN
        or sheet.sum() < LEAST_FILLED * _smallest_rectangle(sheet)
    ):
        return None

    edge = max(1, round(EDGE * np.sqrt(sheet.sum())))
    inner = ndimage.binary_erosion(sheet, iterations=edge)
    inner = resized(inner.astype(np.float32), colors.shape[:2]) > 0.5
    paper = np.median(colors[inner], axis=0)
    window = box_of(inner)
    return np.where(inner[window][..., None], colors[window], paper).astype(np.float32)


def otsu(values: np.ndarray) -> float:
    """The threshold that parts the values into two groups most unlike each other.

    Source: Otsu (1979), "A threshold selection method from gray-level histograms".
    """
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below / total - sums) ** 2 / (below * (total - below))
    return float(edges[1 + np.nanargmax(np.where(np.isfinite(between), between, -1))])


def _smallest_rectangle(mask: np.ndarray) -> float:
    """The area of the smallest rectangle around ``mask``, at any angle, in pixels."""
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    areas = []
    for angle in np.radians(np.arange(0, 90, 3)):
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        areas.append((np.ptp(along) + 1) * (np.ptp(across) + 1))
    return float(min(areas))
