"""Residual addition: the shortcut around a block."""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, require_float


class AddCache(NamedTuple):
    """The shapes alone, because the derivative depends on no value."""

    x_shape: torch.Size
    shortcut_shape: torch.Size
    alpha: float


def add_forward(x: Tensor, shortcut: Tensor, alpha: float = 1) -> tuple[Tensor, AddCache]:
    """Sum of a block's output and its shortcut: ``out = x + alpha · shortcut``.

    Backward: ``dx = dout`` and ``dshortcut = alpha · dout``: the gradient reaches the block's input undiminished, which
    is what makes deep networks trainable. Where an argument was broadcast, its gradient is summed over the copies.

    Args: x, shortcut of shapes that broadcast; in a residual block they are equal. alpha, a number.
    Raises: ValueError if the shapes do not broadcast, TypeError for other dtypes.
    Source: He et al. (2016), "Deep residual learning for image recognition", equation 1.
    """
    check_add(x, shortcut)
    return x + alpha * shortcut, AddCache(x.shape, shortcut.shape, alpha)


def add_backward(dout: Tensor, cache: AddCache) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`add_forward`: dx as x, dshortcut as shortcut."""
    x_shape, shortcut_shape, alpha = cache
    # out = x + alpha · shortcut
    return _sum_to(dout, x_shape), alpha * _sum_to(dout, shortcut_shape)


def _sum_to(dout: Tensor, shape: torch.Size) -> Tensor:
    """dout summed over the axes along which ``shape`` was broadcast."""
    padded = (1,) * (dout.dim() - len(shape)) + tuple(shape)
    axes = [axis for axis, size in enumerate(padded) if size == 1 and dout.shape[axis] != 1]
    return (dout.sum(dim=axes, keepdim=True) if axes else dout).reshape(shape)


@once
def check_add(x: Tensor, shortcut: Tensor) -> None:
    """Raise what :func:`add_forward` says."""
    require_float(x=x, shortcut=shortcut)
    try:
        torch.broadcast_shapes(x.shape, shortcut.shape)
    except RuntimeError:
        raise ValueError(
            f"x of shape {tuple(x.shape)} and shortcut of shape {tuple(shortcut.shape)} cannot be added: "
            "give the shortcut a layer that brings it to x's shape"
        ) from None
