"""The schedules against torch's own schedulers, step after step. One line a case."""

from typing import Any, NamedTuple

from tinytorch_course.reference import schedules as reference
from tinytorch_course.scratch import schedules

TOLERANCE = 1e-12  # of the largest value on the way


class ScheduleCase(NamedTuple):
    """One schedule, compared step by step."""

    schedule: str  # the factory's name in ``scratch.schedules``
    kwargs: dict[str, Any]
    steps: int  # are compared, from 0 on

    def __str__(self) -> str:
        return " ".join([self.schedule, *(f"{key}={value}" for key, value in self.kwargs.items())])


CASES = [
    ScheduleCase("constant", {"lr": 0.1}, 20),
    ScheduleCase("constant", {"lr": 0.0}, 3),
    ScheduleCase("step", {"lr": 0.1, "step_size": 3}, 20),
    ScheduleCase("step", {"lr": 0.1, "step_size": 1, "gamma": 0.9}, 200),
    ScheduleCase("step", {"lr": 0.1, "step_size": 4, "gamma": 1.5}, 20),
    ScheduleCase("step", {"lr": 0.1, "step_size": 2, "gamma": 0.0}, 10),
    ScheduleCase("cosine", {"lr": 0.1, "T_max": 10}, 51),
    ScheduleCase("cosine", {"lr": 0.1, "T_max": 200}, 201),
    ScheduleCase("cosine", {"lr": 0.1, "T_max": 10, "eta_min": 0.02}, 51),
    ScheduleCase("cosine", {"lr": 0.1, "T_max": 10, "eta_min": 0.3}, 21),
    ScheduleCase("cosine", {"lr": 0.1, "T_max": 1}, 5),
    ScheduleCase("linear_warmup", {"lr": 0.1}, 20),
    ScheduleCase("linear_warmup", {"lr": 0.1, "start_factor": 0.01, "total_iters": 100}, 120),
    ScheduleCase("linear_warmup", {"lr": 0.1, "start_factor": 1.0, "end_factor": 0.0, "total_iters": 10}, 15),
    ScheduleCase("linear_warmup", {"lr": 0.1, "start_factor": 0.5, "end_factor": 0.25, "total_iters": 3}, 10),
    ScheduleCase("linear_warmup", {"lr": 0.1, "total_iters": 1}, 5),
    ScheduleCase("linear_warmup", {"lr": 0.1, "total_iters": 0}, 5),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 100}, 101),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 33}, 34),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 1}, 2),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 2}, 3),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "pct_start": 0.5}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "pct_start": 0.0}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "pct_start": 1.0}, 50),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "anneal_strategy": "linear"}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "cycle_momentum": False}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "base_momentum": 0.5, "max_momentum": 0.9}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "div_factor": 4.0, "final_div_factor": 2.0}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "three_phase": True}, 51),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 7, "three_phase": True, "pct_start": 0.4}, 8),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 9, "three_phase": True, "pct_start": 0.8}, 10),
    ScheduleCase("one_cycle", {"max_lr": 0.1, "total_steps": 50, "three_phase": True, "anneal_strategy": "linear"}, 51),
]


def run_case(case: ScheduleCase) -> float:
    """The worst error over all steps, relative to the largest value; inf where one gives what the other does not."""
    ours, theirs = getattr(schedules, case.schedule)(**case.kwargs), getattr(reference, case.schedule)(**case.kwargs)
    got, expected = [[schedule(step) for step in range(case.steps)] for schedule in (ours, theirs)]
    worst = 0.0
    for key in {key for values in (*got, *expected) for key in values}:
        if not all(key in values for values in (*got, *expected)):
            return float("inf")
        largest = max(abs(values[key]) for values in expected) or 1.0
        worst = max(worst, *(abs(a[key] - b[key]) / largest for a, b in zip(got, expected, strict=True)))
    return worst
