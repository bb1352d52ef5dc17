"""Batch normalisation: every channel brought to mean 0 and variance 1 over the batch, then scaled and shifted.

Legend: N batch, C channels, ``...`` trailing axes (none, L, or H W), M = N times the trailing axes: the values that
share one mean.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import once, require, require_float, require_per

Statistic = Tensor | Any  # or None, which the check refuses where it is needed


class BatchNormCache(NamedTuple):
    """What x̂ is made of: it is made again from x, which is kept anyway."""

    x: Tensor  # (N, C, ...)
    mean: Tensor  # (C,)
    inverse_std: Tensor  # (C,)
    weight: Tensor | None  # (C,)
    has_bias: bool
    training: bool  # whether mean and inverse_std came from x


def batch_norm_forward(
    x: Tensor,
    running_mean: Statistic,
    running_var: Statistic,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, tuple[Statistic, Statistic], BatchNormCache]:
    """Normalise each channel: ``x̂ = (x − mean) / √(var + eps)``, ``out = weight · x̂ + bias``.

    In training, mean and variance are the batch's own (the variance biased, divided by M), and backward goes through
    them: ``dx = weight/√(var + eps) · (dout − mean(dout) − x̂ · mean(dout · x̂))``, both means over the channel. In
    evaluation they are the running ones, constants, and ``dx = weight/√(var + eps) · dout``.
    Always ``dweight = Σ dout · x̂`` and ``dbias = Σ dout``.

    Args: x (N, C, ...); running_mean, running_var (C,), which get no gradient; weight, bias (C,); None stands for
        statistics that nobody keeps, a weight of 1, a bias of 0. momentum, by how much of the batch's the running
        statistics are replaced (in the paper's sense that is 1 − momentum); eps in the units of x².
    Returns: out, as x; the new (running_mean, running_var); and the cache. An x without values changes nothing.
    Raises: ValueError if a shape or eps does not fit, for one value a channel in training (its variance says nothing),
        or without running statistics in evaluation; TypeError for other dtypes.
    Source: Ioffe & Szegedy (2015), "Batch normalization", algorithms 1 and 2. As in torch, the running variance is the
        unbiased one, divided by M − 1.
    """
    check_batch_norm(x, running_mean, running_var, weight, bias, training, eps)
    if x.numel() == 0:
        none = x.new_zeros(x.shape[1:2])
        return x.clone(), (running_mean, running_var), BatchNormCache(x, none, none, weight, bias is not None, training)
    mean, var = running_mean, running_var
    if training:
        mean = x.mean(dim=axes_but_channel(x))
        var = ((x - per_channel(mean, x)) ** 2).mean(dim=axes_but_channel(x))
        if running_mean is not None:
            count = x.numel() // x.shape[1]  # M
            running_mean = (1 - momentum) * running_mean + momentum * mean
            running_var = (1 - momentum) * running_var + momentum * var * (count / (count - 1))
    inverse_std = 1 / torch.sqrt(var + eps)
    out = (x - per_channel(mean, x)) * per_channel(inverse_std, x)  # x̂
    if weight is not None:
        out = out * per_channel(weight, x)
    if bias is not None:
        out = out + per_channel(bias, x)
    return out, (running_mean, running_var), BatchNormCache(x, mean, inverse_std, weight, bias is not None, training)


def batch_norm_backward(dout: Tensor, cache: BatchNormCache) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of :func:`batch_norm_forward`: dx, dweight, dbias (None where there is none).

    The closed form. :func:`batch_norm_long_backward` has the chain rule step by step.
    """
    x, mean, inverse_std, weight, has_bias, training = cache
    if x.numel() == 0:  # sums over nothing: 0, as mean is
        return dout, None if weight is None else mean, mean if has_bias else None
    x_hat = (x - per_channel(mean, x)) * per_channel(inverse_std, x)
    # out = weight · x̂ + bias
    dbias = dout.sum(dim=axes_but_channel(x))
    dweight = (dout * x_hat).sum(dim=axes_but_channel(x))
    dx_hat = dout if weight is None else dout * per_channel(weight, x)
    # x̂ = (x − mean(x)) / √(var(x) + eps)
    dx = dx_hat * per_channel(inverse_std, x)
    if training:  # moving every x alike, or stretching them, does not move x̂: dx has no part along 1 and along x̂
        mean_dx, mean_dx_x_hat = (v.mean(dim=axes_but_channel(x), keepdim=True) for v in (dx, dx * x_hat))
        dx = dx - mean_dx - x_hat * mean_dx_x_hat
    return dx, None if weight is None else dweight, dbias if has_bias else None


def axes_but_channel(x: Tensor) -> list[int]:
    """All axes that share one mean."""
    return [axis for axis in range(x.dim()) if axis != 1]


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) in the shape that broadcasts over x, (1, C, 1, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


# --- step by step ----------------------------------------------------------------------------------------------------


class BatchNormLongCache(NamedTuple):
    """Every step's result that its derivative needs."""

    x: Tensor  # (N, C, ...), as all below but those of the channels
    centred: Tensor
    var: Tensor  # (1, C, 1...), as std
    std: Tensor
    x_hat: Tensor
    weight: Tensor  # (C,)


def batch_norm_long_forward(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> tuple[Tensor, BatchNormLongCache]:
    """:func:`batch_norm_forward` in training, one step of the chain rule a line, everything kept for backward.

    Args: x (N, C, ...); weight, bias (C,); eps as there.
    """
    axes = axes_but_channel(x)
    mean = x.mean(dim=axes, keepdim=True)  # 1
    centred = x - mean  # 2
    var = (centred**2).mean(dim=axes, keepdim=True)  # 3
    std = torch.sqrt(var + eps)  # 4
    x_hat = centred / std  # 5
    out = x_hat * per_channel(weight, x) + per_channel(bias, x)  # 6
    return out, BatchNormLongCache(x, centred, var, std, x_hat, weight)


def batch_norm_long_backward(dout: Tensor, cache: BatchNormLongCache) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`batch_norm_long_forward`, its lines read from the last to the first."""
    x, centred, _, std, x_hat, weight = cache
    axes = axes_but_channel(x)
    count = x.numel() // x.shape[1]
    # 6: out = x_hat · weight + bias
    dbias = dout.sum(dim=axes)
    dweight = (dout * x_hat).sum(dim=axes)
    dx_hat = dout * per_channel(weight, x)
    # 5: x_hat = centred / std
    dcentred = dx_hat / std
    dstd = -(dx_hat * centred / std**2).sum(dim=axes, keepdim=True)
    # 4: std = √(var + eps)
    dvar = dstd / (2 * std)
    # 3: var = mean(centred²)
    dcentred = dcentred + dvar * 2 * centred / count
    # 2: centred = x − mean
    dx = dcentred
    dmean = -dcentred.sum(dim=axes, keepdim=True)
    # 1: mean = mean(x)
    dx = dx + dmean / count
    return dx, dweight, dbias


# --- checks ----------------------------------------------------------------------------------------------------------


@once
def check_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    eps: float,
) -> None:
    """Raise what :func:`batch_norm_forward` says."""
    require_float(x=x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    shape = tuple(x.shape)
    require(x.dim() >= 2 or shape == (0,), f"x must be (N, C, ...), but its shape is {shape}")
    channels = x.shape[1] if x.dim() > 1 else 0
    require_per("channel of x", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    both = (running_mean is None) == (running_var is None)
    require(both, "running_mean and running_var must both be given or both be None")
    require(eps >= 0, f"eps must not be negative, but it is {eps}")
    if not training:
        require(running_mean is not None, "running_mean and running_var must be given when training is False")
        return
    require(eps > 0, f"eps must be positive in training, but it is {eps}")
    at_least_two = "in training, batch norm needs at least two, so use larger batches"
    alone = len(x) * math.prod(x.shape[2:]) == 1
    require(not alone, f"x has one value per channel only (shape {shape}): {at_least_two}")
