"""Dropout: in training, a random part of the values is set to zero."""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, require_float, require_probability, require_same_shape


class DropoutCache(NamedTuple):
    """The mask, a byte a value."""

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

    Args: x, any shape; p, the probability of dropping a value; training, False returns x; generator, on the CPU, draws
        the mask (None: torch's default one); mask, as x, to be used instead: True keeps.
    Returns: out, as x, and the cache.
    Raises: ValueError if p is not from 0 to 1, or the mask's shape is not x's; TypeError if x is not floating point.
    Source: Srivastava et al. (2014), "Dropout", section 4; the scaling at training time ("inverted") is torch's.
    """
    check_dropout(x, p, mask)
    if not training or (p == 0 and mask is None):
        return x, DropoutCache(None, p)
    if mask is None:
        mask = draw_mask(x.shape, p, generator).to(x.device, non_blocking=True)
    return torch.where(mask, x / (1 - p), 0), DropoutCache(mask, p)


def dropout_backward(dout: Tensor, cache: DropoutCache) -> Tensor:
    """Gradient of :func:`dropout_forward`: dx, as x."""
    mask, p = cache
    # out = x / (1 − p) where mask, else 0
    return dout if mask is None else torch.where(mask, dout / (1 - p), 0)


def draw_mask(shape: torch.Size, p: float, generator: torch.Generator | None = None) -> Tensor:
    """A bool tensor, True with probability 1 − p.

    Always drawn on the CPU in float32, so that one seed gives one mask on every device and in every dtype.
    """
    return torch.rand(shape, generator=generator, dtype=torch.float32) >= p


@once
def check_dropout(x: Tensor, p: float, mask: Tensor | None) -> None:
    """Raise what :func:`dropout_forward` says."""
    require_float(x=x)
    require_probability("p", p)
    if mask is not None:
        require_same_shape("mask", mask, "x", x)
