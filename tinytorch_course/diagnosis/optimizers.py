"""Mistakes in the optimizers: what the parameters would be after the same gradients, by another rule."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.case_tables.optimizers import OptimizerCase, draw_grads, draw_params, in_force
from tinytorch_course.checking.evidence import Evidence
from tinytorch_course.checking.optimizers import PARAMETERS, compared, flattened
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions
from tinytorch_course.scratch import optimizers

SGD, RMSPROP, ADAMS = ("sgd",), ("rmsprop",), ("adam", "adamw")

Slot = dict[str, Any]  # what the optimizer keeps of a parameter, and how many steps it has taken, "t"
Rule = Callable[..., Tensor]  # rule(param, grad, slot, **hyper) -> param; the slot is changed in place


def ruled(key: str, ops: tuple[str, ...], rule: Rule, sentence: str) -> Hypothesis:
    """The optimizer follows ``rule``."""

    def predict(evidence: Evidence) -> Predictions:
        (case,), rows = evidence.inputs, len(evidence.right[PARAMETERS])
        return {PARAMETERS: simulate(case, rule, steps=compared(case)[:rows], **evidence.kwargs)}

    return Hypothesis(key, ops, predict, sentence)


def simulate(case: OptimizerCase, rule: Rule, steps: list[int], seed: int) -> Tensor:
    """The parameters after so many ``steps``, one row for each."""
    params, rows = draw_params(seed=seed), []
    slots: dict[str, Slot] = {name: {"t": 0} for name in params}
    for step, grads in enumerate(draw_grads(case, max(steps), seed=seed)):
        for name, grad in grads.items():
            if grad is not None:
                slots[name]["t"] += 1
                params[name] = rule(params[name], grad, slots[name], **_hyper(case, name, step))
        if step + 1 in steps:
            rows.append(flattened(params))
    return torch.stack(rows)


def _hyper(case: OptimizerCase, name: str, step: int) -> dict[str, Any]:
    """The hyper-parameters of one parameter in one step."""
    hyper = _defaults(case.optimizer) | case.kwargs
    for group in case.groups:
        hyper |= group.overrides if name in group.names else {}
    hyper["lr"] *= in_force(case.factors, step, 1.0)
    momentum = in_force(case.momenta, step, None)
    if momentum is not None and "betas" in hyper:
        hyper["betas"] = (momentum, hyper["betas"][1])
    elif momentum is not None:
        hyper["momentum"] = momentum
    return hyper


@cache
def _defaults(optimizer: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(optimizers, optimizer)).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "groups"}


# --- the rules, each with what can go wrong in it --------------------------------------------------------------------


def sgd(
    param: Tensor,
    grad: Tensor,
    slot: Slot,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    buffer: str = "torch",
    decay: str = "l2",
) -> Tensor:
    """A step of SGD; ``buffer`` and ``decay`` choose the convention."""
    grad = -grad if maximize else grad
    if decay == "l2":
        grad = grad + weight_decay * param
    velocity = grad
    if momentum:
        old = slot.get("buffer")
        first = torch.zeros_like(grad) if old is None else old
        new = {
            "torch": grad if old is None else momentum * first + (1 - dampening) * grad,
            "averaged": momentum * first + (1 - momentum) * grad,
            "averaged-later": grad if old is None else momentum * first + (1 - momentum) * grad,
            "dampened": momentum * first + (1 - dampening) * grad,
            "swapped": (1 - momentum) * first + momentum * grad,
        }[buffer]
        slot["buffer"] = new
        velocity = grad + momentum * new if nesterov else new
    if decay == "decoupled":
        param = param - lr * weight_decay * param
    elif decay == "late":
        velocity = velocity + weight_decay * param
    return param - lr * velocity


def adam(
    param: Tensor,
    grad: Tensor,
    slot: Slot,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    maximize: bool,
    decoupled_weight_decay: bool = False,
    correct: tuple[bool, bool] = (True, True),
    late: int = 0,
    eps_place: str = "outside",
    decay: str | None = None,
    squared: bool = True,
    rooted: bool = True,
    weighted: bool = True,
) -> Tensor:
    """A step of Adam, with what can go wrong in it after ``decoupled_weight_decay``."""
    decay = decay or ("decoupled" if decoupled_weight_decay else "l2")
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    if decay == "l2":
        grad = grad + weight_decay * param
    if decay == "decoupled":
        param = param - lr * weight_decay * param
    elif decay == "without-rate":
        param = param - weight_decay * param

    zeros, t = torch.zeros_like(param), slot["t"] + late
    slot["m"] = m = beta1 * slot.get("m", zeros) + ((1 - beta1) if weighted else 1) * grad
    square = grad * grad if squared else grad.abs()
    slot["v"] = v = beta2 * slot.get("v", zeros) + ((1 - beta2) if weighted else 1) * square
    if amsgrad:
        slot["largest"] = v = torch.maximum(slot.get("largest", zeros), v)
    m_hat = m / (1 - beta1**t) if correct[0] else m
    v_hat = v / (1 - beta2**t) if correct[1] else v
    divisor = {
        "outside": (v_hat.sqrt() if rooted else v_hat) + eps,
        "inside": torch.sqrt(v_hat + eps),
        "before": torch.sqrt((v + eps) / (1 - beta2**t)) if t else v,
        "uncorrected": (v.sqrt() + eps) / (1 - beta2**t) ** 0.5 if t else v,
        "nowhere": v_hat.sqrt(),
    }[eps_place]
    return param - lr * m_hat / divisor


def rmsprop(
    param: Tensor,
    grad: Tensor,
    slot: Slot,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    maximize: bool,
    eps_place: str = "outside",
    swapped: bool = False,
    corrected: bool = False,
    decay: str = "l2",
    rooted: bool = True,
    averaged: bool = False,
) -> Tensor:
    """A step of RMSprop, with what can go wrong in it after ``maximize``."""
    grad = -grad if maximize else grad
    if decay == "l2":
        grad = grad + weight_decay * param
    elif decay == "decoupled":
        param = param - lr * weight_decay * param
    keep = 1 - alpha if swapped else alpha
    zeros = torch.zeros_like(param)
    slot["s"] = s = keep * slot.get("s", zeros) + (1 - keep) * grad * grad
    slot["a"] = a = keep * slot.get("a", zeros) + (1 - keep) * grad
    if corrected:
        s, a = s / (1 - keep ** slot["t"]), a / (1 - keep ** slot["t"])
    square = s - a * a if centered else s
    divisor = torch.sqrt(square + eps) if eps_place == "inside" else (square.sqrt() if rooted else square) + eps
    velocity = grad / divisor
    if momentum:
        share = 1 - momentum if averaged else 1
        slot["b"] = velocity = momentum * slot.get("b", zeros) + share * velocity
    return param - lr * velocity


RULES: dict[str, Rule] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": partial(adam, decoupled_weight_decay=True),
    "rmsprop": rmsprop,
}


def _all(key: str, ops: tuple[str, ...], sentence: str, **changes: Any) -> list[Hypothesis]:
    """One hypothesis for each op, whose rule takes ``changes``."""
    return [ruled(key, (op,), partial(RULES[op], **changes), sentence) for op in ops]


def _other_hyper(key: str, op: str, change: Callable[[Mapping[str, Any]], dict[str, Any]], sentence: str) -> Hypothesis:
    """The rule is right, but its hyper-parameters are ``change`` of those given."""

    def rule(param: Tensor, grad: Tensor, slot: Slot, **hyper: Any) -> Tensor:
        return RULES[op](param, grad, slot, **hyper | change(hyper))

    return ruled(key, (op,), rule, sentence)


IGNORED = {
    "sgd": {"momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False},
    "adam": {"weight_decay": 0, "amsgrad": False, "maximize": False},
    "adamw": {"weight_decay": 0, "amsgrad": False, "maximize": False},
    "rmsprop": {"weight_decay": 0, "momentum": 0, "centered": False, "maximize": False},
}

# fmt: off
HYPOTHESES = [
    *(_other_hyper("sign", op, lambda hyper: {"maximize": not hyper["maximize"]},
                   "it climbs instead of descending: subtract lr times the step")
      for op in RULES),
    *_all("bias-correction-missing", ADAMS,
          "the bias correction is missing: m and v start at 0 and are too small at first, so divide them by "
          "1 - beta ** t", correct=(False, False)),
    *_all("bias-correction-missing", ADAMS, "the bias correction of v is missing: divide it by 1 - beta2 ** t",
          correct=(True, False)),
    *_all("bias-correction-missing", ADAMS, "the bias correction of m is missing: divide it by 1 - beta1 ** t",
          correct=(False, True)),
    *_all("bias-correction-off-by-one", ADAMS,
          "the bias correction counts from the wrong step: t is 1 in the first step, not 2 (count up once, before it "
          "is used)", late=1),
    *_all("bias-correction-off-by-one", ADAMS,
          "the bias correction counts from the wrong step: t is 1 in the first step, not 0, which divides by zero",
          late=-1),
    *_all("eps-misplaced", ADAMS + RMSPROP,
          "eps stands inside the root: it belongs outside, sqrt(v) + eps (it shows where gradients are small)",
          eps_place="inside"),
    *_all("eps-misplaced", ADAMS,
          "eps stands inside the root, and before the bias correction: it belongs outside of both, sqrt(v_hat) + eps",
          eps_place="before"),
    *_all("eps-misplaced", ADAMS,
          "eps is added before the bias correction: it belongs after it, sqrt(v_hat) + eps", eps_place="uncorrected"),
    *_all("eps-misplaced", ADAMS, "eps is forgotten: the divisor is sqrt(v_hat) + eps", eps_place="nowhere"),
    *_all("decay-decoupled", SGD + ADAMS + RMSPROP,
          "weight decay is decoupled, as AdamW's: here it is the L2 penalty, grad + weight_decay * param before all "
          "else", decay="decoupled"),
    *_all("decay-coupled", ADAMS,
          "weight decay is added to the gradient, Adam's L2 penalty: here it is decoupled, as AdamW's, "
          "param - lr * weight_decay * param beside the gradient's step, so that it is not divided by sqrt(v_hat)",
          decay="l2"),
    *_all("decay-without-rate", ADAMS,
          "the decoupled decay is not multiplied by lr: torch takes off lr * weight_decay * param",
          decay="without-rate"),
    *_all("decay-late", SGD,
          "weight decay is added after the momentum: it is part of the gradient, which goes into the buffer",
          decay="late"),
    *_all("momentum-convention", SGD,
          "momentum is a running mean, momentum * buffer + (1 - momentum) * grad: torch's buffer is a sum, momentum * "
          "buffer + grad, so that steps are 1 / (1 - momentum) times as long", buffer="averaged"),
    *_all("momentum-convention", SGD,
          "from the second step on momentum is a running mean: torch's buffer is a sum, momentum * buffer + grad",
          buffer="averaged-later"),
    *_all("momentum-convention", SGD,
          "the first buffer is dampened: torch's first one is the gradient itself, and dampening begins with the "
          "second", buffer="dampened"),
    *_all("momentum-convention", SGD,
          "momentum is the wrong way round: it is the part of the old buffer that is kept", buffer="swapped"),
    *_all("momentum-convention", RMSPROP,
          "momentum is a running mean, momentum * buffer + (1 - momentum) * step: torch's buffer is a sum",
          averaged=True),
    *_all("root-missing", ADAMS + RMSPROP,
          "the square root is missing: divide by sqrt(v) + eps, which has the gradient's unit", rooted=False),
    *_all("not-squared", ADAMS,
          "the gradient is not squared in v: v is the running mean of grad * grad", squared=False),
    *_all("weight-of-the-new", ADAMS,
          "the new gradient is not weighted: m = beta * m + (1 - beta) * grad is a mean, without 1 - beta it is a sum",
          weighted=False),
    *(_other_hyper("betas-swapped", op, lambda hyper: {"betas": hyper["betas"][::-1]},
                   "the two betas are mixed up: betas[0] belongs to the gradient, betas[1] to its square")
      for op in ADAMS),
    *_all("betas-swapped", RMSPROP, "alpha is the wrong way round: it is the part of the old mean that is kept",
          swapped=True),
    *_all("bias-correction-extra", RMSPROP, "there is a bias correction, as in Adam: RMSprop has none",
          corrected=True),
    *(_other_hyper("ignored-keyword", op, partial(dict, **{keyword: neutral}),
                   f"{keyword} is ignored: this is what comes out without it")
      for op, keywords in IGNORED.items() for keyword, neutral in keywords.items()),
]
