"""Two-dimensional convolution (cross-correlation, as every deep-learning library means it).

The fast version gathers each output pixel's window into a row (im2col) and lets one matmul do all the sums; the naive
version beside it is the definition, loop by loop.

Legend: N batch, H W input height and width, C input channels, O output channels, G groups, I = C/G channels that one
output sees, KH KW kernel, P Q output height and width, K = KH·KW·I the length of a window.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.checks import pair, require, require_dim, require_float
from tinytorch_course.scratch.ops.products import bmm

# The window rows are made for a few images at a time: this many bytes, which stay in the processor's cache and in one
# reused buffer. All of them at once would be K/I times the input, in fresh memory that must be paged in every time.
BLOCK_BYTES = 4 * 2**20
FEW_CHANNELS = 4  # with fewer than so many, a window's rows are too short to be copied one by one


class Geometry(NamedTuple):
    """Where the windows lie."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    dilation: tuple[int, int]
    groups: int
    output: tuple[int, int]  # (P, Q)


class Conv2dCache(NamedTuple):
    x: Tensor  # (N, C, H, W)
    weight: Tensor  # (O, I, KH, KW)
    has_bias: bool
    batched: bool
    geometry: Geometry


def conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> tuple[Tensor, Conv2dCache]:
    """Slide ``weight`` over ``x``; each output pixel is the sum over its window, plus ``bias``:

    ``out[n, o, p, q] = bias[o] + Σ_{i,a,b} weight[o, i, a, b] · x[n, i, p·stride + a·dilation, q·stride + b·dilation]``
    (x with its padding around it).

    Backward, in the same sum: ``dweight`` multiplies each ``dout`` by the pixel it met, ``dx`` by the weight it met
    (adding where windows overlap), and ``dbias`` is dout summed over batch and pixels.

    Args:
        x: (N, C, H, W), or (C, H, W) for one image.
        weight: (O, C/groups, KH, KW).
        bias: (O,) or None.
        stride: pixels from one window to the next; an int or (vertical, horizontal).
        padding: zeros around the image: an int, (vertical, horizontal), "valid" (none), or "same" (as many as keep the
            size, for stride 1; an odd one goes to the bottom and right, as in torch).
        dilation: pixels from one tap of the kernel to the next.
        groups: input and output channels are split into so many parts that do not see each other.

    Returns:
        out (N, O, P, Q) with ``P = ⌊(H + padding − dilation·(KH−1) − 1) / stride⌋ + 1`` (padding counted on both
        sides) and Q alike; and the cache: x and weight. The windows are gathered again in backward, because they are
        KH·KW times as large as x and quick to make. In memory out lies channels-last, which makes the windows' rows
        long runs.

    Raises:
        ValueError: if a shape, stride, padding, dilation or group count does not fit. TypeError: for other dtypes.

    Source: Chellapilla, Puri & Simard (2006), "High performance convolutional neural networks for document
    processing" (im2col); conventions of ``torch.nn.functional.conv2d``.
    """
    x, geometry, batched = _prepare(x, weight, bias, stride, padding, dilation, groups)
    out = _slide(weight, x, geometry)  # (N, O, P, Q)
    if bias is not None:
        out += bias[:, None, None]
    return out if batched else out[0], Conv2dCache(x, weight, bias is not None, batched, geometry)


