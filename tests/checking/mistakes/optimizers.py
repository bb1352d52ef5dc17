"""Mistakes in the optimizers."""

import torch
from checking.mistakes.mistake import function, injected

from tinytorch_course.lockstep.wrong import adam_along, decayed_directly, other


def first_buffer_dampened(right, param, grad, slot, **hyper):
    if hyper["momentum"] and slot.momentum_buffer is None:
        slot = slot._replace(momentum_buffer=torch.zeros_like(param))
    return right(param, grad, slot, **hyper)


def mean_of_absolutes(right, param, grad, slot, **hyper):
    """Adam with β₂ v + (1 − β₂) |g|."""
    _, new = right(param, grad, slot, **hyper)
    beta1, beta2 = hyper["betas"]
    if not hyper["decoupled_weight_decay"]:
        grad = (-grad if hyper["maximize"] else grad) + hyper["weight_decay"] * param
    else:
        param = param - hyper["lr"] * hyper["weight_decay"] * param
    v = beta2 * slot.exp_avg_sq + (1 - beta2) * grad.abs()
    new = new._replace(exp_avg_sq=v)
    if hyper["amsgrad"]:
        new = new._replace(max_exp_avg_sq=torch.maximum(slot.max_exp_avg_sq, v))
        v = new.max_exp_avg_sq
    m_hat, v_hat = new.exp_avg / (1 - beta1**new.step), v / (1 - beta2**new.step)
    return param - hyper["lr"] * m_hat / (torch.sqrt(v_hat) + hyper["eps"]), new


def amsgrad_without_effect(right, param, grad, slot, **hyper):
    _, kept = right(param, grad, slot, **hyper)
    param, new = right(param, grad, slot._replace(max_exp_avg_sq=None), **hyper | {"amsgrad": False})
    return param, new._replace(max_exp_avg_sq=kept.max_exp_avg_sq)


def decay_without_rate(right, param, grad, slot, **hyper):
    step = decayed_directly(lambda hyper: 1) if hyper["decoupled_weight_decay"] else other()
    return step(right, param, grad, slot, **hyper)


def not_centered(right, param, grad, slot, **hyper):
    _, kept = right(param, grad, slot, **hyper)
    param, new = right(param, grad, slot, **hyper | {"centered": False})
    return param, new._replace(grad_avg=kept.grad_avg)


def buffer_a_mean(right, param, grad, slot, **hyper):
    momentum = hyper["momentum"]
    if not momentum:
        return right(param, grad, slot, **hyper)
    stepped, new = right(param, grad, slot._replace(momentum_buffer=None), **hyper | {"lr": 1.0, "momentum": 0})
    buffer = momentum * slot.momentum_buffer + (1 - momentum) * (param - stepped)
    return param - hyper["lr"] * buffer, new._replace(momentum_buffer=buffer)


MISTAKES = [
    injected("sgd_step: climbs", "uphill", "sign"),
    function("sgd_step", "weight decay decoupled", "decay-decoupled", decayed_directly(lambda hyper: hyper["lr"])),
    injected("sgd_step: the buffer a mean from the second step on", "momentum-as-mean", "momentum-convention"),
    function("sgd_step", "the first buffer dampened", "momentum-convention", first_buffer_dampened),
    function("sgd_step", "no look ahead", "ignored-keyword", other(nesterov=lambda hyper: False)),
    function("sgd_step", "maximize forgotten", "ignored-keyword", other(maximize=lambda hyper: False)),
    injected("adam_step: m not corrected", "adam-no-bias-correction", "bias-correction-missing"),
    function(
        "adam_step",
        "v not corrected",
        "bias-correction-missing",
        adam_along(lambda m, v, t, beta1, beta2, eps: m / (1 - beta1**t) / (torch.sqrt(v) + eps)),
    ),
    injected("adam_step: the correction a step late", "adam-correction-late", "bias-correction-off-by-one"),
    injected("adam_step: eps inside the root", "adam-eps-inside", "eps-misplaced"),
    function(
        "adam_step",
        "no root",
        "root-missing",
        adam_along(lambda m, v, t, beta1, beta2, eps: m / (1 - beta1**t) / (v / (1 - beta2**t) + eps)),
    ),
    injected("adam_step: always decoupled", "adam-decay-decoupled", "decay-decoupled"),
    injected("adam_step: never decoupled", "adamw-decay-coupled", "decay-coupled"),
    function("adam_step", "the decay without the rate", "decay-without-rate", decay_without_rate),
    function("adam_step", "v from |g|", "not-squared", mean_of_absolutes),
    injected("adam_step: betas mixed up", "adam-betas-swapped", "betas-swapped"),
    function("adam_step", "amsgrad without effect", "ignored-keyword", amsgrad_without_effect),
    injected("rmsprop_step: eps inside the root", "rmsprop-eps-inside", "eps-misplaced"),
    function("rmsprop_step", "not centered", "ignored-keyword", not_centered),
    function("rmsprop_step", "the buffer a mean", "momentum-convention", buffer_a_mean),
    function(
        "rmsprop_step", "alpha the wrong way round", "betas-swapped", other(alpha=lambda hyper: 1 - hyper["alpha"])
    ),
]
