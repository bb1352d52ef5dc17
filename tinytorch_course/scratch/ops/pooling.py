"""Pooling: each output pixel sums up one window of its channel, by its maximum or its mean.

A window is a grid of taps. The fast versions go tap by tap, over all windows at once: tap (a, b) of every window is one
strided view of the image. The naive versions beside them go window by window.

Legend: ... the leading axes, (N, C) or (C,); H W input height and width, P Q output height and width, KH KW kernel.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.checks import pair, require, require_dim, require_float
from tinytorch_course.scratch.ops.products import bmm

IntPair = int | tuple[int, int]


class Windows(NamedTuple):
    """Where the windows lie. Taps that fall into the padding are nowhere: no value stands for them."""

    image: tuple[int, int]  # (H, W)
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]  # (P, Q)


# --- maximum ---------------------------------------------------------------------------------------------------------


class MaxPool2dCache(NamedTuple):
    x: Tensor  # (..., H, W)
    out: Tensor  # (..., P, Q)
    windows: Windows


def max_pool2d_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, MaxPool2dCache] | tuple[Tensor, Tensor, MaxPool2dCache]:
    """The largest value of each window: ``out[p, q] = max_{a,b} x[p·stride + a·dilation − padding, ...]``.

    Backward: all of dout goes to the pixel that won. Of equal ones the first in row order wins, as in torch; where
    windows overlap, a pixel that won several times gets the sum.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding, dilation: an int or (vertical, horizontal). The stride is the kernel's size unless
            given, or where it is ``()``. Padding never wins: it counts as −inf.
        ceil_mode: let a last window hang over the edge, if it starts inside the image or its left or top padding.
        return_indices: also return where the winners are, as positions in the flattened H·W image.

    Returns:
        out (..., P, Q) with ``P = ⌊(H + 2·padding − dilation·(KH−1) − 1) / stride⌋ + 1`` (⌈ ⌉ with ceil_mode); with
        return_indices also the int64 indices (..., P, Q); and the cache. Who won is found again in backward by
        comparing x with out: both are kept by the layers beside this one anyway.

    Raises:
        ValueError: if a size does not fit. TypeError: if x is not floating point.
    """
    require_float(x=x)
    windows = _prepare(x, kernel_size, stride, padding, dilation, ceil_mode)
    out = _empty_as(x, windows.output).fill_(-math.inf)
    for _, inside, taps in _taps(windows):
        torch.maximum(out[inside], x[taps], out=out[inside])
    cache = MaxPool2dCache(x, out, windows)
    return (out, _winners(cache), cache) if return_indices else (out, cache)


def max_pool2d_backward(dout: Tensor, cache: MaxPool2dCache) -> Tensor:
    """Gradient of :func:`max_pool2d_forward`: dx, as x. dout must be finite; a NaN that won gets no gradient."""
    x, out, windows = cache
    dx = torch.zeros_like(x)
    left = torch.empty_like(out).copy_(dout)  # what no tap has taken yet; laid out in memory as out
    wins = torch.empty_like(out)
    disjoint = all(stride >= kernel for stride, kernel in zip(windows.stride, windows.kernel, strict=True))
    disjoint &= windows.dilation == (1, 1)  # then no pixel is in two windows, and there is nothing to add up
    for _, inside, taps in _taps(windows):
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


def _winners(cache: MaxPool2dCache) -> Tensor:
    """Positions of the winners in the flattened image, (..., P, Q)."""
    x, out, windows = cache
    height, width = windows.image
    position = torch.arange(height * width, device=x.device).view(height, width)
    indices = torch.zeros_like(out, dtype=torch.int64)
    undecided = torch.ones_like(out, dtype=torch.bool)
    for _, inside, taps in _taps(windows):
        wins = (x[taps] == out[inside]) & undecided[inside]
        indices[inside] += wins * position[taps]
        undecided[inside] ^= wins
    return indices


def max_pool2d_naive_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, MaxPool2dCache]:
    """:func:`max_pool2d_forward` by its definition, one window of one channel at a time."""
    require_float(x=x)
    windows = _prepare(x, kernel_size, stride, padding, dilation, ceil_mode)
    out = x.new_empty(*x.shape[:-2], *windows.output)
    for image, pooled in zip(x.flatten(0, -3), out.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(windows):
            pooled[p, q] = max(image[pixel] for pixel in pixels)
    return out, MaxPool2dCache(x, out, windows)


def max_pool2d_naive_backward(dout: Tensor, cache: MaxPool2dCache) -> Tensor:
    """Gradient of :func:`max_pool2d_naive_forward`: each dout goes to the first pixel that equals the maximum."""
    x, out, windows = cache
    dx = x.new_zeros(x.shape)
    planes = (tensor.flatten(0, -3) for tensor in (x, out, dout, dx))
    for image, pooled, dpooled, dimage in zip(*planes, strict=True):
        for p, q, pixels in _pixels_of_windows(windows):
            winner = next(pixel for pixel in pixels if image[pixel] == pooled[p, q])
            dimage[winner] += dpooled[p, q]
    return dx


# --- mean ------------------------------------------------------------------------------------------------------------


class AvgPool2dCache(NamedTuple):
    divisor: Tensor  # (P, Q)
    windows: Windows


def avg_pool2d_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Tensor, AvgPool2dCache]:
    """The mean of each window: ``out[p, q] = Σ_{a,b} x[p·stride + a − padding, ...] / divisor[p, q]``.

    Backward: every pixel of the window gets ``dout / divisor``; where windows overlap, the shares add up.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding: an int or (vertical, horizontal). The stride is the kernel's size unless given, or
            where it is ``()``.
        ceil_mode: let a last window hang over the edge, if it starts inside the image or its left or top padding.
        count_include_pad: whether the divisor counts pixels of the padding (which are zero). What hangs over the
            padding's own edge under ceil_mode is never counted.
        divisor_override: divide by this instead, anything but 0.

    Returns:
        out (..., P, Q), and the cache: the divisors alone, because the op is linear and its derivative needs no x.

    Raises:
        ValueError: if a size does not fit or the divisor is 0. TypeError: if x is not floating point.
    """
    require_float(x=x)
    windows = _prepare(x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor(x, windows, count_include_pad, divisor_override)
    out = _empty_as(x, windows.output).zero_()
    for _, inside, taps in _taps(windows):
        out[inside] += x[taps]
    return out / divisor, AvgPool2dCache(divisor, windows)


def avg_pool2d_backward(dout: Tensor, cache: AvgPool2dCache) -> Tensor:
    """Gradient of :func:`avg_pool2d_forward`: dx, as x."""
    divisor, windows = cache
    dx = _empty_as(dout, windows.image).zero_()
    share = dout / divisor  # (..., P, Q)
    for _, inside, taps in _taps(windows):
        # out = Σ taps / divisor
        dx[taps] += share[inside]
    return dx


def avg_pool2d_naive_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Tensor, AvgPool2dCache]:
    """:func:`avg_pool2d_forward` by its definition, one window of one channel at a time."""
    require_float(x=x)
    windows = _prepare(x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor(x, windows, count_include_pad, divisor_override)
    out = x.new_zeros(*x.shape[:-2], *windows.output)
    for image, pooled in zip(x.flatten(0, -3), out.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(windows):
            pooled[p, q] = sum(image[pixel] for pixel in pixels) / divisor[p, q]
    return out, AvgPool2dCache(divisor, windows)


def avg_pool2d_naive_backward(dout: Tensor, cache: AvgPool2dCache) -> Tensor:
    """Gradient of :func:`avg_pool2d_naive_forward`: each dout is dealt out to its window."""
    divisor, windows = cache
    dx = dout.new_zeros(*dout.shape[:-2], *windows.image)
    for dpooled, dimage in zip(dout.flatten(0, -3), dx.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(windows):
            for pixel in pixels:
                dimage[pixel] += dpooled[p, q] / divisor[p, q]
    return dx


def _divisor(x: Tensor, windows: Windows, count_include_pad: bool, divisor_override: int | None) -> Tensor:
    """What each window's sum is divided by, (P, Q)."""
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, int):
            raise TypeError(f"divisor_override must be an integer, but it is {divisor_override!r}")
        require(divisor_override != 0, "divisor_override must not be 0")
        return x.new_full(windows.output, divisor_override)
    counts = []
    for size, kernel, stride, padding, output in zip(
        windows.image, windows.kernel, windows.stride, windows.padding, windows.output, strict=True
    ):
        start = torch.arange(output, device=x.device) * stride - padding
        first, last = (-padding, size + padding) if count_include_pad else (0, size)
        counts.append((start + kernel).clamp_max(last) - start.clamp_min(first))
    return (counts[0][:, None] * counts[1]).to(x.dtype)


