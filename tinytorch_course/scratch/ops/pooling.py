"""Pooling: each output pixel sums up one window of its channel, by its maximum or its mean.

All windows are laid out at once, as a view; the way back adds them up where they came from. The naive versions below
are the definitions, one window at a time.

Legend: ... the leading axes, (N, C) or (C,); H W input height and width, P Q output height and width, KH KW kernel.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, pair, require, require_dim, require_float
from tinytorch_course.scratch.ops.windows import Geometry, IntPair, fold_windows, unfold_windows

# --- maximum ---------------------------------------------------------------------------------------------------------


class MaxPool2dCache(NamedTuple):
    """Who won is found again by comparing x with out: both are kept by the layers beside this one anyway."""

    x: Tensor  # (..., H, W)
    out: Tensor  # (..., P, Q)
    geometry: Geometry


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
    windows overlap, a pixel that won several times gets the sum. A NaN that won gets no gradient.

    Args: x (..., H, W); stride, the kernel's size unless given; padding, which counts as −inf and never wins;
        ceil_mode, whether a last window may hang over the edge, if it starts inside the image or its padding.
    Returns: out (..., P, Q) with ``P = ⌊(H + 2·padding − dilation·(KH−1) − 1) / stride⌋ + 1`` (⌈ ⌉ with ceil_mode);
        with return_indices also where the winners are in the flattened H·W image, int64 (..., P, Q); and the cache.
    Raises: ValueError if a size does not fit, TypeError if x is not floating point.
    """
    geometry = pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    out = unfold_windows(x, geometry, -math.inf).amax(dim=(-2, -1))
    cache = MaxPool2dCache(x, out, geometry)
    return (out, winners(cache), cache) if return_indices else (out, cache)


def max_pool2d_backward(dout: Tensor, cache: MaxPool2dCache) -> Tensor:
    """Gradient of :func:`max_pool2d_forward`: dx, as x."""
    # out = max over the taps: dout goes to the first tap that equals it
    dtaps = torch.where(_wins(cache), dout[..., None, None], 0)
    return fold_windows(dtaps, cache.geometry)


def _wins(cache: MaxPool2dCache) -> Tensor:
    """Which tap of each window won, (..., P, Q, KH, KW). Padding never does: nothing equals NaN."""
    x, out, geometry = cache
    equal = (unfold_windows(x, geometry, math.nan) == out[..., None, None]).flatten(-2)
    return (equal & (equal.cumsum(dim=-1) == 1)).unflatten(-1, geometry.kernel)


def winners(cache: MaxPool2dCache) -> Tensor:
    """Positions of the winners in the flattened image, int64 (..., P, Q)."""
    height, width = cache.geometry.image
    position = torch.arange(height * width, device=cache.x.device).view(height, width)
    return torch.where(_wins(cache), unfold_windows(position, cache.geometry), 0).sum(dim=(-2, -1))


