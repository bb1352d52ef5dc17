"""Mistakes in the losses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinytorch_course.checking.case_tables.losses import TABLE, mse_loss_twin
from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, function, gradient, of_function

MSE, L1, BCE, NLL = ("mse_loss",), ("l1_loss",), ("binary_cross_entropy",), ("nll_loss",)
LOGITS, CE, LONG = ("binary_cross_entropy_with_logits",), ("cross_entropy",), ("cross_entropy_long",)
ELEMENTWISE, CLASSES = MSE + L1 + BCE + LOGITS, NLL + CE + LONG

TORCH = TABLE.twins


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


def _classes(input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, **_) -> _Classes:
    axis = min(1, input.dim() - 1)
    weight = input.new_ones(input.shape[axis]) if weight is None else weight
    weight = weight.view(-1, *[1] * (input.dim() - axis - 1))
    if target.is_floating_point():
        return _Classes(axis, target, torch.ones((), dtype=torch.bool, device=input.device), weight)
    target = target.long().unsqueeze(axis)
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    return _Classes(axis, torch.zeros_like(input).scatter(axis, index, kept.to(input.dtype)), kept, weight)


def right_count(op: str, input: Tensor, target: Tensor, weight: Tensor | None = None, **others) -> Tensor | int:
    """What torch's mean divides by."""
    if op in CLASSES:
        parts = _classes(input, target, weight, **others)
        return input.select(parts.axis, 0).numel() if target.is_floating_point() else parts.sample_weights
    return weight.sum() if weight is not None and op in MSE + L1 else torch.broadcast_tensors(input, target)[0].numel()


def _given(weight: Tensor | None) -> Tensor:
    if weight is None:
        raise ValueError("there are no weights")
    return weight


DIVISORS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "N, the size of the batch, alone": (CLASSES, lambda input, **_: input.shape[0] if input.dim() > 1 else 1),
    "the size of axis 0 alone": (ELEMENTWISE + CLASSES, lambda input, **_: input.shape[0]),
    "the number of losses, weighted or ignored ones included": (
        ELEMENTWISE + CLASSES,
        lambda losses, **_: losses.numel(),
    ),
    "the number of entries of input": (ELEMENTWISE + CLASSES, lambda input, **_: input.numel()),
    "the number of entries of target": (ELEMENTWISE, lambda target, **_: target.numel()),
    "the sum of the weights": (ELEMENTWISE, lambda weight, **_: _given(weight).sum()),
    "the number of samples that are not ignored": (
        NLL + CE,
        lambda **given: (
            _classes(**given).kept.expand_as(_classes(**given).p.narrow(_classes(**given).axis, 0, 1)).sum()
        ),
    ),
    "the weights of the targets": (NLL + CE, lambda **given: _classes(**given).sample_weights),
    "the smoothed weights": (CE, lambda **given: _smoothed(**given).sum()),
}


def _reduced(
    op: str, count: Callable[..., Any], *, input: Tensor, target: Tensor, reduction="mean", **others
) -> Tensor:
    """The loss with another divisor for its mean."""
    losses = TORCH[op](input, target, reduction="none", **others)
    if reduction != "mean":
        return losses.sum() if reduction == "sum" else losses
    return losses.sum() / count(input=input, target=target, losses=losses, **others)


def _divided_by(count: Callable[..., Any]) -> Callable[[Evidence], Predictions]:
    return lambda evidence: of_function(evidence, lambda **given: _reduced(evidence.op, count, **given))


def _weighted_in_the_divisor_only(evidence: Evidence) -> Predictions:
    def other(input, target, weight, reduction, **others):
        losses = TORCH[evidence.op](input, target, reduction="none", **others)
        if reduction != "mean":
            return losses.sum() if reduction == "sum" else losses
        return losses.sum() / right_count(evidence.op, input, target, weight, **others)

    return of_function(evidence, other)


def _always_divided(evidence: Evidence) -> Predictions:
    """As for the mean, whatever the reduction."""

    def other(input, target, reduction="mean", **others):
        losses = TORCH[evidence.op](input, target, reduction="none", **others)
        return (losses if reduction == "none" else losses.sum()) / (
            1 if reduction == "sum" else right_count(evidence.op, input, target, **others)
        )

    return of_function(evidence, other)


COUNTED = [
    Hypothesis(
        "missing-mean",
        ELEMENTWISE + CLASSES,
        _divided_by(lambda **_: 1),
        "the mean's 1/N is forgotten: with reduction='mean' every gradient is divided by what the loss is divided by",
    ),
    *(
        Hypothesis(
            "wrong-divisor",
            ops,
            _divided_by(count),
            f"the mean divides by {name}, and not by what torch divides by (see the docstring)",
        )
        for name, (ops, count) in DIVISORS.items()
    ),
    Hypothesis(
        "extra-mean",
        ELEMENTWISE + CLASSES,
        _always_divided,
        "it is divided by the number of losses also with reduction='none', where nothing is averaged",
    ),
    Hypothesis(
        "ignored-keyword",
        MSE + L1 + NLL + CE,
        _weighted_in_the_divisor_only,
        "weight is ignored, but for the mean's divisor: each loss must be multiplied by its weight",
    ),
]


