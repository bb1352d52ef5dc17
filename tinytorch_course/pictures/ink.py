"""Where the ink is in a picture: on uneven light, dark on light or light on dark, among noise and ruled lines.

Legend: H, W the picture's height and width in pixels. "Strength" is how much of ink a pixel has: 0 on bare paper,
about 1 in the middle of a stroke.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from tinytorch_course.pictures.lines import without_lines
from tinytorch_course.pictures.sheet import otsu, sheet_in
from tinytorch_course.pictures.sizes import COARSE_SIDE, resized, rim_of, shrunk

WIDEST_STROKE = 0.3  # of the longer side; what is wider is taken for paper in the shade
RING = 0.05  # of the shorter side: the rim that is mostly paper
NARROW = (0.05, 0.1, 0.2)  # of the longer side: strokes, and the gaps between them
FAINTEST = 0.045  # contrast to the paper (1: black on white) below which nothing counts as ink
CLEAREST_NOISE = 0.08  # noise that is left after smoothing, as a share of the ink's strength
SURE, POSSIBLE = 0.6, 0.4  # strength that makes ink, and that belongs to ink that it touches
TWO_TONES, PURE, MOST_BETWEEN = 0.4, 0.15, 0.1  # a scan's tones are so far apart, and hardly a pixel is in between
MARGIN = 0.25  # of the longer side, that a scan is given whose ink reaches the rim
ISOLATED = 0.35  # strength by which a speck of one pixel stands out from all around it
SMALLEST_PART = 0.04  # area of a part of the character, as a share of the largest part's
PALEST_PART = 0.7  # its strength, likewise
WIDEST_GAP = 0.12  # between its parts, as a share of its size


class Ink(NamedTuple):
    """What was found in a picture."""

    strength: np.ndarray  # (H, W) float32
    mask: np.ndarray  # (H, W) bool: strokes of the one character in the picture
    dark: bool  # ink darker than paper


def find_ink(colors: np.ndarray) -> Ink | None:
    """The ink of the one character in a picture; None if there is none.

    Args:
        colors: (H, W, 3), from 0 to 1.
    """
    colors = with_margin(colors)
    sheet = sheet_in(colors)
    colors = colors if sheet is None else sheet
    dark = sheet is not None or is_dark_on_light(colors)
    contrast = contrast_to_paper(colors, dark)
    noise = noise_of(contrast)
    level = level_of(contrast, noise)
    if level < FAINTEST:
        return None
    strength = without_specks(contrast / level)
    strength = without_noise(strength, noise_of(strength))
    strength = without_lines(strength)
    left = level_of(strength, 0.05)
    if left * level < FAINTEST:
        return None
    strength = strength / left
    mask = ndimage.binary_propagation(strength > SURE, mask=strength > POSSIBLE, structure=np.ones((3, 3)))
    mask = one_character(mask, strength)
    return Ink(strength, mask, dark) if mask.any() else None


def with_margin(colors: np.ndarray) -> np.ndarray:
    """A scan in two tones whose ink reaches the rim, with paper around it: all that follows takes the rim for paper.

    The paper is the tone that most of the picture has, its corners counting twice.
    """
    grey = colors.mean(axis=2)
    light = grey > otsu(grey)
    if not light.any() or light.all():
        return colors
    tones = grey[~light].mean(), grey[light].mean()
    off = np.minimum(np.abs(grey - tones[0]), np.abs(grey - tones[1])) > PURE * (tones[1] - tones[0])
    if tones[1] - tones[0] < TWO_TONES or off.mean() > MOST_BETWEEN:
        return colors
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
    paper_is_light = light.mean() + corners > 1
    if not rim_of(light != paper_is_light).any():
        return colors
    margin = max(1, round(MARGIN * max(grey.shape)))
    paper = np.median(colors[light == paper_is_light], axis=0)
    height, width = grey.shape
    padded = np.full((height + 2 * margin, width + 2 * margin, 3), paper, colors.dtype)
    padded[margin:-margin, margin:-margin] = colors
    return padded


def is_dark_on_light(colors: np.ndarray) -> bool:
    """Whether the ink is darker than the paper: which way the picture differs most from its surroundings.

    Three witnesses: the difference to the rim, which is mostly paper under light that changes evenly; the difference to
    the middle brightness, because there is more paper than ink; and what is narrow and dark against what is narrow and
    light. Fourth powers, because ink differs more than light does, if on fewer pixels.
    """
    small = shrunk(colors, COARSE_SIDE)
    witnesses = np.full((3, 2), 1e-9)  # darker, lighter
    surface = paper_at_the_rim(small)
    for channel, paper in zip(np.moveaxis(small, 2, 0), np.moveaxis(surface, 2, 0), strict=True):
        for witness, difference in zip(witnesses, (channel - paper, channel - np.median(channel)), strict=False):
            witness += (np.minimum(difference, 0) ** 4).sum(), (np.maximum(difference, 0) ** 4).sum()
        for share in NARROW:
            size = max(3, round(share * max(channel.shape)))
            witnesses[2, 0] += ((ndimage.grey_closing(channel, size) - channel) ** 4).sum()
            witnesses[2, 1] += ((channel - ndimage.grey_opening(channel, size)) ** 4).sum()
    darker, lighter = np.log(witnesses).sum(axis=0)
    return bool(darker >= lighter)


def paper_at_the_rim(colors: np.ndarray) -> np.ndarray:
    """A smooth surface, (H, W, 3), through what the rim of the picture mostly is; ink that crosses it does no harm."""
    height, width = colors.shape[:2]
    ring = max(1, round(RING * min(height, width)))
    rim = np.ones((height, width), bool)
    rim[ring:-ring, ring:-ring] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
    fits = [_robust_fit(terms[rim], channel[rim]) for channel in np.moveaxis(colors, 2, 0)]
    return np.stack([terms @ fit for fit in fits], axis=-1).clip(0, 1).astype(np.float32)


def _robust_fit(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The coefficients with nearly the least sum of absolute errors, by least squares weighted again and again."""
    weights = np.ones(len(values))
    for _ in range(10):
        weighted = terms.T * weights
        fit = np.linalg.solve(weighted @ terms + 1e-9 * np.eye(terms.shape[1]), weighted @ values)
        weights = 1 / np.maximum(np.abs(values - terms @ fit), 1e-3)
    return fit


