"""What is wrong with the form: too few gradients, in another order, of another shape, and inputs that were changed."""

import itertools

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.gradients import GradientCheck, Problem
from tinytorch_course.diagnosis.hypotheses import agree

Explanation = tuple[str, str]  # key and sentence
SENTENCES = {  # by the key of the problem, which is {0}
    "in-place": "{0.sentence}: what was given belongs to the caller, who still needs it; look for +=, *=, [...] = and "
    "functions whose name ends in _, and work on a copy",
    "count": "{0.sentence}; one for each tensor that forward takes, in its order",
    "no-gradient": "{0.what} is None: no gradient was computed, as if the argument were detached or not used, but out "
    "depends on it",
    "dtype": "{0.sentence}: a gradient has the dtype and the device of its argument; look for torch.zeros without "
    "dtype= and device= (torch.zeros_like has both), .float() and numpy",
    "raised": "{0.sentence}",
    "malformed": "{0.sentence}",
    "again": "{0.sentence}; work on a copy (.clone()), or draw nothing at random in backward",
}


def explain_problem(problem: Problem, check: GradientCheck) -> Explanation | None:
    """The key and the sentence of a problem of form; None for one of values."""
    if problem.key == "shape":
        return _shape(problem, check.evidence)
    sentence = SENTENCES.get(problem.key)
    return (problem.key, sentence.format(problem)) if sentence else None


def _shape(problem: Problem, evidence: Evidence) -> Explanation:
    """A gradient of another shape than its argument: what would make the right one of it?"""
    position = next(i for i in evidence.got if isinstance(i, int) and evidence.label(i) == problem.what)
    got, wanted, right = evidence.got[position], evidence.inputs[position].shape, evidence.right.get(position)
    order = _order(evidence)
    if order is not None:
        return "order", f"the gradients come in another order than forward's arguments: return {order}"
    if got.shape == wanted[::-1]:
        return "transposed", f"{problem.sentence}: it is transposed"
    if got.numel() == wanted.numel():
        return "shape", f"{problem.sentence}: as many numbers in another shape; look at keepdim, flatten and reshape"
    axes = _axes_to_sum(got, wanted, right, evidence.tolerance)
    if axes is not None:
        over = " and ".join(f"{axis} (of size {got.shape[axis]})" for axis in axes)
        return "missing-sum", (
            f"{problem.sentence}: what is shared by many entries of out gets the sum of their gradients; sum over "
            f"ax{'is' if len(axes) == 1 else 'es'} {over}"
        )
    if got.numel() < wanted.numel():
        return "extra-sum", f"{problem.sentence}: a sum too much, or keepdim=True is missing"
    return "shape", f"{problem.sentence}: a gradient has the shape of its argument"


def _axes_to_sum(got: Tensor, wanted: torch.Size, right: Tensor | None, tolerance: float) -> tuple[int, ...] | None:
    """Axes over which ``got`` must be summed to be right, or at least of the right shape."""
    fitting = None
    for count in range(1, got.dim() + 1):
        for axes in itertools.combinations(range(got.dim()), count):
            summed = got.sum(axes, keepdim=True)
            if [size for size in summed.shape if size > 1] != [size for size in wanted if size > 1]:
                continue
            if right is not None and agree(summed.reshape(wanted), right, tolerance):
                return axes
            fitting = fitting or axes
    return fitting


def _order(evidence: Evidence) -> str | None:
    """The labels in the right order, if the gradients are right but for that."""
    positions = [i for i in evidence.got if isinstance(i, int)]
    if not all(i in evidence.right for i in positions):
        return None
    for order in itertools.permutations(positions):
        pairs = zip(positions, order, strict=True)
        if list(order) != positions and all(
            agree(evidence.got[at], evidence.right[of], evidence.tolerance) for at, of in pairs
        ):
            return ", ".join(evidence.label(i) for i in positions)
    return None
