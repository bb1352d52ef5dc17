"""Normalisation of every sample by itself: no batch, no running statistics, the same in training and evaluation.

Legend: N batch, C channels, G groups of channels, ``...`` any number of axes; M, the number of values that share one
mean.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, require, require_float, require_per
from tinytorch_course.scratch.ops.normalization import axes_but_channel, per_channel


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

    Args: x (..., *normalized_shape); normalized_shape, the sizes of the last axes, at least one; weight, bias of this
        shape, or None for 1 and 0; eps in the units of x².
    Raises: ValueError for a shape that does not fit, TypeError for other dtypes.
    Source: Ba, Kiros & Hinton (2016), "Layer normalization", equations 3 and 4.
    """
    check_layer_norm(x, tuple(normalized_shape), weight, bias)
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


@once
def check_layer_norm(x: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None) -> None:
    """Raise what :func:`layer_norm_forward` says."""
    require_float(x=x, weight=weight, bias=bias)
    fits = len(normalized_shape) > 0 and tuple(x.shape[-len(normalized_shape) :]) == normalized_shape
    require(fits, f"x must end in normalized_shape {normalized_shape}, but its shape is {tuple(x.shape)}")
    for name, tensor in {"weight": weight, "bias": bias}.items():
        if tensor is not None:
            shape = tuple(tensor.shape)
            require(shape == normalized_shape, f"{name} must have shape {normalized_shape}, but its shape is {shape}")


# --- group norm ------------------------------------------------------------------------------------------------------


class GroupNormCache(NamedTuple):
    """As layer norm's; a group is an axis of its own there."""

    x_hat: Tensor  # (N, G, M)
    inverse_std: Tensor  # (N, G, 1)
    weight: Tensor | None  # (C,)
    has_bias: bool


def group_norm_forward(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, GroupNormCache]:
    """Normalise each sample by groups of channels: ``x̂ = (x − mean) / √(var + eps)``, ``out = weight · x̂ + bias``.

    Mean and variance (the biased one, divided by M) are those of C/G neighbouring channels and all trailing axes: with
    G = 1 of the whole sample, with G = C of each channel alone (instance norm). Weight and bias are the channels' own.
    Backward is layer norm's, with both means over a group: with ``dx̂ = weight · dout``,
    ``dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂ · x̂)) / √(var + eps)``; ``dweight = Σ dout · x̂`` and ``dbias = Σ dout``, over
    all axes but the channel's.

    Args: x (N, C, ...); num_groups, G, which divides C; weight, bias (C,), or None for 1 and 0; eps in the units of x².
    Raises: ValueError for a shape or a number of groups that does not fit, or a sample without values; TypeError for
        other dtypes.
    Source: Wu & He (2018), "Group normalization", equations 1 to 7.
    """
    check_group_norm(x, num_groups, weight, bias)
    groups = x.reshape(len(x), num_groups, math.prod(x.shape[1:]) // num_groups)  # (N, G, M)
    centred = groups - groups.mean(dim=-1, keepdim=True)
    var = (centred**2).mean(dim=-1, keepdim=True)  # (N, G, 1)
    inverse_std = 1 / torch.sqrt(var + eps)
    x_hat = centred * inverse_std
    out = x_hat.reshape(x.shape)
    out = out if weight is None else out * per_channel(weight, x)
    out = out if bias is None else out + per_channel(bias, x)
    return out, GroupNormCache(x_hat, inverse_std, weight, bias is not None)


def group_norm_backward(dout: Tensor, cache: GroupNormCache) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of :func:`group_norm_forward`: dx, dweight, dbias (None where there is none)."""
    x_hat, inverse_std, weight, has_bias = cache
    # out = weight · x̂ + bias, the same weight and bias for every value of a channel
    dbias = dout.sum(dim=axes_but_channel(dout))
    dweight = (dout * x_hat.reshape(dout.shape)).sum(dim=axes_but_channel(dout))
    dx_hat = (dout if weight is None else dout * per_channel(weight, dout)).reshape(x_hat.shape)  # (N, G, M)
    # x̂ = (x − mean(x)) / √(var(x) + eps): moving or stretching a whole group moves no x̂
    mean_dx_hat = dx_hat.mean(dim=-1, keepdim=True)
    mean_dx_hat_x_hat = (dx_hat * x_hat).mean(dim=-1, keepdim=True)
    dx = inverse_std * (dx_hat - mean_dx_hat - x_hat * mean_dx_hat_x_hat)
    return dx.reshape(dout.shape), None if weight is None else dweight, dbias if has_bias else None


@once
def check_group_norm(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None) -> None:
    """Raise what :func:`group_norm_forward` says."""
    require_float(x=x, weight=weight, bias=bias)
    shape = tuple(x.shape)
    require(x.dim() >= 2 and 0 not in shape[1:], f"x must be (N, C, ...) with values, but its shape is {shape}")
    divides = num_groups > 0 and shape[1] % num_groups == 0
    require(divides, f"num_groups must divide the channels of x, but they are {num_groups} and {shape[1]}")
    require_per("channel of x", shape[1], weight=weight, bias=bias)
