import pytest
import torch

from tinytorch_course.checking.case_tables.schedules import CASES, TOLERANCE, run_case
from tinytorch_course.scratch import optimizers
from tinytorch_course.scratch.schedules import constant, cosine, linear_warmup, one_cycle, step


@pytest.mark.parametrize("case", CASES, ids=[str(case) for case in CASES])
def test_equals_torch(case):
    assert run_case(case) <= TOLERANCE


def test_values_by_hand():
    assert [step(1.0, 2, 0.5)(at)["lr"] for at in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert [cosine(1.0, 4, 0.2)(at)["lr"] for at in (0, 2, 4)] == [1.0, pytest.approx(0.6), 0.2]
    assert [linear_warmup(1.0, 0.5, 1.0, 2)(at)["lr"] for at in range(4)] == [0.5, 0.75, 1.0, 1.0]
    cycle = one_cycle(1.0, 11, pct_start=6 / 11, anneal_strategy="linear")
    assert cycle(0) == {"lr": pytest.approx(0.04), "momentum": pytest.approx(0.95)}
    assert cycle(5) == {"lr": pytest.approx(1.0), "momentum": pytest.approx(0.85)}
    assert cycle(10) == {"lr": pytest.approx(4e-6), "momentum": pytest.approx(0.95)}


def test_a_schedule_is_a_function_of_the_step_alone():
    schedule = one_cycle(0.1, 20)
    forwards = [schedule(at) for at in range(20)]
    assert [schedule(at) for at in reversed(range(20))] == forwards[::-1]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_what_a_schedule_gives_is_what_update_takes(name):
    optimizer, schedule = getattr(optimizers, name)(), one_cycle(0.1, 10)
    params = {"w": torch.ones(2)}
    opt_state = optimizer.init(params)
    for at in range(10):
        params, opt_state = optimizer.update(params, {"w": torch.ones(2)}, opt_state, **schedule(at))
    assert (params["w"] < 1).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: constant(-0.1), ValueError, "lr must be at least 0, but it is -0.1"),
        (lambda: constant("0.1"), TypeError, "lr must be a number, but it is '0.1'"),
        (lambda: step(-1.0, 2), ValueError, "lr must be at least 0"),
        (lambda: step(0.1, 0), ValueError, "step_size must be at least 1, but it is 0"),
        (lambda: step(0.1, 2.5), TypeError, "step_size must be an integer, but it is 2.5"),
        (lambda: step(0.1, 2, -1.0), ValueError, "gamma must be at least 0"),
        (lambda: cosine(-1.0, 2), ValueError, "lr must be at least 0"),
        (lambda: cosine(0.1, 0), ValueError, "T_max must be at least 1, but it is 0"),
        (lambda: cosine(0.1, 2, -0.1), ValueError, "eta_min must be at least 0"),
        (lambda: linear_warmup(-1.0), ValueError, "lr must be at least 0"),
        (lambda: linear_warmup(0.1, 0.0), ValueError, "start_factor must be above 0 and at most 1, but it is 0.0"),
        (lambda: linear_warmup(0.1, 1.5), ValueError, "start_factor must be above 0 and at most 1"),
        (lambda: linear_warmup(0.1, 0.5, -0.1), ValueError, "end_factor must be at least 0 and at most 1"),
        (lambda: linear_warmup(0.1, 0.5, 1.5), ValueError, "end_factor must be at least 0 and at most 1"),
        (lambda: linear_warmup(0.1, total_iters=-1), ValueError, "total_iters must be at least 0"),
        (lambda: one_cycle(-1.0, 10), ValueError, "max_lr must be at least 0"),
        (lambda: one_cycle(0.1, 0), ValueError, "total_steps must be at least 1, but it is 0"),
        (lambda: one_cycle(0.1, 10.0), TypeError, "total_steps must be an integer, but it is 10.0"),
        (lambda: one_cycle(0.1, 10, 1), ValueError, "pct_start must be a float, but it is 1"),
        (lambda: one_cycle(0.1, 10, 1.5), ValueError, "pct_start must be at least 0 and at most 1"),
        (lambda: one_cycle(0.1, 10, anneal_strategy="exp"), ValueError, "'cos' or 'linear', not 'exp'"),
        (lambda: one_cycle(0.1, 10, base_momentum=-1.0), ValueError, "base_momentum must be at least 0"),
        (lambda: one_cycle(0.1, 10, max_momentum=-1.0), ValueError, "max_momentum must be at least 0"),
        (lambda: one_cycle(0.1, 10, div_factor=0.0), ValueError, "div_factor must be above 0"),
        (lambda: one_cycle(0.1, 10, final_div_factor=0.0), ValueError, "final_div_factor must be above 0"),
        (lambda: one_cycle(0.1, 10, 0.1), ValueError, "step 0 falls into a phase of no length: .* pct_start than 0.1"),
        (lambda: one_cycle(0.1, 10, 1.0)(10), ValueError, "step 10 falls into a phase of no length"),
        (lambda: one_cycle(0.1, 10)(11), ValueError, "step must be at most total_steps, 10, but it is 11"),
        (lambda: one_cycle(0.1, 10)(-1), ValueError, "step must be at least 0, but it is -1"),
        (lambda: constant(0.1)(-1), ValueError, "step must be at least 0"),
        (lambda: step(0.1, 2)(1.5), TypeError, "step must be an integer, but it is 1.5"),
        (lambda: cosine(0.1, 2)(-1), ValueError, "step must be at least 0"),
        (lambda: linear_warmup(0.1)(-1), ValueError, "step must be at least 0"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
