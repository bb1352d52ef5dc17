"""Mistakes in the losses."""

import torch
from checking.mistakes.mistake import backward, both, consistent, forward, injected, result
from torch.nn.functional import log_softmax

from tinytorch_course.lockstep.wrong import (
    LOSSES,
    class_axis,
    cross_entropy_shares,
    dinput_alone,
    result_of,
    targets_of,
)

# --- what a mean divides by, and how dloss is spread


def reduced(losses, call, count=None):
    """``call.reduction`` of the losses; the mean divides by their number unless told otherwise."""
    if call.reduction == "none":
        return losses
    return losses.sum() / (1 if call.reduction == "sum" else losses.numel() if count is None else count)


def mean_over(count, **forgotten):
    """A backward whose mean divides by ``count(call)``, and that forgets what is None."""

    def wrong(dloss, call):
        if call.reduction != "mean":
            return call.again(**forgotten).grads(dloss)
        return call.again(reduction="sum", **forgotten).grads(dloss / count(call))

    return wrong


def plain_mean(call):
    return reduced(call.again(reduction="none").out, call)


def divided_without_reduction(dloss, call):
    return call.grads(dloss / dloss.numel() if call.reduction == "none" and dloss.numel() else dloss)


def number(call):
    """Of the losses, after broadcasting."""
    return torch.broadcast_shapes(call.input.shape, call.target.shape).numel()


def weight_or_number(call):
    return number(call) if call.weight is None else call.weight.sum()


def sum_of_weights(call):
    return call.input.numel() if call.weight is None else call.weight.sum()


EVERYWHERE = [
    both(
        "_reduce: a plain mean in place of the weighted one",
        LOSSES,
        "wrong-divisor",
        lambda call: call.giving(plain_mean(call)) if call.reduction == "mean" else call,
    ),
    injected("_spread: the mean's 1/N forgotten", "loss-not-averaged", "missing-mean"),
    both("_spread: 1/N also without reduction", LOSSES, "extra-mean", None, divided_without_reduction),
]

# --- mse and l1


def of_each(change):
    """A backward that changes dinput and dtarget alike."""

    def wrong(dloss, call):
        grads = call.grads(dloss)
        return tuple(map(change, grads)) if isinstance(grads, tuple) else change(grads)

    return wrong


def dtarget_not_negated(dloss, call):
    grads = call.grads(dloss)
    return (grads[0], -grads[1]) if isinstance(grads, tuple) else grads


def sloped(slope):
    """l1_loss's backward with another derivative of |input − target|."""

    def wrong(dloss, call):
        diff = call.input - call.target
        dlosses = dloss / weight_or_number(call) if call.reduction == "mean" else dloss
        ddiff = slope(diff) * dlosses * (1 if call.weight is None else call.weight)
        dinput = ddiff.sum_to_size(call.input.shape)
        return (dinput, -ddiff.sum_to_size(call.target.shape)) if call.target.is_floating_point() else dinput

    return wrong


REGRESSION = [
    result("mse_loss", "half the square", "factor-2", lambda call: call.out / 2),
    backward("mse_loss", "the 2 forgotten", "factor-2", of_each(lambda grad: grad / 2)),
    backward("mse_loss", "sign flipped", "sign", of_each(lambda grad: -grad)),
    backward("mse_loss", "weight forgotten", "ignored-keyword", mean_over(weight_or_number, weight=None)),
    backward(
        "mse_loss",
        "mean over input's size, not the broadcast one",
        "wrong-divisor",
        mean_over(lambda call: call.input.numel()),
    ),
    backward("mse_loss", "mean over the count, not the weights", "wrong-divisor", mean_over(number)),
    both(
        "_total_weight: weighted mean divided by the count",
        ("mse_loss", "l1_loss"),
        "wrong-divisor",
        lambda call: call.giving(plain_mean(call)),
        mean_over(number),
    ),
    both("_difference_backward: dtarget's sign", ("mse_loss", "l1_loss"), "sign", None, dtarget_not_negated),
    backward(
        "l1_loss", "slope 1 at a kink", "kink", sloped(lambda diff: torch.where(diff >= 0, 1.0, -1.0).to(diff.dtype))
    ),
    backward("l1_loss", "a softened sign", "eps-added", sloped(lambda diff: diff / (diff.abs() + 1e-8))),
    backward("l1_loss", "weight forgotten", "ignored-keyword", mean_over(weight_or_number, weight=None)),
]

