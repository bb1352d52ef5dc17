"""How good is a central difference? That depends on its step, and on the number of digits.

A large step cuts corners: its error falls with h². A small one subtracts two nearly equal numbers: its error grows
with 1/h. Between lies the best step, near 1e-5 in float64 and 1e-2 in float32, where it is worth four digits at most.
(A linear function has no corners to cut: there the largest step is the best.)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.rows import Curve

STEPS = [10.0**-power for power in range(1, 13)]


def step_curve(forward: Callable, evidence: Evidence, seed: int = 0) -> Curve:
    """For each step, the error of the central difference along one random direction, in float64 and in float32.

    Args:
        forward: the checked one.
        evidence: of a check of it; its right gradient is what the differences are compared with.
        seed: of the direction.
    """
    position = evidence.positions[0]
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(evidence.inputs[position].shape, dtype=torch.float64, generator=generator)
    direction = direction / direction.norm()
    exact = (evidence.right[position].cpu() * direction).sum().item()
    curve: Curve = []
    for step in STEPS:
        errors = {
            str(dtype).removeprefix("torch."): _error(forward, evidence, position, direction, step, dtype, exact)
            for dtype in (torch.float64, torch.float32)
        }
        curve.append({"step": step, **errors})
    return curve


def _error(forward, evidence: Evidence, position: int, direction: Tensor, step: float, dtype, exact: float) -> float:
    def at(shift: float) -> Tensor:
        args = [_as(x, dtype) for x in evidence.inputs]
        args[position] = args[position] + shift * direction.to(args[position])
        with torch.no_grad():
            out = forward(*args, **{key: _as(value, dtype) for key, value in evidence.kwargs.items()})[0]
        return out * _as(evidence.dout, dtype)

    slope = ((at(step) - at(-step)) / (2 * step)).sum().item()
    return abs(slope - exact) / (1 + abs(exact))


def _as(x, dtype: torch.dtype):
    return x.to(dtype, copy=True) if isinstance(x, Tensor) and x.is_floating_point() else x
