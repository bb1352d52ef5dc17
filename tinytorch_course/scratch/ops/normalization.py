"""Batch normalisation: every channel brought to mean 0 and variance 1 over the batch, then scaled and shifted.

Legend: N batch, C channels, ``...`` trailing axes (none, L, or H W), M = N times the trailing axes: the values that
share one mean.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.ops.checks import require, require_float

BLOCK_BYTES = 1 << 20  # what stays in the processor's cache


class BatchNormCache(NamedTuple):
    x: Tensor  # (N, C, ...)
    mean: Tensor  # (C,)
    inverse_std: Tensor  # (C,)
    weight: Tensor | None  # (C,)
    has_bias: bool
    training: bool  # whether mean and inverse_std came from x


def batch_norm_forward(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None], BatchNormCache]:
    """Normalise each channel: ``x̂ = (x − mean) / √(var + eps)``, ``out = weight · x̂ + bias``.

    In training, mean and variance are the batch's own (the variance biased, divided by M), and backward goes through
    them: ``dx = weight/√(var + eps) · (dout − mean(dout) − x̂ · mean(dout · x̂))``, both means over the channel. In
    evaluation they are the running ones, constants, and ``dx = weight/√(var + eps) · dout``.
    Always ``dweight = Σ dout · x̂`` and ``dbias = Σ dout``.

    Args:
        x: (N, C), (N, C, L) or (N, C, H, W), any number of trailing axes. One without values is returned as it is, and
            leaves the statistics alone; as in torch it may then be of shape (0,), without channels.
        running_mean, running_var: (C,), or both None in training if nobody keeps them. They get no gradient.
        weight, bias: (C,) or None for 1 and 0.
        training: whether to use the batch's statistics, and to move the running ones.
        momentum: how far: ``running ← (1 − momentum) · running + momentum · batch``. (In the paper's sense, and
            other libraries', this would be 1 − momentum.)
        eps: added to the variance, in the units of x squared; positive in training.

    Returns:
        out, as x; the new (running_mean, running_var), which torch would have changed in place; and the cache. x̂ is not
        saved: it is made again from x, which is kept anyway, in one pass.

    Raises:
        ValueError: in training if a channel has one value only (its variance says nothing) or eps is not positive, in
            evaluation without running statistics or for a negative eps, or if a shape does not fit.
        TypeError: for other dtypes.

    Source: Ioffe & Szegedy (2015), "Batch normalization", algorithms 1 and 2; torch's convention that the running
    variance is the unbiased one, divided by M − 1.
    """
    _check(x, running_mean, running_var, weight, bias, training, eps)
    if x.numel() == 0:
        none = x.new_zeros(_channels(x))
        return x.clone(), (running_mean, running_var), BatchNormCache(x, none, none, weight, bias is not None, training)
    if training:
        # In two passes: E[x²] − E[x]² would lose every digit where the mean is large beside the deviation.
        mean = x.mean(dim=_axes_but_channel(x))
        centred = x - _per_channel(mean, x)
        out = centred * centred
        var = out.mean(dim=_axes_but_channel(x))
        count = x.numel() // x.shape[1]
        if running_mean is not None:
            running_mean = (1 - momentum) * running_mean + momentum * mean
            running_var = (1 - momentum) * running_var + momentum * var * (count / (count - 1))
    else:
        mean, var = running_mean, running_var
        centred = x - _per_channel(mean, x)
        out = torch.empty_like(centred)
    inverse_std = 1 / torch.sqrt(var + eps)

    scale = inverse_std if weight is None else inverse_std * weight
    # Written over the squares, which nobody needs any more: fresh memory costs as much as the arithmetic.
    if bias is None:
        torch.mul(centred, _per_channel(scale, x), out=out)
    else:
        torch.addcmul(_per_channel(bias, x), centred, _per_channel(scale, x), out=out)
    return out, (running_mean, running_var), BatchNormCache(x, mean, inverse_std, weight, bias is not None, training)


def batch_norm_backward(dout: Tensor, cache: BatchNormCache) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of :func:`batch_norm_forward`: dx as x, dweight and dbias (C,), or None where there is none.

    The closed form. :func:`batch_norm_long_backward` has the chain rule step by step.
    """
    x, mean, inverse_std, weight, has_bias, training = cache
    if x.numel() == 0:
        dweight, dbias = x.new_zeros(2, _channels(x))
        return dout, None if weight is None else dweight, dbias if has_bias else None
    axes = _axes_but_channel(x)
    centred = x - _per_channel(mean, x)
    dbias = dout.sum(dim=axes)
    dweight = inverse_std * _sum_of_products(dout, centred, axes)  # Σ dout · x̂

    scale = inverse_std if weight is None else inverse_std * weight
    if training:
        # x̂ = (x − mean(x)) / √(var(x) + eps): moving every x alike, or stretching them, does not move x̂. So the parts
        # of dout along 1 and along x̂ do not come through. All in all dx is affine in dout and x.
        count = x.numel() // x.shape[1]
        shift = -scale * dbias / count
        slope = -scale * inverse_std * dweight / count
        dx = torch.addcmul(_per_channel(shift, x), centred, _per_channel(slope, x), out=centred)
        dx.addcmul_(dout, _per_channel(scale, x))
    else:
        dx = dout * _per_channel(scale, x)
    return dx, None if weight is None else dweight, dbias if has_bias else None


class BatchNormLongCache(NamedTuple):
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

    Args:
        x: (N, C, ...). weight, bias: (C,). eps: as there.
    """
    axes = _axes_but_channel(x)
    mean = x.mean(dim=axes, keepdim=True)  # 1
    centred = x - mean  # 2
    var = (centred**2).mean(dim=axes, keepdim=True)  # 3
    std = torch.sqrt(var + eps)  # 4
    x_hat = centred / std  # 5
    out = x_hat * _per_channel(weight, x) + _per_channel(bias, x)  # 6
    return out, BatchNormLongCache(x, centred, var, std, x_hat, weight)


def batch_norm_long_backward(dout: Tensor, cache: BatchNormLongCache) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`batch_norm_long_forward`, its lines read from the last to the first."""
    x, centred, _, std, x_hat, weight = cache
    axes = _axes_but_channel(x)
    count = x.numel() // x.shape[1]
    # 6: out = x_hat · weight + bias
    dbias = dout.sum(dim=axes)
    dweight = (dout * x_hat).sum(dim=axes)
    dx_hat = dout * _per_channel(weight, x)
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


def _sum_of_products(a: Tensor, b: Tensor, axes: list[int]) -> Tensor:
    """(C,): a · b summed over all axes but the channel's, a few samples at a time: the products are never all there."""
    size = max(1, BLOCK_BYTES * len(a) // (a.numel() * a.element_size()))
    if a.is_cuda:
        size = len(a)  # a GPU would wait for the next block's launch
    total = torch.zeros(a.shape[1], dtype=a.dtype, device=a.device)
    for a_block, b_block in zip(a.split(size), b.split(size), strict=True):
        total += (a_block * b_block).sum(dim=axes)
    return total


def _channels(x: Tensor) -> int:
    return x.shape[1] if x.dim() > 1 else 0


def _axes_but_channel(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) in the shape that broadcasts over x, (1, C, 1, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def _check(x, running_mean, running_var, weight, bias, training, eps) -> None:
    require_float(x=x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    require(x.dim() >= 2 or x.shape == (0,), f"x must be (N, C, ...), but its shape is {tuple(x.shape)}")
    channels = _channels(x)
    per_channel = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, tensor in per_channel.items():
        require(
            tensor is None or tensor.shape == (channels,),
            f"{name} must have shape ({channels},), one value per channel of x, "
            f"but its shape is {tuple(tensor.shape) if tensor is not None else None}",
        )
    require(
        (running_mean is None) == (running_var is None),
        "running_mean and running_var must both be given or both be None",
    )
    require(eps >= 0, f"eps must not be negative, but it is {eps}")
    if training:
        require(eps > 0, f"eps must be positive in training, but it is {eps}")
        require(
            len(x) * math.prod(x.shape[2:]) != 1,
            f"x has one value per channel only (shape {tuple(x.shape)}): in training, batch norm needs at least two, "
            "so use larger batches",
        )
    else:
        require(running_mean is not None, "running_mean and running_var must be given when training is False")