# --- yes or no

LEAST_VARIANCE = 9.999999960041972e-13  # of a yes or no, p (1 − p): torch's


def weighted(x, call):
    return x if call.weight is None else x * call.weight


def entropy(log_yes):
    """binary_cross_entropy's loss, with another logarithm of p."""

    def loss(call):
        log_no = torch.log1p(-call.input).clamp_min(-100)
        return reduced(-weighted(call.target * log_yes(call.input) + (1 - call.target) * log_no, call), call)

    return loss


def mean_over_weights(call):
    losses = call.again(reduction="none").out
    return reduced(losses, call, sum_of_weights(call))


def shares(dloss, call):
    """dloss as each loss gets it, with its weight."""
    return weighted((dloss / call.input.numel() if call.reduction == "mean" else dloss).expand(call.input.shape), call)


def dp(slope):
    """A backward with dinput = slope(p, target) · dlosses."""
    return lambda dloss, call: (slope(call.input, call.target) * shares(dloss, call), call.grads(dloss)[1])


def dyes(slope):
    """A backward with dtarget = slope(input) · dlosses."""
    return lambda dloss, call: (call.grads(dloss)[0], slope(call.input) * shares(dloss, call))


def softplus(x):
    return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


def overflowing_loss(call):
    yes = call.target if call.pos_weight is None else call.target * call.pos_weight
    log_yes, log_no = torch.log1p(torch.exp(-call.input)), torch.log1p(torch.exp(call.input))
    return reduced(weighted(yes * log_yes + (1 - call.target) * log_no, call), call)


def pos_weight_taken_from_no(call):
    yes = call.target if call.pos_weight is None else call.target * call.pos_weight
    return reduced(weighted(yes * softplus(-call.input) + (1 - yes) * softplus(call.input), call), call)


def dlogit(slope):
    """A backward with dinput = slope(input, no, yes) · dlosses; yes and no are the target's two sides."""

    def wrong(dloss, call):
        yes = call.target if call.pos_weight is None else call.target * call.pos_weight
        return slope(call.input, 1 - call.target, yes) * shares(dloss, call), call.grads(dloss)[1]

    return wrong