def max_pool2d_naive_forward(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, MaxPool2dCache]:
    """:func:`max_pool2d_forward` by its definition, one window of one channel at a time."""
    geometry = pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    out = x.new_empty(*x.shape[:-2], *geometry.output)
    for image, pooled in zip(x.flatten(0, -3), out.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(geometry):
            pooled[p, q] = max(image[pixel] for pixel in pixels)
    return out, MaxPool2dCache(x, out, geometry)


def max_pool2d_naive_backward(dout: Tensor, cache: MaxPool2dCache) -> Tensor:
    """Gradient of :func:`max_pool2d_naive_forward`: each dout goes to the first pixel that equals the maximum."""
    x, out, geometry = cache
    dx = x.new_zeros(x.shape)
    planes = (tensor.flatten(0, -3) for tensor in (x, out, dout, dx))
    for image, pooled, dpooled, dimage in zip(*planes, strict=True):
        for p, q, pixels in _pixels_of_windows(geometry):
            winner = next(pixel for pixel in pixels if image[pixel] == pooled[p, q])
            dimage[winner] += dpooled[p, q]
    return dx


# --- mean ------------------------------------------------------------------------------------------------------------


class AvgPool2dCache(NamedTuple):
    """The divisors alone, because the op is linear and its derivative needs no x."""

    divisor: Tensor  # (P, Q)
    geometry: Geometry


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

    Args: x, stride, padding, ceil_mode as in :func:`max_pool2d_forward`, but padding counts as 0; count_include_pad,
        whether the divisor counts it (what hangs over its edge it never does); divisor_override, any number but 0.
    Returns: out (..., P, Q), and the cache.
    Raises: ValueError if a size does not fit or the divisor is 0, TypeError if x is not floating point.
    """
    geometry = pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = pool_divisor(x, geometry, count_include_pad, divisor_override)
    out = unfold_windows(x, geometry).sum(dim=(-2, -1)) / divisor
    return out, AvgPool2dCache(divisor, geometry)


def avg_pool2d_backward(dout: Tensor, cache: AvgPool2dCache) -> Tensor:
    """Gradient of :func:`avg_pool2d_forward`: dx, as x."""
    divisor, geometry = cache
    # out = Σ taps / divisor
    dtaps = (dout / divisor)[..., None, None].expand(*dout.shape, *geometry.kernel)
    return fold_windows(dtaps, geometry)


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
    geometry = pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    divisor = pool_divisor(x, geometry, count_include_pad, divisor_override)
    out = x.new_zeros(*x.shape[:-2], *geometry.output)
    for image, pooled in zip(x.flatten(0, -3), out.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(geometry):
            pooled[p, q] = sum(image[pixel] for pixel in pixels) / divisor[p, q]
    return out, AvgPool2dCache(divisor, geometry)


def avg_pool2d_naive_backward(dout: Tensor, cache: AvgPool2dCache) -> Tensor:
    """Gradient of :func:`avg_pool2d_naive_forward`: each dout is dealt out to its window."""
    divisor, geometry = cache
    dx = dout.new_zeros(*dout.shape[:-2], *geometry.image)
    for dpooled, dimage in zip(dout.flatten(0, -3), dx.flatten(0, -3), strict=True):
        for p, q, pixels in _pixels_of_windows(geometry):
            for pixel in pixels:
                dimage[pixel] += dpooled[p, q] / divisor[p, q]
    return dx


def pool_divisor(x: Tensor, geometry: Geometry, count_include_pad: bool, divisor_override: int | None) -> Tensor:
    """What each window's sum is divided by, (P, Q)."""
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, int):
            raise TypeError(f"divisor_override must be an integer, but it is {divisor_override!r}")
        require(divisor_override != 0, "divisor_override must not be 0")
        return x.new_full(geometry.output, divisor_override)
    counts = []
    for size, kernel, stride, padding, output in zip(
        geometry.image, geometry.kernel, geometry.stride, geometry.padding[::2], geometry.output, strict=True
    ):
        start = torch.arange(output, device=x.device) * stride - padding
        first, last = (-padding, size + padding) if count_include_pad else (0, size)
        counts.append((start + kernel).clamp_max(last) - start.clamp_min(first))
    return (counts[0][:, None] * counts[1]).to(x.dtype)


# --- mean over windows that cover the image evenly -------------------------------------------------------------------


class AdaptiveAvgPool2dCache(NamedTuple):
    """The two averaging matrices: the op is linear in x."""

    vertical: Tensor  # (P, H)
    horizontal: Tensor  # (Q, W)


def adaptive_avg_pool2d_forward(
    x: Tensor, output_size: int | tuple[int | None, int | None]
) -> tuple[Tensor, AdaptiveAvgPool2dCache]:
    """Means over as many windows as ``output_size`` asks for, whatever the image's size.

    Output row p covers the input rows from ``⌊p·H/P⌋`` up to ``⌈(p+1)·H/P⌉``, columns alike. A mean over a rectangle is
    a mean over rows of means over columns, so that with one averaging matrix for each axis
    ``out = vertical x horizontalᵀ``, and backward is ``dx = verticalᵀ dout horizontal``.

    Args: x (..., H, W); output_size P = Q, or (P, Q), where None keeps that axis.
    Returns: out (..., P, Q), and the cache. A value that is not finite spoils its whole row and column of windows, for
        0 · ∞ is NaN; in torch it spoils its own windows only.
    Raises: ValueError if a size is below 1, TypeError if x is not floating point.
    """
    rows, columns = adaptive_size(x, output_size)
    vertical, horizontal = _averaging_matrix(x, x.shape[-2], rows), _averaging_matrix(x, x.shape[-1], columns)
    return _along_both(vertical, x, horizontal.mT), AdaptiveAvgPool2dCache(vertical, horizontal)


def adaptive_avg_pool2d_backward(dout: Tensor, cache: AdaptiveAvgPool2dCache) -> Tensor:
    """Gradient of :func:`adaptive_avg_pool2d_forward`: dx, as x."""
    vertical, horizontal = cache
    # out = vertical x horizontalᵀ
    return _along_both(vertical.mT, dout, horizontal)


