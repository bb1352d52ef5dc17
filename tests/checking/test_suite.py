import json
import math

import pytest
import torch
from checking.mistakes.table import MISTAKES

from tinytorch_course.checking.case_tables.optimizers import OPTIMIZERS
from tinytorch_course.checking.ops import OPS
from tinytorch_course.checking.rows import Row
from tinytorch_course.checking.suite import check_subject, listing, select, subjects, tolerances
from tinytorch_course.diagnosis import diagnose
from tinytorch_course.errors import InputError
from tinytorch_course.lockstep.planting import planted
from tinytorch_course.models import MODELS
from tinytorch_course.scratch import layers

OPTIONS = {"dtype": torch.float64, "device": "cpu", "seed": 0}
A_FEW = [("op", "sigmoid"), ("loss", "l1_loss"), ("layer", "residual"), ("schedule", "cosine"), ("network", "mlp")]


def subject(kind, name):
    (found,) = [subject for subject in select(name) if subject.kind == kind]
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("kind", "name"), A_FEW)
def test_ours_are_right(kind, name, dtype):
    row = check_subject(subject(kind, name), diagnose, **OPTIONS | {"dtype": dtype})
    assert row.ok, row.problems
    assert row.cases > 0
    assert row.diagnosis == []


def test_everything_is_there():
    names = {kind: {one.name for one in subjects() if one.kind == kind} for kind in {one.kind for one in subjects()}}
    assert names["op"] | names["loss"] == set(OPS)
    assert names["optimizer"] == set(OPTIMIZERS)
    assert names["network"] == set(MODELS)
    public = {name for name, value in vars(layers).items() if getattr(value, "__module__", "") == layers.__name__}
    factories = {name for name in public if name.islower() and not name.startswith("_")} - {"own"}  # made of the user's
    assert names["layer"] == factories
    assert {name for entries in listing().values() for name, _ in entries} == {one.name for one in subjects()}


@pytest.mark.parametrize(
    ("mistake", "kind", "name"),
    [
        ("relu_backward: the mask taken from dout", "op", "relu"),
        ("relu_backward: the mask taken from dout", "layer", "relu"),
        ("mse_loss_backward: the 2 forgotten", "loss", "mse_loss"),
        ("rmsprop_step: eps inside the root", "optimizer", "rmsprop"),
        ("linear_backward: dweight's sign flipped", "network", "softmax"),
    ],
)
def test_a_mistake_in_our_source_is_reported(mistake, kind, name):
    (mistake,) = [one for one in MISTAKES if one.name == mistake]
    with planted(mistake.plant):
        row = check_subject(subject(kind, name), diagnose, **OPTIONS)
    assert not row.ok
    assert row.failed <= row.cases
    assert row.diagnosis
    assert row.explanation["line"] > 0


def test_a_row_survives_json_without_infinities():
    row = Row("op", "f", 2, 1, math.inf, math.nan, 1e-9, diagnosis=[{"entry": {"got": -math.inf}}])
    text = json.dumps(row.to_dict(), allow_nan=False)
    again = Row.from_dict(json.loads(text))
    assert (again.forward_error, again.gradient_error, again.difference_error) == (None, None, 1e-9)
    assert again.diagnosis == [{"entry": {"got": None}}]
    assert not again.ok


def test_explained_rows_have_a_formula_and_the_best_step():
    row = check_subject(subject("op", "sigmoid"), diagnose, explained=True, **OPTIONS)
    assert any("dx = dout · out · (1 − out)" in paragraph for paragraph in row.explanation["formula"])
    best = min(row.step_curve, key=lambda point: point["float64"])["step"]
    assert 1e-7 < best < 1e-3


@pytest.mark.parametrize(
    ("kind", "name", "definition"),
    [
        ("op", "conv2d", "def conv2d_backward"),
        ("op", "conv2d_naive", "def conv2d_naive_backward"),
        ("loss", "cross_entropy_long", "def cross_entropy_long_backward"),
        ("layer", "batch_norm2d", "def batch_norm2d"),
        ("optimizer", "adamw", "def adam_step"),
        ("schedule", "one_cycle", "def one_cycle"),
        ("network", "mlp", "def mlp"),
    ],
)
def test_an_explanation_points_at_the_right_line(kind, name, definition):
    from tinytorch_course.checking.explain import explain

    explanation = explain(kind, name)
    with open(explanation.file, encoding="utf-8") as file:
        assert file.read().splitlines()[explanation.line - 1].startswith(definition)
    assert explanation.formula


def test_everything_can_be_explained():
    from tinytorch_course.checking.explain import explain

    assert all(explain(one.kind, one.name).formula for one in subjects())


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="there is no op, layer, optimizer or network 'conv2'; did you mean conv2d"):
        select("conv2")
    with pytest.raises(InputError, match="--list"):
        select("quux")


def test_tolerances_are_stated():
    assert "1e-10 beside autograd, 1e-06 beside differences" in tolerances(torch.float64)
    assert "0.0001 beside autograd" in tolerances(torch.float32)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ours_are_right_on_cuda(dtype):
    rows = [check_subject(one, diagnose, dtype=dtype, device="cuda", seed=0) for one in subjects()]
    assert {row.name: row.problems for row in rows if not row.ok} == {}
