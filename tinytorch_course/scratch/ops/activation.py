"""Activation functions. All but (log-)softmax act on each element alone.

Each saves its output where the derivative can be written in it (relu, sigmoid, tanh, softmax), because the next
layer holds that tensor anyway; the others save their input. Torch's keyword ``inplace`` is left out: nothing here is
ever changed in place. All raise TypeError if x is not floating point, ValueError or IndexError for another argument.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import normalize_dim, once, require_choice, require_float


class ReluCache(NamedTuple):
    """``out = 0`` says all that backward needs of x."""

    out: Tensor  # as x


def relu_forward(x: Tensor) -> tuple[Tensor, ReluCache]:
    """Rectified linear unit: ``out = max(x, 0)``.

    Backward: ``dx = 0 where out = 0, else dout``. At x = 0, where any slope from 0 to 1 would do, it is 0, as in torch
    (whose own ``clamp_min(0)`` takes 1 there).

    Source: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """
    check_float(x)
    out = x.clamp_min(0)
    return out, ReluCache(out)


def relu_backward(dout: Tensor, cache: ReluCache) -> Tensor:
    """Gradient of :func:`relu_forward`: dx, as x."""
    (out,) = cache
    # out = max(x, 0): where it is 0, no dout comes through, be it infinite (0 · dout would be NaN there)
    return torch.where(out <= 0, 0, dout)


class LeakyReluCache(NamedTuple):
    """x, and not out, whose sign says nothing where the slope is negative."""

    x: Tensor
    negative_slope: float


def leaky_relu_forward(x: Tensor, negative_slope: float = 0.01) -> tuple[Tensor, LeakyReluCache]:
    """Leaky rectifier: ``out = x where x > 0, else negative_slope · x``.

    Backward: ``dx = dout where x > 0, else negative_slope · dout``; at 0 it is the negative side, as in torch.

    Source: Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".
    """
    check_float(x)
    return torch.where(x > 0, x, negative_slope * x), LeakyReluCache(x, negative_slope)


def leaky_relu_backward(dout: Tensor, cache: LeakyReluCache) -> Tensor:
    """Gradient of :func:`leaky_relu_forward`: dx, as x."""
    x, negative_slope = cache
    # out = x where x > 0, else negative_slope · x
    return torch.where(x > 0, dout, negative_slope * dout)


class SigmoidCache(NamedTuple):
    """out, in which the derivative can be written."""

    out: Tensor  # as x


def sigmoid_forward(x: Tensor) -> tuple[Tensor, SigmoidCache]:
    """Logistic sigmoid: ``out = 1 / (1 + e⁻ˣ)``.

    Backward: ``dx = dout · out · (1 − out)``.

    Stable as written: for very negative x, e⁻ˣ overflows to inf and 1/inf is the right answer, 0.
    """
    check_float(x)
    out = 1 / (1 + torch.exp(-x))
    return out, SigmoidCache(out)


def sigmoid_backward(dout: Tensor, cache: SigmoidCache) -> Tensor:
    """Gradient of :func:`sigmoid_forward`: dx, as x."""
    (out,) = cache
    # out = 1 / (1 + e⁻ˣ)
    return dout * out * (1 - out)


class TanhCache(NamedTuple):
    """out, in which the derivative can be written."""

    out: Tensor  # as x


def tanh_forward(x: Tensor) -> tuple[Tensor, TanhCache]:
    """Hyperbolic tangent: ``out = tanh x``.

    Backward: ``dx = dout · (1 − out²)``.
    """
    check_float(x)
    out = torch.tanh(x)
    return out, TanhCache(out)


def tanh_backward(dout: Tensor, cache: TanhCache) -> Tensor:
    """Gradient of :func:`tanh_forward`: dx, as x."""
    (out,) = cache
    # out = tanh x
    return dout * (1 - out * out)


class GeluCache(NamedTuple):
    """x alone, since Φ is cheap to compute again."""

    x: Tensor
    approximate: str


def gelu_forward(x: Tensor, approximate: str = "none") -> tuple[Tensor, GeluCache]:
    """Gaussian error linear unit: ``out = x · Φ(x)``, with Φ the distribution function of the standard normal.

    ``"none"``: ``Φ(x) = (1 + erf(x/√2)) / 2``;
    backward ``dx = dout · (Φ(x) + x φ(x))`` with ``φ(x) = e^(−x²/2) / √(2π)``.
    ``"tanh"``: ``Φ(x) ≈ (1 + tanh u) / 2`` with ``u = √(2/π) (x + 0.044715 x³)``;
    backward ``dx = dout · (Φ + x · (1 − tanh² u)/2 · du/dx)``.

    Source: Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)", section 2.
    """
    check_float(x)
    require_choice("approximate", approximate, ("none", "tanh"))
    if approximate == "none":
        cdf = (1 + torch.erf(x / math.sqrt(2))) / 2
    else:
        cdf = (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return x * cdf, GeluCache(x, approximate)


def gelu_backward(dout: Tensor, cache: GeluCache) -> Tensor:
    """Gradient of :func:`gelu_forward`: dx, as x."""
    x, approximate = cache
    # out = x · Φ(x), so dx = dout · (Φ(x) + x · Φ'(x))
    if approximate == "none":
        cdf = (1 + torch.erf(x / math.sqrt(2))) / 2
        slope = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    else:
        tanh_u = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        cdf = (1 + tanh_u) / 2
        slope = (1 - tanh_u * tanh_u) / 2 * du
    return dout * (cdf + x * slope)


class SoftmaxCache(NamedTuple):
    """out, and what dx must be like."""

    out: Tensor  # as x
    dim: int
    x_dtype: torch.dtype


def softmax_forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, SoftmaxCache]:
    """Softmax: ``out = eˣ / Σ eˣ`` along ``dim``: positive, and summing to one.

    Backward: ``dx = out · (dout − Σ dout · out)``: the Jacobian ``diag(out) − out outᵀ`` applied to dout.

    The largest entry is subtracted first, which changes nothing in the quotient and keeps eˣ from overflowing.

    Args: dim, the axis of the classes; dtype, to which x is converted first, so that half precision does not overflow.
    """
    dim, x_dtype = check_softmax(x, dim, dtype), x.dtype
    x = x.to(dtype or x_dtype)
    if x.numel() == 0:
        return x, SoftmaxCache(x, dim, x_dtype)
    exp = torch.exp(x - x.amax(dim, keepdim=True))
    out = exp / exp.sum(dim, keepdim=True)
    return out, SoftmaxCache(out, dim, x_dtype)


def softmax_backward(dout: Tensor, cache: SoftmaxCache) -> Tensor:
    """Gradient of :func:`softmax_forward`: dx, as x."""
    out, dim, x_dtype = cache
    # out = eˣ / Σ eˣ
    return (out * (dout - (dout * out).sum(dim, keepdim=True))).to(x_dtype)


class LogSoftmaxCache(NamedTuple):
    """out, for ``softmax(x) = e^out``, and what dx must be like."""

    out: Tensor  # as x
    dim: int
    x_dtype: torch.dtype


def log_softmax_forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, LogSoftmaxCache]:
    """Logarithm of the softmax: ``out = x − log Σ eˣ`` along ``dim``.

    Backward: ``dx = dout − softmax(x) · Σ dout``.

    Never computed as log(softmax): a probability that underflows to 0 would give −inf where −10000 is meant.

    Args: dim, the axis of the classes; dtype, to which x is converted first, so that half precision does not overflow.
    """
    dim, x_dtype = check_softmax(x, dim, dtype), x.dtype
    x = x.to(dtype or x_dtype)
    if x.numel() == 0:
        return x, LogSoftmaxCache(x, dim, x_dtype)
    shifted = x - x.amax(dim, keepdim=True)
    out = shifted - torch.log(torch.exp(shifted).sum(dim, keepdim=True))
    return out, LogSoftmaxCache(out, dim, x_dtype)


def log_softmax_backward(dout: Tensor, cache: LogSoftmaxCache) -> Tensor:
    """Gradient of :func:`log_softmax_forward`: dx, as x."""
    out, dim, x_dtype = cache
    # out = x − log Σ eˣ
    return (dout - torch.exp(out) * dout.sum(dim, keepdim=True)).to(x_dtype)


@once
def check_float(x: Tensor) -> None:
    """x must be floating point."""
    require_float(x=x)


@once
def check_softmax(x: Tensor, dim: int, dtype: torch.dtype | None) -> int:
    """``dim``, counted from the front."""
    require_float(x=x)
    if not (dtype is None or dtype.is_floating_point):
        raise TypeError(f"dtype must be a floating-point dtype, but it is {dtype}")
    return normalize_dim("dim", dim, x.dim())
