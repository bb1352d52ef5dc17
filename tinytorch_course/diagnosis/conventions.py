"""Where mathematics leaves a choice, another one than torch's is right too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity, entry_errors
from tinytorch_course.checking.gradients import GradientCheck, twin_results

KINKED = ("relu", "leaky_relu", "l1_loss")
KINK = (
    "it differs only where the function has a kink, and any slope between its two sides would do; torch takes the left "
    "one for relu and leaky_relu, and 0 for l1_loss: follow it, or training beside torch will part"
)
BESIDE = 1e-7  # how far from a kink its two slopes are taken


def at_kink(evidence: Evidence, quantity: Quantity) -> bool:
    """Whether it is wrong only where the first argument is 0, or equals the second."""
    got, right = evidence.got[quantity], evidence.right[quantity]
    x, other = (*evidence.inputs, 0)[:2]
    return got.shape == right.shape and bool(((x == other) | (entry_errors(got, right) <= evidence.tolerance)).all())


def only_conventions(checks: Sequence[GradientCheck], findings: Sequence[Any]) -> bool:
    """Whether all that was found are slopes at kinks, and each lies between the slopes on both sides."""
    if not findings or any(finding.key != "kink" for finding in findings):
        return False
    failed = [check for check in checks if not check.ok]
    return all(_between(check, quantity) for check in failed for quantity in check.evidence.wrong)


def _between(check: GradientCheck, quantity: Quantity) -> bool:
    evidence, twin = check.evidence, check.evidence.twin
    if not isinstance(quantity, int) or twin is None:
        return False

    def slopes(shift: float) -> Tensor:
        inputs = list(evidence.inputs)
        inputs[quantity] = inputs[quantity] + shift
        return twin_results(twin, tuple(inputs), evidence.kwargs, [quantity])[1](evidence.dout)[quantity]

    left, right = slopes(-BESIDE), slopes(BESIDE)
    got, tolerance = evidence.got[quantity], 1e-9
    low, high = torch.minimum(left, right) - tolerance, torch.maximum(left, right) + tolerance
    wrong = entry_errors(got, evidence.right[quantity]) > evidence.tolerance
    return bool((((got >= low) & (got <= high)) | ~wrong).all())
