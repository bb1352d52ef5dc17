"""Normalisation of every sample by itself: no batch, no running statistics, the same in training and evaluation.

Legend: N batch, C channels, ``...`` any number of axes; M, the number of values that share one mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.checks import require, require_float

__all__ = ["LayerNormCache", "layer_norm_backward", "layer_norm_forward"]


class LayerNormCache(NamedTuple):
    """x̂ is kept, and x is not: what backward needs of x is x̂."""

    x_hat: Tensor  # (..., *normalized_shape)
    inverse_std: Tensor  # (..., 1, 1): one value for each mean
    weight: Tensor | None  # normalized_shape
    axes: tuple[int, ...]  # that share one mean
    has_bias: bool


def layer_norm_forward(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, LayerNormCache]:
    """Normalise each sample over its last axes: ``x̂ = (x − mean) / √(var + eps)``, ``out = weight · x̂ + bias``.

    Mean and variance (the biased one, divided by M) are those of the last axes, whose sizes ``normalized_shape`` says.
    Backward, with ``dx̂ = weight · dout`` and both means over the same axes:
    ``dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂ · x̂)) / √(var + eps)``; ``dweight = Σ dout · x̂`` and ``dbias = Σ dout``, over
    all other axes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the sizes of the last axes, at least one.
        weight, bias: of shape ``normalized_shape``, or None for 1 and 0.
        eps: added to the variance, in the units of x squared; not negative.

    Raises:
        ValueError: for a shape or an eps that does not fit. TypeError: for other dtypes.

    Source: Ba, Kiros & Hinton (2016), "Layer normalization", equations 3 and 4.
    """
    check_layer_norm(x, tuple(normalized_shape), weight, bias, eps)
    axes = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(dim=axes, keepdim=True)
    var = (centred**2).mean(dim=axes, keepdim=True)  # (..., 1, 1)
    inverse_std = 1 / torch.sqrt(var + eps)
    x_hat = centred * inverse_std
    out = x_hat if weight is None else x_hat * weight
    out = out if bias is None else out + bias
    return out, LayerNormCache(x_hat, inverse_std, weight, axes, bias is not None)


def layer_norm_backward(dout: Tensor, cache: LayerNormCache) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of :func:`layer_norm_forward`: dx, dweight, dbias (None where there is none)."""
    x_hat, inverse_std, weight, axes, has_bias = cache
    # out = weight · x̂ + bias, the same weight and bias for every sample
    normalized_shape = x_hat.shape[axes[0] :]
    dbias = dout.sum_to_size(normalized_shape)
    dweight = (dout * x_hat).sum_to_size(normalized_shape)
    dx_hat = dout if weight is None else dout * weight
    # x̂ = (x − mean(x)) / √(var(x) + eps): moving or stretching a whole sample moves no x̂
    mean_dx_hat = dx_hat.mean(dim=axes, keepdim=True)
    mean_dx_hat_x_hat = (dx_hat * x_hat).mean(dim=axes, keepdim=True)
    dx = inverse_std * (dx_hat - mean_dx_hat - x_hat * mean_dx_hat_x_hat)
    return dx, None if weight is None else dweight, dbias if has_bias else None


def check_layer_norm(
    x: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> None:
    require_float(x=x, weight=weight, bias=bias)
    fits = len(normalized_shape) > 0 and tuple(x.shape[-len(normalized_shape) :]) == normalized_shape
    require(fits, f"x must end in normalized_shape {normalized_shape}, but its shape is {tuple(x.shape)}")
    for name, tensor in {"weight": weight, "bias": bias}.items():
        if tensor is not None:
            shape = tuple(tensor.shape)
            require(shape == normalized_shape, f"{name} must have shape {normalized_shape}, but its shape is {shape}")
    require(eps >= 0, f"eps must not be negative, but it is {eps}")
