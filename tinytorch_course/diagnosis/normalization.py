"""Mistakes in batch norm. The long form takes part in most of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, arguments, function, gradient

SHORT, BOTH = ("batch_norm",), ("batch_norm", "batch_norm_long")


def _per_channel(values: Tensor | None, x: Tensor) -> Tensor:
    return x.new_ones(()) if values is None else values.view(1, -1, *[1] * (x.dim() - 2))


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


def _statistics(
    x: Tensor, training: bool, running_mean: Tensor | None, running_var: Tensor | None, unbiased: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance to normalise by."""
    if training:
        return x.mean(_axes(x), keepdim=True), x.var(_axes(x), keepdim=True, correction=int(unbiased))
    if running_mean is None:
        raise ValueError("there are no running statistics")
    return _per_channel(running_mean, x), _per_channel(running_var, x)


def _normalised(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    unbiased: bool = False,
    eps_outside: bool = False,
    **_: Any,
) -> Tensor:
    """Batch norm with its formula changed."""
    mean, var = _statistics(x, training, running_mean, running_var, unbiased)
    std = torch.sqrt(var) + eps if eps_outside else torch.sqrt(var + eps)
    out = (x - mean) / std * _per_channel(weight, x)
    return out if bias is None else out + _per_channel(bias, x)


def _changed(**changes: Any) -> Callable[..., Tensor]:
    return lambda **given: _normalised(**given | changes)


def _backward(
    x: Tensor,
    dout: Tensor,
    weight: Tensor | None,
    eps: float,
    *,
    mean_term: float = 1.0,
    variance_term: float = 1.0,
    count: int | None = None,
    training: bool = True,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    as_training: bool = False,
    scale_of: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """dx with its two mean terms weighted, or their divisor changed, or dweight made from another tensor."""
    axes = _axes(x)
    count = count or x.numel() // x.shape[1]
    mean, var = _statistics(x, training, running_mean, running_var)
    inverse_std = 1 / torch.sqrt(var + eps)
    x_hat = (x - mean) * inverse_std
    dx = dout
    if training or as_training:
        dx = dx - mean_term * dout.sum(axes, keepdim=True) / count
        dweight = (dout * (x_hat if scale_of is None else scale_of)).sum(axes, keepdim=True)
        dx = dx - variance_term * x_hat * dweight / count
    return dx * inverse_std * _per_channel(weight, x)


def _changed_backward(**changes: Any) -> Callable[..., Tensor]:
    return lambda **given: _backward(**given | changes)


def _without_eps(
    x: Tensor,
    right: Predictions,
    eps: float,
    training: bool = True,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """The right dx, divided by √var and not by √(var + eps)."""
    var = _statistics(x, training, running_mean, running_var)[1]
    return right[0] * torch.sqrt((var + eps) / var)


def _dweight_from_x(x: Tensor, dout: Tensor, right: Predictions, **given: Any) -> Predictions:
    """dweight = Σ dout · x, and dx if it is made with that."""
    dweight: Predictions = {position: (dout * x).sum(_axes(x)) for position in right if position in (1, 3)}
    return dweight | {0: _backward(x, dout, **given, scale_of=x)}


def _running(evidence: Evidence, *, swapped: bool = False, biased: bool = False) -> Predictions:
    """The running statistics by another rule, where there are some to move."""
    given = arguments(evidence)
    if not given["training"] or given["running_mean"] is None or not given["x"].numel():
        return {}
    x, axes = given["x"], _axes(given["x"])
    part = 1 - given["momentum"] if swapped else given["momentum"]
    return {
        "result 1": (1 - part) * given["running_mean"] + part * x.mean(axes),
        "result 2": (1 - part) * given["running_var"] + part * x.var(axes, correction=int(not biased)),
    }


# fmt: off
HYPOTHESES = [
    function("n-1-for-n", BOTH, _changed(unbiased=True),
             "the variance is divided by n - 1: batch norm normalises with the biased variance, divided by n "
             "(torch.var(..., correction=0)); only the running variance is the unbiased one"),
    function("eps-misplaced", BOTH, _changed(eps_outside=True),
             "eps is added to the standard deviation: it belongs under the root, sqrt(var + eps)"),
    function("eps-misplaced", BOTH, _changed(eps=0.0),
             "eps is forgotten: it belongs under the root, sqrt(var + eps)"),
    function("mode-mixed-up", SHORT, _changed(training=True),
             "in evaluation it uses the batch's statistics: there the running ones are to be used, which are "
             "constants"),
    function("mode-mixed-up", SHORT, _changed(training=False),
             "in training it uses the running statistics: there the batch's own are to be used"),
    gradient("mode-mixed-up", SHORT, _changed_backward(as_training=True),
             "evaluation is differentiated as training: the running statistics are constants, dx is dout times the "
             "scale"),
    gradient("mean-terms-dropped", BOTH, _changed_backward(mean_term=0.0, variance_term=0.0),
             "mean and variance are taken for constants: they depend on every x, so two terms are missing, "
             "dx = scale * (dout - mean(dout) - x_hat * mean(dout * x_hat))"),
    gradient("mean-terms-dropped", BOTH, _changed_backward(variance_term=0.0),
             "the variance is taken for a constant: the term x_hat * mean(dout * x_hat) is missing"),
    gradient("mean-terms-dropped", BOTH, _changed_backward(mean_term=0.0),
             "the mean is taken for a constant: the term mean(dout) is missing"),
    *(gradient("root-factor", BOTH, _changed_backward(variance_term=factor),
               "the way through the variance counts wrongly: d sqrt(v) is dv / (2 sqrt(v)), and d centred^2 is "
               "2 centred")
      for factor in (2.0, 0.5, -1.0)),
    gradient("eps-misplaced", BOTH, _without_eps,
             "eps is forgotten in backward: divide by the same sqrt(var + eps) as in forward"),
    gradient("pixels-not-counted", BOTH, lambda x, **given: _backward(x=x, count=x.shape[0], **given),
             "the means in backward are divided by N alone: a channel's mean goes over the batch and over all pixels"),
    gradient("input-for-normalised", BOTH, _dweight_from_x,
             "x stands where x_hat, the normalised input, belongs: dweight is the sum of dout * x_hat"),
    Hypothesis("n-for-n-1", SHORT, lambda evidence: _running(evidence, biased=True),
               "the running variance is the biased one: torch keeps the unbiased one, the variance times n / (n - 1)"),
    Hypothesis("momentum-swapped", SHORT, lambda evidence: _running(evidence, swapped=True),
               "momentum is the wrong way round: running = (1 - momentum) * running + momentum * batch"),
]
