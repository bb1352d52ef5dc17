"""Everything that can be checked: each op, loss, layer, optimizer, schedule and network of the from-scratch layer."""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from tinytorch_course.checking.case_tables import optimizers, schedules
from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.explain import explain
from tinytorch_course.checking.gradients import DIFFERENCE_TOLERANCE, NUDGES, TOLERANCE, GradientCheck
from tinytorch_course.checking.networks import check_layer, check_model
from tinytorch_course.checking.ops import OPS, check_cases, find_op, layer_cases, raised
from tinytorch_course.checking.optimizers import check_optimizer
from tinytorch_course.checking.rows import Row
from tinytorch_course.checking.step_curve import step_curve
from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.models import MODELS, Model
from tinytorch_course.own_networks import is_own
from tinytorch_course.summary import parse_input
from tinytorch_course.twins import require_twins

KINDS = {
    "op": "ops",
    "loss": "losses",
    "layer": "layers",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "network": "networks",
}


class Subject(NamedTuple):
    """Something to check, on many cases."""

    kind: str  # of KINDS
    name: str
    check: Callable[..., list[GradientCheck]]  # check(dtype=, device=, seed=)


Diagnose = Callable[[list[GradientCheck]], list[Any]]  # the diagnosis, from the room above

STEPS = 40  # of an optimizer at most; the tests take 200
EVERY_THIRD = "_naive"  # loops in Python are slow: of their cases every third; the tests take all


def subjects() -> list[Subject]:
    """All of them, by kind."""
    found = []
    for op in OPS.values():
        cases = op.cases[:: 3 if op.name.endswith(EVERY_THIRD) else 1]
        found.append(Subject(op.kind, op.name, functools.partial(check_cases, op.name, cases)))
    found += _grouped("layer", layer_cases(), lambda case: case.layer, check_layer)
    found += _grouped("optimizer", optimizers.all_cases(), lambda case: case.optimizer, _check_optimizer)
    found += _grouped("schedule", schedules.CASES, lambda case: case.schedule, _check_schedule)
    found += _grouped("network", MODELS.values(), lambda model: model.name, check_model)
    return found


def _grouped(kind: str, cases: Iterable[Any], name_of: Callable[[Any], str], check: Callable) -> list[Subject]:
    groups: dict[str, list[Any]] = {}
    for case in cases:
        groups.setdefault(name_of(case), []).append(case)
    return [Subject(kind, name, functools.partial(_check_each, check, group)) for name, group in groups.items()]


def _check_each(check: Callable, cases: list[Any], **options) -> list[GradientCheck]:
    checks = []
    for case in cases:
        try:
            checks.append(check(case, **options))
        except Exception as error:
            checks.append(raised(str(case), None, error))
    return checks


def _check_optimizer(case: optimizers.OptimizerCase, **options) -> GradientCheck:
    return check_optimizer(case._replace(steps=min(case.steps, STEPS)), **options)


def _check_schedule(case: schedules.ScheduleCase, **options) -> GradientCheck:
    """A schedule is a function of plain numbers: neither dtype, device nor seed changes it."""
    check = GradientCheck(str(case), Evidence(str(case)))
    check.forward_error = schedules.run_case(case)
    if not check.forward_error <= schedules.TOLERANCE:
        check.report("value", "the schedule", f"the schedule is not torch's: its error is {check.forward_error:.1e}")
    return check


def select(name: str | None) -> list[Subject]:
    """The subjects of that name, or all of them.

    Raises:
        InputError: if there is none.
    """
    chosen = [subject for subject in subjects() if name in (None, subject.name)]
    if chosen:
        return chosen
    names = sorted({subject.name for subject in subjects()})
    hint = did_you_mean(name, names, "`tinytorch check --list` shows what there is")
    raise InputError(f"there is no op, layer, optimizer or network '{name}'{hint}")


def network(model: Model, size: str | None = None) -> Subject:
    """A network, ours or the user's own, as a subject; ``size`` ("1x28x28") is of its pictures.

    Raises:
        InputError: if it does not take such pictures, or is not the same in both namespaces.
    """
    shape = None if size is None else parse_input(size)
    if shape is not None and shape[1] != shape[2]:
        raise InputError(f"--input must be of square pictures here, but it is {size}")
    channels, side, _ = shape or (1, 28, 28)
    require_twins(model, num_classes=10, in_channels=channels, image_size=side)
    check = functools.partial(check_model, size=shape and (channels, side))
    return Subject("network", model.name, functools.partial(_check_each, check, [model]))


def listing() -> dict[str, list[tuple[str, str]]]:
    """Kind -> (name, how it is called) of all subjects."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in KINDS.values()}
    for subject in subjects():
        signature = ""
        if subject.kind in ("op", "loss"):
            signature = f"({', '.join(_spell_parameter(p) for p in find_op(subject.name).parameters.values())})"
        groups[KINDS[subject.kind]].append((subject.name, signature))
    return groups


def _spell_parameter(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


def tolerances(dtype: torch.dtype) -> str:
    """What passes, in words."""
    words = f"tolerances: {TOLERANCE[dtype]:g} beside autograd, {DIFFERENCE_TOLERANCE[dtype]:g} beside differences"
    if dtype != torch.float64:
        words += f" (taken in float64), or {NUDGES} times what one rounding of the inputs changes"
    return words


def check_subject(subject: Subject, diagnose: Diagnose, *, explained: bool = False, **options) -> Row:
    """Check one subject on all of its cases, and diagnose it if it is wrong.

    Args:
        subject: from :func:`select`.
        diagnose: says what is wrong with failed checks.
        explained: whether to add the formula, and how a central difference's error depends on its step.
        options: dtype, device, seed.
    """
    with quiet_and_exact():
        checks = subject.check(**options)
        row = summarise(subject.kind, subject.name, checks, diagnose)
        if (explained or not row.ok) and not is_own(subject.name):
            row.explanation = explain(subject.kind, subject.name)._asdict()
        if explained and subject.kind in ("op", "loss"):
            evidence = next(check.evidence for check in checks if check.difference_errors)
            row.step_curve = step_curve(find_op(subject.name).forward, evidence, options["seed"])
        return row


def summarise(kind: str, name: str, checks: list[GradientCheck], diagnose: Diagnose) -> Row:
    """One row for all checks of a subject."""
    failed = [check for check in checks if not check.ok]
    row = Row(kind, name, len(checks), len(failed))
    row.forward_error = _worst(check.forward_error for check in checks)
    row.gradient_error = _worst(error for check in checks for error in check.gradient_errors.values())
    row.difference_error = _worst(error for check in checks for error in check.difference_errors.values())
    for label in dict.fromkeys(label for c in checks for label in (*c.gradient_errors, *c.difference_errors)):
        row.quantities[label] = {
            "autograd": _worst(check.gradient_errors.get(label) for check in checks),
            "differences": _worst(check.difference_errors.get(label) for check in checks),
        }
    row.problems = [f"{check.name}: {problem}" for check in failed for problem in check.problems]
    row.notes = [f"{check.name}: {note}" for check in checks for note in check.notes]
    row.diagnosis = [finding.to_dict() for finding in diagnose(checks)]
    return row


def _worst(errors: Iterable[float | None]) -> float | None:
    return max((error for error in errors if error is not None), default=None)


@contextmanager
def quiet_and_exact() -> Iterator[None]:
    """No warnings (of broadcasting, which some cases are about), and no TF32, whose rounding would hide mistakes.

    On one thread: the tensors are so small that more of them only wait for each other.
    """
    tf32, threads = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32), torch.get_num_threads()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
        torch.set_num_threads(threads)
