"""Optimizers: how parameters follow their gradients.

    optimizer = adam(lr=1e-3, groups=(group("*.bias", weight_decay=0.0),))
    opt_state = optimizer.init(params)
    params, opt_state = optimizer.update(params, grads, opt_state)

Parameters, gradients and state are flat dicts with the same keys; the state of one parameter is its *slot*. Each
optimizer's whole formula is one function of one parameter (``sgd_step``, ``adam_step``, ``rmsprop_step``); ``_update``
applies it to every parameter. New tensors are returned and none is changed in place.

Names, defaults and formulas are ``torch.optim``'s. Its switches that only choose between kernels for one formula
(``foreach``, ``fused``, ``capturable``, ``differentiable``) are left out; hyper-parameters are numbers. Only a step's
``lr`` and a slot's count of steps may also be float64 tensors without axes: a CUDA graph runs again what was recorded
with them, and finds other values in them each time.

Every factory takes ``lr`` and ``weight_decay``, both at least 0 (the latter is the L2 penalty unless something else is
said), ``maximize``, to climb instead of descend, and ``groups``: parameters with hyper-parameters of their own, from
:func:`group`. All raise ValueError for a number out of its range, TypeError for what is no number.

Legend: θ parameter, g gradient, γ learning rate (lr), λ weight decay, μ momentum, t step, counted from 1.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.parameter_groups import Group, assign_groups, group, scale_rate
from tinytorch_course.scratch.checks import once, require, require_float, require_number, require_same_shape
from tinytorch_course.scratch.tuned import chosen

__all__ = [
    "AdamSlot",
    "Optimizer",
    "RmspropSlot",
    "SgdSlot",
    "adam",
    "adam_step",
    "adamw",
    "group",
    "rmsprop",
    "rmsprop_step",
    "sgd",
    "sgd_step",
]

Tensors = dict[str, Tensor]
Grads = dict[str, Tensor | None]
Slots = dict[str, NamedTuple]
Rate = float | Tensor
Sometimes = Tensor | Any  # None where a keyword says so
Members = tuple[list[str], dict[str, Any]]  # the names of a group's parameters, and their hyper-parameters


class Optimizer(NamedTuple):
    """Four pure functions, made by :func:`sgd`, :func:`adam`, :func:`adamw` or :func:`rmsprop`.

    ``init(params) -> opt_state``: the state before the first update, one slot for each parameter.

    ``update(params, grads, opt_state, *, lr=None, momentum=None) -> (params, opt_state)``: one step. ``grads`` has the
    keys of ``params``; a gradient of None leaves its parameter and slot as they are (frozen). ``lr`` and ``momentum``
    replace the factory's for this step: a schedule gives them. A group with a rate of its own keeps its ratio to the
    optimizer's; ``momentum`` is for all groups, and for Adam it is ``betas[0]`` (as in torch's ``OneCycleLR``).

    ``to_torch(opt_state) -> {"state": ..., "param_groups": ...}``: the ``state_dict()`` of a ``torch.optim``
    optimizer with the same ``named_parameters()``, groups and history, whose ``load_state_dict`` goes on from here.

    ``from_torch(state_dict, params) -> opt_state``: the way back. Slots are matched by ``param_names`` where the
    state_dict has them, otherwise by torch's order, group by group. Hyper-parameters stay those of this optimizer.
    Tensors are copied both ways, because torch updates its own in place.

    All raise ValueError or TypeError, naming the key, if a tensor is missing, unknown or of the wrong shape or dtype.
    """

    init: Callable[[Tensors], dict[str, NamedTuple]]
    update: Callable[..., tuple[Tensors, dict[str, NamedTuple]]]
    to_torch: Callable[[dict[str, NamedTuple]], dict[str, Any]]
    from_torch: Callable[[dict[str, Any], Tensors], dict[str, NamedTuple]]


# --- SGD --------------------------------------------------------------------------------------------------------------


class SgdSlot(NamedTuple):
    """The velocity."""

    momentum_buffer: Tensor | None  # as the parameter; None before the first step with momentum


def sgd_start(param: Tensor, **hyper: Any) -> SgdSlot:
    """Nothing, before the first step."""
    return SgdSlot(None)


def sgd_step(param: Tensor, grad: Tensor, slot: SgdSlot, **hyper: Any) -> tuple[Tensor, SgdSlot]:
    """One step of stochastic gradient descent: ``θ ← θ − γ v``.

    With ``g ← g + λθ`` (the gradient of the penalty λ/2 ‖θ‖²; g's sign is turned first where ``maximize`` climbs):

    - without momentum ``v = g``;
    - with momentum ``b ← μ b + (1 − dampening) g`` and ``v = b``;
    - with Nesterov's momentum ``v = g + μ b``, which looks ahead to where b is going.

    Torch departs from the papers: γ stands outside the velocity (they have ``b ← μ b − γ g``, the same while γ does not
    change), and the first b is g itself even with dampening.

    Source: Polyak (1964), "Some methods of speeding up the convergence of iteration methods"; Nesterov (1983);
    Sutskever, Martens, Dahl & Hinton (2013), "On the importance of initialization and momentum in deep learning".
    """
    lr, momentum, weight_decay = hyper["lr"], hyper["momentum"], hyper["weight_decay"]
    (buffer,) = slot
    if hyper["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    velocity = grad
    if momentum != 0:
        # The first buffer is a copy: the state must not change when the caller reuses the gradient's memory.
        buffer = grad.clone() if buffer is None else momentum * buffer + (1 - hyper["dampening"]) * grad
        velocity = grad + momentum * buffer if hyper["nesterov"] else buffer
    return param - lr * velocity, SgdSlot(buffer)


def sgd(
    lr: float = 1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    groups: Sequence[Group] = (),
) -> Optimizer:
    """Stochastic gradient descent, as ``torch.optim.SGD``; the formula is in :func:`sgd_step`.

    Args:
        momentum: μ, at least 0: how much of the last velocity is kept.
        dampening: how much less than the whole gradient enters the velocity.
        nesterov: look ahead; needs momentum above 0 and dampening 0.
    """
    return _optimizer(SgdSlot, sgd_start, chosen(sgd_step), _SGD_SWITCHES, **locals())


# --- Adam and AdamW ---------------------------------------------------------------------------------------------------


class AdamSlot(NamedTuple):
    """The running means, and how many gradients they have seen."""

    step: int | Tensor  # t: the updates of this parameter so far
    exp_avg: Tensor  # as the parameter: m, the running mean of the gradient
    exp_avg_sq: Tensor  # as the parameter: v, the running mean of its square
    max_exp_avg_sq: Sometimes  # as the parameter: the largest v so far; None without amsgrad


def adam_start(param: Tensor, *, amsgrad: bool, **hyper: Any) -> AdamSlot:
    """Means of nothing: 0."""
    zeros = torch.zeros_like(param)
    return AdamSlot(0, zeros, zeros, zeros if amsgrad else None)


def adam_step(param: Tensor, grad: Tensor, slot: AdamSlot, **hyper: Any) -> tuple[Tensor, AdamSlot]:
    """One step of Adam: ``θ ← θ − γ m̂ / (√v̂ + ε)``.

    ``m ← β₁ m + (1 − β₁) g`` and ``v ← β₂ v + (1 − β₂) g²`` are running means that start at 0, therefore too small at
    first; ``m̂ = m / (1 − β₁ᵗ)`` and ``v̂ = v / (1 − β₂ᵗ)`` put that right (``amsgrad``: of the largest v so far). Weight
    decay: ``g ← g + λθ`` before all else (L2, Adam), or ``θ ← θ − γ λ θ`` beside the step (decoupled, AdamW).
    """
    lr, (beta1, beta2), eps, weight_decay = hyper["lr"], hyper["betas"], hyper["eps"], hyper["weight_decay"]
    t, m, v, largest_v = slot.step + 1, *slot[1:]
    if hyper["maximize"]:
        grad = -grad
    if weight_decay != 0 and hyper["decoupled_weight_decay"]:
        param = param - lr * weight_decay * param
    elif weight_decay != 0:
        grad = grad + weight_decay * param

    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    if hyper["amsgrad"]:
        largest_v = torch.maximum(largest_v, v)
    m_hat = m / (1 - beta1**t)
    v_hat = (largest_v if hyper["amsgrad"] else v) / (1 - beta2**t)
    return param - lr * m_hat / (torch.sqrt(v_hat) + eps), AdamSlot(t, m, v, largest_v)


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
) -> Optimizer:
    """Adam, as ``torch.optim.Adam``; the formula is in :func:`adam_step`.

    ε stands outside the root, after the bias correction, as in the paper's Algorithm 1. Torch departs from the papers
    in two places: AMSGrad's has no bias correction, and AdamW's decays by the schedule's factor alone, without γ.

    Args:
        betas: (β₁, β₂), two floats, each at least 0 and below 1: how much of the running means is kept.
        eps: ε, at least 0: keeps the step finite where the gradient vanishes.
        amsgrad: divide by the largest mean square so far, so that the step cannot grow.
        decoupled_weight_decay: AdamW's weight decay instead of the L2 penalty.

    Source: Kingma & Ba (2015), "Adam: a method for stochastic optimization";
    Reddi, Kale & Kumar (2018), "On the convergence of Adam and beyond"; Loshchilov & Hutter (2019), "Decoupled weight
    decay regularization".
    """
    return _optimizer(AdamSlot, adam_start, chosen(adam_step), _ADAM_SWITCHES, **locals())


def adamw(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    groups: Sequence[Group] = (),
) -> Optimizer:
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``; arguments as :func:`adam`'s."""
    hyper = locals()
    step = partial(chosen(adam_step), decoupled_weight_decay=True)
    switches = {**_ADAM_SWITCHES, "decoupled_weight_decay": True}
    return _optimizer(AdamSlot, adam_start, step, switches, **hyper)


# --- RMSprop ----------------------------------------------------------------------------------------------------------


class RmspropSlot(NamedTuple):
    """The running means and the velocity."""

    step: int | Tensor  # t: the updates of this parameter so far; kept for torch, the formula does without it
    square_avg: Tensor  # as the parameter: s, the running mean of the squared gradient
    momentum_buffer: Tensor | None  # as the parameter: the velocity; None before the first step with momentum
    grad_avg: Sometimes  # as the parameter: a, the running mean of the gradient; None unless centered


def rmsprop_start(param: Tensor, *, momentum: float, centered: bool, **hyper: Any) -> RmspropSlot:
    """Means of nothing: 0."""
    zeros = torch.zeros_like(param)
    return RmspropSlot(0, zeros, zeros if momentum > 0 else None, zeros if centered else None)


def rmsprop_step(param: Tensor, grad: Tensor, slot: RmspropSlot, **hyper: Any) -> tuple[Tensor, RmspropSlot]:
    """One step of RMSprop: ``θ ← θ − γ g / (√s + ε)``.

    With ``s ← α s + (1 − α) g²``. ``centered`` divides by the deviation instead, ``√(s − a²)`` with
    ``a ← α a + (1 − α) g``. With momentum, ``b ← μ b + g / (√s + ε)`` and ``θ ← θ − γ b``.
    ``maximize`` turns g's sign first; weight decay is the L2 penalty, ``g ← g + λθ``.

    Torch departs from the paper: ε stands outside the root (Graves has it inside), and neither mean is corrected for
    its start at 0. Where a gradient stays the same for thousands of steps, rounding can make ``s − a²`` negative and
    the step NaN, in torch as here.

    Source: Tieleman & Hinton (2012), "Lecture 6.5: rmsprop"; centered, with momentum: Graves (2013), "Generating
    sequences with recurrent neural networks", equations 38 to 41.
    """
    lr, alpha, weight_decay, momentum = hyper["lr"], hyper["alpha"], hyper["weight_decay"], hyper["momentum"]
    step, square_avg, buffer, grad_avg = slot
    if hyper["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param

    square_avg = alpha * square_avg + (1 - alpha) * grad * grad
    mean_square = square_avg
    if hyper["centered"]:
        # α a + (1 − α) g, rounded better: as it stands there, s − a² turned negative ten times as often
        grad_avg = grad_avg + (1 - alpha) * (grad - grad_avg)
        mean_square = square_avg - grad_avg * grad_avg
    velocity = grad / (torch.sqrt(mean_square) + hyper["eps"])
    if momentum > 0:
        buffer = velocity if buffer is None else momentum * buffer + velocity
        velocity = buffer
    return param - lr * velocity, RmspropSlot(step + 1, square_avg, buffer, grad_avg)


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
) -> Optimizer:
    """RMSprop, as ``torch.optim.RMSprop``; the formula is in :func:`rmsprop_step`.

    Args:
        alpha: α, at least 0: how much of the running means is kept.
        eps: ε, at least 0: keeps the step finite where the gradient vanishes.
        momentum: μ, at least 0.
        centered: divide by the gradient's deviation, not by its size.
    """
    return _optimizer(RmspropSlot, rmsprop_start, chosen(rmsprop_step), _RMSPROP_SWITCHES, **locals())


# --- From one parameter to all ----------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    """What tells one optimizer from another."""

    slot: type[NamedTuple]
    start: Callable[..., NamedTuple]  # start(param, **hyper) -> the slot before the first step
    step: Callable[..., tuple[Tensor, NamedTuple]]  # step(param, grad, slot, **hyper) -> param, slot
    switches: dict[str, Any]  # what torch's param_groups hold beside the hyper-parameters
    hyper: dict[str, Any]  # the hyper-parameters of every parameter that no group gives others
    groups: Callable[[tuple[str, ...]], list[Members]]


def _optimizer(
    slot: type[NamedTuple],
    start: Callable[..., NamedTuple],
    step: Callable[..., tuple[Tensor, NamedTuple]],
    switches: dict[str, Any],
    *,
    groups: Sequence[Group],
    **hyper: Any,
) -> Optimizer:
    _check(hyper)

    @once
    def groups_of(names: tuple[str, ...]) -> list[Members]:
        assigned = [(members, hyper | own) for members, own in assign_groups(names, groups, allowed=hyper)]
        for _, own in assigned:
            _check(own)
        return assigned

    rule = _Rule(slot, start, step, switches, hyper, groups_of)
    return Optimizer(partial(_init, rule), partial(_update, rule), partial(_to_torch, rule), partial(_from_torch, rule))


def _init(rule: _Rule, params: Tensors) -> dict[str, NamedTuple]:
    """The state before the first step: one slot for each parameter."""
    require(len(params) > 0, "params must hold at least one parameter, but it is empty")
    for name, param in params.items():
        require_float(**{f"params[{name!r}]": param})
    groups = rule.groups(tuple(params))
    return {name: rule.start(params[name], **hyper) for members, hyper in groups for name in members}


def _update(
    rule: _Rule, params: Tensors, grads: Grads, opt_state: Slots, lr: Rate | None = None, momentum: float | None = None
) -> tuple[Tensors, Slots]:
    """One step for every parameter that has a gradient."""
    _require_keys(tuple(params), tuple(grads), tuple(opt_state))
    params, opt_state = dict(params), dict(opt_state)
    for members, hyper in rule.groups(tuple(params)):
        if lr is not None:
            hyper = hyper | {"lr": _rate(lr, hyper["lr"], rule.hyper["lr"])}
        if momentum is not None:
            hyper = hyper | _momentum(hyper, momentum)
        for name in members:
            if grads[name] is not None:
                param, grad, slot = params[name], grads[name], opt_state[name]
                _require_fit(name, rule.slot, type(slot), param, grad, *slot[slot._fields[0] == "step" :])
                params[name], opt_state[name] = rule.step(param, grad, slot, **hyper)
    return params, opt_state


def _rate(lr: Rate, own: float, default: float) -> Rate:
    """``lr``, or as much of it as a group with a rate of its own asks for."""
    if not (isinstance(lr, Tensor) or (isinstance(lr, float) and 0 <= lr < math.inf)):
        require_number("lr", lr, minimum=0)
    return lr if own == default else _scaled(lr, own, default)


def _scaled(lr: Rate, own: float, default: float) -> Rate:
    if isinstance(lr, Tensor):  # nobody looks at its value
        return lr * scale_rate(own, default, 1.0)
    return scale_rate(own, default, lr)


def _momentum(hyper: dict[str, Any], momentum: float) -> dict[str, Any]:
    """``momentum``, under the name that it has in this optimizer."""
    if "betas" not in hyper:
        require_number("momentum", momentum, minimum=0)
        return {"momentum": momentum}
    require_number("momentum", momentum, minimum=0, below=1)
    return {"betas": (float(momentum), hyper["betas"][1])}


# --- torch.optim's state_dict -----------------------------------------------------------------------------------------

_SGD_SWITCHES = {"foreach": None, "differentiable": False, "fused": None}
_ADAM_SWITCHES = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
_RMSPROP_SWITCHES = {"foreach": None, "capturable": False, "differentiable": False}


def _to_torch(rule: _Rule, opt_state: dict[str, NamedTuple]) -> dict[str, Any]:
    """``{"state": {number: {field: tensor}}, "param_groups": [...]}``; parameters are numbered group by group."""
    state, param_groups = {}, []
    names: list[str] = []
    for members, hyper in rule.groups(tuple(opt_state)):
        numbers = list(range(len(names), len(names) + len(members)))
        param_groups.append({"params": numbers, "param_names": members, **hyper, **rule.switches})
        names += members
    for number, name in enumerate(names):
        _require_slot(name, rule.slot, type(opt_state[name]))
        entry = _slot_to_torch(opt_state[name])
        if entry:
            state[number] = entry
    return {"state": state, "param_groups": param_groups}


def _slot_to_torch(slot: NamedTuple) -> dict[str, Tensor]:
    """The slot's tensors under the names of its fields. Torch has no entry for a parameter never updated."""
    fields = slot._asdict()
    if fields.get("step") == 0:
        return {}
    entry = {field: value.clone() for field, value in fields.items() if isinstance(value, Tensor)}
    if "step" in fields:
        entry["step"] = torch.tensor(float(fields["step"]), dtype=torch.float32)
    return entry


def _from_torch(rule: _Rule, state_dict: dict[str, Any], params: Tensors) -> dict[str, NamedTuple]:
    """Slots from what :func:`_to_torch` or ``torch.optim`` wrote; a parameter without an entry starts afresh."""
    for key in ("state", "param_groups"):
        require(
            isinstance(state_dict, dict) and key in state_dict,
            f"the state_dict must have the keys 'state' and 'param_groups', but {key!r} is missing",
        )
    opt_state = _init(rule, params)
    names = _names_by_number(rule, state_dict["param_groups"], params)
    for number, entry in state_dict["state"].items():
        require(number in names, f"the state_dict holds a state for parameter {number!r}, which is in no group")
        name = names[number]
        if entry:
            opt_state[name] = _slot_from_torch(name, entry, opt_state[name], params[name])
    return opt_state


def _names_by_number(rule: _Rule, param_groups: list[dict[str, Any]], params: Tensors) -> dict[int, str]:
    """Whose state stands under which number: by ``param_names`` if torch saved them, otherwise by its order."""
    if all("param_names" in saved for saved in param_groups):
        names = [saved["param_names"] for saved in param_groups]
        _require_same_keys("the state_dict", list(chain(*names)), params)
    else:
        names = [members for members, _ in rule.groups(tuple(params))]
    sizes, own_sizes = [len(saved["params"]) for saved in param_groups], [len(members) for members in names]
    require(sizes == own_sizes, f"the state_dict has groups of {sizes} parameters, but they should be of {own_sizes}")
    return dict(zip(chain(*(saved["params"] for saved in param_groups)), chain(*names), strict=True))


def _slot_from_torch(name: str, entry: dict[str, Any], start: NamedTuple, param: Tensor) -> NamedTuple:
    """``start`` with the values of torch's ``entry``, in the dtype and on the device of ``param``."""
    where = f"the state_dict's state of {name!r}"
    unknown = [field for field in entry if field not in start._fields]
    require(not unknown, f"{where} holds {unknown}, but {type(start).__name__} has only {list(start._fields)}")
    values = {}
    for field, initial in start._asdict().items():
        value = entry.get(field)
        if value is None:
            require(initial is None, f"{where} lacks {field!r}")
        elif field == "step":
            value = int(value)
        elif not isinstance(value, Tensor):
            raise TypeError(f"{where} must hold tensors, but {field!r} is a {type(value).__name__}")
        else:
            require_same_shape(f"{where}, {field!r},", value, f"params[{name!r}]", param)
            value = value.to(param.device, param.dtype, copy=True)
        values[field] = value
    return start._replace(**values)


# --- Checks -----------------------------------------------------------------------------------------------------------


def _check(hyper: dict[str, Any]) -> None:
    """The hyper-parameters of an optimizer, or of one of its groups."""
    for name in ("lr", "alpha", "eps", "momentum", "weight_decay"):
        require_number(name, hyper.get(name, 0), minimum=0)
    require_number("dampening", hyper.get("dampening", 0))
    require(
        not hyper.get("nesterov") or (hyper["momentum"] > 0 and hyper["dampening"] == 0),
        "nesterov=True needs momentum above 0 and dampening 0, "
        f"but momentum is {hyper.get('momentum')} and dampening {hyper.get('dampening')}",
    )
    # Floats only, as in torch: a checkpoint with an integer beta would be refused there.
    betas = hyper.get("betas", (0.0, 0.0))
    if not (isinstance(betas, (tuple, list)) and len(betas) == 2 and all(isinstance(beta, float) for beta in betas)):
        raise TypeError(f"betas must be two floats, but it is {betas!r}")
    for number, beta in enumerate(betas):
        require_number(f"betas[{number}]", beta, minimum=0, below=1)


@once
def _require_keys(params: tuple[str, ...], grads: tuple[str, ...], opt_state: tuple[str, ...]) -> None:
    _require_same_keys("grads", grads, params)
    _require_same_keys("opt_state", opt_state, params)


def _require_same_keys(what: str, given: Sequence[str], params: Iterable[str]) -> None:
    missing = [name for name in params if name not in given]
    require(not missing, f"{what} must have one entry for each parameter, but lacks {missing}")
    extra = [name for name in given if name not in params]
    require(not extra, f"{what} must have one entry for each parameter, but there is no parameter for {extra}")


def _require_slot(name: str, wanted: type[NamedTuple], given: type) -> None:
    if given is not wanted:
        raise TypeError(f"opt_state[{name!r}] must be of type {wanted.__name__}, but it is of type {given.__name__}")


@once
def _require_fit(
    name: str, wanted: type[NamedTuple], given: type, param: Tensor, grad: Tensor, *slot: Tensor | None
) -> None:
    """The gradient and the slot's tensors must have the shape, dtype and device of their parameter."""
    _require_slot(name, wanted, given)
    param_name, fields = f"params[{name!r}]", [field for field in wanted._fields if field != "step"]
    tensors: Grads = {f"grads[{name!r}]": grad}
    tensors |= {f"opt_state[{name!r}].{field}": value for field, value in zip(fields, slot, strict=True)}
    require_float(**{param_name: param}, **tensors)
    for tensor_name, tensor in tensors.items():
        if tensor is not None:
            require_same_shape(tensor_name, tensor, param_name, param)
