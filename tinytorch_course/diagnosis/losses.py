"""Mistakes in the losses."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.case_tables.losses import OPS, mse_loss_twin
from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, function, gradient, of_function

MSE, L1, BCE, NLL = ("mse_loss",), ("l1_loss",), ("binary_cross_entropy",), ("nll_loss",)
LOGITS, CE, LONG = ("binary_cross_entropy_with_logits",), ("cross_entropy",), ("cross_entropy_long",)
ELEMENTWISE, CLASSES = MSE + L1 + BCE + LOGITS, NLL + CE + LONG

TORCH = {op.name: op.twin for op in OPS}
Build = Callable[..., Tensor | Predictions]


# --- what the mean divides by ----------------------------------------------------------------------------------------


class _Classes(NamedTuple):
    """The parts of a loss over classes, each broadcasting against (N, C, d...)."""

    axis: int
    p: Tensor  # the target's probabilities, 0 where ignored
    kept: Tensor  # (N, 1, d...) or ()
    weight: Tensor  # (C, 1...)

    @property
    def sample_weights(self) -> Tensor:
        return (self.weight * self.p).sum()


def _classes(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, **_: Any
) -> _Classes:
    axis = min(1, input.dim() - 1)
    weight = input.new_ones(input.shape[axis]) if weight is None else weight
    weight = weight.view(-1, *[1] * (input.dim() - axis - 1))
    if target.is_floating_point():
        return _Classes(axis, target, torch.ones((), dtype=torch.bool, device=input.device), weight)
    target = target.long().unsqueeze(axis)
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    return _Classes(axis, torch.zeros_like(input).scatter(axis, index, kept.to(input.dtype)), kept, weight)


def _kept_samples(**given: Any) -> Tensor:
    parts = _classes(**given)
    return parts.kept.expand_as(parts.p.narrow(parts.axis, 0, 1)).sum()


def right_count(op: str, input: Tensor, target: Tensor, weight: Tensor | None = None, **others: Any) -> Tensor | int:
    """What torch's mean divides by."""
    if op in CLASSES:
        parts = _classes(input, target, weight, **others)
        return input.select(parts.axis, 0).numel() if target.is_floating_point() else parts.sample_weights
    return weight.sum() if weight is not None and op in MSE + L1 else torch.broadcast_tensors(input, target)[0].numel()


def _total_weight(weight: Tensor | None, **_: Any) -> Tensor:
    if weight is None:
        raise ValueError("there are no weights")
    return weight.sum()


def _number_of_losses(losses: Tensor, **_: Any) -> int:
    return losses.numel()


DIVISORS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "N, the size of the batch, alone": (CLASSES, lambda input, **_: input.shape[0] if input.dim() > 1 else 1),
    "the size of axis 0 alone": (ELEMENTWISE + CLASSES, lambda input, **_: input.shape[0]),
    "the number of losses, weighted or ignored ones included": (ELEMENTWISE + CLASSES, _number_of_losses),
    "the number of entries of input": (ELEMENTWISE + CLASSES, lambda input, **_: input.numel()),
    "the number of entries of target": (ELEMENTWISE, lambda target, **_: target.numel()),
    "the sum of the weights": (ELEMENTWISE, _total_weight),
    "the number of samples that are not ignored": (NLL + CE, _kept_samples),
    "the weights of the targets": (NLL + CE, lambda **given: _classes(**given).sample_weights),
    "the smoothed weights": (CE, lambda **given: _smoothed(**given).sum()),
}


def _combined(losses: Tensor, reduction: str, count: Callable[[], Tensor | int] | None = None) -> Tensor:
    """As ``reduction`` says, with another divisor for the mean."""
    if reduction == "mean":
        return losses.sum() / (losses.numel() if count is None else count())
    return losses.sum() if reduction == "sum" else losses


def _divided_by(count: Callable[..., Any]) -> Callable[[Evidence], Predictions]:
    """Everything as it should be but the mean's divisor: ``count(losses=, <the op's arguments by name>)``."""

    def predict(evidence: Evidence) -> Predictions:
        def other(reduction: str = "mean", **given: Any) -> Tensor:
            losses = TORCH[str(evidence.op)](**given, reduction="none")
            return _combined(losses, reduction, lambda: count(losses=losses, **given))

        return of_function(evidence, other)

    return predict


