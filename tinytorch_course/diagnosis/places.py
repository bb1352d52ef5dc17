"""Where a gradient is wrong, if in one kind of place only. That names no formula, but it says where to look.

A place predicts what was got there and what is right elsewhere, so that it is believed if nothing else is wrong.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity, entry_errors
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, arguments
from tinytorch_course.diagnosis.windows import coverage

WINDOWED = ("conv2d", "max_pool2d", "avg_pool2d")
CLASSIFIED = ("nll_loss", "cross_entropy", "cross_entropy_long")


def place(key: str, ops: tuple[str, ...], region: Callable[[Evidence, Quantity], Tensor], sentence: str) -> Hypothesis:
    """``region(evidence, quantity)`` is True where the quantity may be wrong; it must not be so everywhere."""

    def predict(evidence: Evidence) -> Predictions:
        predictions = {}
        for quantity in evidence.wrong:
            got, right = evidence.got[quantity], evidence.right[quantity]
            if got.shape != right.shape:
                continue
            mask = region(evidence, quantity).expand(right.shape)
            if mask.any() and not mask.all():
                predictions[quantity] = torch.where(mask, got, right)
        return predictions

    return Hypothesis(key, ops, predict, sentence)


def at_kink(evidence: Evidence, quantity: Quantity) -> Tensor:
    """Where the first argument is 0, or equals the second."""
    x, other = (*evidence.inputs, 0)[:2]
    return x == other


def at_edge(evidence: Evidence, quantity: Quantity) -> Tensor:
    """The outermost pixels of an image, as many as the padding, at least one."""
    padding = arguments(evidence)["padding"]
    if isinstance(quantity, str) or isinstance(padding, str):
        raise ValueError("out has no edge of its own, and 'same' says no number of pixels")
    x = evidence.inputs[quantity]
    deep = max(1, *padding) if isinstance(padding, tuple) else max(1, padding)
    mask = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device)
    mask[deep:-deep, deep:-deep] = False
    return mask


def in_sample(index: int) -> Callable[[Evidence, Quantity], Tensor]:
    """The entries of one sample."""

    def region(evidence: Evidence, quantity: Quantity) -> Tensor:
        mask = torch.zeros_like(evidence.right[quantity], dtype=torch.bool)
        mask[index] = True
        return mask

    return region


def at_target(evidence: Evidence, quantity: Quantity) -> Tensor:
    """The entries of the right classes."""
    logits, target = evidence.inputs[0], evidence.inputs[1]
    if target.is_floating_point():
        raise ValueError("probabilities, not classes")
    axis = min(1, logits.dim() - 1)
    classes = torch.arange(logits.shape[axis], device=logits.device).view(-1, *[1] * (logits.dim() - axis - 1))
    return classes == target.long().unsqueeze(axis)


def _constant_factor(evidence: Evidence) -> Predictions:
    """The right value times one number, whatever it is."""
    predictions = {}
    for quantity in evidence.wrong:
        got, right = evidence.got[quantity], evidence.right[quantity]
        if got.shape == right.shape and right.numel() > 1 and entry_errors(got, right).isfinite().all():
            predictions[quantity] = right * ((got * right).sum() / (right * right).sum())
    return predictions


# fmt: off
KINK = place("kink", ("relu", "leaky_relu", "l1_loss"), at_kink,
             "it differs only where the function has a kink, and any slope between its two sides would do; torch takes "
             "the left one for relu and leaky_relu, and 0 for l1_loss: follow it, or training beside torch will part")

PLACES = [
    place("overlap-assigned", WINDOWED, lambda evidence, quantity: coverage(evidence) > 1,
          "it is wrong only at pixels that several windows cover: what the windows give to one pixel must be added up "
          "(+= for =)"),
    place("edge", WINDOWED, at_edge, "it is wrong only at the edge of the image: look at the padding"),
    place("target-class", CLASSIFIED, at_target,
          "it is wrong only at the right classes: look at what is subtracted or picked there"),
    place("other-classes", CLASSIFIED, lambda evidence, quantity: ~at_target(evidence, quantity),
          "it is right at the right classes and wrong at all others: look at the softmax's own part"),
    place("one-sample", (), in_sample(0), "it is wrong in the first sample only"),
    place("one-sample", (), in_sample(-1), "it is wrong in the last sample only"),
    Hypothesis("constant-factor", (), _constant_factor, "it is off by a constant factor"),
]
