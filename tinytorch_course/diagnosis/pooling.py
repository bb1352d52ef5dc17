"""Mistakes in the pools."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.convolution import assign
from tinytorch_course.diagnosis.hypotheses import (
    Hypothesis,
    Predictions,
    arguments,
    function,
    vjp,
    whichever,
)
from tinytorch_course.diagnosis.windows import LAYOUTS, Grid, Layout, Pair, grid_of, pair, recounted, windows_of

MAX, AVG, ADAPTIVE = ("max_pool2d",), ("avg_pool2d",), ("adaptive_avg_pool2d",)


def _pooled(evidence: Evidence, x: Tensor, grid: Grid) -> Tensor:
    """The pool with its windows wherever ``grid`` says."""
    if evidence.op in MAX:
        return windows_of(x, grid, -math.inf).flatten(-2).max(dim=-1).values
    return windows_of(x, grid).sum(dim=(-2, -1)) / (grid.kernel[0] * grid.kernel[1])


def elsewhere(key: str, layout: Layout, sentence: str) -> Hypothesis:
    """The windows lie as they should not."""

    def predict(evidence: Evidence) -> Predictions:
        x, grid = evidence.inputs[0], layout(grid_of(evidence))
        out, pullback = vjp(lambda x: _pooled(evidence, x, grid), x)
        if grid.number != evidence.right["out"].shape[-2:]:
            out = _pooled(evidence, x, recounted(grid))
        return {0: pullback(evidence.dout)[0], "out": out}

    return Hypothesis(key, MAX + AVG, predict, sentence)


# --- maximum ---------------------------------------------------------------------------------------------------------


def _winners(evidence: Evidence) -> tuple[Tensor, Grid]:
    """Which pixels equal their window's maximum, (..., P, Q, KH·KW)."""
    x, grid = evidence.inputs[0], grid_of(evidence)
    windows = windows_of(x, grid, -math.inf).flatten(-2)
    inside = windows_of(torch.ones_like(x), grid).flatten(-2) > 0
    return (windows == windows.amax(-1, keepdim=True)) & inside, grid


def _given_back(evidence: Evidence, shares: Tensor, grid: Grid) -> Predictions:
    """dx if each window deals its dout out by ``shares``; and the sum of the positions of whoever has a share."""
    x = evidence.inputs[0]
    _, pullback = vjp(lambda x: windows_of(x, grid).flatten(-2), x)
    dx = pullback(shares * evidence.dout.unsqueeze(-1))[0]
    position = torch.arange(x.shape[-2] * x.shape[-1], dtype=x.dtype, device=x.device).view(x.shape[-2:])
    positions = windows_of(position, grid).flatten(-2)
    return {0: dx, "result 1": ((shares > 0) * positions).sum(-1).long()}


def _every_tie(evidence: Evidence) -> Predictions:
    wins, grid = _winners(evidence)
    return _given_back(evidence, wins.to(evidence.dout.dtype), grid)


def _shared_ties(evidence: Evidence) -> Predictions:
    wins, grid = _winners(evidence)
    return {0: _given_back(evidence, wins / wins.sum(-1, keepdim=True), grid)[0]}


def _last_tie(evidence: Evidence) -> Predictions:
    wins, grid = _winners(evidence)
    last = wins & (wins.flip(-1).cumsum(-1).flip(-1) == 1)
    return _given_back(evidence, last.to(evidence.dout.dtype), grid)


def _mixed_up(evidence: Evidence) -> Predictions:
    """dx if the winner's row in its window is taken for its column."""
    wins, grid = _winners(evidence)
    if grid.kernel[0] != grid.kernel[1]:
        return {}
    shares = _first(wins).unflatten(-1, grid.kernel).mT.flatten(-2)
    return _given_back(evidence, shares.to(evidence.dout.dtype), grid)


def _first(wins: Tensor) -> Tensor:
    return wins & (wins.cumsum(-1) == 1)


def _assigned(by_windows: bool, zeros_too: bool) -> Callable[[Evidence], Predictions]:
    """dx if the winner's share is assigned: the last window stays, and may bring zeros for the losers."""

    def predict(evidence: Evidence) -> Predictions:
        grid = grid_of(evidence)
        if evidence.op in MAX:
            shares = _first(_winners(evidence)[0]) * evidence.dout.unsqueeze(-1)
        else:
            shares = (evidence.dout / _divisor(evidence)).unsqueeze(-1)
            shares = shares.expand(*shares.shape[:-1], grid.kernel[0] * grid.kernel[1])
        values = shares.unflatten(-1, grid.kernel)
        if zeros_too:
            return {0: assign(values, grid, by_windows)}
        return {0: _assigned_winners(values, grid)}

    return predict