def contrast_to_paper(colors: np.ndarray, dark: bool) -> np.ndarray:
    """How far each pixel is from the paper around it, along the colour in which the picture differs most.

    Returns:
        (H, W), float32: about 0 on paper, 1 for black on white or white on black.
    """
    paper = paper_around(colors, dark)
    # Light times darkness of the paper is what the camera sees: dividing takes the light away. Light ink on dark ground
    # is left as it is, since dividing by something near 0 would only enlarge its noise.
    difference = 1 - colors / np.maximum(paper, 0.02) if dark else colors - paper
    flat = difference.reshape(-1, 3).astype(np.float64)
    strongest = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    strongest = strongest / np.abs(strongest).sum()  # so that grey stays as it is
    contrast = flat @ strongest
    contrast = contrast if (contrast**3).sum() >= 0 else -contrast
    contrast -= np.median(contrast)  # brightest of the noise is what paper_around finds
    return contrast.reshape(colors.shape[:2]).astype(np.float32)


def paper_around(colors: np.ndarray, dark: bool) -> np.ndarray:
    """What the picture would be without ink: each place takes the colour of the paper nearby.

    A morphological closing (opening, for light ink) swallows strokes and leaves what is wider, such as shadows.
    """
    small = ndimage.gaussian_filter(shrunk(colors, COARSE_SIDE), (0.7, 0.7, 0))
    size = max(3, round(WIDEST_STROKE * max(small.shape)))
    room = ((size, size), (size, size), (0, 0))
    # Beyond the rim there is paper, so that a stroke along it is swallowed as well.
    padded = np.pad(paper_at_the_rim(small), room, mode="edge")
    padded[size:-size, size:-size] = small
    swallow = ndimage.grey_closing if dark else ndimage.grey_opening
    paper = swallow(padded, size=(size, size, 1))[size:-size, size:-size]
    return resized(ndimage.gaussian_filter(paper, (1, 1, 0)), colors.shape[:2])


