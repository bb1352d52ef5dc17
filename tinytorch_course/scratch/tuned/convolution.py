"""Without this a step of tiny_vgg takes 1.7 times as long, mnist_cnn's 1.3 times (batch 128, one thread, torch 2.15).

The windows are laid out for a few images at a time, channels last, in one buffer that stays in the processor's cache:
all of them at once would be KH·KW times the input, in fresh memory that must be paged in every time. Products come from
:mod:`products`, with the same bits for any number of threads. In memory out lies channels last, too.

Legend: as in ``ops/convolution.py``; K = KH·KW·I the length of a window.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.convolution import Conv2dCache, conv2d_geometry
from tinytorch_course.scratch.ops.windows import Geometry, IntPair
from tinytorch_course.scratch.tuned.products import bmm

__all__ = ["conv2d_backward", "conv2d_forward"]

BLOCK_BYTES = 4 * 2**20
FEW_CHANNELS = 4  # with fewer than so many, a window's rows are too short to be copied one by one


def conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[Tensor, Conv2dCache]:
    """As its textbook form."""
    geometry, batched = conv2d_geometry(x, weight, bias, stride, padding, dilation, groups), x.dim() == 4
    x = x if batched else x[None]
    out = _slide(weight, x, geometry)  # (N, O, P, Q)
    if bias is not None:
        out += bias[:, None, None]
    return out if batched else out[0], Conv2dCache(x, weight, bias is not None, batched, geometry)


def conv2d_backward(dout: Tensor, cache: Conv2dCache, *, need_dx: bool = True) -> tuple[Tensor | None, ...]:
    """As its textbook form."""
    x, weight, has_bias, batched, geometry = cache
    dout = dout if batched else dout[None]
    pixels = math.prod(geometry.output)
    dout_rows = _rows_of(dout, geometry.groups)  # (G, N·P·Q, O/G)
    drows_of_weight = torch.zeros_like(_weight_rows(weight, geometry.groups).mT)  # (G, K, O/G)
    for block, windows in _window_blocks(x, geometry):
        # out = windows rows_of_weightᵀ
        drows_of_weight += bmm(windows.mT, dout_rows[:, block.start * pixels : block.stop * pixels])
    dweight = drows_of_weight.mT.reshape(len(weight), *geometry.kernel, -1).permute(0, 3, 1, 2).contiguous()
    dx = _slide_back(weight, dout, x, geometry) if need_dx else None
    dbias = dout_rows.sum(dim=1).flatten() if has_bias else None
    return dx if batched or dx is None else dx[0], dweight, dbias


def _slide(weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """The sum of weight times window, for every window of x: (N, O, P, Q), channels-last in memory."""
    rows_of_weight = _weight_rows(weight, geometry.groups)  # (G, O/G, K)
    images, (p, q), groups = x.shape[0], geometry.output, geometry.groups
    out = x.new_empty(groups, images * p * q, weight.shape[0] // groups)
    for block, windows in _window_blocks(x, geometry):
        bmm(windows, rows_of_weight.mT, out=out[:, block.start * p * q : block.stop * p * q])
    return out.movedim(0, 1).reshape(images, p, q, weight.shape[0]).permute(0, 3, 1, 2)


def _slide_back(weight: Tensor, dout: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """dx (N, C, H, W): each dout times the weight that its pixel met.

    With a stride of 1 a pixel meets the taps of the kernel one by one, in reverse order, as the window moves over it:
    dx is a convolution of dout with the kernel turned by 180 degrees. With larger strides it meets only some of them,
    so that every window's share is made as a row, and added where the window came from.
    """
    groups, (p, q) = geometry.groups, geometry.output
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    top, bottom, left, right = (reach[side // 2] - padding for side, padding in enumerate(geometry.padding))
    if geometry.stride == (1, 1) and min(top, bottom, left, right) >= 0:
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)  # (C, O/G, KH, KW)
        sides, size = (top, bottom, left, right), (x.shape[2], x.shape[3])
        return _slide(turned, dout, geometry._replace(padding=sides, output=size))

    dx_padded = _padded_like(x, geometry)  # (N, H + padding, W + padding, C)
    dout_rows, rows_of_weight = _rows_of(dout, groups), _weight_rows(weight, groups)
    for block in _blocks(x, geometry):
        dout_block = dout_rows[:, block.start * p * q : block.stop * p * q]
        _add_windows(dx_padded[block], bmm(dout_block, rows_of_weight), geometry)
    return _unpad(dx_padded, geometry).permute(0, 3, 1, 2)


# --- the windows -----------------------------------------------------------------------------------------------------


def _window_blocks(x: Tensor, geometry: Geometry) -> Iterator[tuple[slice, Tensor]]:
    """The windows of a few images at a time, as rows: (slice of images, (G, images·P·Q, K)).

    Every block is written into the same buffer: use it before asking for the next.
    """
    padded = _pad(x, geometry)
    window = math.prod(geometry.kernel) * x.shape[1] // geometry.groups  # K
    # In memory either window after window, or (all first values, all second values, ...): whichever copies longer runs.
    by_window = x.shape[1] // geometry.groups >= FEW_CHANNELS
    order = (5, 0, 1, 2, 3, 4, 6) if by_window else (5, 3, 4, 6, 0, 1, 2)
    buffer = None
    for block in _blocks(x, geometry):
        windows = _windows(padded[block], geometry).unflatten(5, (geometry.groups, -1))  # (n, P, Q, KH, KW, G, I)
        windows = windows.permute(order)
        if buffer is None or buffer.shape != windows.shape:  # in the first and perhaps the last block
            buffer = x.new_empty(windows.shape)
        buffer.copy_(windows)
        if by_window:
            yield block, buffer.view(geometry.groups, -1, window)
        else:
            yield block, buffer.view(geometry.groups, window, -1).mT


def _blocks(x: Tensor, geometry: Geometry) -> Iterator[slice]:
    """So many images at a time that their windows fill at most BLOCK_BYTES."""
    window_bytes = math.prod((*geometry.output, *geometry.kernel, x.shape[1])) * x.element_size()
    count = max(1, BLOCK_BYTES // window_bytes)
    for start in range(0, x.shape[0], count):
        yield slice(start, min(start + count, x.shape[0]))


def _rows_of(dout: Tensor, groups: int) -> Tensor:
    """dout (N, O, P, Q) as one row per output pixel, (G, N·P·Q, O/G)."""
    return dout.permute(0, 2, 3, 1).flatten(0, 2).unflatten(1, (groups, -1)).movedim(1, 0)


def _windows(padded: Tensor, geometry: Geometry) -> Tensor:
    """A view, nothing copied, of every window of a padded (N, H, W, C) image: (N, P, Q, KH, KW, C)."""
    n_step, h_step, w_step, c_step = padded.stride()
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    return padded.as_strided(
        (padded.shape[0], *geometry.output, *geometry.kernel, padded.shape[3]),
        (n_step, sh * h_step, sw * w_step, dh * h_step, dw * w_step, c_step),
    )


def _add_windows(image: Tensor, windows: Tensor, geometry: Geometry) -> None:
    """Add rows of windows (G, N·P·Q, K) into ``image`` (N, H, W, C) where they came from; overlaps add up."""
    (sh, sw), (dh, dw), (p, q) = geometry.stride, geometry.dilation, geometry.output
    windows = windows.movedim(0, 1).reshape(image.shape[0], p, q, geometry.groups, *geometry.kernel, -1)
    for a in range(geometry.kernel[0]):
        for b in range(geometry.kernel[1]):
            # Tap (a, b) of all windows at once: pixels that no two windows share.
            taps = image[:, a * dh : a * dh + sh * (p - 1) + 1 : sh, b * dw : b * dw + sw * (q - 1) + 1 : sw]
            taps += windows[:, :, :, :, a, b].flatten(3)


def _padded_like(x: Tensor, geometry: Geometry) -> Tensor:
    """Zeros of the padded image's shape, (N, H + padding, W + padding, C)."""
    n, c, h, w = x.shape
    top, bottom, left, right = geometry.padding
    return x.new_zeros(n, top + h + bottom, left + w + right, c)


def _pad(x: Tensor, geometry: Geometry) -> Tensor:
    """x with its zeros around it, channels last: (N, H + padding, W + padding, C)."""
    image = x.permute(0, 2, 3, 1)
    if not any(geometry.padding):
        return image.contiguous()
    padded = _padded_like(x, geometry)
    _unpad(padded, geometry).copy_(image)
    return padded


def _unpad(padded: Tensor, geometry: Geometry) -> Tensor:
    """A view of what lies inside the padding."""
    top, bottom, left, right = geometry.padding
    # Counted from the front: [top:-bottom] would be empty for a padding of 0.
    return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]


def _weight_rows(weight: Tensor, groups: int) -> Tensor:
    """weight (O, I, KH, KW) as one row per output, in the windows' order: (G, O/G, KH·KW·I)."""
    return weight.permute(0, 2, 3, 1).reshape(groups, weight.shape[0] // groups, -1)
