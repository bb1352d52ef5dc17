"""Mistakes with windows: what a convolution or a pool would give if its windows lay elsewhere."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import arguments
from tinytorch_course.scratch.ops.convolution import padding_sides

Pair = tuple[int, int]


class Grid(NamedTuple):
    """Where windows lie: the first window starts ``padding`` before the image."""

    size: Pair  # (H, W)
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    count: Pair  # (P, Q), the windows


def pair(value: int | tuple[int, int]) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)


def grid_of(evidence: Evidence) -> Grid:
    """Where the windows of a case rightly lie."""
    given = arguments(evidence)
    x, dout = given["x"], evidence.dout
    kernel = tuple(given["weight"].shape[2:]) if "weight" in given else pair(given["kernel_size"])
    stride = pair(kernel if given["stride"] in (None, ()) else given["stride"])
    dilation = pair(given.get("dilation", 1))
    sides = padding_sides(given["padding"], kernel, stride, dilation)
    return Grid(tuple(x.shape[-2:]), kernel, stride, dilation, sides, tuple(dout.shape[-2:]))


def recounted(grid: Grid) -> Grid:
    """With as many windows as fit."""
    top, bottom, left, right = grid.padding
    count = []
    for axis, sides in enumerate((top + bottom, left + right)):
        reach = grid.dilation[axis] * (grid.kernel[axis] - 1) + 1
        count.append((grid.size[axis] + sides - reach) // grid.stride[axis] + 1)
    return grid._replace(count=tuple(count))


def windows_of(x: Tensor, grid: Grid, outside: float = 0.0) -> Tensor:
    """Every window's pixels, (..., P, Q, KH, KW); ``outside`` where there is no image."""
    indices = []
    for axis in (0, 1):
        start = torch.arange(grid.count[axis]) * grid.stride[axis] - grid.padding[2 * axis]
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
    cover, vjp = torch.func.vjp(lambda image: windows_of(image, grid), ones)
    return vjp(torch.ones_like(cover))[0]


# --- ways in which windows are laid out wrongly ----------------------------------------------------------------------


def _swapped(value: Pair) -> Pair:
    return value[1], value[0]


def _one(value: Pair, axes: tuple[int, ...]) -> Pair:
    return tuple(1 if axis in axes else v for axis, v in enumerate(value))


def _shifted(grid: Grid, axes: tuple[int, ...], by: int) -> Grid:
    """The windows start ``by`` pixels earlier, as many of them as before."""
    padding = list(grid.padding)
    for axis in axes:
        padding[2 * axis] += by
        padding[2 * axis + 1] += by
    return grid._replace(padding=tuple(padding))


def _without_padding(grid: Grid, axes: tuple[int, ...]) -> Grid:
    padding = [0 if side // 2 in axes else value for side, value in enumerate(grid.padding)]
    return grid._replace(padding=tuple(padding))


AXES = ((0, 1), (0,), (1,))
WHICH = {(0, 1): "", (0,): " along the rows", (1,): " along the columns"}


def layouts() -> list[tuple[str, Callable[[Grid], Grid], str]]:
    """(key, the change, what is wrong) of every wrong layout."""
    changes: list[tuple[str, Callable[[Grid], Grid], str]] = []
    for axes in AXES:
        changes += [
            (
                "stride-ignored",
                lambda grid, axes=axes: grid._replace(stride=_one(grid.stride, axes)),
                f"the stride is ignored{WHICH[axes]}: output pixel p sees the input from p · stride on, not from p on",
            ),
            (
                "dilation-ignored",
                lambda grid, axes=axes: grid._replace(dilation=_one(grid.dilation, axes)),
                f"the dilation is ignored{WHICH[axes]}: tap a lies at a · dilation",
            ),
            (
                "padding-ignored",
                lambda grid, axes=axes: _without_padding(grid, axes),
                f"the padding is forgotten{WHICH[axes]}: pixel h of the image is pixel h + padding of the padded one; "
                "pad the input in forward, cut the padding off in backward",
            ),
            *(
                (
                    "padding-off-by-one",
                    lambda grid, axes=axes, by=by: _shifted(grid, axes, by),
                    f"the padding is off by one{WHICH[axes]}: the windows lie one pixel too far "
                    f"{'towards the start' if by > 0 else 'towards the end'}",
                )
                for by in (1, -1)
            ),
            (
                "padding-off-by-one",
                lambda grid, axes=axes: grid._replace(padding=_sides_swapped(grid.padding, axes)),
                f"the odd pixel of padding is on the wrong side{WHICH[axes]}: it belongs to the bottom and right",
            ),
        ]
    changes += [
        (
            "axes-swapped",
            lambda grid: grid._replace(stride=_swapped(grid.stride)),
            "the two strides are mixed up: (vertical, horizontal)",
        ),
        (
            "axes-swapped",
            lambda grid: grid._replace(dilation=_swapped(grid.dilation)),
            "the two dilations are mixed up: (vertical, horizontal)",
        ),
        (
            "axes-swapped",
            lambda grid: grid._replace(padding=grid.padding[2:] + grid.padding[:2]),
            "the two paddings are mixed up: (vertical, horizontal)",
        ),
    ]
    return changes


def _sides_swapped(padding: tuple[int, int, int, int], axes: tuple[int, ...]) -> tuple[int, int, int, int]:
    vertical, horizontal = padding[:2], padding[2:]
    return (*(vertical[::-1] if 0 in axes else vertical), *(horizontal[::-1] if 1 in axes else horizontal))
