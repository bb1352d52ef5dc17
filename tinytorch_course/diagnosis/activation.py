"""Mistakes in the activations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.diagnosis.hypotheses import function, gradient

RELU, LEAKY, SIGMOID, TANH, GELU = ("relu",), ("leaky_relu",), ("sigmoid",), ("tanh",), ("gelu",)
SOFTMAX, LOG_SOFTMAX = ("softmax",), ("log_softmax",)


def _gelu_parts(x: Tensor, approximate: str, cube: float = 3.0) -> tuple[Tensor, Tensor]:
    """Φ and Φ' of gelu; ``cube`` is the inner derivative's factor of x²."""
    if approximate == "none":
        return torch.special.ndtr(x), torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    tanh = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    inner = math.sqrt(2 / math.pi) * (1 + cube * 0.044715 * x**2)
    return (1 + tanh) / 2, (1 - tanh**2) / 2 * inner


def _gelu_slope(dout: Tensor, x: Tensor, approximate: str, *, cube: float = 3.0, density: float = 1.0) -> Tensor:
    cdf, slope = _gelu_parts(x, approximate, cube)
    return dout * (cdf + x * slope * (density if approximate == "none" else 1.0))


def _softmax_summed(dout: Tensor, x: Tensor, dim: int, axis: int | tuple[int, ...], *, mean: bool = False) -> Tensor:
    """Softmax's backward with its sum over ``axis``."""
    out = torch.softmax(x, dim)
    products = dout * out
    return out * (dout - (products.mean if mean else products.sum)(axis, keepdim=True))


def _another_axis(x: Tensor, dim: int, axis: int) -> int:
    if axis % x.dim() == dim % x.dim():
        raise ValueError("that is the right one")
    return axis


OVERFLOW = {
    "softmax": "exp overflows: subtract the largest entry of each row first, which changes nothing in the quotient",
    "log_softmax": "exp overflows, or a probability underflows to 0 and its logarithm is -inf: subtract the largest "
    "entry of each row first, and never take the logarithm of a softmax",
    "gelu": "a power or exp overflows: write it with tanh, erf or exp of negative numbers only",
    "sigmoid": "exp overflows: e to a positive number only where its inverse is taken, 1 / (1 + exp(-x))",
    "tanh": "exp overflows, and inf / inf is nan: use torch.tanh",
}

WEIGHTED_MEAN = "the weighted mean of dout must be taken off: out * (dout - (dout * out).sum(dim, keepdim=True))"
WRONG_AXIS = "the sum in the backward goes over axis {}, but it must go over the axis of the classes, dim"