def noise_of(values: np.ndarray) -> float:
    """The standard deviation of pixel noise, from a median that strokes and shadows do not move.

    Source: the mask is Immerkær's (1996), "Fast noise variance estimation".
    """
    if min(values.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    return float(np.median(np.abs(ndimage.convolve(values, kernel)))) / (6 * 0.6745)


def level_of(contrast: np.ndarray, noise: float) -> float:
    """The contrast of the strokes: the mean in which each pixel beyond the noise has its own square as weight."""
    strong = contrast[contrast > max(4 * noise, 1e-3)].astype(np.float64)
    return float((strong**3).sum() / (strong**2).sum()) if len(strong) else 0.0


def without_specks(strength: np.ndarray) -> np.ndarray:
    """Single pixels that stand out from all around them but one, dark or light, replaced by the median around them.

    A hairline stays: its pixels have two neighbours of their kind.
    """
    around = np.ones((3, 3), bool)
    around[1, 1] = False
    second_highest = ndimage.rank_filter(strength, 6, footprint=around)
    second_lowest = ndimage.rank_filter(strength, 1, footprint=around)
    speck = (strength > second_highest + ISOLATED) | (strength < second_lowest - ISOLATED)
    return np.where(speck, ndimage.median_filter(strength, footprint=around), strength)


def without_noise(strength: np.ndarray, noise: float) -> np.ndarray:
    """Smoothed as far as its noise makes that necessary, and no further."""
    # A Gaussian of width s leaves 1 / (2 s √π) of white noise.
    width = noise / (CLEAREST_NOISE * 2 * np.sqrt(np.pi))
    widest = max(strength.shape) / 60
    return ndimage.gaussian_filter(strength, min(width, widest)) if width > 0.3 else strength


def one_character(mask: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The parts of ``mask`` that make up one character: the weightiest, and what lies close to it and is like it.

    A part that is small is a speck, and one that is paler is what a shadow left.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    areas = ndimage.sum_labels(mask, labels, range(1, count + 1))
    strengths = ndimage.mean(strength, labels, range(1, count + 1))
    boxes = [np.array([rows.start, cols.start, rows.stop, cols.stop]) for rows, cols in ndimage.find_objects(labels)]
    first = int(np.argmax(areas * _centrality(np.array(boxes), mask.shape)))
    chosen, box = {first}, boxes[first]
    alike = (areas >= SMALLEST_PART * areas[first]) & (strengths >= PALEST_PART * strengths[first])
    grown = True
    while grown:
        grown = False
        for part in np.argsort(-areas):
            reach = WIDEST_GAP * max(box[2] - box[0], box[3] - box[1])
            if part not in chosen and alike[part] and _gap(box, boxes[part]) <= reach:
                chosen.add(int(part))
                box = np.concatenate([np.minimum(box, boxes[part])[:2], np.maximum(box, boxes[part])[2:]])
                grown = True
    return np.isin(labels, [part + 1 for part in chosen])


def _centrality(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """From 0.3 for a box in a corner to 1 for one in the middle."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array(shape)
    return 1 - 1.4 * np.minimum(np.abs(middle - 0.5).max(axis=1), 0.5)


def _gap(box: np.ndarray, other: np.ndarray) -> float:
    """How many pixels are between two boxes; 0 if they overlap."""
    return float(np.hypot(*np.maximum(np.maximum(other[:2] - box[2:], box[:2] - other[2:]), 0)))
