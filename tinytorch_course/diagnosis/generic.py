"""Mistakes that can be made in any op: dout forgotten or used twice, arguments not looked at, another op's gradient."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.ops import OPS
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, agree, differentiated

FLOAT32_ERROR = 1e-5  # no entry rounded to float32 on the way is further off than this
SAMPLES = 64  # more than so many are not looked at one by one


def of_dout(key: str, change: Callable[[Tensor], Tensor], sentence: str) -> Hypothesis:
    """The gradients are right for another dout."""
    return Hypothesis(key, (), lambda e: dict(e.vjp(change(e.dout))) if e.vjp else {}, sentence)


def _rounded(evidence: Evidence) -> Predictions:
    """What was got, where it is right to the digits that float32 has."""
    right = evidence.right
    return {q: got for q, got in evidence.got.items() if q in right and agree(got, right[q], FLOAT32_ERROR)}


def _passed_through(evidence: Evidence) -> Predictions:
    return {i: evidence.dout for i in evidence.positions if evidence.inputs[i].shape == evidence.dout.shape}


def _first(dout: Tensor) -> Tensor:
    return torch.cat([dout[:1], torch.zeros_like(dout[1:])])


def _last_samples(evidence: Evidence) -> Predictions:
    """The gradients that only the last few samples make: of every number of them, the one that fits what was got."""
    best: Predictions = {}
    for start in range(1, min(evidence.dout.shape[0], SAMPLES)) if evidence.vjp is not None else ():
        dout = evidence.dout.clone()
        dout[:start] = 0
        grads = evidence.vjp(dout)  # type: ignore[misc]
        best |= {i: grad for i, grad in grads.items() if agree(evidence.got.get(i), grad, evidence.tolerance)}
    return best


ROUNDED = Hypothesis(
    "rounding", (), _rounded,
    "it is right to about seven digits, as if somewhere the code computed in float32 "
    "(torch.zeros without dtype=, .float(), a numpy float32); use float64 throughout",
)  # fmt: skip
# fmt: off
FORMULAS = [
    of_dout("dout-ignored", torch.ones_like,
            "dout is not used: this is the gradient for a dout of ones; multiply by what comes from above (the chain "
            "rule)"),
    of_dout("dout-twice", torch.square, "dout is multiplied in twice"),
    Hypothesis("passed-through", (), _passed_through,
               "it is dout itself: the op's own derivative (its mask, its factor) is never multiplied in"),
    of_dout("missing-sum", _first,
            "only the first sample counts: the gradients of all samples that share this argument must be added up"),
    Hypothesis("missing-sum", (), _last_samples,
               "only the last few samples count: their gradients must be added to those before (+= for =)"),
]
# fmt: on


def ignored_arguments(evidences: list[Evidence]) -> list[Hypothesis]:
    """For each keyword and each optional or floating-point argument of the cases: that it is ignored."""
    keywords = sorted({name for evidence in evidences for name in evidence.kwargs})
    count = max(len(evidence.inputs) for evidence in evidences)
    names = max((evidence.names for evidence in evidences), key=len)
    without: list[tuple[str, str | int, str]] = [("ignored-keyword", name, f"{name} is ignored") for name in keywords]
    without += [("unused-argument", position, f"{names[position]} is not used") for position in range(1, count)]
    return [
        Hypothesis(key, (), partial(_without, which), f"{sentence}: this is what comes out without it")
        for key, which, sentence in without
    ]


def _without(which: str | int, evidence: Evidence) -> Predictions:
    """What comes out without the keyword of that name, or the argument at that position."""
    inputs, kwargs = list(evidence.inputs), dict(evidence.kwargs)
    if isinstance(which, str) and which in kwargs:
        del kwargs[which]
    elif isinstance(which, int) and which < len(inputs) and inputs[which] is not None:
        inputs[which] = None
    else:
        return {}
    return differentiated(evidence, tuple(inputs), partial(evidence.twin, **kwargs)) if evidence.twin else {}


def other_ops(evidence: Evidence) -> list[Hypothesis]:
    """That it is another op of ours that takes the same: l1_loss for mse_loss, the mean's pool for the maximum's."""
    own = (evidence.op or "").removesuffix("_naive").removesuffix("_long")
    signature = list(OPS[own].parameters) if own in OPS else []
    return [
        Hypothesis("another-op", (), partial(_of_other, op.twin), f"this is what belongs to {op.name}")
        for op in OPS.values()
        if op.twin is not None and not op.name.startswith(own) and not op.name.endswith(("_naive", "_long"))
        and list(op.parameters)[:1] == signature[:1]
    ]  # fmt: skip


def _of_other(twin: Callable[..., Any], evidence: Evidence) -> Predictions:
    return differentiated(evidence, evidence.inputs, partial(twin, **evidence.kwargs))
