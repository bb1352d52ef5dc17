"""Mistakes in conv2d."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import (
    Hypothesis,
    Predictions,
    arguments,
    gradient,
    of_function,
    whichever,
)
from tinytorch_course.diagnosis.windows import LAYOUTS, Grid, Layout, grid_of, recounted, windows_of

CONV = ("conv2d",)
SMALL = 4000  # window entries beyond which no loop goes over them one by one


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, grid: Grid, groups: int) -> Tensor:
    """The convolution with its windows wherever ``grid`` says."""
    windows = windows_of(x, grid).unflatten(-5, (groups, -1))  # (..., G, I, P, Q, KH, KW)
    per_group = weight.unflatten(0, (groups, -1))  # (G, O/G, I, KH, KW)
    out = torch.einsum("...gipqab,goiab->...gopq", windows, per_group).flatten(-4, -3)
    return out if bias is None else out + bias[:, None, None]


def elsewhere(
    key: str,
    sentence: str,
    *,
    layout: Layout = lambda grid: grid,
    kernel: Callable[[Tensor], Tensor] = lambda weight: weight,
) -> Hypothesis:
    """The windows lie, or the kernel is turned, as it should not be: in forward, in backward or in both."""

    def predict(evidence: Evidence) -> Predictions:
        given, grid = arguments(evidence), layout(grid_of(evidence))

        def of(grid: Grid) -> Callable[..., Tensor]:
            return lambda x, weight, bias, groups, **_: convolved(x, kernel(weight), bias, grid, groups)

        # In forward there are as many windows as fit, in backward as many as dout has entries.
        return of_function(evidence, of(grid)) | {"out": of(recounted(grid))(**given)}

    return Hypothesis(key, CONV, predict, sentence)


def _assigned(by_windows: bool, last_channel: bool) -> Callable[[Evidence], Predictions]:
    """dx if what windows give to one pixel is assigned, so that the last one stays."""

    def predict(evidence: Evidence) -> Predictions:
        given, groups = arguments(evidence), arguments(evidence)["groups"]
        dout, weight = evidence.dout.unflatten(-3, (groups, -1)), given["weight"].unflatten(0, (groups, -1))
        if last_channel:  # also over output channels
            dout, weight = dout[..., -1:, :, :], weight[:, -1:]
        shares = torch.einsum("...gopq,goiab->...gipqab", dout, weight).flatten(-6, -5)
        return {0: assign(shares, grid_of(evidence), by_windows)}

    return predict


def assign(values: Tensor, grid: Grid, by_windows: bool) -> Tensor:
    """Write ``values`` (..., P, Q, KH, KW) into an image, window by window or tap by tap; the last one stays."""
    if grid.number[0] * grid.number[1] * grid.kernel[0] * grid.kernel[1] > SMALL:
        raise ValueError("too many windows")
    top, bottom, left, right = grid.padding
    room = [size + reach for size, reach in zip(grid.size, (top + bottom, left + right), strict=True)]
    image = values.new_zeros(*values.shape[:-4], *(n + 8 for n in room))  # windows may hang over the edge
    outputs = [(p, q) for p in range(grid.number[0]) for q in range(grid.number[1])]
    taps = [(a, b) for a in range(grid.kernel[0]) for b in range(grid.kernel[1])]
    order = [(w, t) for w in outputs for t in taps] if by_windows else [(w, t) for t in taps for w in outputs]
    for (p, q), (a, b) in order:
        row, column = p * grid.stride[0] + a * grid.dilation[0], q * grid.stride[1] + b * grid.dilation[1]
        image[..., row, column] = values[..., p, q, a, b]
    return image[..., top : top + grid.size[0], left : left + grid.size[1]]


def _channels_reversed(groups: int, right: Predictions, **_: Any) -> Predictions:
    return {1: right[1].unflatten(0, (groups, -1)).flip(1).flatten(0, 1)}


# fmt: off
HYPOTHESES = [
    gradient("reversed", CONV, _channels_reversed,
             "the output channels are in reverse order: a flip too much, or along the wrong axis"),
    elsewhere("kernel-not-rotated",
              "the kernel is turned by 180 degrees, or is not where it should be: dx is a convolution of dout with the "
              "kernel flipped along both axes, dweight with nothing flipped",
              kernel=lambda weight: weight.flip(-2, -1)),
    *(elsewhere("kernel-not-rotated",
                f"the kernel's {name} are in reverse order: dx needs the kernel flipped along both axes or (adding "
                "each window back) along none",
                kernel=partial(torch.flip, dims=(axis,)))
      for axis, name in ((-2, "rows"), (-1, "columns"))),
    elsewhere("kernel-transposed", "the kernel's rows and columns are mixed up",
              kernel=lambda weight: weight.mT.reshape(weight.shape)),
    *(elsewhere(key, sentence, layout=layout) for key, layout, sentence in LAYOUTS),
    whichever("overlap-assigned", CONV,
              [Hypothesis("", CONV, _assigned(by_windows, last_channel), "")
               for by_windows in (True, False) for last_channel in (False, True)],
              "where windows overlap, the last one's share overwrites the others': add them up (+= for =)"),
]
