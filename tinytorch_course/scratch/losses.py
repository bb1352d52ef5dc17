"""Loss functions: how far ``input``, what the network says, is from ``target``, what it should say.

Each computes one loss per element or per sample (``losses``) and then reduces them: ``reduction="none"`` keeps them
all, ``"sum"`` adds them up, ``"mean"`` divides the sum by their number, or by what the docstring says. The mean of no
loss at all is nan. In the formulas, ``dlosses`` is each one's share of dloss: dloss itself, or for the mean dloss
divided by the same number.

A backward returns one gradient per floating-point tensor among (input, target), in this order: ``dinput`` alone where
target holds integers, else ``(dinput, dtarget)``. Weights get none. Floating-point arguments share one dtype (torch
would promote some of them). All raise ValueError, TypeError or IndexError for arguments that do not fit.

Values (classes, probabilities) are checked on the CPU alone: to look at them on a GPU, Python would have to wait for
it. There a wrong class stops the program with torch's device-side assert; an input of
:func:`binary_cross_entropy_forward` that is no probability makes the loss nan, and its target is not looked at.

Legend: N batch, C classes, ``d...`` any number of further axes (none at all included). An unbatched input has no N.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.scratch.checks import (
    can_be_read,
    once,
    require,
    require_choice,
    require_dim,
    require_float,
    require_per,
    require_same_shape,
)


def _reduce(losses: Tensor, reduction: str, count: Tensor | int) -> Tensor:
    """``reduction`` of the losses; ``count`` is what the mean divides by."""
    return losses if reduction == "none" else losses.sum() / (count if reduction == "mean" else 1)


def _spread(dloss: Tensor, reduction: str, count: Tensor | int, shape: torch.Size) -> Tensor:
    """Backward of :func:`_reduce`: every loss of ``shape`` gets the same share."""
    return (dloss / count if reduction == "mean" else dloss).expand(shape)


def _times(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else x * weight


class ElementwiseCache(NamedTuple):
    """Of a loss of each element, the arguments: what else backward needs of them is cheap to compute again."""

    input: Tensor
    target: Tensor
    weight: Tensor | None  # as input, or broadcast to it
    reduction: str


# --- of a difference -------------------------------------------------------------------------------------------------


def mse_loss_forward(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> tuple[Tensor, ElementwiseCache]:
    """Squared error: ``losses = weight · (input − target)²``; the mean divides by the number of elements or Σ weight.

    Backward: ``dinput = 2 weight (input − target) · dlosses`` and ``dtarget = −dinput``.

    Args: target and weight (None for ones) as input. Another shape of target is broadcast and warned of, as in torch:
        (N,) beside (N, 1) silently compares every sample with every other one. Integers are accepted, without gradient.
    """
    check_regression(input, target, weight, reduction)
    diff = input - target
    losses = _times(diff**2, weight)
    return _reduce(losses, reduction, _total_weight(diff, weight)), ElementwiseCache(input, target, weight, reduction)


def mse_loss_backward(dloss: Tensor, cache: ElementwiseCache) -> Tensor | tuple[Tensor, Tensor]:
    """Gradients of :func:`mse_loss_forward`: dinput, and dtarget unless target holds integers."""
    input, target, weight, reduction = cache
    diff = input - target
    # loss = Σ losses / total weight
    dlosses = _spread(dloss, reduction, _total_weight(diff, weight), diff.shape)
    # losses = weight · diff²
    ddiff = _times(2 * diff * dlosses, weight)
    # diff = input − target
    return _difference_backward(ddiff, input, target)


def l1_loss_forward(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> tuple[Tensor, ElementwiseCache]:
    """Absolute error: ``losses = weight · |input − target|``; the mean divides by the number of elements or Σ weight.

    Backward: ``dinput = weight · sign(input − target) · dlosses`` and ``dtarget = −dinput``. Where input equals target
    any slope from −1 to 1 would do; it is 0, as in torch.

    Args: as in :func:`mse_loss_forward`.
    """
    check_regression(input, target, weight, reduction)
    diff = input - target
    losses = _times(diff.abs(), weight)
    return _reduce(losses, reduction, _total_weight(diff, weight)), ElementwiseCache(input, target, weight, reduction)


def l1_loss_backward(dloss: Tensor, cache: ElementwiseCache) -> Tensor | tuple[Tensor, Tensor]:
    """Gradients of :func:`l1_loss_forward`: dinput, and dtarget unless target holds integers."""
    input, target, weight, reduction = cache
    diff = input - target
    # loss = Σ losses / total weight
    dlosses = _spread(dloss, reduction, _total_weight(diff, weight), diff.shape)
    # losses = weight · |diff|
    ddiff = _times(diff.sign() * dlosses, weight)
    # diff = input − target
    return _difference_backward(ddiff, input, target)


def _difference_backward(ddiff: Tensor, input: Tensor, target: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Gradients of ``diff = input − target``. Broadcasting copies a value; a copied value's gradient is a sum."""
    dinput = ddiff.sum_to_size(input.shape)
    return (dinput, -ddiff.sum_to_size(target.shape)) if target.is_floating_point() else dinput


