"""Dropout: in training, a random part of the values is set to zero."""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.checks import require, require_float, require_same_shape


class DropoutCache(NamedTuple):
    mask: Tensor | None  # bool, as x: what was kept; None: everything
    p: float


def dropout_forward(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: torch.Generator | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, DropoutCache]:
    """Keep each value with probability 1 − p, and scale what is kept: ``out = x · mask / (1 − p)``.

    Backward: ``dx = dout · mask / (1 − p)``, with the very same mask.

    The scale keeps the mean as it was, so that in evaluation nothing has to be done: out = x.

    Args:
        x: any shape.
        p: the probability of dropping a value, from 0 to 1.
        training: False returns x.
        generator: draws the mask (see :func:`draw_mask`); a CPU generator. None: torch's default one.
        mask: a bool tensor as x, to be used instead of drawing one: True keeps.

    Returns:
        out, as x, and the cache: the mask, a byte a value.

    Raises:
        ValueError: if p is not from 0 to 1, or the mask's shape is not x's. TypeError: if x is not floating point.

    Source: Srivastava et al. (2014), "Dropout", section 4; the scaling at training time ("inverted") is torch's.
    """
    require_float(x=x)
    require(0 <= p <= 1, f"p must be a probability from 0 to 1, but it is {p}")
    if not training or (p == 0 and mask is None):
        return x, DropoutCache(None, p)
    if mask is None:
        mask = draw_mask(x.shape, p, generator).to(x.device, non_blocking=True)
    require_same_shape("mask", mask, "x", x)
    return _scaled(x, mask, p), DropoutCache(mask, p)


def dropout_backward(dout: Tensor, cache: DropoutCache) -> Tensor:
    """Gradient of :func:`dropout_forward`: dx, as x."""
    mask, p = cache
    # out = x · mask / (1 − p)
    return dout if mask is None else _scaled(dout, mask, p)


def draw_mask(shape: torch.Size, p: float, generator: torch.Generator | None = None) -> Tensor:
    """A bool tensor, True with probability 1 − p.

    Always drawn on the CPU in float32, so that one seed gives one mask on every device and in every dtype.
    """
    return torch.rand(shape, generator=generator, dtype=torch.float32) >= p


def _scaled(values: Tensor, mask: Tensor, p: float) -> Tensor:
    # With p = 1 nothing is kept, and the scale, 1/0, multiplies nothing.
    # (A product with bools would be five times slower than with numbers.)
    return mask.to(values.dtype).mul_(values).div_(1 - p) if p < 1 else torch.zeros_like(values)
