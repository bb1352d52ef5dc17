"""Line charts, histograms and the like as SVG, written by hand: their colours are the page's, in light and in dark.

Every picture has ``role="img"`` and a label that says in words what it shows.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 10, 42
MARKED = 30  # of a line of more points only some are marked, or the markers would hide it
MARKERS = (  # one for each colour, so that no line is told by its colour alone
    '<circle r="3.2"/>',
    '<rect x="-3" y="-3" width="6" height="6"/>',
    '<path d="M0-4 3.8 3-3.8 3z"/>',
    '<path d="M0-4.4 4.4 0 0 4.4-4.4 0z"/>',
    '<path d="M-1.2-4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z"/>',
    '<path d="M0 4 3.8-3-3.8-3z"/>',
)
COLOURS = len(MARKERS)


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int  # a number of the page's palette
    dashed: bool = False


def line_chart(lines: Sequence[Line], *, label: str, x_title: str, y_title: str, from_zero: bool = False) -> Markup:
    """Lines over a common axis, which is divided at whole numbers only where its title is "Epoch"."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_axis = Scale.over(xs, LEFT, WIDTH - RIGHT, whole=x_title == "Epoch")
    y_axis = Scale.over([*ys, 0] if from_zero else ys, HEIGHT - BOTTOM, TOP)
    drawn = [_line(line, x_axis, y_axis) for line in lines]
    return to_svg([*_frame(x_axis, y_axis, x_title, y_title), *drawn], label)


def histogram(edges: Sequence[float], counts: Sequence[int], *, label: str) -> Markup:
    """Bars between ``edges``, with the first, the last and zero marked; a small picture."""
    width, height, bottom = 220, 96, 16
    x_axis = Scale(edges[0], edges[-1], 4, width - 4)
    most = max(counts) or 1
    steps = [f"M{x_axis(edges[0]):.1f} {height - bottom}"]
    for begin, end, count in zip(edges, edges[1:], counts, strict=False):
        top = (height - bottom) - (height - bottom - 4) * count / most
        steps.append(f"L{x_axis(begin):.1f} {top:.1f}L{x_axis(end):.1f} {top:.1f}")
    steps.append(f"L{x_axis(edges[-1]):.1f} {height - bottom}z")
    parts = [f'<path class="area" d="{"".join(steps)}"/>', rule(4, height - bottom, width - 4, height - bottom)]
    if edges[0] < 0 < edges[-1]:
        parts.append(rule(x_axis(0), 2, x_axis(0), height - bottom, "zero"))
        if 0.2 < (0 - edges[0]) / (edges[-1] - edges[0]) < 0.8:
            parts.append(text_at(x_axis(0), height - 3, "0", "middle"))
    parts += [
        text_at(4, height - 3, number(edges[0]), "start"),
        text_at(width - 4, height - 3, number(edges[-1]), "end"),
    ]
    return to_svg(parts, label, width, height)


def reliability(bins: Sequence[tuple[float, float, float | None, float | None, int]], *, label: str) -> Markup:
    """How often a network was right (bars) that was this sure (across); honest where the bars meet the diagonal.

    Args:
        bins: begin and end of each, its images' mean confidence and accuracy (None without any), their number.
        label: in words.
    """
    x_axis, y_axis = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    percents = Scale(0, 100, x_axis.begin, x_axis.end), Scale(0, 100, y_axis.begin, y_axis.end)
    parts = _frame(*percents, "Confidence (%)", "Accuracy (%)")
    for begin, end, confidence, accuracy, count in bins:
        if confidence is None or accuracy is None:
            continue
        left, right, top = x_axis(begin) + 0.8, x_axis(end) - 0.8, min(y_axis(accuracy), HEIGHT - BOTTOM - 1)
        title = f"{100 * begin:.0f} to {100 * end:.0f} % sure: {100 * accuracy:.1f} % right of {count:,}"
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{title}</title></rect>'
            f'<circle class="mean" cx="{x_axis(confidence):.1f}" cy="{y_axis(accuracy):.1f}" r="3"/>'
        )
    parts.append(rule(x_axis(0), y_axis(0), x_axis(1), y_axis(1), "ideal"))
    return to_svg(parts, label)


