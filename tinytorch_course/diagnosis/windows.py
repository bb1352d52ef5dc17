"""Mistakes with windows: what a convolution or a pool would give if its windows lay elsewhere."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import arguments, vjp
from tinytorch_course.scratch.ops.convolution import padding_sides

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right


class Grid(NamedTuple):
    """Where windows lie: the first window starts ``padding`` before the image."""

    size: Pair  # (H, W)
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Sides
    number: Pair  # (P, Q), of windows


Layout = Callable[[Grid], Grid]


def pair(value: int | Sequence[int]) -> Pair:
    """A number for both axes, or one for each."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def grid_of(evidence: Evidence) -> Grid:
    """Where the windows of a case rightly lie."""
    given = arguments(evidence)
    kernel = pair(given["weight"].shape[2:] if "weight" in given else given["kernel_size"])
    stride = pair(kernel if given["stride"] in (None, ()) else given["stride"])
    dilation = pair(given.get("dilation", 1))
    sides = padding_sides(given["padding"], kernel, stride, dilation)
    return Grid(pair(given["x"].shape[-2:]), kernel, stride, dilation, sides, pair(evidence.dout.shape[-2:]))


def recounted(grid: Grid, *, ceiling: bool = False) -> Grid:
    """With as many windows as fit; ``ceiling``: and those that begin but do not end in it."""
    top, bottom, left, right = grid.padding
    numbers = []
    for axis, sides in enumerate((top + bottom, left + right)):
        room = grid.size[axis] + sides - grid.dilation[axis] * (grid.kernel[axis] - 1) - 1
        numbers.append((-(-room // grid.stride[axis]) if ceiling else room // grid.stride[axis]) + 1)
    return grid._replace(number=pair(numbers))


def windows_of(x: Tensor, grid: Grid, outside: float = 0.0) -> Tensor:
    """Every window's pixels, (..., P, Q, KH, KW); ``outside`` where there is no image."""
    indices = []
    for axis in (0, 1):
        start = torch.arange(grid.number[axis]) * grid.stride[axis] - grid.padding[2 * axis]
        index = start[:, None] + torch.arange(grid.kernel[axis]) * grid.dilation[axis]  # (P, KH)
        inside = (index >= 0) & (index < grid.size[axis])
        indices.append(torch.where(inside, index, grid.size[axis]).to(x.device))  # one past the end: outside
    rows, columns = indices
    bordered = F.pad(x, (0, 1, 0, 1), value=outside)
    return bordered[..., rows[:, None, :, None], columns[None, :, None, :]]


def coverage(evidence: Evidence) -> Tensor:
    """How many windows cover each pixel, (H, W)."""
    grid = grid_of(evidence)
    ones = torch.ones(grid.size, dtype=torch.float64, device=evidence.dout.device)
    cover, pullback = vjp(lambda image: windows_of(image, grid), ones)
    return pullback(torch.ones_like(cover))[0]


# --- ways in which windows are laid out wrongly ----------------------------------------------------------------------

Axes = tuple[int, ...]


def _ones(axes: Axes, value: Pair) -> Pair:
    return pair([1 if axis in axes else v for axis, v in enumerate(value)])


def _without_stride(axes: Axes, grid: Grid) -> Grid:
    return grid._replace(stride=_ones(axes, grid.stride))


def _without_dilation(axes: Axes, grid: Grid) -> Grid:
    return grid._replace(dilation=_ones(axes, grid.dilation))


def _padded(axes: Axes, change: Callable[[Pair], Pair], grid: Grid) -> Grid:
    """With the padding of ``axes`` changed: as many windows as before, which start elsewhere."""
    vertical, horizontal = pair(grid.padding[:2]), pair(grid.padding[2:])
    vertical = change(vertical) if 0 in axes else vertical
    return grid._replace(padding=(*vertical, *(change(horizontal) if 1 in axes else horizontal)))


# fmt: off
LAYOUTS: list[tuple[str, Layout, str]] = [  # key, the change, what is wrong
    layout
    for axes, which in (((0, 1), ""), ((0,), " along the rows"), ((1,), " along the columns"))
    for layout in (
        ("stride-ignored", partial(_without_stride, axes),
         f"the stride is ignored{which}: output pixel p sees the input from p · stride on, not from p on"),
        ("dilation-ignored", partial(_without_dilation, axes),
         f"the dilation is ignored{which}: tap a lies at a · dilation"),
        ("padding-ignored", partial(_padded, axes, lambda sides: (0, 0)),
         f"the padding is forgotten{which}: pixel h of the image is pixel h + padding of the padded one; "
         "pad the input in forward, cut the padding off in backward"),
        ("padding-off-by-one", partial(_padded, axes, lambda sides: (sides[0] + 1, sides[1] + 1)),
         f"the padding is off by one{which}: the windows lie one pixel too far towards the start"),
        ("padding-off-by-one", partial(_padded, axes, lambda sides: (sides[0] - 1, sides[1] - 1)),
         f"the padding is off by one{which}: the windows lie one pixel too far towards the end"),
        ("padding-off-by-one", partial(_padded, axes, lambda sides: (sides[1], sides[0])),
         f"the odd pixel of padding is on the wrong side{which}: it belongs to the bottom and right"),
    )
] + [
    ("axes-swapped", lambda grid: grid._replace(stride=grid.stride[::-1]),
     "the two strides are mixed up: (vertical, horizontal)"),
    ("axes-swapped", lambda grid: grid._replace(dilation=grid.dilation[::-1]),
     "the two dilations are mixed up: (vertical, horizontal)"),
    ("axes-swapped", lambda grid: grid._replace(padding=grid.padding[2:] + grid.padding[:2]),
     "the two paddings are mixed up: (vertical, horizontal)"),
]
