"""The twins of ``scratch.optimizers``: the same factories with the same keywords, made into ``torch.optim``'s.

optimizer = adam(lr=1e-3, groups=(group("*.bias", weight_decay=0.0),))(module)
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tinytorch_course.parameter_groups import Group, assign_groups, group, scale_rate

__all__ = ["adam", "adamw", "group", "rmsprop", "set_rates", "sgd"]

Build = Callable[[nn.Module], torch.optim.Optimizer]


def sgd(
    lr: float = 1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    groups: Sequence[Group] = (),
) -> Build:
    """A function that makes ``torch.optim.SGD`` of a module's named parameters, but those that need no gradient."""
    return _build(torch.optim.SGD, **locals())


def adam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
    groups: Sequence[Group] = (),
) -> Build:
    """A function that makes ``torch.optim.Adam`` of a module's named parameters."""
    return _build(torch.optim.Adam, **locals())


def adamw(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    groups: Sequence[Group] = (),
) -> Build:
    """A function that makes ``torch.optim.AdamW`` of a module's named parameters."""
    return _build(torch.optim.AdamW, **locals())


def rmsprop(
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered: bool = False,
    *,
    maximize: bool = False,
    groups: Sequence[Group] = (),
) -> Build:
    """A function that makes ``torch.optim.RMSprop`` of a module's named parameters."""
    return _build(torch.optim.RMSprop, **locals())


def _build(torch_class: type[torch.optim.Optimizer], *, groups: Sequence[Group], **hyper: Any) -> Build:
    torch_class([nn.Parameter(torch.empty(0))], **hyper)  # a bad number is refused here, not when the module comes

    def build(module: nn.Module) -> torch.optim.Optimizer:
        params = {name: param for name, param in module.named_parameters() if param.requires_grad}
        param_groups = [
            {"params": [(name, params[name]) for name in names], **overrides}
            for names, overrides in assign_groups(params, groups, allowed=hyper)
        ]
        optimizer = torch_class(param_groups, **hyper)
        set_rates(optimizer)
        return optimizer

    return build


def set_rates(optimizer: torch.optim.Optimizer, *, lr: float | None = None, momentum: float | None = None) -> None:
    """Set this step's rates, as ``update(..., lr=, momentum=)`` of ``scratch.optimizers`` does.

    Args:
        optimizer: is changed in place.
        lr: in place of the optimizer's own; a group with another keeps its ratio. None: the rates it was made with.
        momentum: for all groups (for Adam ``betas[0]``, as in torch's ``OneCycleLR``). None: as it was made.
    """
    kept = vars(optimizer)
    if "initial_rates" not in kept:
        # Kept beside param_groups, for load_state_dict replaces those and would bring in a rate from mid-schedule.
        kept["initial_rates"] = [
            {key: param_group[key] for key in ("lr", "momentum", "betas") if key in param_group}
            for param_group in optimizer.param_groups
        ]
    for param_group, initial in zip(optimizer.param_groups, kept["initial_rates"], strict=True):
        param_group.update(initial)
        if lr is not None:
            param_group["lr"] = scale_rate(initial["lr"], optimizer.defaults["lr"], lr)
        if momentum is not None and "betas" in initial:
            param_group["betas"] = (float(momentum), initial["betas"][1])
        elif momentum is not None:
            param_group["momentum"] = momentum