def key(colour: int | None, dashed: bool | None = None) -> Markup:
    """A sample of a line for the legend: in a colour with its marker, or in none, full or dashed."""
    style = f' style="color:var(--c{colour})"' if colour is not None else ""
    marker = f'<g transform="translate(14 6)">{MARKERS[colour]}</g>' if colour is not None else ""
    stroke = f'<path class="line{" dashed" if dashed else ""}" d="M1 6H27"/>' if dashed is not None else ""
    return Markup(f'<svg class="key" viewBox="0 0 28 12" aria-hidden="true"{style}>{stroke}{marker}</svg>')


class Scale:
    """From numbers to places on an axis."""

    def __init__(self, low: float, high: float, begin: float, end: float, *, whole: bool = False) -> None:
        self.low, self.high, self.begin, self.end, self.whole = low, high, begin, end, whole

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float, *, whole: bool = False) -> "Scale":
        """An axis that holds all ``values``, which may be one only."""
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(finite), max(finite)
        if low == high:
            room = 0.5 if whole else abs(low) * 0.1 or 1.0
            return cls(low - room, high + room, begin, end, whole=whole)
        room = 0 if whole else 0.04 * (high - low)
        return cls(low - room if low else low, high + room, begin, end, whole=whole)

    def __call__(self, value: float) -> float:
        """Where ``value`` lies."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers on the axis: multiples of 1, 2 or 5 times a power of ten."""
        ticks = MaxNLocator(most, steps=[1, 2, 5, 10], integer=self.whole, min_n_ticks=1).tick_values(
            self.low, self.high
        )
        edge = 1e-9 * (self.high - self.low)
        return [float(tick) for tick in ticks if self.low - edge <= tick <= self.high + edge]


def number(value: float) -> str:
    """A number in three digits, as short as it can be said."""
    text = f"{value:.3g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


def _line(line: Line, x_axis: Scale, y_axis: Scale) -> str:
    places = [(x_axis(x), y_axis(y)) for x, y in line.points if math.isfinite(y)]
    path = "".join(f"{'L' if position else 'M'}{x:.1f} {y:.1f}" for position, (x, y) in enumerate(places))
    parts = [f'<path class="line{" dashed" if line.dashed else ""}" d="{path}"/>' if path else ""]
    every = 1 if len(places) <= MARKED else math.ceil(len(places) / 10)
    points = [point for point in line.points if math.isfinite(point[1])]
    for (x, y), point in list(zip(places, points, strict=True))[::every]:
        title = escape(f"{line.name}: {number(point[1])} at {number(point[0])}")
        parts.append(
            f'<g class="{"hollow" if line.dashed else "full"}" transform="translate({x:.1f} {y:.1f})">'
            f"<title>{title}</title>{MARKERS[line.colour]}</g>"
        )
    return f'<g style="color:var(--c{line.colour})">{"".join(parts)}</g>'


def _frame(x_axis: Scale, y_axis: Scale, x_title: str, y_title: str) -> list[str]:
    """Grid lines, the numbers at them, and the axes' titles."""
    parts = []
    for tick in y_axis.ticks(5):
        parts += [
            rule(LEFT, y_axis(tick), WIDTH - RIGHT, y_axis(tick)),
            text_at(LEFT - 6, y_axis(tick) + 4, number(tick), "end"),
        ]
    for tick in x_axis.ticks():
        parts += [
            rule(x_axis(tick), HEIGHT - BOTTOM, x_axis(tick), HEIGHT - BOTTOM + 4),
            text_at(x_axis(tick), HEIGHT - BOTTOM + 17, number(tick), "middle"),
        ]
    parts.append(text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_title, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(12 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_title)}</text>'
    )
    return parts


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A straight line; ``kind`` is a class of style.css."""
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def text_at(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    """A line of text that begins, ends or has its middle at x; ``kind`` is a class of style.css."""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def to_svg(parts: Sequence[str], label: str, width: float = WIDTH, height: float = HEIGHT, kind: str = "") -> Markup:
    """The whole picture, with ``label`` for those who do not see it."""
    of_kind = f' class="{kind}"' if kind else ""
    start = f'<svg{of_kind} viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{start}{''.join(parts)}</svg>")
