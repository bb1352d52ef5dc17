"""The optimizers against ``torch.optim``: the same keywords, gradients and number of steps for both, in float64.

One line a case. The parameters of a run see gradients of three sizes, because at size 1 a misplaced eps cannot be seen
(every optimizer here treats each number alone, so one run does for all three). Rates are small enough that no parameter
driven by its decay swings about 0, where rounding would grow. That an optimizer converges proves nothing: Adam without
its bias correction converges better on a parabola.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.parameter_groups import group
from tinytorch_course.scratch import optimizers

TOLERANCE = 1e-12  # of an error relative to 1 + |x| for parameters, and to a slot's largest entry for slots
COMPARED = (1, 2, 10)  # after so many steps, and after the last

PARAMETERS = {  # name -> (shape, size of its gradients)
    "trunk.weight": ((4, 3), 1.0),
    "trunk.bias": ((4,), 1e-4),
    "norm.weight": ((4,), 1e-7),
    "norm.bias": ((4,), 1.0),
    "head.weight": ((2, 4), 1e-4),
    "head.scale": ((), 1e-7),
}


class GroupCase(NamedTuple):
    """One group, for us by its patterns and for torch by the names they are to match."""

    patterns: tuple[str, ...]
    names: tuple[str, ...]
    overrides: dict[str, Any]


class OptimizerCase(NamedTuple):
    """One run of one optimizer."""

    kwargs: dict[str, Any] = {}  # noqa: RUF012
    groups: tuple[GroupCase, ...] = ()
    factors: dict[int, float] = {}  # noqa: RUF012 - from this step on, every rate times this
    momenta: dict[int, float] = {}  # noqa: RUF012 - from this step on, this momentum (Adam: betas[0])
    missing: dict[str, range] = {}  # noqa: RUF012 - name -> the steps at which its gradient is None
    zero: tuple[str, ...] = ()  # names whose gradients are 0
    note: str = ""
    steps: int = 40
    optimizer: str = ""  # the factory's name in ``scratch.optimizers``; its row fills it in

    def __str__(self) -> str:
        keywords = [f"{key}={value}" for key, value in self.kwargs.items()]
        keywords += [str(group(*one.patterns, **one.overrides)) for one in self.groups]
        return " ".join([self.optimizer, *keywords, self.note]).strip().replace(", ", ",")


BIASES = GroupCase(("*.bias", "norm.*"), ("trunk.bias", "norm.weight", "norm.bias"), {"weight_decay": 0.0})
TRUNK = GroupCase(("trunk.*",), ("trunk.weight", "trunk.bias"), {"lr": 0.003})
HEAD = GroupCase(("head.*",), ("head.weight", "head.scale"), {"lr": 0.005, "weight_decay": 0.3})
EVERYTHING = GroupCase(("*",), tuple(PARAMETERS), {"lr": 0.03})
LATE = {"trunk.bias": range(5), "norm.weight": range(3, 6), "head.scale": range(1000)}

COMMON = [  # to every optimizer
    OptimizerCase(note="defaults", steps=200),
    OptimizerCase({"lr": 0.02, "maximize": True}),
    OptimizerCase({"lr": 0.005, "weight_decay": 0.1}),
    OptimizerCase({"lr": 0.005, "weight_decay": 0.1, "maximize": True}),
    OptimizerCase({"lr": 0.0}),
    # Parameters that stand still, for a while or for good; gradients of 0, after which moments still move
    OptimizerCase(missing=LATE, note="without gradients at times"),
    OptimizerCase(zero=("trunk.weight", "head.scale"), note="zero gradients"),
    OptimizerCase({"weight_decay": 0.1}, zero=("norm.bias",), note="zero gradients"),
    # Rates that change on the way
    OptimizerCase({"lr": 0.02}, factors={7: 0.1, 20: 3.0, 30: 0.0}, note="lr changes"),
    # Groups
    OptimizerCase({"lr": 0.005, "weight_decay": 0.1}, (BIASES,)),
    OptimizerCase({"lr": 0.02}, (TRUNK, HEAD), {5: 2.0, 9: 0.5}, note="lr changes"),
]


class OptimizerRow(NamedTuple):
    """A row of the list of optimizers."""

    twin: Callable[..., torch.optim.Optimizer]  # the class, or what makes one
    own: list[OptimizerCase]  # beside those that are common to all


OPTIMIZERS: dict[str, OptimizerRow] = {  # by the factory's name
    "sgd": OptimizerRow(
        torch.optim.SGD,
        [
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}, steps=200),
            OptimizerCase({"lr": 0.1}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9}),
            OptimizerCase({"lr": 0.1, "momentum": 1.0}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
            OptimizerCase({"lr": 0.1, "dampening": 0.5}, note="without momentum"),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "nesterov": True}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "dampening": 0.3, "maximize": True}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True, "maximize": True}),
            OptimizerCase({"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, missing=LATE, note="without at times"),
            OptimizerCase({"lr": 0.1, "momentum": 0.9}, zero=("trunk.weight",), note="zero gradients"),
            OptimizerCase({"lr": 0.1, "momentum": 0.9}, factors={7: 0.1, 20: 3.0}, note="lr changes"),
            OptimizerCase({"momentum": 0.9}, momenta={0: 0.95, 5: 0.85, 9: 0.5}, note="momentum changes"),
            OptimizerCase(momenta={3: 0.9, 8: 0.0, 12: 0.8}, note="momentum comes and goes"),
            OptimizerCase({"lr": 0.02}, (HEAD, TRUNK), note="in the other order"),
            OptimizerCase({"lr": 0.02, "momentum": 0.5}, (EVERYTHING,), {5: 0.5}, {5: 0.9}, note="nothing left over"),
            OptimizerCase({"lr": 0.02}, (TRUNK._replace(overrides={"momentum": 0.9, "nesterov": True}),)),
            OptimizerCase({"lr": 0.0}, (TRUNK,), note="only a group moves"),
        ],
    ),
    "adam": OptimizerRow(
        torch.optim.Adam,
        [
            OptimizerCase({"lr": 0.01, "weight_decay": 1e-6, "amsgrad": True}, steps=200),
            OptimizerCase({"lr": 0.02, "betas": (0.5, 0.9)}),
            OptimizerCase({"lr": 0.02, "betas": (0.0, 0.9)}),
            OptimizerCase({"lr": 0.02, "betas": (0.9, 0.0)}),
            OptimizerCase({"lr": 0.02, "eps": 1e-3}),
            OptimizerCase({"lr": 0.02, "eps": 0.0}),
            OptimizerCase({"lr": 0.02, "amsgrad": True}),
            OptimizerCase({"lr": 0.005, "amsgrad": True, "betas": (0.9, 0.5), "weight_decay": 0.1, "maximize": True}),
            OptimizerCase({"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
            OptimizerCase({"amsgrad": True, "weight_decay": 0.1}, missing=LATE, note="without at times"),
            OptimizerCase(momenta={0: 0.95, 5: 0.85, 9: 0.5}, note="momentum changes"),
            OptimizerCase({"lr": 0.02}, (TRUNK._replace(overrides={"betas": (0.5, 0.9), "amsgrad": True}),)),
            OptimizerCase({"lr": 0.02}, (HEAD._replace(overrides={"betas": (0.5, 0.9)}),), momenta={3: 0.8}),
        ],
    ),
    "adamw": OptimizerRow(
        torch.optim.AdamW,
        [
            OptimizerCase({"lr": 0.01, "weight_decay": 0.1}, steps=200),
            OptimizerCase({"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.0}),
            OptimizerCase({"lr": 0.02, "amsgrad": True, "betas": (0.9, 0.5), "weight_decay": 0.3, "maximize": True}),
            OptimizerCase({"lr": 0.1, "weight_decay": 0.2}, factors={7: 0.1, 20: 3.0}, note="lr changes"),
            OptimizerCase({"lr": 0.02}, (BIASES, HEAD._replace(overrides={"eps": 1e-2, "maximize": True}))),
        ],
    ),
    "rmsprop": OptimizerRow(
        torch.optim.RMSprop,
        [
            OptimizerCase({"lr": 0.001, "momentum": 0.9, "centered": True}, steps=200),
            OptimizerCase({"lr": 0.02, "alpha": 0.5}),
            OptimizerCase({"lr": 0.02, "alpha": 0.0}),
            OptimizerCase({"lr": 0.02, "eps": 1e-3}),
            OptimizerCase({"lr": 0.02, "momentum": 0.9}),
            OptimizerCase({"lr": 0.02, "centered": True}),
            OptimizerCase({"lr": 0.02, "centered": True, "alpha": 0.5, "eps": 1e-3, "maximize": True}),
            OptimizerCase({"lr": 0.002, "centered": True, "momentum": 0.9, "weight_decay": 1e-6, "alpha": 0.9}),
            OptimizerCase({"centered": True, "momentum": 0.5}, missing=LATE, note="without at times"),
            OptimizerCase({"momentum": 0.5}, momenta={5: 0.85, 9: 0.0, 12: 0.9}, note="momentum changes"),
            OptimizerCase({}, (TRUNK._replace(overrides={"centered": True, "momentum": 0.9, "alpha": 0.5}),)),
        ],
    ),
}


def cases_of(name: str) -> list[OptimizerCase]:
    """All cases of one optimizer."""
    return [case._replace(optimizer=name) for case in (*COMMON, *OPTIMIZERS[name].own)]


def all_cases() -> list[OptimizerCase]:
    """All cases of all optimizers."""
    return [case for name in OPTIMIZERS for case in cases_of(name)]


def make(case: OptimizerCase) -> optimizers.Optimizer:
    """The from-scratch optimizer of a case."""
    groups = tuple(group(*one.patterns, **one.overrides) for one in case.groups)
    return getattr(optimizers, case.optimizer)(**case.kwargs, groups=groups)


def rates(case: OptimizerCase, step: int) -> dict[str, float]:
    """The lr and momentum that ``update`` is given at ``step``."""
    result = {}
    if case.factors:
        result["lr"] = in_force(case.factors, step, 1.0) * case.kwargs["lr"]
    if in_force(case.momenta, step, None) is not None:
        result["momentum"] = in_force(case.momenta, step, None)
    return result


def draw_params(device: str = "cpu", seed: int = 0) -> dict[str, Tensor]:
    """Standard normal parameters in float64."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, dtype=torch.float64, generator=generator).to(device)
        for name, (shape, _) in PARAMETERS.items()
    }


