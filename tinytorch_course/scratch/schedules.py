"""Schedules: how the learning rate follows the number of the step.

    schedule = cosine(lr=0.1, T_max=1000)
    params, opt_state = optimizer.update(params, grads, opt_state, **schedule(step))

A schedule is a pure function of the step, counted from 0: ``schedule(step) -> {"lr": ...}``, for ``one_cycle`` also
``"momentum"``. It has no state to save, and a run that is resumed asks it for any step it likes. Torch's schedulers
reach most of the same values by multiplying the last one, so that theirs differ from the closed form by rounding.

Names and defaults are ``torch.optim.lr_scheduler``'s, and so is what happens after the last step that was planned. All
raise ValueError for a number out of its range, TypeError for what is no number; a rate is at least 0.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from tinytorch_course.scratch.checks import require, require_integer, require_number

Schedule = Callable[[int], dict[str, float]]


def _schedule(rate: Callable[[int], float]) -> Schedule:
    """The schedule of a rate alone."""

    def schedule(step: int) -> dict[str, float]:
        require_integer("step", step, minimum=0)
        return {"lr": rate(step)}

    return schedule


def constant(lr: float) -> Schedule:
    """The same rate at every step: ``lr``."""
    require_number("lr", lr, minimum=0)
    return _schedule(lambda step: lr)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """A staircase, as ``StepLR``: ``lr · gamma^⌊step / step_size⌋``.

    Args: lr, the rate at step 0; step_size, the length of a stair in steps, at least 1; gamma, the factor from each
        stair to the next, at least 0.
    """
    require_number("lr", lr, minimum=0)
    require_integer("step_size", step_size, minimum=1)
    require_number("gamma", gamma, minimum=0)
    return _schedule(lambda step: lr * gamma ** (step // step_size))


def cosine(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """Half a cosine from ``lr`` down to ``eta_min``, as ``CosineAnnealingLR``:
    ``eta_min + (lr − eta_min) · (1 + cos(π · step / T_max)) / 2``.

    Past T_max the cosine goes on and the rate rises again, as in torch.

    Args: lr, the rate at step 0; T_max, the step at which ``eta_min`` is reached, at least 1; eta_min, the lowest rate.
    Source: Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", equation 5 (their
    restarts are left out, as in torch).
    """
    require_number("lr", lr, minimum=0)
    require_integer("T_max", T_max, minimum=1)
    require_number("eta_min", eta_min, minimum=0)
    return _schedule(lambda step: eta_min + (lr - eta_min) * (1 + math.cos(math.pi * step / T_max)) / 2)


def linear_warmup(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """A straight line and then a level, as ``LinearLR``:
    ``lr · (start_factor + (end_factor − start_factor) · min(step / total_iters, 1))``.

    Args: lr, which the factors multiply; start_factor, at step 0, above 0 and at most 1; end_factor, from 0 to 1, from
        ``total_iters`` on; total_iters, in steps, at least 0: with 0 the rate stays at ``start_factor``, as in torch.
    Source: Goyal et al. (2017), "Accurate, large minibatch SGD: training ImageNet in 1 hour", section 2.2.
    """
    require_number("lr", lr, minimum=0)
    require_number("start_factor", start_factor, above=0, maximum=1)
    require_number("end_factor", end_factor, minimum=0, maximum=1)
    require_integer("total_iters", total_iters, minimum=0)

    def part(step: int) -> float:
        return min(step / total_iters, 1) if total_iters else 0

    return _schedule(lambda step: lr * (start_factor + (end_factor - start_factor) * part(step)))


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """Up to a large rate and down to almost none, as ``OneCycleLR``; the momentum goes the other way.

    The rate goes from ``max_lr / div_factor`` to ``max_lr`` and on to ``max_lr / div_factor / final_div_factor``
    (``three_phase``: by way of ``max_lr / div_factor``), the momentum from ``max_momentum`` to ``base_momentum`` and
    back. A fraction p of the way from a to b is ``a + (b − a) · p`` ("linear") or ``b + (a − b) · (1 + cos πp) / 2``.

    Args:
        max_lr: the highest rate, at least 0.
        total_steps: at least 1. As in torch, the schedule answers for step 0 to ``total_steps`` (the last one lies
            past the end of the fall), and no further.
        pct_start: the rise's part of all steps: a float from 0 to 1.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the schedule gives a momentum at all.
        base_momentum, max_momentum: the lowest and the highest momentum, at least 0.
        div_factor, final_div_factor: above 0.
        three_phase: fall to the first rate as fast as it rose, and to the last one after that.

    Raises:
        ValueError: also if a step falls into a phase of no length, as with pct_start · total_steps = 1. (Torch
            divides by zero there.)

    Source: Smith & Topin (2018), "Super-convergence: very fast training of neural networks using large learning
    rates" (three phases); two phases are fast.ai's, and torch's default.
    """
    require_number("max_lr", max_lr, minimum=0)
    require_integer("total_steps", total_steps, minimum=1)
    require(isinstance(pct_start, float), f"pct_start must be a float, but it is {pct_start!r}")
    require_number("pct_start", pct_start, minimum=0, maximum=1)
    require(anneal_strategy in ("cos", "linear"), f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
    require_number("base_momentum", base_momentum, minimum=0)
    require_number("max_momentum", max_momentum, minimum=0)
    require_number("div_factor", div_factor, above=0)
    require_number("final_div_factor", final_div_factor, above=0)

    initial_lr = max_lr / div_factor
    rise = pct_start * total_steps
    # (step, lr, momentum) where one phase ends and the next begins
    corners = [(0, initial_lr, max_momentum), (rise - 1, max_lr, base_momentum)]
    if three_phase:
        corners.append((2 * rise - 2, initial_lr, max_momentum))
    corners.append((total_steps - 1, initial_lr / final_div_factor, max_momentum))

    def anneal(start: float, end: float, part: float) -> float:
        if anneal_strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    def schedule(step: int) -> dict[str, float]:
        require_integer("step", step, minimum=0)
        require(step <= total_steps, f"step must be at most total_steps, {total_steps}, but it is {step}")
        for start, end in pairwise(corners):  # noqa: B007 - what is sought is the phase at which the loop stops
            if step <= end[0]:
                break
        require(
            start[0] != end[0],
            f"step {step} falls into a phase of no length: choose another pct_start than {pct_start} "
            f"for total_steps {total_steps}",
        )
        part = (step - start[0]) / (end[0] - start[0])
        result = {"lr": anneal(start[1], end[1], part)}
        if cycle_momentum:
            result["momentum"] = anneal(start[2], end[2], part)
        return result

    schedule(0)  # a first phase of no length is better refused now than when training starts
    return schedule