# --- regression ------------------------------------------------------------------------------------------------------

EPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 9.999999960041972e-13, 1e-15)


def _elementwise_share(dout: Tensor, like: Tensor, reduction: str, weight: Tensor | None, count: Any = None) -> Tensor:
    """dlosses: each element's share of dout, times its weight."""
    share = dout / (like.numel() if count is None else count) if reduction == "mean" else dout
    return share.expand(like.shape) * (1 if weight is None else weight)


def _soft_sign(eps: float):
    def build(dout, input, target, weight, reduction, **_):
        diff = input - target
        count = None if weight is None else weight.sum()
        ddiff = diff / (diff.abs() + eps) * _elementwise_share(dout, diff, reduction, weight, count)
        return {0: ddiff.sum_to_size(input.shape), 1: -ddiff.sum_to_size(target.shape)}

    return build


REGRESSION = [
    *(
        gradient(
            "eps-added",
            L1,
            _soft_sign(eps),
            f"an epsilon of {eps:g} is added to the divisor of diff / |diff|: use sign(diff), which needs none",
        )
        for eps in EPS
    ),
    function(
        "another-loss",
        MSE,
        lambda input, target, reduction, **_: F.l1_loss(input, target, reduction=reduction),
        "this is the absolute error: square it",
    ),
    function(
        "another-loss",
        L1,
        lambda input, target, reduction, **_: mse_loss_twin(input, target, reduction=reduction),
        "this is the squared error: take the absolute value, whose slope is the sign",
    ),
]


# --- yes or no -------------------------------------------------------------------------------------------------------


def _bce_log_eps(eps: float, clamp: bool):
    """-(t log(p + eps) + (1 - t) log(1 - p + eps)), torch's bound kept or not."""

    def other(input, target, weight, reduction):
        bound = -100 if clamp else -torch.inf
        yes = torch.log(input + eps).clamp_min(bound)
        no = torch.log1p(-input + eps).clamp_min(bound)
        losses = -(target * yes + (1 - target) * no) * (1 if weight is None else weight)
        return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses

    return other


def _bce_one_log_eps(eps: float):
    """The same with the eps in log p alone."""

    def other(input, target, weight, reduction):
        yes, no = torch.log(input + eps), torch.log1p(-input).clamp_min(-100)
        losses = -(target * yes + (1 - target) * no) * (1 if weight is None else weight)
        return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses

    return other


def _bce_slope(change: Callable[[Tensor, Tensor], Tensor], position: int = 0):
    def build(dout, input, target, weight, reduction, **_):
        return {position: change(input, target) * _elementwise_share(dout, input, reduction, weight)}

    return build


def _logits_slope(change: Callable[[Tensor, Tensor, Tensor | float], Tensor], position: int = 0):
    def build(dout, input, target, weight, reduction, pos_weight, **_):
        slope = change(input, target, 1.0 if pos_weight is None else pos_weight)
        return {position: slope * _elementwise_share(dout, input, reduction, weight)}

    return build


def _pos_weight_on_no(input, target, weight, reduction, pos_weight) -> Tensor:
    yes = target * (1 if pos_weight is None else pos_weight)
    losses = (yes * F.softplus(-input) + (1 - yes) * F.softplus(input)) * (1 if weight is None else weight)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


