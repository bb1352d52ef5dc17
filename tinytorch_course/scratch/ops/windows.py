"""What convolution and pooling share: every window of an image at once, and the way back.

Legend: ... the leading axes, H W height and width, P Q the windows' rows and columns, KH KW the taps of a window.
"""

import torch
from torch import Tensor

IntPair = int | tuple[int, int]  # one for both axes, or (vertical, horizontal)
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right


def unfold_windows(x: Tensor, output: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Tensor:
    """Every window of x (..., H, W), as (..., P, Q, KH, KW): a view, in which a pixel stands once for each window."""
    *leading, h, w = x.stride()
    steps = (stride[0] * h, stride[1] * w, dilation[0] * h, dilation[1] * w)
    return x.as_strided((*x.shape[:-2], *output, *kernel), (*leading, *steps))


def fold_windows(dwindows: Tensor, size: Pair, stride: Pair, dilation: Pair) -> Tensor:
    """Gradient of :func:`unfold_windows`, (..., H, W): each pixel gets the sum over all the places where it stood."""
    *leading, p, q, kh, kw = dwindows.shape
    pixel = torch.arange(size[0] * size[1], device=dwindows.device).view(size)
    where = unfold_windows(pixel, (p, q), (kh, kw), stride, dilation)  # (P, Q, KH, KW): which pixel stood there
    dx = dwindows.new_zeros(*leading, size[0] * size[1])
    return dx.index_add(-1, where.flatten(), dwindows.flatten(-4)).unflatten(-1, size)


def pad_sides(x: Tensor, sides: Sides, value: float = 0) -> Tensor:
    """x (..., H, W) with ``value`` around it."""
    if not any(sides):
        return x
    top, bottom, left, right = sides
    *leading, height, width = x.shape
    columns = (x.new_full((*leading, height, count), value) for count in (left, right))
    rows = (x.new_full((*leading, count, left + width + right), value) for count in (top, bottom))
    x = torch.cat([next(columns), x, next(columns)], dim=-1)
    return torch.cat([next(rows), x, next(rows)], dim=-2)


def unpad_sides(padded: Tensor, sides: Sides) -> Tensor:
    """What lies inside the padding; gradient of :func:`pad_sides`."""
    top, bottom, left, right = sides
    # Counted from the front: [top:-bottom] would be empty for a padding of 0.
    return padded[..., top : padded.shape[-2] - bottom, left : padded.shape[-1] - right]
