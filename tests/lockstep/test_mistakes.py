"""Every planted mistake is rejected, and called by its name in first place."""

import functools
from typing import NamedTuple

import pytest
import torch

from tinytorch_course.checking.cases import all_tables
from tinytorch_course.checking.suite import quiet_and_exact, subjects
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.lockstep.mistakes import MISTAKES, Mistake, planted
from tinytorch_course.scratch.ops import activation

OPTIONS = {"dtype": torch.float64, "device": "cpu", "seed": 0}


class Outcome(NamedTuple):
    failed: int  # cases
    keys: list[str]  # of the findings


@functools.cache
def outcome(mistake):
    """What the checks say of the first subject that the mistake spoils."""
    with planted(mistake), quiet_and_exact():
        for subject in spoilable(mistake):
            checks = subject.check(**OPTIONS)
            failed = sum(not check.ok for check in checks)
            if failed:
                return Outcome(failed, [finding.key for finding in diagnose(checks)])
    return Outcome(0, [])


def spoilable(mistake):
    """The subjects that use the module; the loops beside the fast versions are left out, which take long."""
    family = mistake.module.rpartition(".")[2]
    if family == "optimizers":
        rule = mistake.function.removesuffix("_step")
        return [subject for subject in subjects() if subject.kind == "optimizer" and subject.name.startswith(rule)]
    names = [op for op in all_tables()[family].twins if not op.endswith("_naive")]
    return [subject for subject in subjects() if subject.kind in ("op", "loss") and subject.name in names]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_every_planted_mistake_is_rejected(mistake):
    assert outcome(mistake).failed


@pytest.mark.slow
def test_every_one_gets_the_right_diagnosis_in_first_place():
    missed = {m.name: (m.diagnosis, outcome(m).keys) for m in MISTAKES if outcome(m).keys[:1] != [m.diagnosis]}
    assert missed == {}


def test_there_are_at_least_sixty_and_no_name_twice():
    assert len(MISTAKES) >= 60
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)
    assert all(mistake.diagnosis for mistake in MISTAKES)


def test_planting_is_undone():
    before = activation.relu_backward
    with planted(Mistake("ops.activation", "relu_backward", "0, dout", "0, -dout", "a test")):
        assert activation.relu_backward is not before
    assert activation.relu_backward is before


def test_a_harmless_change_is_not_rejected():
    harmless = Mistake("ops.activation", "tanh_backward", "1 - out * out", "1 - out**2", "the same thing")
    assert outcome(harmless) == Outcome(0, [])


def test_text_that_is_no_longer_there_is_noticed():
    with (
        pytest.raises(LookupError, match=r"'1 \+ 1' stands 0 times in ops.activation.relu_backward, not once"),
        planted(Mistake("ops.activation", "relu_backward", "1 + 1", "2", "a test")),
    ):
        pass
