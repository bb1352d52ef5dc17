"""Initial values. Every draw names its generator, so that one seed gives one network.

The numbers are those of ``torch.nn.init`` for the same generator, bit for bit; new tensors are returned. They are drawn
on the CPU, so that a network starts alike on every device.

All take the tensor's ``shape`` and ``dtype``, and a ``generator`` on the CPU if they draw. They raise ValueError for a
shape without a fan (fewer than two axes, or no entries) where one is needed and for numbers out of their range; for
what is no generator or no number, TypeError.

Legend: the fan is the number of weights that meet in one output (``fan_in``) or leave one input (``fan_out``): for a
linear weight (O, I) they are I and O, for a kernel (O, C, kH, kW) they are C · kH · kW and O · kH · kW.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import require, require_choice, require_number

GAINS = {
    "linear": 1.0,
    **{f"conv{transposed}{n}d": 1.0 for transposed in ("", "_transpose") for n in (1, 2, 3)},
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def zeros(shape: Sequence[int], *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros: for biases. A layer whose weights are all equal would learn one feature many times."""
    return torch.zeros(shape, dtype=dtype)


def constant(shape: Sequence[int], value: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same value everywhere."""
    return torch.full(shape, value, dtype=dtype)


def uniform(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    a: float = 0.0,
    b: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform on [a, b); b is at least a."""
    _require_generator(generator)
    require(a <= b, f"b must be at least a, but a is {a} and b is {b}")
    return torch.empty(shape, dtype=dtype).uniform_(a, b, generator=generator)


def normal(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normal with the given mean and standard deviation, which is at least 0."""
    _require_generator(generator)
    require_number("std", std, minimum=0)
    return torch.empty(shape, dtype=dtype).normal_(mean, std, generator=generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much larger weights must be, for what the activation after them takes away.

    linear, convolutions and sigmoid 1; tanh 5/3; relu √2; leaky_relu √(2 / (1 + slope²)); selu 3/4.

    Args: nonlinearity, by its torch name, such as "relu"; param, the negative slope of leaky_relu, None for 0.01.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        require_number("param", slope)
        return math.sqrt(2 / (1 + slope**2))
    known = [*GAINS, "leaky_relu"]
    require(nonlinearity in GAINS, f"nonlinearity must be one of {', '.join(known)}, but it is {nonlinearity!r}")
    return GAINS[nonlinearity]


def xavier_uniform(
    shape: Sequence[int], generator: torch.Generator, *, gain: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Uniform on ±``gain · √(6 / (fan_in + fan_out))``: signals and gradients keep their size in a linear network.

    Args: gain, from :func:`calculate_gain`.
    Source: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks",
    equation 16.
    """
    bound = math.sqrt(3) * _xavier_std(shape, gain)  # a uniform on ±b has the standard deviation b / √3
    return uniform(shape, generator, a=-bound, b=bound, dtype=dtype)


def xavier_normal(
    shape: Sequence[int], generator: torch.Generator, *, gain: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Normal with the standard deviation ``gain · √(2 / (fan_in + fan_out))``; otherwise as :func:`xavier_uniform`.

    Source: Glorot & Bengio (2010), equation 12, for the variance; there the distribution is uniform.
    """
    return normal(shape, generator, std=_xavier_std(shape, gain), dtype=dtype)


def kaiming_uniform(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform on ±``gain · √(3 / fan)``: signals keep their size through rectifiers, which drop half of it.

    Args: a, the negative slope, if ``nonlinearity`` is leaky_relu; mode, "fan_in", which keeps the size of signals, or
        "fan_out", that of gradients; nonlinearity, which gives the gain, see :func:`calculate_gain`.
    Source: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", equations 10 and 14.
    """
    bound = math.sqrt(3) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, generator, a=-bound, b=bound, dtype=dtype)


def kaiming_normal(
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normal with the standard deviation ``gain / √fan``; otherwise as :func:`kaiming_uniform`.

    Source: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", equations 10 and 14.
    """
    return normal(shape, generator, std=_kaiming_std(shape, a, mode, nonlinearity), dtype=dtype)


def linear_default(
    shape: Sequence[int], generator: torch.Generator, *, bias: bool = True, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor | None]:
    """What ``torch.nn.Linear`` starts with: weight, then bias, both uniform on ±``1 / √fan_in``.

    For the weight torch writes this as :func:`kaiming_uniform` with a = √5, whose gain is √(1/3).

    Args: shape, of the weight, (out, in); bias, False leaves it out.
    Returns: weight (out, in), and bias (out,) or None.
    """
    require(len(shape) == 2, f"shape must be (out, in), but it is {tuple(shape)}")
    return _layer_default(shape, generator, bias, dtype)


def conv_default(
    shape: Sequence[int], generator: torch.Generator, *, bias: bool = True, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor | None]:
    """What ``torch.nn.Conv2d`` starts with: :func:`linear_default`'s rule for a kernel.

    Args: shape, of the weight, (out, in / groups, kH, kW); one or three kernel axes will do as well.
    Returns: weight of this shape, and bias (out,) or None.
    """
    require(len(shape) >= 3, f"shape must be (out, in / groups, kernel ...), but it is {tuple(shape)}")
    return _layer_default(shape, generator, bias, dtype)


def _layer_default(
    shape: Sequence[int], generator: torch.Generator, bias: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    weight = kaiming_uniform(shape, generator, a=math.sqrt(5), dtype=dtype)
    bound = 1 / math.sqrt(_fans(shape)[0])
    return weight, uniform(shape[:1], generator, a=-bound, b=bound, dtype=dtype) if bias else None


def _xavier_std(shape: Sequence[int], gain: float) -> float:
    return gain * math.sqrt(2 / sum(_fans(shape)))


def _kaiming_std(shape: Sequence[int], a: float, mode: str, nonlinearity: str) -> float:
    require_choice("mode", mode, ("fan_in", "fan_out"))
    fan_in, fan_out = _fans(shape)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, kernel ...)."""
    require(len(shape) >= 2, f"shape must have at least two axes, (out, in, ...), but it is {tuple(shape)}")
    require(min(shape) >= 1, f"shape must have at least one entry on every axis, but it is {tuple(shape)}")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _require_generator(generator: torch.Generator) -> None:
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, but it is a {type(generator).__name__}")
    require(
        generator.device.type == "cpu",
        f"generator must be on the cpu, where initial values are drawn, but it is on {generator.device}",
    )
