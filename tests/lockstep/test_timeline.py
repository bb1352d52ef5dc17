import json
import math

import pytest
import torch

from tinytorch_course.instruments.recording import Quantity
from tinytorch_course.lockstep.timeline import (
    Distance,
    Timeline,
    beyond_rounding,
    distance,
    largest_error,
    worst_entry,
)

NAN, INF = math.nan, math.inf


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize(
    ("ours", "twin"),
    [
        (tensor(1.0, 2.0), tensor(1.0, 2.0)),
        (tensor(0.0), tensor(-0.0)),
        (tensor(1.0, NAN), tensor(1.0, NAN)),
        (tensor(INF, -INF, 1.0), tensor(INF, -INF, 1.0)),
        (tensor(3, dtype=torch.int64), tensor(3, dtype=torch.int64)),
        (torch.zeros(0, 4), torch.zeros(0, 4)),
        (tensor(0.0, 0.0), tensor(0.0, 0.0)),
    ],
    ids=["equal", "sign of zero", "nan", "inf", "integers", "empty", "zeros"],
)
def test_equal(ours, twin):
    assert distance(ours, twin) == Distance(0.0, 0.0)


@pytest.mark.parametrize(
    ("ours", "twin", "error", "ulps"),
    [
        (tensor(1 + 2**-52), tensor(1.0), 2**-52, 1),
        (tensor(8.0, 1.5 + 2**-51), tensor(8.0, 1.5), 2**-54, 0.25),  # at the scale of the largest entry
        (tensor(3 + 2**-22, dtype=torch.float32), tensor(3.0, dtype=torch.float32), 2**-22 / 3, 1),
        (tensor(1.0, 2.0), tensor(1.0, 4.0), 0.5, 2**51),
        (tensor(-2.0), tensor(2.0), 2, 2**53),
        (tensor(4, dtype=torch.int64), tensor(2.0), 1, 2**52),
        (tensor(1e-10), tensor(0.0), 1e-4, INF),  # below the smallest scale, 1e-6
        (tensor(NAN), tensor(1.0), INF, INF),
        (tensor(1.0), tensor(NAN), INF, INF),
        (tensor(INF, 1.0), tensor(1.0, 1.0), INF, INF),
        (tensor(INF, 1.5), tensor(INF, 1.0), 0.5, 2**51),
        (tensor(INF), tensor(-INF), INF, INF),
        (torch.zeros(2, 3), torch.zeros(3, 2), INF, INF),
    ],
    ids=str,
)
def test_apart(ours, twin, error, ulps):
    measured = distance(ours, twin)
    assert measured.error == pytest.approx(error)
    assert measured.ulps == pytest.approx(ulps)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Distance(0.0, 0.0), "equal"),
        (Distance(2e-16, 1.0), "1 ulp"),
        (Distance(2e-16, 2.5), "3 ulp"),
        (Distance(1e-9, 1e6), "1.0e-09"),
        (Distance(INF, INF), "inf"),
    ],
)
def test_a_distance_in_words(measured, words):
    assert str(measured) == words


def test_the_worst_entry():
    ours, twin = torch.zeros(2, 3), torch.zeros(2, 3)
    ours[1, 2], ours[0, 1] = -3.0, 2.0
    assert worst_entry(ours, twin) == ((1, 2), -3.0, 0.0)
    ours[0, 0] = twin[0, 0] = NAN
    assert worst_entry(ours, twin) == ((1, 2), -3.0, 0.0)
    ours[0, 0] = 1.0
    index, left, right = worst_entry(ours, twin)
    assert (index, left) == ((0, 0), 1.0)
    assert math.isnan(right)


def test_the_worst_entry_of_a_scalar():
    assert worst_entry(torch.tensor(1.5), torch.tensor(1.0)) == ((), 1.5, 1.0)