def _weighted_in_the_divisor_only(evidence: Evidence) -> Predictions:
    op = str(evidence.op)

    def other(weight: Tensor | None, reduction: str, **given: Any) -> Tensor:
        return _combined(
            TORCH[op](**given, reduction="none"), reduction, lambda: right_count(op, **given, weight=weight)
        )

    return of_function(evidence, other)


def _always_divided(evidence: Evidence) -> Predictions:
    """As for the mean, whatever the reduction."""
    op = str(evidence.op)

    def other(reduction: str = "mean", **given: Any) -> Tensor:
        losses = TORCH[op](**given, reduction="none")
        if reduction == "sum":
            return losses.sum()
        return (losses if reduction == "none" else losses.sum()) / right_count(op, **given)

    return of_function(evidence, other)


# fmt: off
COUNTED = [
    Hypothesis("missing-mean", ELEMENTWISE + CLASSES, _divided_by(lambda **_: 1),
               "the mean's 1/N is forgotten: with reduction='mean' every gradient is divided by what the loss is "
               "divided by"),
    *(Hypothesis("wrong-divisor", ops, _divided_by(count),
                 f"the mean divides by {name}, and not by what torch divides by (see the docstring)")
      for name, (ops, count) in DIVISORS.items()),
    Hypothesis("extra-mean", ELEMENTWISE + CLASSES, _always_divided,
               "it is divided by the number of losses also with reduction='none', where nothing is averaged"),
    Hypothesis("ignored-keyword", MSE + L1 + NLL + CE, _weighted_in_the_divisor_only,
               "weight is ignored, but for the mean's divisor: each loss must be multiplied by its weight"),
]
# fmt: on


# --- regression ------------------------------------------------------------------------------------------------------

EPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 9.999999960041972e-13, 1e-15)


def _elementwise_share(
    dout: Tensor, like: Tensor, reduction: str, weight: Tensor | None, count: Tensor | None = None
) -> Tensor:
    """dlosses: each element's share of dout, times its weight."""
    share = dout / (like.numel() if count is None else count) if reduction == "mean" else dout
    return share.expand(like.shape) * (1 if weight is None else weight)


def _soft_sign(eps: float) -> Build:
    def build(
        dout: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **_: Any
    ) -> Predictions:
        diff = input - target
        count = None if weight is None else weight.sum()
        ddiff = diff / (diff.abs() + eps) * _elementwise_share(dout, diff, reduction, weight, count)
        return {0: ddiff.sum_to_size(input.shape), 1: -ddiff.sum_to_size(target.shape)}

    return build


# fmt: off
REGRESSION = [
    *(gradient("eps-added", L1, _soft_sign(eps),
               f"an epsilon of {eps:g} is added to the divisor of diff / |diff|: use sign(diff), which needs none")
      for eps in EPS),
    function("another-loss", MSE,
             lambda input, target, reduction, **_: F.l1_loss(input, target, reduction=reduction),
             "this is the absolute error: square it"),
    function("another-loss", L1,
             lambda input, target, reduction, **_: mse_loss_twin(input, target, reduction=reduction),
             "this is the squared error: take the absolute value, whose slope is the sign"),
]
# fmt: on


# --- yes or no -------------------------------------------------------------------------------------------------------


def _bce_log_eps(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    *,
    eps: tuple[float, float],
    least: tuple[float, float],
) -> Tensor:
    """−(t log(p + eps[0]) + (1 − t) log(1 − p + eps[1])), the logarithms at least as large as ``least``."""
    yes, no = torch.log(input + eps[0]).clamp_min(least[0]), torch.log1p(-input + eps[1]).clamp_min(least[1])
    return _combined(-(target * yes + (1 - target) * no) * (1 if weight is None else weight), reduction)


def _bce_slope(change: Callable[[Tensor, Tensor], Tensor], position: int = 0) -> Build:
    def build(
        dout: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **_: Any
    ) -> Predictions:
        return {position: change(input, target) * _elementwise_share(dout, input, reduction, weight)}

    return build


