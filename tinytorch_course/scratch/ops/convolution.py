"""Two-dimensional convolution (cross-correlation, as every deep-learning library means it).

Every output pixel's window is laid out side by side (im2col), and one product does all the sums; the way back adds
every window up where it came from. The naive version below is the definition, loop by loop.

Legend: N batch, H W input height and width, C input channels, O output channels, G groups, I = C/G channels that one
output sees, KH KW kernel, P Q output height and width. In the sums i is a channel, a b a tap of the kernel.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, pair, require, require_dim, require_float, require_per
from tinytorch_course.scratch.ops.windows import Geometry, IntPair, fold_windows, pad_sides, unfold_windows, unpad_sides


class Conv2dCache(NamedTuple):
    """Both factors of the product. The windows are laid out again in backward: they are KH·KW times as large as x."""

    x: Tensor  # (N, C, H, W)
    weight: Tensor  # (O, I, KH, KW)
    has_bias: bool
    batched: bool
    geometry: Geometry


def conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[Tensor, Conv2dCache]:
    """Slide ``weight`` over ``x``; each output pixel is the sum over its window, plus ``bias``:

    ``out[n, o, p, q] = bias[o] + Σ_{i,a,b} weight[o, i, a, b] · x[n, i, p·stride + a·dilation, q·stride + b·dilation]``
    (x with its padding around it).

    Backward, in the same sum: ``dweight`` multiplies each ``dout`` by the pixel it met, ``dx`` by the weight it met
    (adding where windows overlap), and ``dbias`` is dout summed over batch and pixels.

    Args: x (N, C, H, W), or (C, H, W) for one image; weight (O, I, KH, KW); bias (O,) or None; padding of zeros, in
        pixels, "valid" (none), or "same" (keeps the size, for stride 1; an odd pixel goes to the bottom and right).
    Returns: out (N, O, P, Q) with ``P = ⌊(H + padding on both sides − dilation·(KH−1) − 1) / stride⌋ + 1``; the cache.
    Raises: ValueError if a shape, stride, padding, dilation or group count does not fit, TypeError for other dtypes.
    Source: Chellapilla, Puri & Simard (2006), "High performance convolutional neural networks for document processing".
    """
    geometry, batched = conv2d_geometry(x, weight, bias, stride, padding, dilation, groups), x.dim() == 4
    x = x if batched else x[None]
    windows, kernels = _windows(x, geometry), _kernels(weight, geometry)
    out = torch.einsum("ngipqab,goiab->ngopq", windows, kernels).flatten(1, 2)  # (N, O, P, Q)
    if bias is not None:
        out = out + bias[:, None, None]
    return out if batched else out[0], Conv2dCache(x, weight, bias is not None, batched, geometry)


def conv2d_backward(dout: Tensor, cache: Conv2dCache, *, need_dx: bool = True) -> tuple[Tensor | None, ...]:
    """Gradients of :func:`conv2d_forward`: dx (None without need_dx), dweight, dbias (None without a bias)."""
    x, weight, has_bias, batched, geometry = cache
    dout = (dout if batched else dout[None]).unflatten(1, (geometry.groups, -1))  # (N, G, O/G, P, Q)
    # out = Σ windows · kernels + bias
    dbias = dout.sum(dim=(0, 3, 4)).flatten() if has_bias else None
    dweight = torch.einsum("ngopq,ngipqab->goiab", dout, _windows(x, geometry)).flatten(0, 1)
    if not need_dx:
        return None, dweight, dbias
    dwindows = torch.einsum("ngopq,goiab->ngipqab", dout, _kernels(weight, geometry)).flatten(1, 2)
    # windows = every window of the padded x
    dx = fold_windows(dwindows, geometry)
    return dx if batched else dx[0], dweight, dbias


def _windows(x: Tensor, geometry: Geometry) -> Tensor:
    """Every window of every group of channels, (N, G, I, P, Q, KH, KW)."""
    return unfold_windows(x, geometry).unflatten(1, (geometry.groups, -1))


def _kernels(weight: Tensor, geometry: Geometry) -> Tensor:
    """(G, O/G, I, KH, KW)."""
    return weight.unflatten(0, (geometry.groups, -1))


# --- the definition --------------------------------------------------------------------------------------------------


def conv2d_naive_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[Tensor, Conv2dCache]:
    """:func:`conv2d_forward` by its definition: loops over images, outputs and pixels, one window at a time."""
    geometry, batched = conv2d_geometry(x, weight, bias, stride, padding, dilation, groups), x.dim() == 4
    x = x if batched else x[None]
    padded = pad_sides(x, geometry.padding)
    out = x.new_zeros(len(x), len(weight), *geometry.output)
    for n in range(len(x)):
        for o in range(len(weight)):
            for p in range(geometry.output[0]):
                for q in range(geometry.output[1]):
                    window = padded[n][_window_at(o, p, q, weight, geometry)]  # (I, KH, KW)
                    out[n, o, p, q] = (weight[o] * window).sum() + (0 if bias is None else bias[o])
    return out if batched else out[0], Conv2dCache(x, weight, bias is not None, batched, geometry)


def conv2d_naive_backward(dout: Tensor, cache: Conv2dCache) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of :func:`conv2d_naive_forward`, in the same loops: each dout goes back to the window it came from."""
    x, weight, has_bias, batched, geometry = cache
    dout = dout if batched else dout[None]
    padded = pad_sides(x, geometry.padding)
    dpadded, dweight = torch.zeros_like(padded), torch.zeros_like(weight)
    for n in range(len(x)):
        for o in range(len(weight)):
            for p in range(geometry.output[0]):
                for q in range(geometry.output[1]):
                    at = _window_at(o, p, q, weight, geometry)
                    # out[n, o, p, q] = Σ weight[o] · window
                    dweight[o] += dout[n, o, p, q] * padded[n][at]
                    dpadded[n][at] += dout[n, o, p, q] * weight[o]
    dx = unpad_sides(dpadded, geometry.padding)
    dbias = dout.sum(dim=(0, 2, 3)) if has_bias else None
    return dx if batched else dx[0], dweight, dbias