ONE = Quantity("activation", "fc1")
TWO = Quantity("gradient", "fc1.weight")
THREE = Quantity("output gradient", "fc1")
LATE = Quantity("activation", "fc2")


def timeline():
    first = {THREE: Distance(0.0, 0.0), TWO: Distance(0.5, 2.0), ONE: Distance(0.0, 0.0)}
    return Timeline([first, {LATE: Distance(INF, INF), ONE: Distance(1e-16, 0.5)}])


def test_quantities_stand_in_the_order_of_computation():
    assert timeline().quantities() == [ONE, LATE, THREE, TWO]


def test_the_largest_error():
    assert timeline().largest() == (2, LATE, Distance(INF, INF))
    assert timeline().largest(["gradient", "output gradient"]) == (1, TWO, Distance(0.5, 2.0))
    assert timeline().largest(["moment"]) is None
    assert largest_error(timeline().steps[0], "gradient") == Distance(0.5, 2.0)
    assert largest_error(timeline().steps[0], "moment") == Distance(0.0, 0.0)


def test_a_timeline_as_json():
    document = json.loads(json.dumps(timeline().to_dict(), allow_nan=False))
    assert document == {
        "tensors": [
            {"kind": "activation", "name": "fc1"},
            {"kind": "activation", "name": "fc2"},
            {"kind": "output gradient", "name": "fc1"},
            {"kind": "gradient", "name": "fc1.weight"},
        ],
        "steps": [1, 2],
        "relative_error": [[0.0, None, 0.0, 0.5], [1e-16, "inf", None, None]],
        "ulp": [[0, None, 0, 2], [1, "inf", None, None]],
    }


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        (Quantity("activation", "conv1"), "the output of conv1"),
        (Quantity("loss", ""), "the loss"),
        (Quantity("output gradient", "conv1"), "the gradient of conv1's output"),
        (Quantity("gradient", "conv1.weight"), "the gradient of conv1.weight"),
        (Quantity("moment", "exp_avg of conv1.weight"), "the optimizer's exp_avg of conv1.weight"),
        (Quantity("parameter", "conv1.weight"), "conv1.weight after the step"),
    ],
)
def test_a_quantity_in_words(quantity, words):
    assert str(quantity) == words


def found(kind, change, *, scale=1.0, beside=1.0):
    """What is found where a tensor of about ``scale`` is changed, beside an equal one of about ``beside``."""
    a, b = Quantity(kind, "a"), Quantity(kind, "b")
    twin = {a: scale * torch.randn(100, generator=torch.Generator().manual_seed(0)), b: torch.full((100,), beside)}
    return beyond_rounding({a: change(twin[a]), b: twin[b]}, twin, {"a": torch.zeros(100), "b": torch.zeros(100)})


@pytest.mark.parametrize("kind", ["activation", "gradient", "parameter"])
def test_what_no_rounding_can_do(kind):
    assert found(kind, lambda x: x * 1.001) is None
    for change in (lambda x: x * 1.02, lambda x: -x, lambda x: x.index_fill(0, torch.tensor(3), NAN), lambda x: x[:50]):
        assert found(kind, change) == Quantity(kind, "a")


def test_what_rounding_can_do():
    assert found("gradient", lambda x: -x, scale=1e-9) is None  # it is 0 but for rounding
    assert found("gradient", lambda x: -x, scale=1e-9, beside=1e-8) is not None
    assert found("output gradient", lambda x: x.index_fill(0, torch.tensor(2), 0.0)) is None  # it went elsewhere
    assert found("gradient", lambda x: x.index_fill(0, torch.tensor(2), 0.0)) is not None
    weight, start = Quantity("parameter", "w"), torch.linspace(1, 2, 100)
    assert beyond_rounding({weight: start * (1 + 1e-7)}, {weight: start}, {"w": start}) is None  # a step too small
    assert beyond_rounding({weight: start * (1 + 1e-5)}, {weight: start}, {"w": start}) == weight