def _along_both(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """``left x right`` for every image in x."""
    images = x.flatten(0, -3)  # (N·C, H, W)
    product = left.expand(len(images), -1, -1) @ images @ right.expand(len(images), -1, -1)
    return product.unflatten(0, x.shape[:-2])


def adaptive_avg_pool2d_naive_forward(
    x: Tensor, output_size: int | tuple[int | None, int | None]
) -> tuple[Tensor, AdaptiveAvgPool2dCache]:
    """:func:`adaptive_avg_pool2d_forward` by its definition, one window at a time."""
    height, width = x.shape[-2:]
    rows, columns = adaptive_size(x, output_size)
    out = x.new_empty(*x.shape[:-2], rows, columns)
    for p, q in product(range(rows), range(columns)):
        window = x[..., _adaptive_span(p, height, rows), _adaptive_span(q, width, columns)]
        out[..., p, q] = window.mean(dim=(-2, -1))
    return out, AdaptiveAvgPool2dCache(_averaging_matrix(x, height, rows), _averaging_matrix(x, width, columns))


def adaptive_avg_pool2d_naive_backward(dout: Tensor, cache: AdaptiveAvgPool2dCache) -> Tensor:
    """Gradient of :func:`adaptive_avg_pool2d_naive_forward`: each dout is dealt out to its window."""
    (rows, height), (columns, width) = cache.vertical.shape, cache.horizontal.shape
    dx = dout.new_zeros(*dout.shape[:-2], height, width)
    for p, q in product(range(rows), range(columns)):
        window = dx[..., _adaptive_span(p, height, rows), _adaptive_span(q, width, columns)]
        window += dout[..., p : p + 1, q : q + 1] / window.shape[-2:].numel()
    return dx


def _adaptive_span(index: int, size: int, count: int) -> slice:
    return slice(index * size // count, -(-(index + 1) * size // count))


def _averaging_matrix(x: Tensor, size: int, count: int) -> Tensor:
    """Row i holds 1/length over the i-th of ``count`` spans of ``size`` pixels, (count, size)."""
    index = torch.arange(count, device=x.device)[:, None]
    pixel = torch.arange(size, device=x.device)
    start, stop = index * size // count, -(-(index + 1) * size // count)
    return ((start <= pixel) & (pixel < stop)).to(x.dtype) / (stop - start)


# --- the windows -----------------------------------------------------------------------------------------------------


def _pixels_of_windows(geometry: Geometry) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """For each window, (p, q) and the pixels inside the image that it covers, in row order."""
    (height, width), (kh, kw), (sh, sw), (ph, _, pw, _), (dh, dw), output, _ = geometry
    for p, q in product(*map(range, output)):
        rows = [p * sh - ph + a * dh for a in range(kh)]
        columns = [q * sw - pw + b * dw for b in range(kw)]
        yield p, q, [(h, w) for h in rows for w in columns if 0 <= h < height and 0 <= w < width]


# --- checks ----------------------------------------------------------------------------------------------------------


@once
def pool_geometry(
    x: Tensor, kernel_size: IntPair, stride: IntPair | None, padding: IntPair, dilation: IntPair, ceil_mode: bool
) -> Geometry:
    """Where the windows lie, after a check of every argument."""
    require_float(x=x)
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require(min(x.shape[-3:]) > 0, f"x must have pixels and channels, but its shape is {tuple(x.shape)}")
    kernel = pair("kernel_size", kernel_size, minimum=1)
    stride = kernel if stride in (None, (), []) else pair("stride", stride, minimum=1)
    padding, dilation = pair("padding", padding, minimum=0), pair("dilation", dilation, minimum=1)
    output, sides = [], []
    for axis, size in enumerate(x.shape[-2:]):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        most = f"padding must be at most half of kernel_size, {kernel[axis] // 2}, but it is {padding[axis]}"
        require(padding[axis] <= kernel[axis] // 2, f"{most}: a window could lie wholly in the padding")
        room = size + 2 * padding[axis] - reach
        count = (-(-room // stride[axis]) if ceil_mode else room // stride[axis]) + 1
        if ceil_mode and (count - 1) * stride[axis] >= size + padding[axis]:
            count -= 1  # that window would start outside the image and its leading padding
        padded = size + 2 * padding[axis]
        require(count >= 1, f"the window reaches over {reach} pixels, but the padded image has only {padded}")
        output.append(count)
        # On the far side as much more as the last window hangs over.
        sides += [padding[axis], max(padding[axis], (count - 1) * stride[axis] + reach - padding[axis] - size)]
    top, bottom, left, right = sides
    image, output = (x.shape[-2], x.shape[-1]), (output[0], output[1])
    return Geometry(image, kernel, stride, (top, bottom, left, right), dilation, output)


@once
def adaptive_size(x: Tensor, output_size: int | tuple[int | None, int | None]) -> tuple[int, int]:
    """(P, Q), after a check of every argument."""
    require_float(x=x)
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require(min(x.shape[-3:]) > 0, f"x must have pixels and channels, but its shape is {tuple(x.shape)}")
    if isinstance(output_size, (tuple, list)):
        require(len(output_size) == 2, f"output_size must be an integer or a pair, but it is {output_size!r}")
        (rows, columns), (h, w) = output_size, x.shape[-2:]
        output_size = (h if rows is None else rows, w if columns is None else columns)
    return pair("output_size", output_size, minimum=1)
