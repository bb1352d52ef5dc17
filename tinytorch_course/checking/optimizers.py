"""Optimizers beside ``torch.optim``: ours, or a learner's, on the cases of ``case_tables/optimizers.py``."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from tinytorch_course.checking.case_tables.optimizers import (
    COMPARED,
    TOLERANCE,
    OptimizerCase,
    Theirs,
    draw_grads,
    draw_params,
    make,
    rates,
    slots_error,
)
from tinytorch_course.checking.evidence import Evidence, worst_entry
from tinytorch_course.checking.gradients import GradientCheck

PARAMETERS = "the parameters"  # the quantity that is compared
TOLERANCES = {torch.float64: TOLERANCE, torch.float32: 1e-4}


class Run(Protocol):
    """An optimizer at work on parameters of its own."""

    params: dict[str, Tensor]

    def update(self, grads: dict[str, Tensor | None], step: int) -> None:
        """One step."""


class Ours:
    """The from-scratch optimizer of a case."""

    def __init__(self, case: OptimizerCase, params: dict[str, Tensor]):
        self.case, self.params, self.optimizer = case, params, make(case)
        self.opt_state = self.optimizer.init(params)

    def update(self, grads: dict[str, Tensor | None], step: int) -> None:
        """One step, with the rates that the case has in force."""
        in_force = rates(self.case, step)
        self.params, self.opt_state = self.optimizer.update(self.params, grads, self.opt_state, **in_force)


def check_optimizer(
    case: OptimizerCase,
    start: Callable[[OptimizerCase, dict[str, Tensor]], Run] = Ours,
    *,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    seed: int = 0,
) -> GradientCheck:
    """Run the optimizer that ``start(case, params)`` makes beside torch's, and compare parameters on the way.

    Of our own, the slots (moments, buffers) are compared as well.
    """
    check = GradientCheck(str(case), Evidence(str(case)))
    params = {name: param.to(dtype) for name, param in draw_params(device, seed).items()}
    run, theirs = start(case, params), Theirs(case, params)
    ours, torchs = [], []
    for step, grads in enumerate(draw_grads(case, case.steps, device, seed)):
        grads = {name: None if grad is None else grad.to(dtype) for name, grad in grads.items()}
        run.update(grads, step)
        theirs.update(grads, step)
        if step + 1 in compared(case):
            ours.append(flattened(run.params))
            torchs.append(flattened(theirs.params))
            if isinstance(run, Ours) and slots_error(run.opt_state, theirs) > TOLERANCES[dtype]:
                check.report("state", "the state", f"after step {step + 1} the moments or buffers are not torch's")
    got, right = torch.stack(ours), torch.stack(torchs)
    check.forward_error, entry = worst_entry(got, right)
    early = sum(step <= max(COMPARED) for step in compared(case))
    if check.forward_error > TOLERANCES[dtype] >= worst_entry(got[:early], right[:early])[0]:
        early = len(got)  # it shows late only; else the diagnosis need not simulate every step
    check.evidence = _evidence(case, got[:early], right[:early], dtype, seed)
    if entry is not None and not check.forward_error <= TOLERANCES[dtype]:
        check.evidence.wrong.add(PARAMETERS)
        entry = replace(entry, place=_place(case, entry.index))
        check.report("value", PARAMETERS, f"{PARAMETERS} are not torch's: {entry}")
    if check.problems and dtype != torch.float64:
        check.in_double = check_optimizer(case, start, device=device, seed=seed)
    return check


def compared(case: OptimizerCase) -> list[int]:
    """The numbers of steps after which parameters are compared."""
    return sorted({step for step in (*COMPARED, case.steps) if step <= case.steps})


def flattened(params: Mapping[str, Tensor]) -> Tensor:
    """All parameters in one row."""
    return torch.cat([param.detach().reshape(-1) for param in params.values()])


def _evidence(case: OptimizerCase, got: Tensor, right: Tensor, dtype: torch.dtype, seed: int) -> Evidence:
    return Evidence(
        str(case),
        case.optimizer,
        (case,),
        {"seed": seed},
        tolerance=10 * TOLERANCES[dtype],
        got={PARAMETERS: got},
        right={PARAMETERS: right},
        place=functools.partial(_place, case),
    )


def _place(case: OptimizerCase, index: list[int]) -> str:
    """The step and the parameter's entry at an index of the flattened parameters."""
    row, column = index
    for name, param in draw_params().items():
        if column < param.numel():
            where = [int(i) for i in torch.unravel_index(torch.tensor(column), param.shape)] if param.dim() else ""
            return f"after step {compared(case)[row]}, {name}{where}"
        column -= param.numel()
    raise IndexError(index)


def is_plain(case: OptimizerCase) -> bool:
    """Whether every learner's optimizer can run the case: one group, one rate, a gradient for each parameter."""
    return not (case.groups or case.factors or case.momenta or case.missing)