YES_OR_NO = [
    *(
        function(
            "eps-added",
            BCE,
            build,
            f"an epsilon of {eps:g} is added inside a logarithm: torch bounds the logarithm at -100 instead, "
            "log(p).clamp_min(-100), which leaves every other value exact",
        )
        for eps in EPS
        for build in (_bce_log_eps(eps, True), _bce_log_eps(eps, False), _bce_one_log_eps(eps))
    ),
    *(
        gradient(
            "eps-added",
            BCE,
            _bce_slope(lambda p, t, eps=eps: (p - t) / (p * (1 - p) + eps)),
            f"an epsilon of {eps:g} is added to the divisor p (1 - p): torch bounds it from below, clamp_min(1e-12)",
        )
        for eps in EPS
    ),
    gradient(
        "logits-for-probabilities",
        BCE,
        _bce_slope(lambda p, t: p - t),
        "this is the gradient for logits, where a sigmoid comes before: for probabilities divide p - t by p (1 - p)",
    ),
    gradient(
        "half-dropped",
        BCE,
        _bce_slope(lambda p, t: -t / p),
        "only the yes counts: (1 - target) / (1 - p) is missing",
    ),
    gradient(
        "half-dropped",
        BCE,
        _bce_slope(lambda p, t: -torch.log(p), position=1),
        "only the yes counts in dtarget: it is log(1 - p) - log(p)",
    ),
    gradient(
        "clamped",
        BCE,
        _bce_slope(lambda p, t: torch.log1p(-p).clamp_min(-100) - torch.log(p).clamp_min(-100), position=1),
        "the logarithms in dtarget are bounded at -100: torch bounds them in the loss alone",
    ),
    function(
        "sigmoid-missing",
        LOGITS,
        lambda input, target, weight, reduction, **_: F.binary_cross_entropy(
            input, target, weight=weight, reduction=reduction
        ),
        "the sigmoid is missing: the input holds logits, not probabilities",
    ),
    function(
        "sigmoid-twice",
        BCE,
        lambda input, target, weight, reduction: F.binary_cross_entropy_with_logits(
            input, target, weight=weight, reduction=reduction
        ),
        "a sigmoid too much: the input holds probabilities already",
    ),
    function(
        "pos-weight-misplaced",
        LOGITS,
        _pos_weight_on_no,
        "pos_weight takes from the no: it multiplies the yes alone, 1 - target stays as it is",
    ),
    gradient(
        "term-sign",
        LOGITS,
        _logits_slope(lambda x, t, w: (1 - t) * torch.sigmoid(x) + w * t * torch.sigmoid(-x)),
        "the sign of the yes is flipped: dinput is (1 - target) * sigmoid(x) - pos_weight * target * sigmoid(-x)",
    ),
    gradient(
        "factor-missing",
        LOGITS,
        _logits_slope(lambda x, t, w: (torch.sigmoid(x) - t) * torch.sigmoid(x) * (1 - torch.sigmoid(x))),
        "the sigmoid's derivative is multiplied in: with logits it cancels, and dinput is sigmoid(x) - target",
    ),
]


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
    **_,
) -> Tensor:
    """q: how much each log-probability counts, by another rule."""
    parts = _classes(input, target, weight, ignore_index)
    q = rule(parts.weight, parts.p, label_smoothing, input.shape[parts.axis])
    return q if ignored_too else torch.where(parts.kept, q, 0)


def _shares(dout: Tensor, input: Tensor, target: Tensor, reduction: str, **given) -> Tensor:
    """dlosses: each sample's share of dout, (N, 1, d...)."""
    parts = _classes(input, target, **given)
    count = right_count("cross_entropy", input, target, **given)
    share = (dout / count if reduction == "mean" else dout).expand(input.select(parts.axis, 0).shape)
    return torch.where(parts.kept, share.unsqueeze(parts.axis), 0)


def _other_smoothing(**changes):
    def other(input, target, reduction, **given):
        axis = min(1, input.dim() - 1)
        q = _smoothed(input, target, **given, **changes)
        terms = q * torch.log_softmax(input, axis)
        terms = terms if target.is_floating_point() else terms.masked_fill(q == 0, 0)
        losses = -terms.sum(axis)
        if reduction != "mean":
            return losses.sum() if reduction == "sum" else losses
        return losses.sum() / right_count("cross_entropy", input, target, **given)

    return other


def _class_slope(change: Callable[[Tensor, Tensor], Tensor]):
    """dinput = change(softmax, q) · dlosses."""

    def build(dout, input, target, got, right, reduction="mean", **given):
        q = _smoothed(input, target, **given)
        probs = torch.softmax(input, min(1, input.dim() - 1))
        return change(probs, q) * _shares(dout, input, target, reduction, **given)

    return build


def _unsmoothed_dtarget(dout, input, target, weight, reduction, got, right, **given):
    parts = _classes(input, target, weight)
    return {
        1: -torch.log_softmax(input, parts.axis) * parts.weight * _shares(dout, input, target, reduction, weight=weight)
    }


def _long(change: Callable[[Tensor, Tensor, Tensor], Tensor]):
    """A step of the long form changed: ``change(dlog_probs, probs, dout)`` gives dinput."""

    def build(dout, input, target, **_):
        probs = torch.softmax(input, 1)
        dlog_probs = torch.zeros_like(probs).scatter(1, target.long()[:, None], 1.0) * (-dout / len(target))
        return change(dlog_probs, probs, input)

    return build


def _through_softmax(dprobs: Tensor, probs: Tensor) -> Tensor:
    return probs * (dprobs - (dprobs * probs).sum(1, keepdim=True))


def _every_target(dout, input, target, **_):
    probs = torch.softmax(input, 1)
    return _through_softmax(_set_everywhere(input, target, -dout / len(target)) / probs, probs)