# fmt: off
HYPOTHESES = [
    gradient("mask-from-dout", RELU + LEAKY,
             lambda dout, x, negative_slope=0.0, **_: torch.where(dout > 0, dout, negative_slope * dout),
             "the mask is taken from dout: whether a gradient passes depends on the input alone, so use x > 0"),
    gradient("mask-inverted", RELU + LEAKY,
             lambda dout, x, negative_slope=0.0, **_: torch.where(x < 0, dout, negative_slope * dout),
             "the mask is the wrong way round: the gradient passes where x is positive"),
    gradient("mask-missing", LEAKY, lambda dout, x, **_: torch.where(x > 0, dout, 0),
             "below zero nothing comes through: there the slope is negative_slope, not 0"),
    gradient("factor-missing", SIGMOID, lambda dout, x, **_: dout * torch.sigmoid(x),
             "half of the derivative is missing: it is out * (1 - out), not out"),
    gradient("factor-missing", SIGMOID, lambda dout, x, **_: dout * (1 - torch.sigmoid(x)),
             "half of the derivative is missing: it is out * (1 - out), not 1 - out"),
    gradient("input-for-output", SIGMOID, lambda dout, x, **_: dout * x * (1 - x),
             "x stands where out belongs: the derivative is out * (1 - out)"),
    gradient("input-for-output", TANH, lambda dout, x, **_: dout * (1 - x * x),
             "x stands where out belongs: the derivative is 1 - out * out"),
    gradient("applied-twice", SIGMOID,
             lambda dout, x, **_: dout * torch.sigmoid(torch.sigmoid(x)) * (1 - torch.sigmoid(torch.sigmoid(x))),
             "the sigmoid is taken of out, which already is the sigmoid: the derivative is out * (1 - out)"),
    gradient("applied-twice", TANH, lambda dout, x, **_: dout * (1 - torch.tanh(torch.tanh(x)) ** 2),
             "tanh is taken of out, which already is the tanh: the derivative is 1 - out * out"),
    gradient("not-squared", TANH, lambda dout, x, **_: dout * (1 - torch.tanh(x)),
             "out is not squared: the derivative is 1 - out * out"),
    gradient("product-rule", GELU, lambda dout, x, approximate, **_: dout * _gelu_parts(x, approximate)[0],
             "the second term of the product rule is missing: x * cdf(x) also changes through cdf, by x * cdf'(x)"),
    gradient("product-rule", GELU, lambda dout, x, approximate, **_: dout * x * _gelu_parts(x, approximate)[1],
             "the first term of the product rule is missing: x * cdf(x) also changes through x, by cdf(x)"),
    *(gradient("constant", GELU,
               lambda dout, x, approximate, f=f, **_: _gelu_slope(dout, x, approximate, density=f),
               f"the normal density has the wrong constant ({words}): it is exp(-x * x / 2) / sqrt(2 pi)")
      for f, words in ((math.sqrt(2), "the 2 under the root is missing"),
                       (math.sqrt(2 * math.pi), "it is not divided by sqrt(2 pi)"),
                       (1 / math.sqrt(2), "a factor sqrt(2) too small"))),
    *(gradient("inner-derivative", GELU,
               lambda dout, x, approximate, cube=cube, **_: _gelu_slope(dout, x, approximate, cube=cube),
               "the inner derivative of the cube is wrong: d/dx 0.044715 x^3 is 3 * 0.044715 x^2")
      for cube in (1.0, 0.0, 2.0)),
    function("other-form", GELU,
             lambda x, approximate: F.gelu(x, approximate="tanh" if approximate == "none" else "none"),
             "this is gelu's other form: approximate='none' is made with erf, 'tanh' with tanh"),
    gradient("mean-term-dropped", SOFTMAX, lambda dout, x, dim, **_: dout * torch.softmax(x, dim),
             "the second term is missing: every output depends on every input of its row, so " + WEIGHTED_MEAN),
    gradient("mean-term-dropped", SOFTMAX,
             lambda dout, x, dim, **_: dout * torch.softmax(x, dim) * (1 - torch.softmax(x, dim)),
             "this is the sigmoid's derivative, the Jacobian's diagonal: every output depends on every input of its "
             "row, so " + WEIGHTED_MEAN),
    gradient("mean-term-dropped", LOG_SOFTMAX, lambda dout, **_: dout,
             "the softmax's own part is missing: dx = dout - softmax(x) * dout.sum(dim, keepdim=True)"),
    *(gradient("wrong-axis", SOFTMAX,
               lambda dout, x, dim, axis=axis, **_: _softmax_summed(dout, x, dim, _another_axis(x, dim, axis)),
               WRONG_AXIS.format(axis))
      for axis in (0, 1, -1, -2)),
    *(gradient("wrong-axis", LOG_SOFTMAX,
               lambda dout, x, dim, axis=axis, **_:
                   dout - torch.softmax(x, dim) * dout.sum(_another_axis(x, dim, axis), keepdim=True),
               WRONG_AXIS.format(axis))
      for axis in (0, 1, -1, -2)),
    gradient("wrong-axis", SOFTMAX,
             lambda dout, x, dim, **_: _softmax_summed(dout, x, dim, tuple(range(x.dim()))),
             "the sum in the backward goes over everything, samples included: sum over dim alone, with keepdim=True"),
    *(function("wrong-axis", SOFTMAX + LOG_SOFTMAX,
               lambda x, dim, axis=axis, **_: torch.softmax(x, _another_axis(x, dim, axis)),
               f"the softmax is taken along axis {axis}, not along dim")
      for axis in (0, 1, -1)),
    gradient("mean-for-sum", SOFTMAX, lambda dout, x, dim, **_: _softmax_summed(dout, x, dim, dim, mean=True),
             "a mean stands where the sum over the classes belongs: (dout * out).sum(dim), whose weights out add up to "
             "one"),
    gradient("mean-for-sum", LOG_SOFTMAX,
             lambda dout, x, dim, **_: dout - torch.softmax(x, dim) * dout.mean(dim, keepdim=True),
             "a mean stands where the sum over the classes belongs: dout.sum(dim)"),
    gradient("logarithm-for-probability", LOG_SOFTMAX,
             lambda dout, x, dim, **_: dout - torch.log_softmax(x, dim) * dout.sum(dim, keepdim=True),
             "the log-probabilities stand where the probabilities belong: use exp(out)"),
    gradient("dout-not-summed", LOG_SOFTMAX, lambda dout, x, dim, **_: dout - torch.softmax(x, dim),
             "softmax(x) is not multiplied by the sum of dout along dim (which is 1 only above a plain cross-entropy)"),
    gradient("dout-not-summed", LOG_SOFTMAX, lambda dout, x, dim, **_: dout - torch.softmax(x, dim) * dout,
             "softmax(x) is multiplied by dout, not by the sum of dout along dim"),
]