def draw_grads(
    case: OptimizerCase, steps: int, device: str = "cpu", seed: int = 0
) -> Iterator[dict[str, Tensor | None]]:
    """The gradients of each step: standard normal times their parameter's size, 0 or None where the case says so."""
    generator = torch.Generator().manual_seed(seed + 1)
    for step in range(steps):
        grads = {}
        for name, (shape, size) in PARAMETERS.items():
            grad = size * torch.randn(shape, dtype=torch.float64, generator=generator).to(device)
            grads[name] = grad * 0 if name in case.zero else grad
        yield {name: None if step in case.missing.get(name, ()) else grad for name, grad in grads.items()}


class Theirs:
    """``torch.optim``'s optimizer of a case, on copies of ``params``."""

    def __init__(self, case: OptimizerCase, params: dict[str, Tensor]):
        self.case = case
        self.params = {name: torch.nn.Parameter(param.clone()) for name, param in params.items()}
        grouped = {name for one in case.groups for name in one.names}
        rest = [(name, param) for name, param in self.params.items() if name not in grouped]
        param_groups = [{"params": rest}] if rest else []
        for one in case.groups:
            param_groups.append({"params": [(name, self.params[name]) for name in one.names], **one.overrides})
        self.optimizer = OPTIMIZERS[case.optimizer].twin(param_groups, **case.kwargs, foreach=False)
        self.initial = [param_group["lr"] for param_group in self.optimizer.param_groups]

    def update(self, grads: dict[str, Tensor | None], step: int) -> None:
        """One step, with the rates that the case has in force."""
        for name, param in self.params.items():
            grad = grads[name]
            param.grad = None if grad is None else grad.clone()
        momentum = in_force(self.case.momenta, step, None)
        for param_group, initial in zip(self.optimizer.param_groups, self.initial, strict=True):
            param_group["lr"] = in_force(self.case.factors, step, 1.0) * initial
            if momentum is not None and "betas" in param_group:
                param_group["betas"] = (momentum, param_group["betas"][1])
            elif momentum is not None:
                param_group["momentum"] = momentum
        self.optimizer.step()

    def slot(self, name: str) -> dict[str, Tensor]:
        """The state that torch keeps of one parameter; empty before its first update."""
        return self.optimizer.state.get(self.params[name], {})


def in_force(changes: dict[int, Any], step: int, initial: Any) -> Any:
    """The value of the last change up to ``step``."""
    past = [at for at in changes if at <= step]
    return changes[max(past)] if past else initial


def slots_error(opt_state: dict[str, NamedTuple], theirs: Theirs) -> float:
    """Errors relative to the slot's largest entry, so that those of tiny gradients count as much."""
    worst = 0.0
    for name, slot in opt_state.items():
        for field, expected in theirs.slot(name).items():
            got = getattr(slot, field)
            if got is None or expected is None:
                worst = worst if got is expected else math.inf
            elif field == "step":
                worst = worst if got == expected.item() else math.inf
            else:
                got, expected = got.double(), expected.double()
                worst = max(worst, _worst((got - expected).abs() / expected.abs().max().clamp_min(1e-300)))
    return worst


def _worst(errors: Tensor) -> float:
    return errors.detach().nan_to_num(nan=math.inf).max().item()