YES_OR_NO = [
    result("binary_cross_entropy", "log 0 not clamped", "not-finite", entropy(torch.log)),
    result(
        "binary_cross_entropy",
        "an epsilon inside the logarithm",
        "eps-added",
        entropy(lambda p: torch.log(p + 1e-8)),
    ),
    result("binary_cross_entropy", "mean over the weights", "wrong-divisor", mean_over_weights),
    backward(
        "binary_cross_entropy",
        "division by 0 at p of 0 and 1",
        "not-finite",
        dp(lambda p, target: (p - target) / (p * (1 - p))),
    ),
    backward(
        "binary_cross_entropy",
        "an epsilon added, not a bound",
        "eps-added",
        dp(lambda p, target: (p - target) / (p * (1 - p) + LEAST_VARIANCE)),
    ),
    backward(
        "binary_cross_entropy",
        "the gradient for logits",
        "logits-for-probabilities",
        dp(lambda p, target: p - target),
    ),
    backward(
        "binary_cross_entropy",
        "sign flipped",
        "sign",
        lambda dloss, call: (-call.grads(dloss)[0], call.grads(dloss)[1]),
    ),
    backward("binary_cross_entropy", "dtarget of the yes alone", "half-dropped", dyes(lambda p: -torch.log(p))),
    backward(
        "binary_cross_entropy",
        "dtarget bounded",
        "clamped",
        dyes(lambda p: torch.log1p(-p).clamp_min(-100) - torch.log(p).clamp_min(-100)),
    ),
    backward(
        "binary_cross_entropy",
        "weight forgotten",
        "ignored-keyword",
        lambda dloss, call: call.again(weight=None).grads(dloss),
    ),
    # with logits
    both(
        "_softplus: overflows",
        "binary_cross_entropy_with_logits",
        "not-finite",
        lambda call: call.giving(overflowing_loss(call)),
    ),
    forward(
        "binary_cross_entropy_with_logits",
        "pos_weight forgotten",
        "ignored-keyword",
        result_of(pos_weight=lambda call: None),
    ),
    result(
        "binary_cross_entropy_with_logits",
        "pos_weight takes from the no",
        "pos-weight-misplaced",
        pos_weight_taken_from_no,
    ),
    backward(
        "binary_cross_entropy_with_logits",
        "the formula without pos_weight",
        "ignored-keyword",
        lambda dloss, call: (call.again(pos_weight=None).grads(dloss)[0], call.grads(dloss)[1]),
    ),
    backward(
        "binary_cross_entropy_with_logits",
        "inf / inf for large logits",
        "not-finite",
        dlogit(lambda x, no, yes: no * torch.exp(x) / (1 + torch.exp(x)) - yes / (1 + torch.exp(x))),
    ),
    backward(
        "binary_cross_entropy_with_logits",
        "a sign",
        "term-sign",
        dlogit(lambda x, no, yes: no / (1 + torch.exp(-x)) + yes / (1 + torch.exp(x))),
    ),
    backward(
        "binary_cross_entropy_with_logits",
        "dtarget without pos_weight",
        "ignored-keyword",
        lambda dloss, call: (call.grads(dloss)[0], call.again(pos_weight=None).grads(dloss)[1]),
    ),
    backward("binary_cross_entropy_with_logits", "mean over the weights", "wrong-divisor", mean_over(sum_of_weights)),
]

# --- classes


def kept(call):
    return call.target != call.ignore_index


def weights_of_samples(call):
    """The weight of each sample's class, 0 where ignored."""
    weight = call.input.new_ones(call.input.shape[class_axis(call)]) if call.weight is None else call.weight
    return weight[call.target.long() * kept(call)] * kept(call)


def zero_times_infinity(call):
    axis, weight = class_axis(call), weights_of_samples(call)
    picked = call.input.gather(axis, (call.target.long() * kept(call)).unsqueeze(axis)).squeeze(axis)
    return reduced(-weight * picked, call, weight.sum())


def nan_where_all_are_ignored(dloss, call):
    """nll_loss's backward, without a zero where a sample is ignored."""
    axis, weight = class_axis(call), weights_of_samples(call)
    dlosses = -weight * (dloss / weight.sum() if call.reduction == "mean" else dloss)
    index = (call.target.long() * kept(call)).unsqueeze(axis)
    return torch.zeros_like(call.input).scatter(axis, index, dlosses.unsqueeze(axis))


def another_ignore_index(call):
    """Only negative targets are ignored, whatever ignore_index says."""
    if call.target.is_floating_point():
        return call
    return call.again(target=torch.where(call.target < 0, -100, call.target.long()), ignore_index=-100)


def classes_last(call):
    return call.again(input=call.input.movedim(-1, class_axis(call)))