def _window_at(o: int, p: int, q: int, weight: Tensor, geometry: Geometry) -> tuple[slice, slice, slice]:
    """The channels, rows and columns of a padded image that pixel (p, q) of output o sees."""
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilation
    channels = weight.shape[1]
    first = o // (len(weight) // geometry.groups) * channels
    rows, columns = slice(p * sh, p * sh + dh * (kh - 1) + 1, dh), slice(q * sw, q * sw + dw * (kw - 1) + 1, dw)
    return slice(first, first + channels), rows, columns


# --- checks ----------------------------------------------------------------------------------------------------------


@once
def conv2d_geometry(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntPair,
    padding: IntPair | str,
    dilation: IntPair,
    groups: int,
) -> Geometry:
    """Where the windows lie, after a check of every argument of :func:`conv2d_forward`."""
    require_float(x=x, weight=weight, bias=bias)
    require_dim("x", x, (3, 4), "(N, C, H, W) or (C, H, W)")
    require_dim("weight", weight, (4,), "(out_channels, in_channels/groups, KH, KW)")
    (outputs, inputs, *_), kernel, channels = weight.shape, (weight.shape[2], weight.shape[3]), x.shape[-3]
    shape = tuple(weight.shape)
    require(min(x.shape[-2:]) > 0, f"x must have pixels, but its shape is {tuple(x.shape)}")
    require(min(shape) > 0, f"weight must not be empty, but its shape is {shape}")
    require(isinstance(groups, int) and groups >= 1, f"groups must be at least 1, but it is {groups!r}")
    require(outputs % groups == 0, f"groups must divide the {outputs} output channels, but it is {groups}")
    expected = f"weight of shape {shape} with groups={groups} expects {inputs * groups}"
    require(channels == inputs * groups, f"x has {channels} channels, but {expected}")
    require_per("output channel", outputs, bias=bias)

    stride, dilation = pair("stride", stride, minimum=1), pair("dilation", dilation, minimum=1)
    sides = padding_sides(padding, kernel, stride, dilation)
    size = (x.shape[-2] + sides[0] + sides[1], x.shape[-1] + sides[2] + sides[3])
    reach = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    require(
        reach[0] <= size[0] and reach[1] <= size[1],
        f"the kernel reaches over {reach[0]}x{reach[1]} pixels (kernel {kernel[0]}x{kernel[1]}, dilation {dilation}), "
        f"but the padded image has only {size[0]}x{size[1]}",
    )
    output = ((size[0] - reach[0]) // stride[0] + 1, (size[1] - reach[1]) // stride[1] + 1)
    return Geometry((x.shape[-2], x.shape[-1]), kernel, stride, sides, dilation, output, groups)


def padding_sides(
    padding: IntPair | str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
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
