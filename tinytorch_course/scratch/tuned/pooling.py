"""Without this a step of mnist_cnn takes 1.8 times as long, lenet5's 1.2 times (batch 128, one thread, torch 2.15).

A window is a grid of taps, and they go tap by tap, over all windows at once: tap (a, b) of every window is one strided
view of the image. Taps that fall into the padding are nowhere: no value stands for them. In memory results lie as x.

Legend: as in ``ops/pooling.py``.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.pooling import AvgPool2dCache, MaxPool2dCache, pool_divisor, pool_geometry, winners
from tinytorch_course.scratch.ops.windows import Geometry, IntPair

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]


def max_pool2d_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, MaxPool2dCache] | tuple[Tensor, Tensor, MaxPool2dCache]:
    """As its textbook form."""
    geometry = pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    out = _empty_as(x, geometry.output).fill_(-math.inf)
    for inside, taps in _taps(geometry):
        torch.maximum(out[inside], x[taps], out=out[inside])
    cache = MaxPool2dCache(x, out, geometry)
    return (out, winners(cache), cache) if return_indices else (out, cache)


def max_pool2d_backward(dout: Tensor, cache: MaxPool2dCache) -> Tensor:
    """As its textbook form, for a finite dout."""
    x, out, geometry = cache
    dx = torch.zeros_like(x)
    left = torch.empty_like(out).copy_(dout)  # what no tap has taken yet; laid out in memory as out
    wins = torch.empty_like(out)
    disjoint = all(stride >= kernel for stride, kernel in zip(geometry.stride, geometry.kernel, strict=True))
    disjoint &= geometry.dilation == (1, 1)  # then no pixel is in two windows, and there is nothing to add up
    for inside, taps in _taps(geometry):
        # out = max over the taps: the first tap that equals it takes its dout, and nothing is left for the next.
        # (Written into floats, the comparison is twice as fast as into bools.)
        won = torch.eq(x[taps], out[inside], out=wins[inside])
        taken = won.mul_(left[inside])
        if disjoint:
            dx[taps] = taken
        else:
            dx[taps] += taken
        left[inside] -= taken
    return dx


def avg_pool2d_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Tensor, AvgPool2dCache]:
    """As its textbook form."""
    geometry = pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = pool_divisor(x, geometry, count_include_pad, divisor_override)
    out = _empty_as(x, geometry.output).zero_()
    for inside, taps in _taps(geometry):
        out[inside] += x[taps]
    return out / divisor, AvgPool2dCache(divisor, geometry)


def avg_pool2d_backward(dout: Tensor, cache: AvgPool2dCache) -> Tensor:
    """As its textbook form."""
    divisor, geometry = cache
    dx = _empty_as(dout, geometry.image).zero_()
    share = dout / divisor  # (..., P, Q)
    for inside, taps in _taps(geometry):
        # out = Σ taps / divisor
        dx[taps] += share[inside]
    return dx


def _empty_as(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Room for (..., *size) values that lie in memory in the same order as x's: where two orders meet, all is slow."""
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty((*x.shape[:-2], *size), dtype=x.dtype, device=x.device, memory_format=order)


def _taps(geometry: Geometry) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each tap (a, b) in row order: the outputs whose tap lies inside the image, and the pixels it lies on.

    Both are index tuples of one shape: ``out[inside]`` pairs with ``x[taps]``.
    """
    for a in range(geometry.kernel[0]):
        for b in range(geometry.kernel[1]):
            spans = [_span(axis, tap, geometry) for axis, tap in enumerate((a, b))]
            yield (..., *(span[0] for span in spans)), (..., *(span[1] for span in spans))


def _span(axis: int, tap: int, geometry: Geometry) -> tuple[slice, slice]:
    """Along one axis: the outputs p for which p·stride + offset is a pixel, and those pixels."""
    size, stride = geometry.image[axis], geometry.stride[axis]
    offset = tap * geometry.dilation[axis] - geometry.padding[2 * axis]
    first = max(0, -(offset // stride))  # ⌈−offset / stride⌉
    last = min(geometry.output[axis] - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)