INDICES = [
    result("nll_loss", "ignored samples counted", "wrong-divisor", lambda call: plain_mean(call)),
    result(
        "nll_loss",
        "mean over the samples, not their weights",
        "wrong-divisor",
        lambda call: reduced(call.again(reduction="none").out, call, kept(call).sum()),
    ),
    result("nll_loss", "0 · inf for an ignored sample", "not-finite", zero_times_infinity),
    backward("nll_loss", "nan with every sample ignored", "not-finite", nan_where_all_are_ignored),
    backward(
        "nll_loss",
        "weight forgotten",
        "ignored-keyword",
        mean_over(lambda call: weights_of_samples(call).sum(), weight=None),
    ),
    backward("nll_loss", "weights missing in the mean", "wrong-divisor", mean_over(lambda call: kept(call).sum())),
    backward(
        "nll_loss", "mean over N, not over N and d...", "wrong-divisor", mean_over(lambda call: call.input.shape[0])
    ),
    both(
        "_check_class_indices: another ignore_index does not count",
        ("nll_loss", "cross_entropy"),
        "ignored-keyword",
        another_ignore_index,
    ),
    both("_class_dim: classes on the last axis", ("nll_loss", "cross_entropy"), "raised", classes_last),
]

# --- cross-entropy, and its long form


def entropy_of_classes(**parts):
    """Cross-entropy in which a part is computed otherwise: q, count or masked; both ways."""

    def loss(given):
        axis = class_axis(given)
        q, samples, count = targets_of(given)
        probabilities, _, _ = targets_of(type(given)(**vars(given) | {"label_smoothing": 0.0, "weight": None}))
        weight = given.input.new_ones(given.input.shape[axis]) if given.weight is None else given.weight
        weight = weight.reshape(-1, *[1] * (given.input.dim() - axis - 1))
        names = given, probabilities, weight, q
        q = parts["q"](*names) if "q" in parts else q
        count = parts["count"](given, probabilities, weight, q, samples, count) if "count" in parts else count
        terms = q * log_softmax(given.input, axis)
        if parts.get("masked", not given.target.is_floating_point()):
            terms = terms.masked_fill(q == 0, 0)
        losses = -terms.sum(axis)
        return reduced(losses, given, count)

    return consistent(loss, "input", "target")


def from_classes(given):
    return given.input.shape[class_axis(given)]


def overflowing_entropy(call):
    """Cross-entropy of logits whose softmax was taken without a shift."""
    axis = class_axis(call)
    exp = torch.exp(call.input)
    log_probs = torch.log(exp / exp.sum(axis, keepdim=True))
    q, _, count = targets_of(call)
    terms = q * log_probs
    terms = terms if call.target.is_floating_point() else terms.masked_fill(q == 0, 0)
    return reduced(-terms.sum(axis), call, count)


def softmax_unscaled(dloss, call):
    q, samples, count = targets_of(call)
    return (call.input.softmax(class_axis(call)) - q) * cross_entropy_shares(dloss, call, samples, count)


def ignored_not_zeroed(dloss, call):
    axis = class_axis(call)
    q, _, count = targets_of(call)
    dlosses = (
        dloss / count if call.reduction == "mean" else dloss.unsqueeze(axis) if call.reduction == "none" else dloss
    )
    return (call.input.softmax(axis) * q.sum(axis, keepdim=True) - q) * dlosses


def entropy_both(name, diagnosis, **parts):
    return both(f"cross_entropy_forward: {name}", "cross_entropy", diagnosis, *entropy_of_classes(**parts))


def without_smoothing(dloss, call):
    grads = call.grads(dloss)
    return (grads[0], call.again(label_smoothing=0.0).grads(dloss)[1]) if isinstance(grads, tuple) else grads