def _assigned_winners(values: Tensor, grid: Grid) -> Tensor:
    """The same, losers left alone: one plane at a time, for each has its own winners."""
    planes = values.flatten(0, -5)
    images = []
    for plane in planes:
        image = plane.new_zeros(grid.size)
        for p, q, a, b in plane.nonzero().tolist():
            row = p * grid.stride[0] + a * grid.dilation[0] - grid.padding[0]
            column = q * grid.stride[1] + b * grid.dilation[1] - grid.padding[2]
            image[row, column] = plane[p, q, a, b]
        images.append(image)
    return torch.stack(images).view(*values.shape[:-4], *grid.size)


# --- mean ------------------------------------------------------------------------------------------------------------


def _divisor(evidence: Evidence) -> Tensor:
    """What each window is rightly divided by: the sum of ones over the mean of ones."""
    ones = torch.ones_like(evidence.inputs[0])
    means = F.avg_pool2d(ones, *evidence.inputs[1:], **evidence.kwargs)
    return windows_of(ones, grid_of(evidence)).sum(dim=(-2, -1)) / means


def _divided_by(
    count: Callable[[Pair], int], x: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, **_: Any
) -> Tensor:
    return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, divisor_override=count(pair(kernel_size)))


def _outside(evidence: Evidence) -> Predictions:
    """As many windows as the ceiling of the division says, those that start outside the image included."""
    number = recounted(grid_of(evidence), ceiling=True).number
    right, got = evidence.right["out"], evidence.got["out"]
    if not arguments(evidence)["ceil_mode"] or right.shape[-2:] == number or got.shape[-2:] != number:
        return {}
    return {"out": got} if torch.equal(got[..., : right.shape[-2], : right.shape[-1]], right) else {}


def _adaptive_floor(x: Tensor, output_size: Any) -> Tensor:
    """Windows that end at ⌊(p + 1) · H / P⌋."""
    output = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    for axis, count in zip((-2, -1), output, strict=True):
        size = x.shape[axis]
        count = size if count is None else count
        spans = [(i * size // count, (i + 1) * size // count) for i in range(count)]
        x = torch.stack([x.narrow(axis, a, b - a).sum(axis) / (b - a) for a, b in spans], dim=axis)
    return x


# fmt: off
HYPOTHESES = [
    Hypothesis("ties-all", MAX, _every_tie,
               "where several pixels of a window share its maximum, all of them get the whole dout: only the first one "
               "in row order may (images are full of ties: every window of background is one)"),
    Hypothesis("ties-shared", MAX, _shared_ties,
               "where several pixels of a window share its maximum, they share its dout, as amax does: torch's "
               "max_pool2d gives all of it to the first one in row order"),
    Hypothesis("ties-last", MAX, _last_tie,
               "where several pixels of a window share its maximum, the last one gets its dout: torch gives it to the "
               "first"),
    Hypothesis("axes-swapped", MAX, _mixed_up,
               "the winner's row and column in its window are mixed up: position i of the flattened window is row "
               "i // K, column i % K"),
    function("missing-mean", AVG, partial(_divided_by, lambda kernel: 1),
             "it is not divided by the number of pixels in the window: the mean's 1/K is forgotten"),
    function("wrong-divisor", AVG, partial(_divided_by, lambda kernel: kernel[0]),
             "it is divided by the kernel's side, and not by the number of pixels in the window, its square"),
    function("wrong-divisor", AVG, partial(_divided_by, math.prod),
             "it is always divided by the whole window's number of pixels: where a window hangs over the edge, or "
             "padding does not count, there are fewer"),
    function("floor-for-ceiling", ADAPTIVE, _adaptive_floor,
             "the windows end too early: output row p covers rows from floor(p H / P) up to ceil((p + 1) H / P)"),
    Hypothesis("window-outside", MAX + AVG, _outside,
               "with ceil_mode there is a window too much: one that would start in the bottom or right padding is "
               "dropped"),
    *(elsewhere(key, layout, sentence) for key, layout, sentence in LAYOUTS),
    whichever("overlap-assigned", MAX + AVG,
              [Hypothesis("", MAX + AVG, _assigned(by_windows, zeros_too), "")
               for by_windows, zeros_too in ((True, True), (False, True), (True, False))],
              "where windows overlap, the last one's share overwrites the others': a pixel gets the sum (+= for =)"),
]
