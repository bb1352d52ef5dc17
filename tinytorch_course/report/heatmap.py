"""Tables of numbers as colours, with their rows named: a comparison's errors, gradients by step.

The numbers are a PNG of one pixel each; names and axes are SVG around it, in the page's colours.
"""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from markupsafe import Markup

from tinytorch_course.report.charts import Scale, rule, text_at, to_svg
from tinytorch_course.report.tiles import coloured, to_uri
from tinytorch_course.report.timeline import COLORS

WIDTH, NAMES, GROUPS = 780, 190, 96
ROW, LEAST_ROW, TALLEST = 13, 3, 1200
EQUAL = (150, 150, 150, 70)  # seen on white and on black


def heat_map(
    powers: np.ndarray,
    *,
    names: Sequence[str],
    columns: tuple[float, float],
    powers_shown: tuple[int, int],
    label: str,
    scale_title: str,
    equal: np.ndarray | None = None,
    groups: Sequence[tuple[str, int]] = (),
    mark: tuple[int, float, float] | None = None,
) -> Markup:
    """A table (R, columns) of powers of ten as a picture of role "img".

    Args:
        powers: the decimal logarithms; NaN where there is no number.
        names: of the rows.
        columns: the first and the last step on the x axis.
        powers_shown: the ends of the colour scale.
        label: the picture in words.
        scale_title: what the colours tell.
        equal: (R, columns), where the number is 0, which has no logarithm.
        groups: runs of rows that belong together: name and number of rows.
        mark: a row, and the begin and end on the x axis, to be framed.
    """
    rows = len(names)
    height = max(LEAST_ROW, min(ROW, TALLEST / rows))
    right, bottom = WIDTH - (GROUPS if groups else 12), rows * height + 4
    x_axis = Scale(*columns, NAMES, right, whole=True)
    parts = [
        f'<image x="{NAMES}" y="4" width="{right - NAMES}" height="{bottom - 4:.1f}" preserveAspectRatio="none" '
        f'href="{to_uri(_colours(powers, equal, powers_shown))}"/>'
    ]
    every = math.ceil(10 / height)
    for row in range(0, rows, every):
        parts.append(text_at(NAMES - 6, 4 + (row + 0.5) * height + 3.5, names[row], "end", "row"))
    begin = 0
    for name, count in groups:
        y = 4 + begin * height
        parts.append(rule(NAMES, y, right, y, "axis") if begin else "")
        parts.append(text_at(right + 6, y + count * height / 2 + 4, " ".join(name.split()), "start", "row"))
        begin += count
    if mark is not None:
        row, left, end = mark
        width = max(x_axis(end) - x_axis(left), 6)
        parts.append(
            f'<rect class="alarm" x="{x_axis(left):.1f}" y="{4 + row * height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )
    for tick in x_axis.ticks(10):
        x = x_axis(tick)
        parts += [rule(x, bottom, x, bottom + 4, "axis"), text_at(x, bottom + 17, f"{tick:g}", "middle")]
    parts.append(text_at((NAMES + right) / 2, bottom + 34, "Step", "middle"))
    parts += _colour_scale(powers_shown, scale_title, bottom + 48, right)
    return to_svg(parts, label, WIDTH, bottom + 90, "wide")


def _colours(powers: np.ndarray, equal: np.ndarray | None, shown: tuple[int, int]) -> np.ndarray:
    pixels = coloured(powers, *shown, matplotlib.colormaps[COLORS])
    if equal is not None:
        pixels[equal] = EQUAL
    return pixels


def _colour_scale(shown: tuple[int, int], title: str, top: float, right: float) -> list[str]:
    low, high = shown
    scale = Scale(low, high, NAMES, right)
    ramp = _colours(np.linspace(low, high, 128)[None], None, shown)
    parts = [
        f'<image x="{NAMES}" y="{top}" width="{right - NAMES}" height="10" preserveAspectRatio="none" '
        f'href="{to_uri(ramp)}"/>'
    ]
    every = math.ceil((high - low) / 8)
    for power in range(low, high + 1, every):
        anchor = "start" if power == low else "end" if power == high else "middle"
        parts.append(
            f'<text x="{scale(power):.1f}" y="{top + 24}" text-anchor="{anchor}">10<tspan class="power" dy="-4">'
            f"{str(power).replace('-', chr(0x2212))}</tspan></text>"
        )
    parts.append(text_at(NAMES - 6, top + 10, title, "end"))
    return parts