CLASSES = [
    injected("cross_entropy_forward: smoothing added, nothing taken away", "label-smoothing-added", "smoothing-rule"),
    injected(
        "cross_entropy_forward: smoothing over the wrong classes alone", "label-smoothing-others", "smoothing-rule"
    ),
    entropy_both(
        "the smoothed part unweighted",
        "smoothing-rule",
        q=lambda given, p, weight, q: (
            weight * (1 - given.label_smoothing) * p + given.label_smoothing / from_classes(given) * (q == q)
        ),
    ),
    entropy_both(
        "smoothing of ignored samples",
        "smoothing-rule",
        q=lambda given, p, weight, q: (
            weight * ((1 - given.label_smoothing) * p + given.label_smoothing / from_classes(given))
        ),
    ),
    entropy_both(
        "mean over the smoothed weights",
        "wrong-divisor",
        count=lambda given, p, weight, q, samples, count: count if given.target.is_floating_point() else q.sum(),
    ),
    entropy_both(
        "ignored samples counted",
        "wrong-divisor",
        count=lambda given, p, weight, q, samples, count: (
            count if given.target.is_floating_point() else samples.numel()
        ),
    ),
    entropy_both(
        "probabilities averaged by weight",
        "wrong-divisor",
        count=lambda given, p, weight, q, samples, count: (
            (weight * p).sum() if given.target.is_floating_point() else count
        ),
    ),
    entropy_both("0 · −inf is nan", "not-finite", masked=False),
    both(
        "cross_entropy_forward: dtarget without smoothing", "cross_entropy", "ignored-keyword", None, without_smoothing
    ),
    result("cross_entropy", "overflows", "not-finite", overflowing_entropy),
    backward(
        "cross_entropy",
        "softmax − q, though q does not sum to 1",
        "softmax-unscaled",
        dinput_alone(softmax_unscaled),
    ),
    injected(
        "cross_entropy_backward: the softmax's own derivative forgotten",
        "softmax-gradient-forgotten",
        "softmax-derivative-dropped",
    ),
    backward("cross_entropy", "nan with every sample ignored", "not-finite", dinput_alone(ignored_not_zeroed)),
    backward("cross_entropy", "mean over N alone", "wrong-divisor", mean_over(lambda call: len(call.input))),
    backward("cross_entropy", "dtarget's sign", "sign", dtarget_not_negated),
]


def long_form(*, over="probs", both_paths=True, power=2, pick="own", axis=1, averaged=True):
    """cross_entropy_long's backward as a learner writes it, with one line that may be another."""

    def wrong(dloss, call):
        target, samples = call.target.long(), len(call.target)
        exp = torch.exp(call.input - call.input.amax(dim=1, keepdim=True))
        total = exp.sum(dim=1, keepdim=True)
        probs = exp / total
        dlog_probs = torch.zeros_like(probs)
        dlog_probs[torch.arange(samples) if pick == "own" else slice(None), target] = -dloss / (
            samples if averaged else 1
        )
        dprobs = dlog_probs / probs if over == "probs" else dlog_probs * probs
        dexp = dprobs / total
        if both_paths:
            dexp = dexp - (dprobs * exp / total**power).sum(dim=axis, keepdim=True)
        return dexp * exp

    return wrong


def unshifted_loss(call):
    probs = torch.exp(call.input) / torch.exp(call.input).sum(dim=1, keepdim=True)
    return -torch.log(probs).gather(1, call.target.long()[:, None]).sum() / len(call.target)


LONG_FORM = [
    result("cross_entropy_long", "no shift: overflows", "not-finite", unshifted_loss),
    backward("cross_entropy_long", "the mean's 1/N forgotten", "missing-mean", long_form(averaged=False)),
    backward("cross_entropy_long", "log's derivative upside down", "derivative-inverted", long_form(over="log")),
    backward(
        "cross_entropy_long",
        "the path through the sum forgotten",
        "softmax-derivative-dropped",
        long_form(both_paths=False),
    ),
    backward("cross_entropy_long", "the quotient's square forgotten", "quotient-rule", long_form(power=1)),
    backward("cross_entropy_long", "every sample picks every target", "indexing", long_form(pick="every")),
    backward("cross_entropy_long", "sum over the batch", "wrong-axis", long_form(axis=0)),
]

MISTAKES = EVERYWHERE + REGRESSION + YES_OR_NO + INDICES + CLASSES + LONG_FORM