def _total_weight(losses: Tensor, weight: Tensor | None) -> Tensor | int:
    """What the mean divides by."""
    return losses.numel() if weight is None else weight.sum()


# --- of a yes or no --------------------------------------------------------------------------------------------------

LEAST_VARIANCE = 9.999999960041972e-13  # of a yes or no, p (1 − p): what torch divides by, 1e-12 rounded to float32


def binary_cross_entropy_forward(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> tuple[Tensor, ElementwiseCache]:
    """Cross-entropy of a yes or no of probability p = input.

    ``losses = −weight · (target · log p + (1 − target) · log(1 − p))``.
    The mean divides by the number of elements, weighted or not.

    Backward: ``dinput = weight · (p − target) / (p (1 − p)) · dlosses`` and
    ``dtarget = weight · (log(1 − p) − log p) · dlosses``.

    torch's conventions: a logarithm below −100 counts as −100, so that p of exactly 0 or 1 costs 100 and not inf. In
    dinput, ``p (1 − p)`` counts as 1e-12 where it is less, so that a p of exactly 0 or 1 that is wrong has a slope of
    1e12 and not inf. In dtarget nothing is bounded. With logits none of this is needed, and nothing is lost near 0 and
    1: prefer :func:`binary_cross_entropy_with_logits_forward`.

    Args: input and target, of one shape, from 0 to 1; weight broadcasts to that shape, None for ones.
    """
    check_yes_or_no(input, target, weight, None, reduction)
    _require_from_0_to_1("input", input)
    _require_from_0_to_1("target", target)
    log_yes = torch.log(input).clamp_min(-100)
    log_no = torch.log1p(-input).clamp_min(-100)
    losses = -_times(target * log_yes + (1 - target) * log_no, weight)
    return _reduce(losses, reduction, losses.numel()), ElementwiseCache(input, target, weight, reduction)


def binary_cross_entropy_backward(dloss: Tensor, cache: ElementwiseCache) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`binary_cross_entropy_forward`: dinput and dtarget, as input."""
    input, target, weight, reduction = cache
    # loss = Σ losses / number of elements
    dlosses = _times(_spread(dloss, reduction, input.numel(), input.shape), weight)
    # losses = −(target · log p + (1 − target) · log(1 − p))
    dinput = (input - target) / (input * (1 - input)).clamp_min(LEAST_VARIANCE) * dlosses
    dtarget = (torch.log1p(-input) - torch.log(input)) * dlosses
    return dinput, dtarget


class BinaryCrossEntropyWithLogitsCache(NamedTuple):
    """The arguments, since σ is cheap to compute again."""

    input: Tensor
    target: Tensor  # as input
    weight: Tensor | None  # broadcasts to input
    pos_weight: Tensor | None  # broadcasts to input
    reduction: str


def binary_cross_entropy_with_logits_forward(
    input: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> tuple[Tensor, BinaryCrossEntropyWithLogitsCache]:
    """Binary cross-entropy of ``p = σ(input)``, in one formula that no logit overflows.

    With ``softplus(x) = log(1 + eˣ)``, ``−log σ(x)`` is softplus(−x) and ``−log(1 − σ(x))`` is softplus(x), so
    ``losses = weight · (pos_weight · target · softplus(−input) + (1 − target) · softplus(input))``.
    The mean divides by the number of elements, weighted or not.

    Backward, since σ is softplus's derivative:
    ``dinput = weight · ((1 − target) · σ(input) − pos_weight · target · σ(−input)) · dlosses``, which is
    ``(σ(input) − target) · dlosses`` without weights, and
    ``dtarget = weight · (pos_weight · softplus(−input) − softplus(input)) · dlosses``.

    Args: input, any shape; target as input; weight, of each element, and pos_weight, how much more a yes counts than a
        no, both broadcast to that shape, None for ones. That the target is from 0 to 1 is not checked, as in torch.
    """
    check_yes_or_no(input, target, weight, pos_weight, reduction)
    yes = _times(target, pos_weight)
    losses = _times(yes * _softplus(-input) + (1 - target) * _softplus(input), weight)
    cache = BinaryCrossEntropyWithLogitsCache(input, target, weight, pos_weight, reduction)
    return _reduce(losses, reduction, losses.numel()), cache


def binary_cross_entropy_with_logits_backward(
    dloss: Tensor, cache: BinaryCrossEntropyWithLogitsCache
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`binary_cross_entropy_with_logits_forward`: dinput and dtarget, as input."""
    input, target, weight, pos_weight, reduction = cache
    yes = _times(target, pos_weight)
    # loss = Σ losses / number of elements
    dlosses = _times(_spread(dloss, reduction, input.numel(), input.shape), weight)
    # losses = pos_weight · target · softplus(−input) + (1 − target) · softplus(input)
    dinput = ((1 - target) / (1 + torch.exp(-input)) - yes / (1 + torch.exp(input))) * dlosses
    dtarget = (_times(_softplus(-input), pos_weight) - _softplus(input)) * dlosses
    return dinput, dtarget


def _softplus(x: Tensor) -> Tensor:
    """``log(1 + eˣ)``, written so that only e to a negative power is taken."""
    return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


# --- over classes ----------------------------------------------------------------------------------------------------


class NLLLossCache(NamedTuple):
    """Of input, nothing but its shape is needed."""

    class_index: Tensor  # (N, 1, d...) int64, 0 where ignored
    kept: Tensor  # (N, 1, d...) bool, False where ignored
    sample_weight: Tensor  # (N, 1, d...), 0 where ignored
    input_shape: torch.Size
    reduction: str


def nll_loss_forward(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> tuple[Tensor, NLLLossCache]:
    """Negative log-likelihood of the right class: ``losses = −weight[target] · input[target]``, 0 where ignored.

    The mean divides by ``Σ weight[target]`` over the samples not ignored: their number, without weights. With every
    sample ignored it is nan.

    Backward: ``dinput[target] = −weight[target] · dlosses``, and 0 everywhere else.

    Args: input, log-probabilities (C,), (N, C) or (N, C, d...); target, class indices, int64 or uint8, input's shape
        without its C; weight (C,), None for ones; ignore_index, which need not be a class.
    """
    class_dim = check_classes(input, target, weight, ignore_index, reduction)
    index, kept = _class_indices(input, target, class_dim, ignore_index)
    sample_weight = torch.where(kept, input.new_ones(()) if weight is None else weight[index], 0)
    picked = input.gather(class_dim, index)  # (N, 1, d...)
    losses = torch.where(kept, -sample_weight * picked, 0).squeeze(class_dim)  # (N, d...)
    loss = _reduce(losses, reduction, sample_weight.sum())
    return loss, NLLLossCache(index, kept, sample_weight, input.shape, reduction)


def nll_loss_backward(dloss: Tensor, cache: NLLLossCache) -> Tensor:
    """Gradient of :func:`nll_loss_forward`: dinput, as input."""
    index, kept, sample_weight, input_shape, reduction = cache
    class_dim = min(1, len(input_shape) - 1)
    # loss = Σ losses / Σ sample_weight
    losses_shape = kept.squeeze(class_dim).shape
    dlosses = _spread(dloss, reduction, sample_weight.sum(), losses_shape).unsqueeze(class_dim)  # (N, 1, d...)
    # losses = −sample_weight · picked where kept, else 0
    dpicked = torch.where(kept, -sample_weight * dlosses, 0)
    # picked = input[index]
    return dpicked.new_zeros(input_shape).scatter(class_dim, index, dpicked)  # (N, C, d...)


class CrossEntropyCache(NamedTuple):
    """Log-probabilities and q, from which both gradients follow without input or target."""

    log_probs: Tensor  # (N, C, d...)
    q: Tensor  # (N, C, d...), how much each log-probability counts
    dq_dtarget: Tensor | float | None  # (C, 1...) or (), for probabilities; None for class indices
    kept: Tensor  # (N, 1, d...) bool, False where ignored; for probabilities () True
    class_dim: int  # the axis of C
    divisor: Tensor | int  # of the mean
    reduction: str


def cross_entropy_forward(
    input: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Tensor, CrossEntropyCache]:
    """Cross-entropy of ``softmax(input)`` and target: ``losses = −Σ q · log_softmax(input)`` over the classes.

    ``q = weight · ((1 − ε) · p + ε / C)``, 0 where ignored: p holds the target's probabilities (one-hot for a class);
    label smoothing ε mixes a share of the uniform distribution into them. See :func:`cross_entropy`.

    Backward: ``dinput = (softmax(input) · Σ q − q) · dlosses``, in the plain case ``softmax(input) − one-hot``; and for
    probabilities ``dtarget = −weight (1 − ε) · log_softmax(input) · dlosses``.
    """
    class_dim = check_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    class_weight = 1 if weight is None else weight.view(-1, *[1] * (input.dim() - class_dim - 1))  # (C, 1...)
    p, kept = target, torch.ones((), dtype=torch.bool, device=target.device)
    if target.shape != input.shape:  # no probabilities, but classes
        index, kept = _class_indices(input, target, class_dim, ignore_index)
        p = torch.zeros_like(input).scatter(class_dim, index, kept.to(input.dtype))  # one-hot, or all 0 where ignored
    q = class_weight * ((1 - label_smoothing) * p + label_smoothing / input.shape[class_dim])  # (N, C, d...)
    q, dq_dtarget = torch.where(kept, q, 0), class_weight * (1 - label_smoothing)
    shifted = input - input.amax(class_dim, keepdim=True)  # so that no e^x overflows
    log_probs = shifted - torch.log(torch.exp(shifted).sum(class_dim, keepdim=True))
    terms, count = q * log_probs, p.select(class_dim, 0).numel()
    if not target.is_floating_point():
        terms, dq_dtarget = terms.masked_fill(q == 0, 0), None  # a class that does not count may have a logit of −inf
        count = (class_weight * p).sum(class_dim).sum()
    loss = _reduce(-terms.sum(class_dim), reduction, count)
    return loss, CrossEntropyCache(log_probs, q, dq_dtarget, kept, class_dim, count, reduction)


def cross_entropy_backward(dloss: Tensor, cache: CrossEntropyCache) -> Tensor | tuple[Tensor, Tensor]:
    """Gradients of :func:`cross_entropy_forward`: dinput, and dtarget if target holds probabilities."""
    log_probs, q, dq_dtarget, kept, class_dim, count, reduction = cache
    # loss = Σ losses / count, and 0 where ignored, also where count is 0
    dlosses = torch.where(kept, _spread(dloss, reduction, count, q.select(class_dim, 0).shape).unsqueeze(class_dim), 0)
    # losses = −Σ q · log_probs with log_probs = input − log Σ e^input, so dinput = dlog_probs − softmax · Σ dlog_probs
    dinput = (torch.exp(log_probs) * q.sum(class_dim, keepdim=True) - q) * dlosses  # (N, C, d...)
    if dq_dtarget is None:
        return dinput
    # q = weight · ((1 − ε) · target + ε / C)
    return dinput, -log_probs * dq_dtarget * dlosses


def _class_indices(input: Tensor, target: Tensor, class_dim: int, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """``target`` as (index, kept), both (N, 1, d...): index is int64 and 0 where ignored, kept False there."""
    target, classes = target.long(), input.shape[class_dim]
    kept = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    if can_be_read(target) and (wrong := kept & ((target < 0) | (target >= classes))).any():
        _refuse_class(target[wrong][0].item(), classes, ignore_index)
    return torch.where(kept, target, 0).unsqueeze(class_dim), kept.unsqueeze(class_dim)


class CrossEntropyLongCache(NamedTuple):
    """Every step's result that its derivative needs."""

    target: Tensor  # (N,)
    exp: Tensor  # (N, C)
    total: Tensor  # (N, 1)
    probs: Tensor  # (N, C)


def cross_entropy_long_forward(input: Tensor, target: Tensor) -> tuple[Tensor, CrossEntropyLongCache]:
    """Softmax and cross-entropy one step at a time: the mean of ``−log softmax(input)[target]``.

    Its backward goes through the same steps in reverse, each by its own derivative. Multiplied out, what remains is
    :func:`cross_entropy_backward`'s ``(softmax − one-hot) / N``. This one is to be read: far from the largest logit,
    a probability underflows to 0, its logarithm is −inf, and the gradient is nan where the closed form is exact.

    Args: input, logits (N, C); target, class indices (N,), int64 or uint8.
    """
    require_dim("input", input, (2,), "(N, C)")
    class_dim = check_classes(input, target, None, -100, "mean")
    target = _class_indices(input, target, class_dim, None)[0].squeeze(1)  # (N,)

    shifted = input - input.amax(dim=1, keepdim=True)  # (N, C)
    exp = torch.exp(shifted)  # (N, C)
    total = exp.sum(dim=1, keepdim=True)  # (N, 1)
    probs = exp / total  # (N, C)
    log_probs = torch.log(probs)  # (N, C)
    picked = log_probs.gather(1, target[:, None]).squeeze(1)  # (N,), log_probs[sample, target]
    loss = -picked.sum() / len(picked)  # ()
    return loss, CrossEntropyLongCache(target, exp, total, probs)


def cross_entropy_long_backward(dloss: Tensor, cache: CrossEntropyLongCache) -> Tensor:
    """Gradient of :func:`cross_entropy_long_forward`: dinput (N, C)."""
    target, exp, total, probs = cache

    # loss = -picked.sum() / len(picked)
    dpicked = (-dloss / len(target)).expand(len(target))  # (N,)
    # picked = log_probs[sample, target]: what was not picked has no share
    dlog_probs = torch.zeros_like(probs).scatter(1, target[:, None], dpicked[:, None])  # (N, C)
    # log_probs = log(probs)
    dprobs = dlog_probs / probs
    # probs = exp / total: by the numerator, and by the denominator, which all classes of a sample share
    dexp = dprobs / total
    dtotal = -(dprobs * exp / total**2).sum(dim=1, keepdim=True)  # (N, 1)
    # total = exp.sum(dim=1): a second path to exp; the two add up
    dexp = dexp + dtotal
    # exp = e^shifted
    dshifted = dexp * exp
    # shifted = input - max: the maximum's share is −Σ dshifted, which is 0, since no shift changes the loss
    return dshifted


# --- with their keywords chosen --------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """A loss with its keywords chosen, ready for training."""

    forward: Callable[[Tensor, Tensor], tuple[Tensor, Any]]  # (input, target) -> loss, cache
    backward: Callable[[Tensor, Any], Tensor]  # (dloss, cache) -> dinput


def mse(*, reduction: str = "mean") -> Loss:
    """:func:`mse_loss_forward` and its backward; nn.MSELoss's keywords."""
    return _loss(mse_loss_forward, mse_loss_backward, **locals())


def l1(*, reduction: str = "mean") -> Loss:
    """:func:`l1_loss_forward` and its backward; nn.L1Loss's keywords."""
    return _loss(l1_loss_forward, l1_loss_backward, **locals())


def binary_cross_entropy(*, weight: Tensor | None = None, reduction: str = "mean") -> Loss:
    """:func:`binary_cross_entropy_forward` and its backward; nn.BCELoss's keywords."""
    return _loss(binary_cross_entropy_forward, binary_cross_entropy_backward, **locals())


def binary_cross_entropy_with_logits(
    *, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None
) -> Loss:
    """:func:`binary_cross_entropy_with_logits_forward` and its backward; nn.BCEWithLogitsLoss's keywords."""
    return _loss(binary_cross_entropy_with_logits_forward, binary_cross_entropy_with_logits_backward, **locals())


def nll(*, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> Loss:
    """:func:`nll_loss_forward` and its backward; nn.NLLLoss's keywords."""
    return _loss(nll_loss_forward, nll_loss_backward, **locals())


def cross_entropy(
    *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Loss:
    """:func:`cross_entropy_forward` and its backward; nn.CrossEntropyLoss's keywords.

    ``input`` holds logits, ``target`` class indices, as in :func:`nll_loss_forward`, or probabilities, as input.

    Args:
        weight: (C,), one per class; None for ones. It gets no gradient.
        ignore_index: class indices that do not count; need not be a class. With probabilities it must be negative.
        reduction: "none" for input's shape without its C, "sum", or "mean", which divides, for class indices, by
            ``Σ weight[target]`` over the samples not ignored, smoothed or not (nan with every sample ignored), and for
            probabilities by the number of samples, weighted or not.
        label_smoothing: ε, from 0 to 1.

    No probability is divided by, nor is the logarithm of one taken, so none can underflow;
    :func:`cross_entropy_long_forward` does both, step by step. That probabilities are from 0 to 1 and sum to one is
    not checked, as in torch.

    Source: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs"; for label
    smoothing, Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision", section 7. Weights,
    ignored samples and what the mean divides by are torch's conventions.
    """
    return _loss(cross_entropy_forward, cross_entropy_backward, **locals())


def _loss(forward: Callable[..., Any], backward: Callable[..., Any], **keywords: Any) -> Loss:
    def dinput_alone(dloss: Tensor, cache: Any) -> Tensor:
        grads = backward(dloss, cache)
        return grads[0] if isinstance(grads, tuple) else grads

    return Loss(functools.partial(forward, **keywords), dinput_alone)


# --- checks ----------------------------------------------------------------------------------------------------------

REDUCTIONS = ("none", "mean", "sum")


def check_regression(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    """Arguments of a loss of ``input − target``: they may be broadcast, and target may hold integers."""
    require_choice("reduction", reduction, REDUCTIONS)
    require_float(input=input, weight=weight)
    if isinstance(target, Tensor) and (target.dtype == torch.bool or target.is_complex()):
        raise TypeError(f"target must hold real numbers, but its dtype is {target.dtype}")
    if not isinstance(target, Tensor) or target.is_floating_point():
        require_float(input=input, target=target)
    if weight is not None:
        require_same_shape("weight", weight, "input", input)
    if target.shape != input.shape:
        shapes = f"target has shape {tuple(target.shape)}, but input has {tuple(input.shape)}"
        require(_broadcast(input, target) is not None, f"{shapes}: they must be equal, or broadcast to each other")
        warnings.warn(f"{shapes}: they are broadcast, which is seldom meant", stacklevel=3)


@once
def check_yes_or_no(
    input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str
) -> None:
    """Arguments of a loss of a yes or no, but for the values."""
    require_float(input=input, target=target, weight=weight, pos_weight=pos_weight)
    require_choice("reduction", reduction, REDUCTIONS)
    require_same_shape("target", target, "input", input)
    for name, x in (("weight", weight), ("pos_weight", pos_weight)):
        if x is not None and _broadcast(x, input) != input.shape:
            shapes = f"{name} has shape {tuple(x.shape)}, which does not broadcast to input's {tuple(input.shape)}"
            raise ValueError(shapes)


@once
def check_classes(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> int:
    """Arguments of a loss over classes whose target holds indices, but for their values; the axis of the classes."""
    class_dim = _check_logits(input, weight, ignore_index, reduction)
    if not isinstance(target, Tensor):
        raise TypeError(f"target must be a tensor, but it is a {type(target).__name__}")
    shape, expected = tuple(target.shape), tuple(input.shape[:class_dim] + input.shape[class_dim + 1 :])
    if target.dtype not in (torch.int64, torch.uint8):
        raise TypeError(
            f"target must hold class indices, torch.int64 or torch.uint8, but its dtype is {target.dtype} "
            f"and its shape {shape} beside an input of {tuple(input.shape)}"
        )
    require(
        shape == expected, f"target must have shape {expected}, one class index per sample, but its shape is {shape}"
    )
    require(target.device == input.device, f"target is on {target.device}, but input is on {input.device}: move it")
    return class_dim


@once
def check_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> int:
    """Arguments of cross-entropy, but for the values; the axis of the classes."""
    if not isinstance(label_smoothing, (int, float)):
        raise TypeError(f"label_smoothing must be a number, but it is {label_smoothing!r}")
    require(0 <= label_smoothing <= 1, f"label_smoothing must be from 0 to 1, but it is {label_smoothing}")
    if not (isinstance(target, Tensor) and isinstance(input, Tensor) and target.shape == input.shape):
        return check_classes(input, target, weight, ignore_index, reduction)
    class_dim = _check_logits(input, weight, ignore_index, reduction)
    require_float(input=input, target=target)
    no_index = "ignore_index must be negative beside probabilities, where there is no index"
    require(ignore_index < 0, f"{no_index}, but it is {ignore_index}")
    return class_dim


def _check_logits(input: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> int:
    require_choice("reduction", reduction, REDUCTIONS)
    require_float(input=input, weight=weight)
    require(input.dim() >= 1, "input must be (C,), (N, C) or (N, C, d...), but it is a scalar")
    class_dim = min(1, input.dim() - 1)  # the second axis, or the only one of an unbatched (C,)
    classes = input.shape[class_dim]
    require(classes >= 1, f"input must have at least one class, but its shape is {tuple(input.shape)}")
    require_per("class", classes, weight=weight)
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"ignore_index must be an integer, but it is {ignore_index!r}")
    return class_dim


def _refuse_class(found: float, classes: int, ignore_index: int | None) -> None:
    ignored = "" if ignore_index is None else f", or {ignore_index} to be ignored"
    raise IndexError(f"target must be a class from 0 to {classes - 1}{ignored}, but it has {found}")


def _require_from_0_to_1(name: str, x: Tensor) -> None:
    if can_be_read(x):
        outside = x[~((x >= 0) & (x <= 1))]  # nan is outside, too
        if outside.numel():
            raise ValueError(f"{name} must be from 0 to 1, but it has {outside[0].item()}")


def _broadcast(a: Tensor, b: Tensor) -> torch.Size | None:
    """The shape to which both broadcast, if there is one."""
    try:
        return torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        return None
