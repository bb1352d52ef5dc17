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
CLEAR = 3  # deviations of the noise that a line stands out by
HIDING = 0.5  # strength of a broad stroke from which a line under it cannot be seen
LEAST_VISIBLE = 0.4  # of a line's length
DARKER = 0.25  # strength by which ink stands out from the line that it crosses
SURELY_RULED = 4  # lines
LEAST_WRITTEN = 0.02  # of what was dark on ruled paper: less is what is left of its lines
FAINT_PIECE = 0.3  # strength from which what is left may be a piece of a line
SMALLEST = 48  # pixels; in smaller pictures a line and a stroke are both one or two pixels


def without_lines(strength: np.ndarray) -> np.ndarray:
    """``strength`` (H, W) with the lines of ruled or squared paper taken out.

    A line or two with nothing else are left as they are: they may be a 1, drawn from edge to edge. Where there are more
    and nothing else, nothing is left.
    """
    if min(strength.shape) < SMALLEST:
        return strength
    cleared, level, on_level = _without_level_lines(strength)
    cleared, upright, on_upright = _without_level_lines(cleared.T)
    cleared = _without_leftovers(cleared.T, on_level | on_upright.T, ruled=level + upright >= SURELY_RULED)
    share = (cleared > 0.5).sum() / max(int((strength > 0.5).sum()), 1)
    if level + upright < SURELY_RULED:
        return cleared if share > 0.1 else strength
    return cleared if share > LEAST_WRITTEN else np.zeros_like(strength)


def _without_leftovers(cleared: np.ndarray, on_lines: np.ndarray, ruled: bool) -> np.ndarray:
    """Without the pieces of lines: parts that lie wholly where lines were, and on ruled paper thin ones at the rim.

    At the rim, a line enters the picture that is too short there to be found.
    """
    labels, count = ndimage.label(cleared > FAINT_PIECE, structure=np.ones((3, 3)))
    if count == 0:
        return cleared
    is_piece = ndimage.mean(on_lines, labels, range(1, count + 1)) > 0.9
    if ruled:
        height, width = cleared.shape
        thickest = _thickest(cleared)
        for number, (rows, cols) in enumerate(ndimage.find_objects(labels)):
            at_rim = rows.start <= 1 or cols.start <= 1 or rows.stop >= height - 1 or cols.stop >= width - 1
            is_thin = min(rows.stop - rows.start, cols.stop - cols.start) <= thickest
            is_piece[number] |= at_rim and is_thin
    return np.where(np.isin(labels, 1 + np.flatnonzero(is_piece)), 0, cleared)


def _thickest(strength: np.ndarray) -> int:
    """How many pixels a line may be thick."""
    return max(3, round(THICKEST * max(strength.shape)))


def _without_level_lines(strength: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Without the lines from left to right, how many there were, and (H, W) where they were."""
    across = np.arange(strength.shape[1]) - strength.shape[1] / 2
    lines = _find_lines(strength, _thickest(strength))
    on_lines = np.zeros(strength.shape, bool)
    for row, slope in lines:
        strength, on_line = _without_line(strength, _traced(strength, row + slope * across), _thickest(strength))
        on_lines |= on_line
    return strength, len(lines), on_lines


def _traced(strength: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Where a line really is in each column, (W,): a parabola through its darkest places near ``center``."""
    columns, offsets = np.arange(len(center)), np.arange(-3, 4)
    rows = (np.round(center).astype(int) + offsets[:, None]).clip(0, len(strength) - 1)
    weights = strength[rows, columns].clip(0, None) ** 2
    off = (weights * (rows - center)).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)
    across = columns / len(columns) - 0.5
    is_line = weights.sum(axis=0) > FAINT**2
    for _ in range(3):  # what crosses the line pulls it aside, and is left out then
        if is_line.sum() < 0.3 * len(columns):
            return center
        bend = np.polynomial.Polynomial.fit(across[is_line], off[is_line], 2)(across)
        is_line &= np.abs(off - bend) < 1
    return center + bend


def _find_lines(strength: np.ndarray, thickest: int) -> list[tuple[int, float]]:
    """Row (in the middle of the picture) and slope of each line, the clearest first."""
    height, width = strength.shape
    thick = ndimage.grey_opening(strength, size=(thickest + 1, 1))
    # Noise goes, a line stays.
    thin = ndimage.uniform_filter1d(strength - thick, max(3, width // 32), axis=1)
    noise = np.median(np.abs(thin - np.median(thin))) / 0.6745
    seen = ndimage.maximum_filter1d(thin > max(FAINT, np.median(thin) + CLEAR * noise), 3, axis=0)
    free = thick < HIDING  # where a line could be seen at all
    end = max(2, round(END * width))
    if min(seen[:, :end].mean(axis=1).max(), seen[:, -end:].mean(axis=1).max()) < 0.3:
        return []  # nothing begins at one edge or ends at the other
    slopes = np.linspace(-STEEPEST, STEEPEST, SLOPES)
    shares = np.zeros((SLOPES, height))
    for number, slope in enumerate(slopes):
        rows = np.arange(height)[:, None] + np.round(slope * (np.arange(width) - width / 2)).astype(int)
        inside = (rows >= 0) & (rows < height)
        place = (rows.clip(0, height - 1), np.arange(width))
        along, visible = seen[place] & inside, free[place] & inside  # (H, W): each row follows the slope
        share = (along & visible).sum(axis=1) / np.maximum(visible.sum(axis=1), LEAST_VISIBLE * width)
        reaches = along | ~inside  # an edge, if only the upper or the lower one
        ends = np.minimum(reaches[:, :end].mean(axis=1), reaches[:, -end:].mean(axis=1))
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


def _without_line(strength: np.ndarray, center: np.ndarray, thickest: int) -> tuple[np.ndarray, np.ndarray]:
    """One line taken out: its pixels become a blend of those above and below, but for ink that is darker than it.

    Returns:
        What is left, and where the line was: (H, W) each.
    """
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
    cleared, on_line = strength.copy(), np.zeros(strength.shape, bool)
    for place in range(top, bottom + 1):
        share = (place - top + 1) / (bottom - top + 2)
        blend = (1 - share) * above + share * below
        old = strength[rows[place], columns]
        # The line is no straighter than pixels are: the next row may hold it just as well.
        is_ink = old > profile[place - 1 : place + 2].max() + DARKER
        cleared[rows[place], columns] = np.where(is_ink, old, np.minimum(old, blend))
        on_line[rows[place], columns] = True
    return cleared, on_line
