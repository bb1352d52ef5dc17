"""The one list of ops and losses, put together from the files of ``case_tables``; and their cases, run."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable

import torch

from tinytorch_course.checking import case_tables
from tinytorch_course.checking.case_tables import layers
from tinytorch_course.checking.cases import Case, LayerCase, Op, moved
from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.gradients import GradientCheck, check_gradient
from tinytorch_course.errors import did_you_mean
from tinytorch_course.scratch.tuned import chosen


def _rows() -> Iterable[Op]:
    """Those of every file that has some; losses last, as in the course."""
    names = [module.name for module in pkgutil.iter_modules(case_tables.__path__, f"{case_tables.__name__}.")]
    rows = [op for name in names for op in getattr(importlib.import_module(name), "OPS", ())]
    return sorted(rows, key=lambda op: op.kind == "loss")


OPS: dict[str, Op] = {op.name: op for op in _rows()}  # name -> its row


def find_op(name: str) -> Op:
    """The row of that name.

    Raises:
        ValueError: if there is no such op.
    """
    if name not in OPS:
        raise ValueError(f"there is no op {name!r}{did_you_mean(name, OPS).rstrip('?')}; there are {', '.join(OPS)}")
    return OPS[name]


def layer_cases() -> list[LayerCase]:
    """Those of every op's layers, and of the layers that are made of others; in training and in evaluation."""
    cases = [*(case for op in OPS.values() for case in op.layers), *layers.COMPOSED]
    return [case._replace(training=training) for case in cases for training in (True, False)]


def check_case(case: Case, **options) -> GradientCheck:
    """Run one case of an op; options as for :func:`check_fitted`."""
    op = find_op(case.op)
    return check_fitted(case, chosen(op.forward), chosen(op.backward), **options)


def check_fitted(
    case: Case,
    forward: Callable,
    backward: Callable,
    *,
    dtype=torch.float64,
    device="cpu",
    seed=0,
    constant=(),
    **options,
) -> GradientCheck:
    """Run one case on any pair that takes its arguments, drawing its inputs from ``seed``.

    ``constant`` are positions of further tensors whose gradient is not asked for.
    """
    op = find_op(case.op)
    return check_gradient(
        forward,
        backward,
        op.draw(case, dtype=dtype, device=device, seed=seed),
        kwargs={key: moved(value, dtype, device) for key, value in case.kwargs.items()},
        op=case.op,
        twin=op.twin,
        constant=(*op.constant, *constant),
        differences=case.differences,
        seed=seed,
        name=str(case),
        **options,
    )


def check_cases(name: str, cases: Iterable[Case] | None = None, **options) -> list[GradientCheck]:
    """Check an op on all of its cases, or on those given. An op that raises has failed that case."""
    checks = []
    for case in find_op(name).cases if cases is None else cases:
        try:
            checks.append(check_case(case, **options))
        except Exception as error:
            checks.append(raised(str(case), name, error))
    return checks


def raised(
    name: str, op: str | None, error: Exception, spell: Callable[[Exception], str] | None = None
) -> GradientCheck:
    """The failed check of a case that ended in an exception."""
    check = GradientCheck(name, Evidence(name, op))
    words = f"{type(error).__name__}: {error}" if spell is None else spell(error)
    check.report("raised", "the call", f"it raised an exception: {words}")
    return check
