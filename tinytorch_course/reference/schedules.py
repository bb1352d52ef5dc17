"""The twins of ``scratch.schedules``: torch's own schedulers, read as functions of the step."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler

Schedule = Callable[[int], dict[str, float]]


def constant(lr: float) -> Schedule:
    """Always ``lr``."""
    return _read(lr, lr_scheduler.ConstantLR, factor=1.0)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """``lr`` times gamma after every ``step_size`` steps."""
    return _read(lr, lr_scheduler.StepLR, step_size=step_size, gamma=gamma)


def cosine(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """From ``lr`` down to ``eta_min`` along half a cosine."""
    return _read(lr, lr_scheduler.CosineAnnealingLR, T_max=T_max, eta_min=eta_min)


def linear_warmup(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """From a part of ``lr`` up to it, along a line."""
    return _read(lr, lr_scheduler.LinearLR, start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)


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
    """Up to ``max_lr``, then down to far below where it began."""
    return _read(max_lr, lr_scheduler.OneCycleLR, keys=("lr", "momentum")[: 1 + cycle_momentum], **locals())


def _read(lr: float, scheduler_class: type, *, keys: tuple[str, ...] = ("lr",), **kwargs: Any) -> Schedule:
    """Let a scheduler drive an optimizer that has nothing to do, and remember what it set at every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr)
    scheduler = scheduler_class(optimizer, **kwargs)
    optimizer.step()  # without a gradient it changes nothing; a scheduler warns if it steps before the optimizer has
    history = [{key: optimizer.param_groups[0][key] for key in keys}]

    def schedule(step: int) -> dict[str, float]:
        if step < 0:
            raise ValueError(f"step must be at least 0, but it is {step}")
        while len(history) <= step:
            scheduler.step()
            history.append({key: optimizer.param_groups[0][key] for key in keys})
        return dict(history[step])

    return schedule
