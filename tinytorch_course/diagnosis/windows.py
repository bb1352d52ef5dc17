"""Mistakes with windows, whose loops are too slow for a search: what came out if the windows lay elsewhere."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, arguments, of_function, vjp
from tinytorch_course.scratch.ops.convolution import padding_sides

CONV, MAX, AVG = ("conv2d",), ("max_pool2d",), ("avg_pool2d",)
Pair = tuple[int, int]


class Grid(NamedTuple):
    """Where windows lie: the first window starts ``padding`` before the image."""

    size: Pair  # (H, W)
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    number: Pair  # (P, Q), of windows


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


def elsewhere(
    key: str,
    sentence: str,
    layout: Callable[[Grid], Grid] = lambda grid: grid,
    kernel: Callable[[Tensor], Tensor] = lambda weight: weight,
) -> Hypothesis:
    """The windows lie, or the kernel is turned, as it should not be: in forward, in backward or in both."""

    def predict(evidence: Evidence) -> Predictions:
        right = grid_of(evidence)
        grid = layout(right)
        if grid == right and "kernel" not in key:  # nothing is elsewhere: whatever is wrong, it is not this
            return {}

        def other(x: Tensor, **given: object) -> Tensor:
            windows = windows_of(x, grid, -math.inf if evidence.op in MAX else 0.0)
            if evidence.op in MAX:
                return windows.flatten(-2).max(dim=-1).values
            if evidence.op in AVG:
                return windows.sum(dim=(-2, -1)) / math.prod(grid.kernel)
            return _convolved(windows, kernel(given["weight"]), given["bias"], given["groups"])  # type: ignore[arg-type]

        return of_function(evidence, other)

    return Hypothesis(key, CONV if "kernel" in key else CONV + MAX + AVG, predict, sentence)


def _convolved(windows: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    per_group = weight.unflatten(0, (groups, -1))  # (G, O/G, I, KH, KW)
    out = torch.einsum("...gipqab,goiab->...gopq", windows.unflatten(-5, (groups, -1)), per_group).flatten(-4, -3)
    return out if bias is None else out + bias[:, None, None]


def _shares(chosen: Callable[[Tensor], Tensor]) -> Callable[[Evidence], Predictions]:
    """dx of max pooling if each window deals its dout out by ``chosen(which pixels equal the maximum)``."""

    def predict(evidence: Evidence) -> Predictions:
        x, grid = evidence.inputs[0], grid_of(evidence)
        windows = windows_of(x, grid, -math.inf).flatten(-2)
        inside = windows_of(torch.ones_like(x), grid).flatten(-2) > 0
        shares = chosen((windows == windows.amax(-1, keepdim=True)) & inside).to(x.dtype)
        _, pullback = vjp(lambda x: windows_of(x, grid).flatten(-2), x)
        return {0: pullback(shares * evidence.dout.unsqueeze(-1))[0]}

    return predict


def _stepped(name: str, axes: tuple[int, ...], grid: Grid) -> Grid:
    values = getattr(grid, name)
    ones: Any = {name: pair([1 if axis in axes else value for axis, value in enumerate(values)])}
    return grid._replace(**ones)


def _moved(by: int | None, grid: Grid) -> Grid:
    """The windows begin ``by`` pixels earlier; None: at the image's own corner."""
    top, bottom, left, right = grid.padding
    return grid._replace(padding=(0, bottom, 0, right) if by is None else (top + by, bottom, left + by, right))


TIES = "where several pixels of a window share its maximum, "
# fmt: off
HYPOTHESES = [
    Hypothesis("ties-all", MAX, _shares(lambda wins: wins),
               TIES + "all of them get the whole dout: only the first one in row order may (images are full of ties: "
               "every window of background is one)"),
    Hypothesis("ties-shared", MAX, _shares(lambda wins: wins / wins.sum(-1, keepdim=True)),
               TIES + "they share its dout, as amax does: torch's max_pool2d gives all of it to the first one in row "
               "order"),
    Hypothesis("ties-last", MAX, _shares(lambda wins: wins & (wins.flip(-1).cumsum(-1).flip(-1) == 1)),
               TIES + "the last one gets its dout: torch gives it to the first"),
    elsewhere("kernel-not-rotated",
              "the kernel is turned by 180 degrees, or is not where it should be: dx is a convolution of dout with the "
              "kernel flipped along both axes, dweight with nothing flipped",
              kernel=lambda weight: weight.flip(-2, -1)),
    elsewhere("kernel-transposed", "the kernel's rows and columns are mixed up",
              kernel=lambda weight: weight.mT.reshape(weight.shape)),
    *(elsewhere(f"{name}-ignored", f"the {name} is ignored{which}: {rule}", partial(_stepped, name, axes))
      for axes, which in (((0, 1), ""), ((0,), " along the rows"), ((1,), " along the columns"))
      for name, rule in (("stride", "output pixel p sees the input from p · stride on, not from p on"),
                         ("dilation", "tap a lies at a · dilation"))),
    elsewhere("padding-ignored",
              "the padding is forgotten: pixel h of the image is pixel h + padding of the padded one; pad the input in "
              "forward, cut the padding off in backward", partial(_moved, None)),
    *(elsewhere("padding-off-by-one", f"the padding is off by one: the windows lie one pixel too far towards the {end}",
                partial(_moved, by)) for by, end in ((1, "start"), (-1, "end"))),
]
