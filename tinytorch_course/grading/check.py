"""One pair, checked and diagnosed: what a test of one's own calls."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking import gradients
from tinytorch_course.checking.gradients import GradientCheck
from tinytorch_course.checking.ops import find_op
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.grading.forms import Own, understood
from tinytorch_course.grading.pairs import pair_of


def check_gradient(
    code: Any,
    backward: Any = None,
    inputs: tuple = (),
    *,
    kwargs: dict[str, Any] | None = None,
    like: str | None = None,
    twin: Callable[..., Tensor] | None = None,
    constant: tuple[int, ...] = (),
    differences: bool | Collection[int] = True,
    tolerance: float | None = None,
    seed: int = 0,
    name: str | None = None,
) -> GradientCheck:
    """Check a hand-written backward on one set of inputs, and say what is wrong with it.

    In a test::

        def test_my_linear():
            x, weight, bias = (torch.randn(s, dtype=torch.float64) for s in ((5, 3), (4, 3), (4,)))
            assert check_gradient(my_linear_forward, my_linear_backward, (x, weight, bias), like="linear")

    Without ``like`` or ``twin`` it is compared with the central difference alone, which is enough to tell right from
    wrong, for whatever ``forward`` computes.

    Args:
        code: ``forward(*inputs, **kwargs) -> (out, ..., cache)``, with ``backward`` after it; or alone a function that
            returns its pullback, a class with both halves, an autograd.Function, or a module, whose parameters are
            checked after its inputs: ``check_gradient(MyReLU, (x,))``.
        backward: ``backward(dout, cache) -> gradients``, one per tensor argument in forward order, or in a dict.
        inputs: positional arguments. Floating-point tensors get a gradient, all else does not. Use float64: in float32
            rounding hides small mistakes.
        kwargs: keyword arguments, for ``forward`` and ``twin`` alike.
        like: an op or loss of ours ("conv2d") that this should equal: gives ``twin`` and ``constant``, and tells the
            diagnosis which mistakes to think of.
        twin: torch's function with the same arguments.
        constant: positions of tensors to which no gradient belongs (class weights, running statistics).
        differences: False where the inputs lie on a kink, where a difference measures the mean of two slopes; or the
            positions of the arguments to measure.
        tolerance: of errors against the twin; None: 1e-10 in float64, 1e-4 in float32.
        seed: of the random cotangent and directions.
        name: of the check, for its report.

    Returns:
        A :class:`GradientCheck`, true if all is well: ``problems``, ``findings`` (the diagnosis), ``require()`` to
        raise if it is wrong, and a table when printed.

    Raises:
        TypeError: if forward does not return (out, cache), or backward neither a tensor nor a tuple.
        ValueError: if there is no op called ``like``.
    """
    if isinstance(backward, (tuple, list)):
        inputs, backward = tuple(backward), None
    for half, function in (("forward", code), ("backward", backward)):
        if not callable(function) and (half == "forward" or function is not None):
            raise TypeError(f"{half} must be a function, but it is {function!r:.60}")
    if isinstance(code, torch.nn.Module):
        inputs = (*inputs, *code.parameters())
    if like is not None:
        op = find_op(like)
        twin, constant = twin or op.twin, constant or op.constant
    pair = pair_of(code, backward)
    pair, _ = understood(pair, Own(pair.name, dict(pair.signature.parameters), inputs, kwargs or {}))
    check = gradients.check_gradient(
        pair.forward,
        pair.backward,
        inputs,
        kwargs=kwargs,
        op=like,
        twin=twin,
        constant=constant,
        names=pair.labels,
        differences=differences,
        tolerance=tolerance,
        seed=seed,
        name=name or like or pair.name,
    )
    check.findings = diagnose([check])
    return check