def _logits_slope(change: Callable[[Tensor, Tensor, Tensor | float], Tensor]) -> Build:
    def build(input: Tensor, pos_weight: Tensor | None, **given: Any) -> Tensor | Predictions:
        weight_of_yes = 1.0 if pos_weight is None else pos_weight
        return _bce_slope(lambda x, t: change(x, t, weight_of_yes))(input=input, **given)

    return build


def _pos_weight_on_no(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, pos_weight: Tensor | None
) -> Tensor:
    yes = target * (1 if pos_weight is None else pos_weight)
    losses = (yes * F.softplus(-input) + (1 - yes) * F.softplus(input)) * (1 if weight is None else weight)
    return _combined(losses, reduction)


def _eps_in_divisor(eps: float) -> Build:
    return _bce_slope(lambda p, t: (p - t) / (p * (1 - p) + eps))


# fmt: off
YES_OR_NO = [
    *(function("eps-added", BCE, partial(_bce_log_eps, eps=(eps, no_eps), least=least),
               f"an epsilon of {eps:g} is added inside a logarithm: torch bounds the logarithm at -100 instead, "
               "log(p).clamp_min(-100), which leaves every other value exact")
      for eps in EPS
      for no_eps, least in ((eps, (-100.0, -100.0)), (eps, (-torch.inf, -torch.inf)), (0.0, (-torch.inf, -100.0)))),
    *(gradient("eps-added", BCE, _eps_in_divisor(eps),
               f"an epsilon of {eps:g} is added to the divisor p (1 - p): torch bounds it from below, clamp_min(1e-12)")
      for eps in EPS),
    gradient("logits-for-probabilities", BCE, _bce_slope(lambda p, t: p - t),
             "this is the gradient for logits, where a sigmoid comes before: for probabilities divide p - t by "
             "p (1 - p)"),
    gradient("half-dropped", BCE, _bce_slope(lambda p, t: -t / p),
             "only the yes counts: (1 - target) / (1 - p) is missing"),
    gradient("half-dropped", BCE, _bce_slope(lambda p, t: -torch.log(p), position=1),
             "only the yes counts in dtarget: it is log(1 - p) - log(p)"),
    gradient("clamped", BCE,
             _bce_slope(lambda p, t: torch.log1p(-p).clamp_min(-100) - torch.log(p).clamp_min(-100), position=1),
             "the logarithms in dtarget are bounded at -100: torch bounds them in the loss alone"),
    function("sigmoid-missing", LOGITS, lambda pos_weight, **given: F.binary_cross_entropy(**given),
             "the sigmoid is missing: the input holds logits, not probabilities"),
    function("sigmoid-twice", BCE, F.binary_cross_entropy_with_logits,
             "a sigmoid too much: the input holds probabilities already"),
    function("pos-weight-misplaced", LOGITS, _pos_weight_on_no,
             "pos_weight takes from the no: it multiplies the yes alone, 1 - target stays as it is"),
    gradient("term-sign", LOGITS,
             _logits_slope(lambda x, t, w: (1 - t) * torch.sigmoid(x) + w * t * torch.sigmoid(-x)),
             "the sign of the yes is flipped: dinput is (1 - target) * sigmoid(x) - pos_weight * target * sigmoid(-x)"),
    gradient("factor-missing", LOGITS,
             _logits_slope(lambda x, t, w: (torch.sigmoid(x) - t) * torch.sigmoid(x) * (1 - torch.sigmoid(x))),
             "the sigmoid's derivative is multiplied in: with logits it cancels, and dinput is sigmoid(x) - target"),
]
# fmt: on


# --- classes ---------------------------------------------------------------------------------------------------------

Smoothing = Callable[[Tensor, Tensor, float, int], Tensor]  # weight, p, ε, C -> q


def _smoothed(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    *,
    rule: Smoothing = lambda w, p, s, classes: w * ((1 - s) * p + s / classes),
    ignored_too: bool = False,
    **_: Any,
) -> Tensor:
    """q: how much each log-probability counts, by another rule."""
    parts = _classes(input, target, weight, ignore_index)
    q = rule(parts.weight, parts.p, label_smoothing, input.shape[parts.axis])
    return q if ignored_too else torch.where(parts.kept, q, 0)


