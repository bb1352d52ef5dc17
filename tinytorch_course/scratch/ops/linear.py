"""The linear (fully connected) layer: every output is a weighted sum of every input.

Legend: I in-features, O out-features, ``...`` any number of leading batch axes (none at all included).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, require, require_float, require_per


class LinearCache(NamedTuple):
    """Both factors of the product, since each is the other's derivative."""

    x: Tensor  # (..., I)
    weight: Tensor  # (O, I)
    has_bias: bool


def linear_forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, LinearCache]:
    """Weighted sums: ``out = x weightᵀ + bias``.

    Backward: ``dx = dout weight``, ``dweight = doutᵀ x`` and ``dbias = Σ dout``, both summed over the batch.

    Args: x (..., I); weight (O, I), or without a bias also (I,), for one output without an axis; bias (O,) or None.
    Raises: ValueError if the shapes do not fit, TypeError for other dtypes.
    """
    check_linear(x, weight, bias)
    out = x @ weight.t() if bias is None else x @ weight.t() + bias  # (..., O)
    return out, LinearCache(x, weight, bias is not None)


def linear_backward(dout: Tensor, cache: LinearCache, *, need_dx: bool = True) -> tuple[Tensor | None, ...]:
    """Gradients of :func:`linear_forward`: dx (None without need_dx), dweight, dbias (None without a bias)."""
    x, weight, has_bias = cache
    dout = dout if weight.dim() == 2 else dout[..., None]  # (..., O)
    # out = x weightᵀ + bias
    dx = dout @ torch.atleast_2d(weight) if need_dx else None
    dweight = torch.einsum("...o,...i->oi", dout, x).view(weight.shape)
    dbias = dout.sum_to_size(weight.shape[:1]) if has_bias else None
    return dx, dweight, dbias


@once
def check_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise what :func:`linear_forward` says."""
    require_float(x=x, weight=weight, bias=bias)
    shape = tuple(weight.shape)
    require(weight.dim() in (1, 2), f"weight must be (out, in) or (in,), but its shape is {shape}")
    require(x.dim() >= 1, "x must have at least one axis, (..., in_features), but it is a scalar")
    features = f"x has {x.shape[-1]} features in its last axis, but weight of shape {shape} expects {shape[-1]}"
    require(x.shape[-1] == shape[-1], features)
    require(bias is None or weight.dim() == 2, "bias must be None beside a weight of one axis")
    require_per("output", shape[0], bias=bias)