# --- mean over windows that cover the image evenly -------------------------------------------------------------------


class AdaptiveAvgPool2dCache(NamedTuple):
    vertical: Tensor  # (P, H)
    horizontal: Tensor  # (Q, W)


def adaptive_avg_pool2d_forward(
    x: Tensor, output_size: int | tuple[int | None, int | None]
) -> tuple[Tensor, AdaptiveAvgPool2dCache]:
    """Means over as many windows as ``output_size`` asks for, whatever the image's size.

    Output row p covers the input rows from ``⌊p·H/P⌋`` up to ``⌈(p+1)·H/P⌉``, columns alike. A mean over a rectangle is
    a mean over rows of means over columns, so that with one averaging matrix for each axis
    ``out = vertical x horizontalᵀ``, and backward is ``dx = verticalᵀ dout horizontal``.

    Args:
        x: (N, C, H, W) or (C, H, W).
        output_size: P = Q as an int, or (P, Q); None keeps that axis.

    Returns:
        out (..., P, Q), and the cache: the two matrices. A value that is not finite spoils its whole row and column of
        windows, since 0 · ∞ is NaN; in torch it spoils its own windows only.

    Raises:
        ValueError: if a size is below 1. TypeError: if x is not floating point.
    """
    require_float(x=x)
    output = _adaptive_size(x, output_size)
    vertical, horizontal = (_averaging_matrix(x, size, count) for size, count in zip(x.shape[-2:], output, strict=True))
    return _along_both(vertical, x, horizontal.mT), AdaptiveAvgPool2dCache(vertical, horizontal)


