"""Hypotheses: for a known mistake that no edit reaches, the numbers that it would give.

A hypothesis is believed if what it predicts is what the checked code gave, in every case: also in those where the code
was right, which the mistake may not spoil.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity, entry_errors
from tinytorch_course.checking.ops import find_op

Predictions = dict[Quantity, Tensor]


class Hypothesis(NamedTuple):
    """One mistake. ``predict`` gives what each quantity would be; a quantity that it leaves out would be right."""

    key: str
    ops: tuple[str, ...]  # in which it can be made; none: in any
    predict: Callable[[Evidence], Predictions]
    sentence: str  # what is wrong and what to do


def function(key: str, ops: tuple[str, ...], other: Callable[..., Tensor], sentence: str) -> Hypothesis:
    """Another function in place of the right one: forward, backward or both belong to ``other``.

    ``other(<the op's arguments by name>)`` gives out; its gradients are autograd's.
    """
    return Hypothesis(key, ops, lambda evidence: of_function(evidence, other), sentence)


def of_function(evidence: Evidence, other: Callable[..., Tensor]) -> Predictions:
    """What out and the gradients are if ``other`` is the function."""
    given = arguments(evidence)
    names = list(given)

    def of_inputs(*inputs: Any) -> Tensor:
        return other(**given | dict(zip(names, inputs, strict=False)))

    return differentiated(evidence, evidence.inputs, of_inputs)


def differentiated(evidence: Evidence, inputs: tuple, function: Callable[..., Any]) -> Predictions:
    """What out and the gradients are if out is ``function(*inputs)``, or the first of what it gives."""
    positions = [i for i in evidence.positions if isinstance(inputs[i], Tensor)]

    def of_tensors(*tensors: Tensor) -> Tensor:
        changed = dict(zip(positions, tensors, strict=True))
        result = function(*(changed.get(i, x) for i, x in enumerate(inputs)))
        return result[0] if isinstance(result, tuple) else result

    out, pullback = vjp(of_tensors, *(inputs[i] for i in positions))
    predictions: Predictions = {"out": out}
    if out.shape == evidence.dout.shape:
        predictions |= dict(zip(positions, pullback(evidence.dout), strict=True))
    return predictions


def vjp(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """``torch.func.vjp``, whose own type leaves open how many results it has."""
    out, pullback = torch.func.vjp(function, *inputs)[:2]
    return out, pullback


# What a formula raises that does not fit a case's shapes and values. Anything else is a mistake in the rule itself.
DOES_NOT_FIT = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def predictions_of(hypothesis: Hypothesis, evidence: Evidence) -> Predictions:
    """What the hypothesis predicts; nothing if its formula cannot be computed on this case's shapes and values.

    Nor if the rule is broken: a learner's diagnosis goes on without it. It is our tests that find those.
    """
    try:
        return hypothesis.predict(evidence)
    except Exception:
        return {}


def agree(got: Tensor | None, expected: Tensor | None, tolerance: float) -> bool:
    """Whether both have the same shape, and no entry's error is larger than ``tolerance``."""
    if got is None or expected is None or got.shape != expected.shape:
        return False
    return not got.numel() or bool(entry_errors(got, expected).max() <= tolerance)


def arguments(evidence: Evidence) -> dict[str, Any]:
    """The case's arguments by the names that our op has for them, defaults included."""
    bound = inspect.signature(find_op(evidence.op or "").forward).bind(*evidence.inputs, **evidence.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)
