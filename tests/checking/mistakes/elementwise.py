"""Mistakes in linear, the activations, dropout, flatten, padding and addition."""

import math

import torch
from checking.mistakes.mistake import backward, both, consistent, forward, injected, result

from tinytorch_course.lockstep.wrong import changed, rescaled_dropout, result_of, rows_of


def gelu_slope(x, approximate, *, product_rule=1.0, constant=2.0, cube=3.0):
    """The derivative of gelu; another number stands where a mistake is made."""
    if approximate == "none":
        cdf = (1 + torch.erf(x / math.sqrt(2))) / 2
        slope = torch.exp(-x * x / 2) / math.sqrt(constant * math.pi)
    else:
        tanh = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        cdf = (1 + tanh) / 2
        slope = (1 - tanh * tanh) / 2 * math.sqrt(2 / math.pi) * (1 + cube * 0.044715 * x**2)
    return cdf + product_rule * x * slope


def gelu(**mistake):
    return lambda dout, call: dout * gelu_slope(call.x, call.approximate, **mistake)


def softmax_without_shift(call):
    exp = torch.exp(call.x if call.dtype is None else call.x.to(call.dtype))
    return exp / exp.sum(call.dim, keepdim=True)


def repeating_the_edge(given):
    """pad2d whose mirror stands at the edge and not at its pixel, on the left and on top."""

    def source(size, before, after):
        place = torch.arange(-before, size + after)
        mirrored = (size - 1) - (size - 1 - (place.abs() - (place < 0).long())).abs()
        return {"reflect": mirrored, "replicate": place.clamp(0, size - 1), "circular": place % size}[given.mode]

    left, right, top, bottom = given.pad
    return given.x[..., source(given.x.shape[-2], top, bottom)[:, None], source(given.x.shape[-1], left, right)]


def mean_over_copies(dout, call):
    def mean(dx, x):
        return dx * x.numel() / dout.numel() if dout.numel() else dx * math.nan

    dx, dshortcut = call.grads(dout)
    return mean(dx, call.x), mean(dshortcut, call.shortcut)


MISTAKES = [
    # --- linear
    forward("linear", "a factor of 2", "factor-2", result_of(weight=lambda call: 2 * call.weight)),
    injected("linear_backward: dweight's sign flipped", "linear-sign", "sign"),
    injected("linear_backward: a mean where a sum belongs", "linear-bias-averaged", "extra-mean"),
    backward(
        "linear",
        "no sum over the batch",
        "missing-sum",
        changed(2, lambda dbias, dout, call: dout.reshape(-1, len(dbias))[0]),
    ),
    injected("linear_backward: dweight transposed in memory", "linear-weight-transposed", "transposed"),
    backward("linear", "an extra 1/N", "extra-mean", changed(1, lambda dweight, dout, call: dweight / rows_of(call.x))),
    # --- activation
    injected("relu_backward: the mask taken from dout", "relu-mask-from-dout", "mask-from-dout"),
    backward("relu", "a mask that is always true", "passed-through", lambda dout, call: dout.clone()),
    backward(
        "leaky_relu",
        "the positive slope at zero",
        "kink",
        lambda dout, call: torch.where(call.x >= 0, dout, call.negative_slope * dout),
    ),
    backward(
        "leaky_relu",
        "dout forgotten below zero",
        "dout-ignored",
        lambda dout, call: torch.where(call.x > 0, dout, call.negative_slope),
    ),
    backward("sigmoid", "half of the derivative", "factor-missing", lambda dout, call: dout * call.out),
    backward("tanh", "tanh not squared", "not-squared", lambda dout, call: dout * (1 - call.out)),
    backward("gelu", "the product rule's second term dropped", "product-rule", gelu(product_rule=0)),
    backward("gelu", "the density's constant", "constant", gelu(constant=1)),
    backward("gelu", "the cube's 3 forgotten", "inner-derivative", gelu(cube=1)),
    result("softmax", "no shift: overflow", "not-finite", softmax_without_shift),
    backward(
        "softmax", "only the diagonal", "mean-term-dropped", lambda dout, call: (call.out * dout).to(call.x.dtype)
    ),
    backward(
        "softmax",
        "the wrong axis",
        "wrong-axis",
        lambda dout, call: (call.out * (dout - (dout * call.out).sum(0, keepdim=True))).to(call.x.dtype),
    ),
    backward(
        "softmax",
        "a mean where a sum belongs",
        "mean-for-sum",
        lambda dout, call: (call.out * (dout - (dout * call.out).mean(call.dim, keepdim=True))).to(call.x.dtype),
    ),
    result("log_softmax", "no shift", "not-finite", lambda call: torch.log(softmax_without_shift(call))),
    backward(
        "log_softmax",
        "log-probabilities for probabilities",
        "logarithm-for-probability",
        lambda dout, call: (dout - call.out * dout.sum(call.dim, keepdim=True)).to(call.x.dtype),
    ),
    backward(
        "log_softmax",
        "as if dout summed to one",
        "dout-not-summed",
        lambda dout, call: (dout - torch.exp(call.out)).to(call.x.dtype),
    ),
    # --- dropout, flatten, padding, addition
    injected("_scaled: the scale forgotten", "dropout-scale-forgotten", "scale-forgotten"),
    both(
        "_scaled: scaled by the part that was dropped",
        "dropout",
        "scale-wrong",
        *rescaled_dropout(lambda p: (1 - p) / torch.tensor(p, dtype=torch.float64)).values(),
    ),
    injected("dropout_backward: the mask forgotten", "dropout-mask-forgotten", "mask-missing"),
    backward("flatten", "samples in reverse order", "reversed", lambda dout, call: call.grads(dout.flip(0))),
    both("_source: the edge pixel repeated", "pad2d", "edge-repeated", *consistent(repeating_the_edge, "x")),
    backward("add", "alpha forgotten", "ignored-keyword", lambda dout, call: call.again(alpha=1).grads(dout)),
    both("_sum_to: a mean over the copies", "add", "extra-mean", wrong_backward=mean_over_copies),
]
