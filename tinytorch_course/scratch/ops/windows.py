"""What convolution and pooling share: every window of an image at once, and the way back.

Legend: ... the leading axes, H W height and width, P Q the windows' rows and columns, KH KW the taps of a window.
"""

from typing import NamedTuple

import torch
from torch import Tensor

IntPair = int | tuple[int, int]  # one for both axes, or (vertical, horizontal)
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right


class Geometry(NamedTuple):
    """Where the windows of an image lie."""

    image: Pair  # (H, W)
    kernel: Pair
    stride: Pair
    padding: Sides
    dilation: Pair
    output: Pair  # (P, Q)
    groups: int = 1  # of channels, in convolution


def unfold_windows(x: Tensor, geometry: Geometry, padding: float = 0) -> Tensor:
    """Every window of x (..., H, W), (..., P, Q, KH, KW), in which a pixel stands once for each window it is in.

    A view of x with ``padding`` around it.
    """
    x = pad_sides(x, geometry.padding, padding)
    *leading, h, w = x.stride()
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    return x.as_strided((*x.shape[:-2], *geometry.output, *geometry.kernel), (*leading, sh * h, sw * w, dh * h, dw * w))


def fold_windows(dwindows: Tensor, geometry: Geometry) -> Tensor:
    """Gradient of :func:`unfold_windows`, (..., H, W): each pixel gets the sum over all the places where it stood."""
    (height, width), (top, bottom, left, right) = geometry.image, geometry.padding
    size = (top + height + bottom, left + width + right)
    pixel = torch.arange(size[0] * size[1], device=dwindows.device).view(size)
    where = unfold_windows(pixel, geometry._replace(padding=(0, 0, 0, 0)))  # (P, Q, KH, KW): which pixel stood there
    dpadded = dwindows.new_zeros(*dwindows.shape[:-4], size[0] * size[1])
    dpadded = dpadded.index_add(-1, where.flatten(), dwindows.flatten(-4)).unflatten(-1, size)
    return unpad_sides(dpadded, geometry.padding)


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
