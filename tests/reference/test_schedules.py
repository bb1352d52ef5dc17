import math
import warnings

import pytest

from tinytorch_course.reference.schedules import constant, cosine, linear_warmup, one_cycle, step


def test_values_by_hand():
    assert [constant(0.1)(at) for at in (0, 9)] == [{"lr": 0.1}, {"lr": 0.1}]
    assert [step(1.0, 2, 0.5)(at)["lr"] for at in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert cosine(1.0, 8)(4) == {"lr": pytest.approx((1 + math.cos(math.pi / 2)) / 2)}
    assert linear_warmup(1.0, 0.5, 1.0, 2)(1) == {"lr": pytest.approx(0.75)}
    assert one_cycle(1.0, 10)(2) == {"lr": pytest.approx(1.0), "momentum": pytest.approx(0.85)}
    assert one_cycle(1.0, 10, cycle_momentum=False)(2) == {"lr": pytest.approx(1.0)}


def test_any_step_can_be_asked_for_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule = cosine(1.0, 20)
        late, early = schedule(15), schedule(3)
        assert (schedule(15), schedule(3)) == (late, early)
        assert late["lr"] < early["lr"]


def test_what_is_returned_can_be_changed_without_harm():
    schedule = constant(0.1)
    schedule(3)["lr"] = 7.0
    assert schedule(3) == {"lr": 0.1}


def test_torch_refuses_what_scratch_refuses():
    schedule = one_cycle(0.1, 10)
    schedule(10)
    for _ in range(2):
        with pytest.raises(ValueError, match="Tried to step"):
            schedule(11)
    with pytest.raises(ZeroDivisionError):
        one_cycle(0.1, 10, pct_start=0.1)
    with pytest.raises(ValueError, match="step must be at least 0, but it is -1"):
        constant(0.1)(-1)
