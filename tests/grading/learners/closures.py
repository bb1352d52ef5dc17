# ruff: noqa
"""As somebody does who prefers functions: optimizers that are closures, or functions of parameters with .grad (d2l)."""

import torch


# CASE adam make_adam | params[name] = p - lr * => params[name] = p + lr *
def make_adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    state = {"t": 0, "m": {}, "v": {}}

    def step(params, grads):
        state["t"] += 1
        t, (b1, b2) = state["t"], betas
        for name, p in params.items():
            g = grads[name]
            m = state["m"][name] = b1 * state["m"].get(name, 0) + (1 - b1) * g
            v = state["v"][name] = b2 * state["v"].get(name, 0) + (1 - b2) * g * g
            params[name] = p - lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps)
        return params

    return step


# CASE sgd sgd | param -= lr * param.grad => param += lr * param.grad
def sgd(params, lr):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad
            param.grad.zero_()


# CASE rmsprop RMSProp | p.data -= self.lr * => p.data += self.lr *
class RMSProp:
    def __init__(self, params, lr=0.01, alpha=0.99, eps=1e-8):
        self.params, self.lr, self.alpha, self.eps = list(params), lr, alpha, eps
        self.sq = [torch.zeros_like(p) for p in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self):
        for p, s in zip(self.params, self.sq):
            s.mul_(self.alpha).add_((1 - self.alpha) * p.grad**2)
            p.data -= self.lr * p.grad / (s.sqrt() + self.eps)


# CASE sgd step | return [p - lr * g for p, g in zip(params, grads)] => return [p + lr * g for p, g in zip(params, grads)]
def step(params, grads, lr):
    return [p - lr * g for p, g in zip(params, grads)]