def adaptive_avg_pool2d_backward(dout: Tensor, cache: AdaptiveAvgPool2dCache) -> Tensor:
    """Gradient of :func:`adaptive_avg_pool2d_forward`: dx, as x."""
    vertical, horizontal = cache
    # out = vertical x horizontalᵀ
    return _along_both(vertical.mT, dout, horizontal)


def _along_both(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """``left x right`` for every image in x."""
    images = x.flatten(0, -3)  # (N·C, H, W)
    product = bmm(bmm(left.expand(len(images), -1, -1), images), right.expand(len(images), -1, -1))
    return product.view(*x.shape[:-2], *product.shape[1:])


def adaptive_avg_pool2d_naive_forward(
    x: Tensor, output_size: int | tuple[int | None, int | None]
) -> tuple[Tensor, AdaptiveAvgPool2dCache]:
    """:func:`adaptive_avg_pool2d_forward` by its definition, one window at a time."""
    require_float(x=x)
    height, width = x.shape[-2:]
    rows, columns = _adaptive_size(x, output_size)
    out = x.new_empty(*x.shape[:-2], rows, columns)
    for p in range(rows):
        for q in range(columns):
            window = x[..., _adaptive_span(p, height, rows), _adaptive_span(q, width, columns)]
            out[..., p, q] = window.mean(dim=(-2, -1))
    return out, AdaptiveAvgPool2dCache(_averaging_matrix(x, height, rows), _averaging_matrix(x, width, columns))


def adaptive_avg_pool2d_naive_backward(dout: Tensor, cache: AdaptiveAvgPool2dCache) -> Tensor:
    """Gradient of :func:`adaptive_avg_pool2d_naive_forward`: each dout is dealt out to its window."""
    (rows, height), (columns, width) = cache.vertical.shape, cache.horizontal.shape
    dx = dout.new_zeros(*dout.shape[:-2], height, width)
    for p in range(rows):
        for q in range(columns):
            window = dx[..., _adaptive_span(p, height, rows), _adaptive_span(q, width, columns)]
            window += dout[..., p : p + 1, q : q + 1] / window.shape[-2:].numel()
    return dx


def _adaptive_size(x: Tensor, output_size: int | tuple[int | None, int | None]) -> tuple[int, int]:
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require(min(x.shape[-3:]) > 0, f"x must have pixels and channels, but its shape is {tuple(x.shape)}")
    if isinstance(output_size, (tuple, list)):
        require(len(output_size) == 2, f"output_size must be an integer or a pair, but it is {output_size!r}")
        output_size = tuple(
            size if want is None else want for want, size in zip(output_size, x.shape[-2:], strict=True)
        )
    return pair("output_size", output_size, minimum=1)


def _adaptive_span(index: int, size: int, count: int) -> slice:
    return slice(index * size // count, -(-(index + 1) * size // count))


def _averaging_matrix(x: Tensor, size: int, count: int) -> Tensor:
    """Row i holds 1/length over the i-th of ``count`` spans of ``size`` pixels, (count, size)."""
    index = torch.arange(count, device=x.device)[:, None]
    pixel = torch.arange(size, device=x.device)
    start, stop = index * size // count, -(-(index + 1) * size // count)
    return ((start <= pixel) & (pixel < stop)).to(x.dtype) / (stop - start)


# --- the windows -----------------------------------------------------------------------------------------------------


def _empty_as(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Room for (..., *size) values that lie in memory in the same order as x's: where two orders meet, all is slow."""
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty((*x.shape[:-2], *size), dtype=x.dtype, device=x.device, memory_format=order)


def _taps(windows: Windows) -> Iterator[tuple[tuple[int, int], tuple, tuple]]:
    """For each tap (a, b) in row order: the outputs whose tap lies inside the image, and the pixels it lies on.

    Both are index tuples of one shape: ``out[inside]`` pairs with ``x[taps]``.
    """
    for a in range(windows.kernel[0]):
        for b in range(windows.kernel[1]):
            spans = [_span(axis, tap, windows) for axis, tap in enumerate((a, b))]
            yield (a, b), (..., *(span[0] for span in spans)), (..., *(span[1] for span in spans))


def _span(axis: int, tap: int, windows: Windows) -> tuple[slice, slice]:
    """Along one axis: the outputs p for which p·stride + offset is a pixel, and those pixels."""
    size, stride = windows.image[axis], windows.stride[axis]
    offset = tap * windows.dilation[axis] - windows.padding[axis]
    first = max(0, -(offset // stride))  # ⌈−offset / stride⌉
    last = min(windows.output[axis] - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def _pixels_of_windows(windows: Windows) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """For each window, (p, q) and the pixels inside the image that it covers, in row order."""
    for p in range(windows.output[0]):
        for q in range(windows.output[1]):
            rows, columns = (
                range(
                    index * windows.stride[axis] - windows.padding[axis],
                    index * windows.stride[axis]
                    - windows.padding[axis]
                    + windows.kernel[axis] * windows.dilation[axis],
                    windows.dilation[axis],
                )
                for axis, index in enumerate((p, q))
            )
            height, width = windows.image
            yield p, q, [(h, w) for h in rows for w in columns if 0 <= h < height and 0 <= w < width]


def _prepare(x, kernel_size, stride, padding, dilation, ceil_mode) -> Windows:
    """Check every argument and lay out the windows."""
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require(min(x.shape[-3:]) > 0, f"x must have pixels and channels, but its shape is {tuple(x.shape)}")
    kernel = pair("kernel_size", kernel_size, minimum=1)
    stride = kernel if stride in (None, (), []) else pair("stride", stride, minimum=1)
    padding, dilation = pair("padding", padding, minimum=0), pair("dilation", dilation, minimum=1)
    output = []
    for axis, size in enumerate(x.shape[-2:]):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        require(
            padding[axis] <= kernel[axis] // 2,
            f"padding must be at most half of kernel_size, {kernel[axis] // 2}, but it is {padding[axis]}: "
            "a window could lie wholly in the padding",
        )
        room = size + 2 * padding[axis] - reach
        count = (-(-room // stride[axis]) if ceil_mode else room // stride[axis]) + 1
        if ceil_mode and (count - 1) * stride[axis] >= size + padding[axis]:
            count -= 1  # that window would start outside the image and its leading padding
        require(
            count >= 1,
            f"the window reaches over {reach} pixels, but the padded image has only {size + 2 * padding[axis]}",
        )
        output.append(count)
    return Windows(tuple(x.shape[-2:]), kernel, stride, padding, dilation, tuple(output))
