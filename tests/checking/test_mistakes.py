"""Every planted mistake is rejected, and called by its name or described."""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from checking.mistakes.mistake import backward
from checking.mistakes.table import MISTAKES
from prove import forms_of

from tinytorch_course.checking.suite import quiet_and_exact, subjects
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.lockstep import inject, planting, wrong
from tinytorch_course.lockstep.planting import WrongFunction, planted
from tinytorch_course.scratch import optimizers
from tinytorch_course.scratch.ops import activation
from tinytorch_course.scratch.tuned import using

OPTIONS = {"dtype": torch.float64, "device": "cpu", "seed": 0}


class Outcome(NamedTuple):
    failed: int  # cases
    keys: list[str]  # of the findings


@functools.cache
def outcome(mistake, form="textbook"):
    """What the checks say of the first subject that the mistake spoils, in one form of its op."""
    with planted(mistake.plant), quiet_and_exact(), using(form):
        for subject in subjects():
            if subject.kind not in ("op", "loss", "optimizer") or subject.name not in mistake.subjects:
                continue
            checks = subject.check(**OPTIONS)
            failed = sum(not check.ok for check in checks)
            if failed:
                return Outcome(failed, [finding.key for finding in diagnose(checks)])
    return Outcome(0, [])


# What the numbers say for sure, whatever the mistake is called.
FACTS = {"unrecognised", "zeros", "sign", "factor", "factor-2", "missing-mean", "extra-mean", "transposed", "reversed",
         "swapped", "passed-through", "another-op", "ignored-keyword", "unused-argument", "missing-sum", "dout-ignored",
         "kink", "not-finite", "rounding"}  # fmt: skip

PLANTED = [
    (mistake, form)
    for mistake in MISTAKES
    for form in sorted({form for name in mistake.subjects for form in forms_of(name)})
]


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "form"), PLANTED, ids=[f"{mistake.name} {form}" for mistake, form in PLANTED])
def test_every_planted_mistake_is_rejected_and_named_or_described(mistake, form):
    """Our own sources are not searched: what has no name gets the facts."""
    found = outcome(mistake, form)
    assert found.failed
    assert found.keys[0] in {mistake.diagnosis, *FACTS}


def test_there_are_at_least_sixty_and_no_name_twice():
    assert len(MISTAKES) >= 60
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)
    assert all(mistake.diagnosis for mistake in MISTAKES)


HARMLESS = backward("tanh", "the same thing", "", lambda dout, call: dout - dout * call.out**2)


def test_a_harmless_change_is_not_rejected():
    assert outcome(HARMLESS) == Outcome(0, [])


def test_planting_is_undone():
    before = activation.tanh_backward
    with planted(HARMLESS.plant):
        assert activation.tanh_backward is not before
        assert activation.tanh_backward.__wrapped__ is before
    assert activation.tanh_backward is before


def test_a_function_that_another_module_imported_is_replaced_there_too(monkeypatch):
    monkeypatch.setattr(inject, "imported_under_another_name", optimizers.sgd_step, raising=False)
    plant = WrongFunction("sgd_step", lambda right, *args, **hyper: "planted")
    with planted(plant):
        assert optimizers.sgd_step() == inject.imported_under_another_name() == "planted"
    assert inject.imported_under_another_name is optimizers.sgd_step


def test_what_does_not_exist_cannot_be_planted():
    with (
        pytest.raises(LookupError, match="the from-scratch code has no function no_such_function"),
        planted(WrongFunction("no_such_function", None)),
    ):
        pass


@pytest.mark.parametrize(
    "path",
    [planting.__file__, inject.__file__, wrong.__file__, *sorted((Path(__file__).parent / "mistakes").glob("*.py"))],
    ids=lambda path: Path(path).name,
)
def test_no_mistake_depends_on_source_text(path):
    """So that renaming a variable breaks none: no text is read or run, and no private name is used."""
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            assert node.id not in ("exec", "eval", "compile")
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("getsource", "getsourcelines", "__code__")
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tinytorch_course.scratch"):
            raise AssertionError("a mistake knows nothing of the from-scratch code but names")
