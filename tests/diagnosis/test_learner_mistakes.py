"""Learners' own code: right code is never accused; what is wrong is found, and named by the edit that repairs it."""

import inspect
from pathlib import Path

import pytest
import torch
from diagnosis import learner_ops, learner_optimizers
from diagnosis.learner_mistakes import LEARNER_MISTAKES

from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS
from tinytorch_course.checking.ops import OPS, check_fitted, find_op
from tinytorch_course.checking.suite import quiet_and_exact
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.grading.child import _Checked
from tinytorch_course.grading.optimizers import check_optimizer_like
from tinytorch_course.grading.own_code import Request

MISTAKEN = list(dict.fromkeys(mistake.op for mistake in LEARNER_MISTAKES))
BUDGET = 10.0  # seconds of a search


def module_of(op):
    return learner_optimizers if op in OPTIMIZERS else learner_ops


def names_of(op):
    return [op] if op in OPTIMIZERS else [f"{op}_forward", f"{op}_backward"]


def checked(op, path, scrap):
    """The check of the learner's ``op`` in a file."""
    found = _Checked(Request(str(path), names_of(op), op, strict=True, budget=BUDGET), scrap)
    return found.row(), found


def write(mistake, path):
    """The learners' module with the mistake in it."""
    module = module_of(mistake.op)
    text = Path(module.__file__).read_text(encoding="utf-8")
    sources = [inspect.getsource(getattr(module, name)) for name in names_of(mistake.op)]
    for source in reversed(sources):
        before, found, after = source.rpartition(mistake.right)
        if found:
            path.write_text(text.replace(source, before + mistake.wrong + after), encoding="utf-8")
            return
    raise AssertionError(f"{mistake.right!r} does not stand in {mistake.op}")


@pytest.mark.parametrize("op", MISTAKEN)
def test_right_code_is_not_accused(op, tmp_path):
    row, _ = checked(op, module_of(op).__file__, tmp_path)
    assert row.cases > 0
    assert (row.failed, row.diagnosis) == (0, [])


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
    with quiet_and_exact():
        plain = check_optimizer_like(name, OPTIMIZERS[name].twin, name).plain
    assert [str(check) for check in plain if not check.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("mistake", LEARNER_MISTAKES, ids=[mistake.name for mistake in LEARNER_MISTAKES])
def test_every_mistake_is_detected(mistake, tmp_path):
    path = tmp_path / "own.py"
    write(mistake, path)
    row, _ = checked(mistake.op, path, tmp_path)
    assert row.failed
    assert row.diagnosis


# One of each kind, where the mistake has one place.
REPAIRED = [mistake for number, mistake in enumerate(LEARNER_MISTAKES) if number in (0, 4, 7, 20, 33, 36)]
REPAIRED = [mistake for mistake in REPAIRED if not mistake.wrong.startswith("return")]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", REPAIRED, ids=[mistake.name for mistake in REPAIRED])
def test_the_line_with_the_mistake_is_found(mistake, tmp_path):
    path = tmp_path / "own.py"
    write(mistake, path)
    _, found = checked(mistake.op, path, tmp_path)
    repair = found.repair()
    assert repair is not None
    assert repair["complete"]
    wrong = mistake.wrong.split(";")[0]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any(wrong in lines[edit["line"] - 1] for edit in repair["edits"])
