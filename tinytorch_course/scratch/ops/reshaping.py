"""Ops that move values without changing them: flatten, and padding an image by its own pixels.

Both raise TypeError if x is not floating point, ValueError or IndexError for another argument that does not fit.

Legend: ... leading axes, H W height and width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import normalize_dim, once, require, require_choice, require_dim, require_float


class FlattenCache(NamedTuple):
    """The shape of x."""

    shape: torch.Size


def flatten_forward(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> tuple[Tensor, FlattenCache]:
    """Merge the axes from ``start_dim`` to ``end_dim`` into one. Backward: give dout x's shape again."""
    start, end = check_flatten(x, start_dim, end_dim)
    return x.reshape(*x.shape[:start], x.shape[start : end + 1].numel(), *x.shape[end + 1 :]), FlattenCache(x.shape)


def flatten_backward(dout: Tensor, cache: FlattenCache) -> Tensor:
    """Gradient of :func:`flatten_forward`: dx, as x."""
    return dout.reshape(cache.shape)


class Pad2dCache(NamedTuple):
    """Which row and column of x each of out's repeats."""

    size: tuple[int, int]  # (H, W)
    rows: Tensor  # (H + top + bottom,)
    columns: Tensor  # (W + left + right,)


def pad2d_forward(x: Tensor, pad: tuple[int, int, int, int], mode: str) -> tuple[Tensor, Pad2dCache]:
    """Continue an image beyond its edges by pixels of its own: ``out[h, w] = x[rows[h], columns[w]]``.

    Backward: each pixel gets the sum of dout over its copies.

    Args: x (..., H, W); pad, in torch's order, (left, right, top, bottom); mode "reflect" (mirrored at the edge pixel,
        which is not repeated), "replicate" (the edge pixel again and again) or "circular" (from the other side).
    Returns: out (..., H + top + bottom, W + left + right), and the cache.
    """
    check_pad2d(x, mode)
    left, right, top, bottom = pad
    rows = _source(x.shape[-2], top, bottom, mode, x.device)
    columns = _source(x.shape[-1], left, right, mode, x.device)
    return x[..., rows[:, None], columns], Pad2dCache((x.shape[-2], x.shape[-1]), rows, columns)


def pad2d_backward(dout: Tensor, cache: Pad2dCache) -> Tensor:
    """Gradient of :func:`pad2d_forward`: dx, as x."""
    (height, width), rows, columns = cache
    # out = x[rows][columns], undone one axis at a time
    drows = dout.new_zeros(*dout.shape[:-1], width).index_add(-1, columns, dout)
    return drows.new_zeros(*dout.shape[:-2], height, width).index_add(-2, rows, drows)


def _source(size: int, before: int, after: int, mode: str, device: torch.device) -> Tensor:
    """Along one axis: which pixel each place of the padded axis shows."""
    most = {"reflect": size - 1, "circular": size}.get(mode, max(before, after))
    require(
        min(before, after) >= 0 and max(before, after) <= most,
        f"pad must be from 0 to {most} in mode {mode!r} on an axis of {size}, but it is {max(before, after)}",
    )
    place = torch.arange(-before, size + after, device=device)
    if mode == "circular":
        return place % size
    if mode == "replicate":
        return place.clamp(0, size - 1)
    return (size - 1) - (size - 1 - place.abs()).abs()


@once
def check_flatten(x: Tensor, start_dim: int, end_dim: int) -> tuple[int, int]:
    """The first and the last axis, counted from the front."""
    require_float(x=x)
    start, end = normalize_dim("start_dim", start_dim, x.dim()), normalize_dim("end_dim", end_dim, x.dim())
    require(start <= end, f"end_dim must not lie before start_dim, but they are {end_dim} and {start_dim}")
    return start, end


@once
def check_pad2d(x: Tensor, mode: str) -> None:
    """Raise what :func:`pad2d_forward` says, but of ``pad``."""
    require_float(x=x)
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require_choice("mode", mode, ("reflect", "replicate", "circular"))