def _shares(dout: Tensor, input: Tensor, target: Tensor, reduction: str, **given: Any) -> Tensor:
    """dlosses: each sample's share of dout, (N, 1, d...)."""
    parts = _classes(input, target, **given)
    count = right_count("cross_entropy", input, target, **given)
    share = (dout / count if reduction == "mean" else dout).expand(input.select(parts.axis, 0).shape)
    return torch.where(parts.kept, share.unsqueeze(parts.axis), 0)


def _other_smoothing(rule: Smoothing | None = None) -> Callable[..., Tensor]:
    """Cross-entropy with another ``rule``; None: the right one, for ignored samples too."""
    changes = {"ignored_too": True} if rule is None else {"rule": rule}

    def other(input: Tensor, target: Tensor, reduction: str, **given: Any) -> Tensor:
        axis = min(1, input.dim() - 1)
        q = _smoothed(input, target, **given, **changes)
        terms = q * torch.log_softmax(input, axis)
        terms = terms if target.is_floating_point() else terms.masked_fill(q == 0, 0)
        return _combined(-terms.sum(axis), reduction, lambda: right_count("cross_entropy", input, target, **given))

    return other


def _class_slope(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Build:
    """dinput = change(softmax, q, input) · dlosses."""

    def build(
        dout: Tensor,
        input: Tensor,
        target: Tensor,
        got: Predictions,
        right: Predictions,
        reduction: str = "mean",
        **given: Any,
    ) -> Tensor:
        q = _smoothed(input, target, **given)
        return change(torch.softmax(input, _axis(q)), q, input) * _shares(dout, input, target, reduction, **given)

    return build


def _axis(logits: Tensor) -> int:
    """The classes'."""
    return min(1, logits.dim() - 1)


def _unsmoothed_dtarget(
    dout: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **_: Any
) -> Predictions:
    slope = -torch.log_softmax(input, _axis(input)) * _classes(input, target, weight).weight
    return {1: slope * _shares(dout, input, target, reduction, weight=weight)}


def _long(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Build:
    """A step of the long form changed: ``change(dlog_probs, probs, input)`` gives dinput."""

    def build(dout: Tensor, input: Tensor, target: Tensor, **_: Any) -> Tensor:
        probs = torch.softmax(input, 1)
        dlog_probs = torch.zeros_like(probs).scatter(1, target.long()[:, None], 1.0) * (-dout / len(target))
        return change(dlog_probs, probs, input)

    return build


def _through_softmax(dprobs: Tensor, probs: Tensor) -> Tensor:
    return probs * (dprobs - (dprobs * probs).sum(1, keepdim=True))


def _every_target(dout: Tensor, input: Tensor, target: Tensor, **_: Any) -> Tensor:
    """``x[:, target] = -dout / N`` in the place of ``x[arange(N), target] = ...``."""
    result = torch.zeros_like(input)
    result[:, target.long()] = -dout / input.shape[0]
    return result


def _every_target_long(dout: Tensor, input: Tensor, target: Tensor, **_: Any) -> Tensor:
    probs = torch.softmax(input, 1)
    return _through_softmax(_every_target(dout, input, target) / probs, probs)


def _total(x: Tensor) -> Tensor:
    """The long form's Σ e^(x − max)."""
    return torch.exp(x - x.amax(1, keepdim=True)).sum(1, keepdim=True)


EVERY_TARGET = "every sample gets the targets of all samples: index with pairs, x[arange(N), target], not x[:, target]"

# fmt: off
OVER_CLASSES = [
    gradient("target-not-subtracted", CE + LONG,
             _class_slope(lambda probs, q, _: probs * q.sum(_axis(q), keepdim=True)),
             "the target is not subtracted: dinput is softmax(input) - one_hot(target)"),
    gradient("softmax-derivative-dropped", CE + LONG, _class_slope(lambda probs, q, _: -q),
             "the softmax's own derivative is missing: every logit counts, dinput = softmax(input) - one_hot(target)"),
    gradient("logarithm-for-probability", CE + LONG,
             _class_slope(lambda probs, q, input: torch.log_softmax(input, _axis(input)) - q),
             "the log-probabilities stand where the probabilities belong: dinput = exp(log_probs) - one_hot(target)"),
    gradient("softmax-unscaled", CE, _class_slope(lambda probs, q, _: probs - q),
             "softmax(input) is not multiplied by the sum of q: softmax - q holds only where q adds up to one, which "
             "it need not with weights"),
    gradient("ignored-keyword", CE, _unsmoothed_dtarget,
             "label_smoothing is ignored in dtarget: it leaves 1 - s of the target"),
    gradient("derivative-inverted", LONG,
             _long(lambda dlog_probs, probs, _: _through_softmax(dlog_probs * probs, probs)),
             "the logarithm's derivative is upside down: d log(p) = dp / p"),
    gradient("quotient-rule", LONG,
             _long(lambda dlog_probs, probs, x: dlog_probs - probs * dlog_probs.sum(1, keepdim=True) * _total(x)),
             "the quotient's derivative by its denominator lacks a square: d(a / b) / db = -a / b**2"),
    gradient("wrong-axis", LONG,
             _long(lambda dlog_probs, probs, x:
                   dlog_probs - probs * _total(x) * (dlog_probs / _total(x)).sum(0, keepdim=True)),
             "the sum goes over the batch: a sample's classes share their denominator, so sum over dim 1"),
    gradient("indexing", NLL, _every_target, EVERY_TARGET),
    gradient("indexing", LONG, _every_target_long, EVERY_TARGET),
    function("softmax-twice", CE + LONG,
             lambda input, target, **given: F.cross_entropy(input.softmax(_axis(input)), target, **given),
             "the softmax is taken twice: the input of cross-entropy is logits"),
    function("softmax-missing", CE + LONG, lambda label_smoothing=0.0, **given: F.nll_loss(**given),
             "the softmax is missing: the logits are taken for log-probabilities"),
    function("softmax-twice", NLL, F.cross_entropy,
             "a log-softmax too much: the input holds log-probabilities already"),
    function("smoothing-rule", CE, _other_smoothing(lambda w, p, s, classes: w * (p + s / classes)),
             "label smoothing gives to all classes, but takes nothing from the right one: q = (1 - s) p + s / C"),
    function("smoothing-rule", CE,
             _other_smoothing(lambda w, p, s, classes: w * ((1 - s) * p + s / max(classes - 1, 1))),
             "label smoothing spreads s over C - 1 classes and adds it to all C: q = (1 - s) p + s / C"),
    function("smoothing-rule", CE,
             _other_smoothing(lambda w, p, s, classes: w * ((1 - s) * p + s / max(classes - 1, 1) * (1 - p))),
             "label smoothing spreads s over the wrong classes alone: torch spreads it over all of them, s / C"),
    function("smoothing-rule", CE, _other_smoothing(lambda w, p, s, classes: w * (1 - s) * p + s / classes),
             "the smoothed part is not weighted: q = weight * ((1 - s) p + s / C)"),
    function("smoothing-rule", CE, _other_smoothing(),
             "samples that are to be ignored take part in the label smoothing"),
]
# fmt: on

OVERFLOW = {
    "binary_cross_entropy": "log(0) is -inf, and 0 / 0 nan: torch bounds the logarithm at -100, and p (1 - p) at 1e-12",
    "binary_cross_entropy_with_logits": "exp overflows: use max(x, 0) + log1p(exp(-|x|)) for log(1 + exp(x)), and take "
    "exp of negative numbers only",
    "nll_loss": "0 times inf, or 0 / 0, is nan: choose with torch.where what counts, instead of multiplying by 0",
    "cross_entropy": "exp overflows, or 0 times inf is nan: subtract the largest logit first, never take the logarithm "
    "of a softmax, and choose with torch.where what counts",
    "cross_entropy_long": "exp overflows: subtract the largest logit of each row first, which changes no quotient",
}

HYPOTHESES = COUNTED + REGRESSION + YES_OR_NO + OVER_CLASSES
