"""Learners' own code: right code is never accused, and what is wrong is called by its name."""

import inspect
from typing import NamedTuple

import pytest
import torch
from diagnosis import learner_ops, learner_optimizers
from diagnosis.learner_mistakes import LEARNER_MISTAKES

from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS
from tinytorch_course.checking.ops import OPS, check_fitted, find_op
from tinytorch_course.checking.suite import quiet_and_exact
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.grading.adapters import check_like
from tinytorch_course.grading.optimizers import check_optimizer_like
from tinytorch_course.grading.pairs import pair_of_functions

MISTAKEN = list(dict.fromkeys(mistake.op for mistake in LEARNER_MISTAKES))


class Outcome(NamedTuple):
    failed: int  # plain cases
    cases: int
    keys: list[str]  # of the findings


def check(op, namespace):
    """Check the learner's ``op`` that ``namespace`` holds."""
    with quiet_and_exact():
        if op in OPTIMIZERS:
            plain = check_optimizer_like(op, namespace[op], op).plain
        else:
            pair = pair_of_functions(op, namespace[f"{op}_forward"], namespace[f"{op}_backward"])
            plain = check_like(pair, op).plain
        return Outcome(sum(not c.ok for c in plain), len(plain), [finding.key for finding in diagnose(plain)])


def outcome(mistake):
    module = learner_optimizers if mistake.op in OPTIMIZERS else learner_ops
    names = [mistake.op] if mistake.op in OPTIMIZERS else [f"{mistake.op}_forward", f"{mistake.op}_backward"]
    source = "\n\n".join(inspect.getsource(getattr(module, name)) for name in names)
    before, found, after = source.rpartition(mistake.right)
    assert found, f"{mistake.right!r} does not stand in {mistake.op}"
    namespace = dict(vars(module))
    exec(before + mistake.wrong + after, namespace)
    return check(mistake.op, namespace)


@pytest.mark.parametrize("op", MISTAKEN)
def test_right_code_is_not_accused(op):
    result = check(op, vars(learner_optimizers if op in OPTIMIZERS else learner_ops))
    assert result.cases > 0
    assert (result.failed, result.keys) == (0, [])


def torchs_pair(op):
    """torch's function and autograd's gradient of it."""
    row = find_op(op)

    def forward(*args, **kwargs):
        results = row.twin(*args, **kwargs)
        out, *extras = results if isinstance(results, tuple) else (results,)
        return out, *extras, (args, kwargs)

    def backward(dout, cache):
        args, kwargs = cache
        positions = [
            position
            for position, x in enumerate(args)
            if isinstance(x, torch.Tensor) and x.is_floating_point() and position not in row.constant
        ]

        def of_tensors(*tensors):
            result = row.twin(*(dict(enumerate(args)) | dict(zip(positions, tensors, strict=True))).values(), **kwargs)
            return result[0] if isinstance(result, tuple) else result

        return torch.func.vjp(of_tensors, *(args[position] for position in positions))[1](dout)

    return forward, backward


@pytest.mark.parametrize("op", [op for op in OPS if not op.endswith(("_naive", "_long"))])
def test_torchs_own_functions_are_not_accused(op):
    with quiet_and_exact():
        checks = [check_fitted(case, *torchs_pair(op)) for case in find_op(op).cases]
    assert [str(check) for check in checks if not check.ok] == []
    assert diagnose(checks) == []


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchs_own_optimizers_are_not_accused(name):
    assert check(name, {name: OPTIMIZERS[name].twin})[::2] == (0, [])


# What explains one case of five or eight is no headline; the search for an edit names these.
UNNAMED = {"max_pool2d: ties-shared", "adam: weight-of-the-new"}


def test_there_are_enough_and_all_that_are_excused():
    assert len(LEARNER_MISTAKES) >= 60
    assert {mistake.name.partition(" (")[0] for mistake in LEARNER_MISTAKES} >= UNNAMED


@pytest.mark.slow
@pytest.mark.parametrize("mistake", LEARNER_MISTAKES, ids=[mistake.name for mistake in LEARNER_MISTAKES])
def test_every_mistake_is_detected_and_gets_the_right_diagnosis_in_first_place(mistake):
    found = outcome(mistake)
    assert found.failed
    unnamed = mistake.name.partition(" (")[0] in UNNAMED
    assert found.keys[:1] == ["unrecognised" if unnamed else mistake.diagnosis]
