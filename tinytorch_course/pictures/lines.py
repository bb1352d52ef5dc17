"""Ruled and squared paper: its lines taken out from under what is written on them.

A line here is thin, nearly level or upright, straight, and runs from one edge of the picture to the other.

Legend: H, W the picture's height and width in pixels, S slopes.
"""

import numpy as np
from scipy import ndimage

STEEPEST = 0.1  # rise of a line over its length: 6 degrees
SLOPES = 25
SHORTEST = 0.8  # of the picture's width that a line must be seen on
END = 0.06  # of the width: how near its ends come to the edges
THICKEST = 0.03  # of the picture's longer side
FAINT = 0.1  # strength from which a pixel may be part of a line
HIDING = 0.5  # strength of a broad stroke from which a line under it cannot be seen
LEAST_VISIBLE = 0.4  # of a line's length
DARKER = 0.25  # strength by which ink stands out from the line that it crosses
SMALLEST = 48  # pixels; in smaller pictures a line and a stroke are both one or two pixels


def without_lines(strength: np.ndarray) -> np.ndarray:
    """``strength`` (H, W) with the lines of ruled or squared paper taken out; as it is if nothing else is there."""
    if min(strength.shape) < SMALLEST:
        return strength
    cleared = _without_level_lines(strength)
    cleared = _without_level_lines(cleared.T).T
    return cleared if (cleared > 0.5).sum() > 0.1 * (strength > 0.5).sum() else strength


def _without_level_lines(strength: np.ndarray) -> np.ndarray:
    height, width = strength.shape
    thickest = max(3, round(THICKEST * max(height, width)))
    across = np.arange(width) - width / 2
    for row, slope in _find_lines(strength, thickest):
        center = row + slope * across  # (W,): where the line is in each column
        strength = _without_line(strength, center, thickest)
    return strength


def _find_lines(strength: np.ndarray, thickest: int) -> list[tuple[int, float]]:
    """Row (in the middle of the picture) and slope of each line, the clearest first."""
    height, width = strength.shape
    thick = ndimage.grey_opening(strength, size=(thickest + 1, 1))
    # Noise goes, a line stays.
    thin = ndimage.uniform_filter1d(strength - thick, max(3, width // 32), axis=1)
    seen = ndimage.maximum_filter1d(thin > FAINT, 3, axis=0)
    free = thick < HIDING  # where a line could be seen at all
    end = max(2, round(END * width))
    slopes = np.linspace(-STEEPEST, STEEPEST, SLOPES)
    shares = np.zeros((SLOPES, height))
    for number, slope in enumerate(slopes):
        rows = np.arange(height)[:, None] + np.round(slope * (np.arange(width) - width / 2)).astype(int)
        inside = (rows >= 0) & (rows < height)
        place = (rows.clip(0, height - 1), np.arange(width))
        along, visible = seen[place] & inside, free[place] | ~inside  # (H, W): each row follows the slope
        share = (along & visible).sum(axis=1) / np.maximum(visible.sum(axis=1), LEAST_VISIBLE * width)
        ends = np.minimum(along[:, :end].mean(axis=1), along[:, -end:].mean(axis=1))
        shares[number] = np.where(ends > 0.5, share, 0)

    found: list[tuple[int, float]] = []
    while shares.max() >= SHORTEST:
        best, row = np.unravel_index(shares.argmax(), shares.shape)
        # Of several slopes and rows that see the same line, the middle one is nearest to it.
        ties = np.argwhere((shares == shares.max()) & (np.abs(np.arange(height) - row) <= thickest))
        best, row = np.median(ties, axis=0).astype(int)
        found.append((int(row), float(slopes[best])))
        shares[:, max(0, row - thickest) : row + thickest + 1] = 0
    return found


def _without_line(strength: np.ndarray, center: np.ndarray, thickest: int) -> np.ndarray:
    """One line taken out: its pixels become a blend of those above and below, but for ink that is darker than it."""
    height, width = strength.shape
    columns = np.arange(width)
    reach = thickest + 2
    offsets = np.arange(-reach, reach + 1)
    rows = (np.round(center).astype(int) + offsets[:, None]).clip(0, height - 1)  # (2 reach + 1, W)
    profile = np.median(strength[rows, columns], axis=1)  # the line's own strength, at each distance from its middle
    ground = min(profile[0], profile[-1])
    part = profile - ground > 0.25 * (profile.max() - ground)
    peak = int(profile[reach - 2 : reach + 3].argmax()) + reach - 2
    top, bottom = peak, peak
    while top > 1 and part[top - 1]:
        top -= 1
    while bottom < len(offsets) - 2 and part[bottom + 1]:
        bottom += 1
    top, bottom = max(top - 1, 1), min(bottom + 1, len(offsets) - 2)

    above, below = strength[rows[top - 1], columns], strength[rows[bottom + 1], columns]
    cleared = strength.copy()
    for place in range(top, bottom + 1):
        share = (place - top + 1) / (bottom - top + 2)
        blend = (1 - share) * above + share * below
        old = strength[rows[place], columns]
        is_ink = old > profile[place] + DARKER
        cleared[rows[place], columns] = np.where(is_ink, old, np.minimum(old, blend))
    return cleared
