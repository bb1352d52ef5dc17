"""Everything that can be checked: each op, loss, layer, optimizer, schedule and network of the from-scratch layer."""

import difflib
import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch

from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS
from tinytorch_course.verify.case_tables import layers, optimizers, schedules
from tinytorch_course.verify.cases import all_tables, check_cases, raised
from tinytorch_course.verify.diagnosis import Finding, diagnose
from tinytorch_course.verify.gradients import GradientCheck
from tinytorch_course.verify.network_checks import check_layer, check_model
from tinytorch_course.verify.optimizer_checks import check_optimizer

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


@dataclass
class Row:
    """What came out for one subject. Errors are the worst over its cases, None where there is nothing to compare."""

    kind: str
    name: str
    cases: int
    failed: int = 0
    forward_error: float | None = None
    gradient_error: float | None = None  # against autograd, for a random cotangent
    difference_error: float | None = None  # against central differences
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diagnosis: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinities: an error that is not finite is None, and one of ``problems``."""
        return {"ok": self.ok} | {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


@functools.cache
def subjects() -> list[Subject]:
    """All of them, in the order in which a course meets them."""
    found = []
    for family, table in all_tables().items():
        kind = "loss" if family == "losses" else "op"
        found += [Subject(kind, op, functools.partial(check_cases, op)) for op in table.twins]
    found += _grouped("layer", layers.CASES, lambda case: case.layer, check_layer)
    found += _grouped("optimizer", optimizers.CASES, lambda case: case.optimizer, check_optimizer)
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


def _check_schedule(case: schedules.ScheduleCase, **options) -> GradientCheck:
    """A schedule is a function of plain numbers: neither dtype, device nor seed changes it."""
    check = GradientCheck(str(case))
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
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]}?" if near else "`tinytorch check --list` shows what there is"
    raise InputError(f"there is no op, layer, optimizer or network '{name}'; {advice}")


def check_subject(subject: Subject, **options) -> Row:
    """Check one subject on all of its cases, and diagnose it if it is wrong."""
    with quiet_and_exact():
        checks = subject.check(**options)
        return summarise(subject.kind, subject.name, checks)


def summarise(kind: str, name: str, checks: list[GradientCheck]) -> Row:
    failed = [check for check in checks if not check.ok]
    row = Row(kind, name, len(checks), len(failed))
    row.forward_error = _worst(check.forward_error for check in checks)
    row.gradient_error = _worst(error for check in checks for error in check.gradient_errors.values())
    row.difference_error = _worst(error for check in checks for error in check.difference_errors.values())
    row.problems = [f"{check.name}: {problem}" for check in failed for problem in check.problems]
    row.notes = [f"{check.name}: {note}" for check in checks for note in check.notes]
    row.diagnosis = [spell(finding) for finding in diagnose(checks)]
    return row


def spell(finding: Finding) -> dict[str, Any]:
    """A finding for JSON."""
    entry = finding.entry and {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in finding.entry._asdict().items()
    }
    return {**finding._asdict(), "entry": entry, "text": str(finding)}


def _worst(errors: Iterable[float | None]) -> float | None:
    return max((error for error in errors if error is not None), default=None)


@contextmanager
def quiet_and_exact() -> Iterator[None]:
    """No warnings (of broadcasting, which some cases are about), and no TF32, whose rounding would hide mistakes."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