def _set_everywhere(input: Tensor, target: Tensor, value: Tensor) -> Tensor:
    """``x[:, target] = value``."""
    result = torch.zeros_like(input)
    result[:, target.long()] = value
    return result


def _total(x: Tensor) -> Tensor:
    """The long form's Σ e^(x − max)."""
    return torch.exp(x - x.amax(1, keepdim=True)).sum(1, keepdim=True)


OVER_CLASSES = [
    gradient(
        "target-not-subtracted",
        CE + LONG,
        _class_slope(lambda probs, q: probs * q.sum(min(1, q.dim() - 1), keepdim=True)),
        "the target is not subtracted: dinput is softmax(input) - one_hot(target)",
    ),
    gradient(
        "softmax-derivative-dropped",
        CE + LONG,
        _class_slope(lambda probs, q: -q),
        "the softmax's own derivative is missing: every logit counts, dinput = softmax(input) - one_hot(target)",
    ),
    gradient(
        "logarithm-for-probability",
        CE + LONG,
        lambda input, **given: _class_slope(lambda probs, q: torch.log_softmax(input, min(1, input.dim() - 1)) - q)(
            input=input, **given
        ),
        "the log-probabilities stand where the probabilities belong: dinput = exp(log_probs) - one_hot(target)",
    ),
    gradient(
        "softmax-unscaled",
        CE,
        _class_slope(lambda probs, q: probs - q),
        "softmax(input) is not multiplied by the sum of q: softmax - q holds only where q adds up to one, which it "
        "need not with weights",
    ),
    gradient(
        "ignored-keyword",
        CE,
        _unsmoothed_dtarget,
        "label_smoothing is ignored in dtarget: it leaves 1 - s of the target",
    ),
    gradient(
        "derivative-inverted",
        LONG,
        _long(lambda dlog_probs, probs, _: _through_softmax(dlog_probs * probs, probs)),
        "the logarithm's derivative is upside down: d log(p) = dp / p",
    ),
    gradient(
        "quotient-rule",
        LONG,
        _long(
            lambda dlog_probs, probs, x: dlog_probs - probs * dlog_probs.sum(1, keepdim=True) * _total(x),
        ),
        "the quotient's derivative by its denominator lacks a square: d(a / b) / db = -a / b**2",
    ),
    gradient(
        "wrong-axis",
        LONG,
        _long(
            lambda dlog_probs, probs, x: dlog_probs - probs * _total(x) * (dlog_probs / _total(x)).sum(0, keepdim=True)
        ),
        "the sum goes over the batch: a sample's classes share their denominator, so sum over dim 1",
    ),
    gradient(
        "indexing",
        NLL,
        lambda dout, input, target, **_: _set_everywhere(input, target, -dout / target.shape[0]),
        "every sample gets the targets of all samples: index with pairs, x[arange(N), target], not x[:, target]",
    ),
    gradient(
        "indexing",
        LONG,
        _every_target,
        "every sample gets the targets of all samples: index with pairs, x[arange(N), target], not x[:, target]",
    ),
    function(
        "softmax-twice",
        CE + LONG,
        lambda input, target, **given: F.cross_entropy(input.softmax(min(1, input.dim() - 1)), target, **given),
        "the softmax is taken twice: the input of cross-entropy is logits",
    ),
    function(
        "softmax-missing",
        CE + LONG,
        lambda input, target, label_smoothing=0.0, **given: F.nll_loss(input, target, **given),
        "the softmax is missing: the logits are taken for log-probabilities",
    ),
    function(
        "softmax-twice",
        NLL,
        lambda input, target, **given: F.cross_entropy(input, target, **given),
        "a log-softmax too much: the input holds log-probabilities already",
    ),
    *(
        function("smoothing-rule", CE, _other_smoothing(**changes), sentence)
        for changes, sentence in (
            (
                {"rule": lambda w, p, s, classes: w * (p + s / classes)},
                "label smoothing gives to all classes, but takes nothing from the right one: q = (1 - s) p + s / C",
            ),
            (
                {"rule": lambda w, p, s, classes: w * ((1 - s) * p + s / max(classes - 1, 1))},
                "label smoothing spreads s over C - 1 classes and adds it to all C: q = (1 - s) p + s / C",
            ),
            (
                {"rule": lambda w, p, s, classes: w * ((1 - s) * p + s / max(classes - 1, 1) * (1 - p))},
                "label smoothing spreads s over the wrong classes alone: torch spreads it over all of them, s / C",
            ),
            (
                {"rule": lambda w, p, s, classes: w * (1 - s) * p + s / classes},
                "the smoothed part is not weighted: q = weight * ((1 - s) p + s / C)",
            ),
            ({"ignored_too": True}, "samples that are to be ignored take part in the label smoothing"),
        )
    ),
]

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