def conv2d_backward(
    dout: Tensor, cache: Conv2dCache, *, need_dx: bool = True
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Gradients of :func:`conv2d_forward`: dx as x, dweight as weight, dbias (O,) or None without a bias.

    ``need_dx=False`` leaves out dx (None): nobody needs the gradient of the first layer's input.
    """
    x, weight, has_bias, batched, geometry = cache
    outputs, (p, q) = weight.shape[0], geometry.output
    dout = dout.reshape(-1, outputs, p, q)

    dout_rows = _rows_of(dout, geometry.groups)  # (G, N·P·Q, O/G)
    drows_of_weight = torch.zeros_like(_weight_rows(weight, geometry.groups).mT)  # (G, K, O/G)
    for block, windows in _window_blocks(x, geometry):
        # out = windows rows_of_weightᵀ
        drows_of_weight += bmm(windows.mT, dout_rows[:, block.start * p * q : block.stop * p * q])
    dweight = drows_of_weight.mT.reshape(outputs, *geometry.kernel, -1).permute(0, 3, 1, 2).contiguous()

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
    sides = [reach[side // 2] - padding for side, padding in enumerate(geometry.padding)]
    if geometry.stride == (1, 1) and min(sides) >= 0:
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)  # (C, O/G, KH, KW)
        return _slide(turned, dout, geometry._replace(padding=tuple(sides), output=tuple(x.shape[2:])))

    dx_padded = _padded_like(x, geometry)  # (N, H + padding, W + padding, C)
    dout_rows, rows_of_weight = _rows_of(dout, groups), _weight_rows(weight, groups)
    for block in _blocks(x, geometry):
        dout_block = dout_rows[:, block.start * p * q : block.stop * p * q]
        _add_windows(dx_padded[block], bmm(dout_block, rows_of_weight), geometry)
    return _unpad(dx_padded, geometry).permute(0, 3, 1, 2)


def conv2d_naive_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> tuple[Tensor, Conv2dCache]:
    """:func:`conv2d_forward` by its definition: loops over images, outputs and pixels, one window at a time."""
    x, geometry, batched = _prepare(x, weight, bias, stride, padding, dilation, groups)
    padded = _pad(x, geometry)  # (N, H + padding, W + padding, C)
    outputs, channels = weight.shape[:2]
    out = x.new_zeros(x.shape[0], outputs, *geometry.output)
    for n in range(x.shape[0]):
        for o in range(outputs):
            group = o // (outputs // groups)
            for p in range(geometry.output[0]):
                for q in range(geometry.output[1]):
                    window = padded[n][_window_at(p, q, geometry)]  # (KH, KW, C)
                    window = window[..., group * channels : (group + 1) * channels]  # (KH, KW, I)
                    out[n, o, p, q] = (weight[o].permute(1, 2, 0) * window).sum()
                    if bias is not None:
                        out[n, o, p, q] += bias[o]
    return out if batched else out[0], Conv2dCache(x, weight, bias is not None, batched, geometry)


def conv2d_naive_backward(dout: Tensor, cache: Conv2dCache) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of :func:`conv2d_naive_forward`, in the same loops: each dout goes back to the window it came from."""
    x, weight, has_bias, batched, geometry = cache
    dout = dout.reshape(x.shape[0], weight.shape[0], *geometry.output)
    padded = _pad(x, geometry)
    outputs, channels = weight.shape[:2]
    dx_padded, dweight = torch.zeros_like(padded), torch.zeros_like(weight)
    for n in range(x.shape[0]):
        for o in range(outputs):
            group = o // (outputs // geometry.groups)
            seen = slice(group * channels, (group + 1) * channels)
            for p in range(geometry.output[0]):
                for q in range(geometry.output[1]):
                    at = _window_at(p, q, geometry)
                    # out[n, o, p, q] = Σ weight[o] · window
                    dweight[o] += dout[n, o, p, q] * padded[n][at][..., seen].permute(2, 0, 1)
                    dx_padded[n][at][..., seen] += dout[n, o, p, q] * weight[o].permute(1, 2, 0)
    dx = _unpad(dx_padded, geometry).permute(0, 3, 1, 2)
    dbias = dout.sum(dim=(0, 2, 3)) if has_bias else None
    return dx if batched else dx[0], dweight, dbias


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


def _window_at(p: int, q: int, geometry: Geometry) -> tuple[slice, slice]:
    """The rows and columns of the padded image that output pixel (p, q) sees."""
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilation
    return slice(p * sh, p * sh + dh * (kh - 1) + 1, dh), slice(q * sw, q * sw + dw * (kw - 1) + 1, dw)


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


# --- checking --------------------------------------------------------------------------------------------------------


def _prepare(x, weight, bias, stride, padding, dilation, groups) -> tuple[Tensor, Geometry, bool]:
    """Check every argument; return x with a batch axis, the geometry, and whether x had that axis."""
    require_float(x=x, weight=weight, bias=bias)
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require_dim("weight", weight, (4,), "(out_channels, in_channels/groups, KH, KW)")
    require(min(x.shape[-2:]) > 0, f"x must have pixels, but its shape is {tuple(x.shape)}")
    batched = x.dim() == 4
    x = x if batched else x[None]
    channels, outputs, kernel = x.shape[1], weight.shape[0], tuple(weight.shape[2:])
    require(min(weight.shape) > 0, f"weight must not be empty, but its shape is {tuple(weight.shape)}")
    require(isinstance(groups, int) and groups >= 1, f"groups must be at least 1, but it is {groups!r}")
    require(outputs % groups == 0, f"groups must divide the {outputs} output channels, but it is {groups}")
    require(
        channels == weight.shape[1] * groups,
        f"x has {channels} channels, but weight of shape {tuple(weight.shape)} with groups={groups} "
        f"expects {weight.shape[1] * groups}",
    )
    require(
        bias is None or bias.shape == (outputs,),
        f"bias must have shape ({outputs},), one value per output channel, "
        f"but its shape is {tuple(bias.shape) if bias is not None else None}",
    )

    stride, dilation = pair("stride", stride, minimum=1), pair("dilation", dilation, minimum=1)
    sides = padding_sides(padding, kernel, stride, dilation)
    size = (x.shape[2] + sides[0] + sides[1], x.shape[3] + sides[2] + sides[3])
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    require(
        reach[0] <= size[0] and reach[1] <= size[1],
        f"the kernel reaches over {reach[0]}x{reach[1]} pixels (kernel {kernel[0]}x{kernel[1]}, dilation {dilation}), "
        f"but the padded image has only {size[0]}x{size[1]}",
    )
    output = tuple((s - r) // step + 1 for s, r, step in zip(size, reach, stride, strict=True))
    return x, Geometry(kernel, stride, sides, dilation, groups, output), batched


def padding_sides(
    padding: int | tuple[int, int] | str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """conv2d's padding argument as (top, bottom, left, right)."""
    if not isinstance(padding, str):
        vertical, horizontal = pair("padding", padding, minimum=0)
        return vertical, vertical, horizontal, horizontal
    require(padding in ("same", "valid"), f"padding must be a number, 'same' or 'valid', but it is {padding!r}")
    if padding == "valid":
        return 0, 0, 0, 0
    require(stride == (1, 1), f"padding='same' needs a stride of 1, but it is {stride}")
    vertical, horizontal = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return vertical // 2, vertical - vertical // 2, horizontal // 2, horizontal - horizontal // 2
