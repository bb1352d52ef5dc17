"""Exercise 10. Optimizers

Write two steps, SGD's with momentum and Adam's. What they remember from step to step is made ready in __init__; each
step changes the parameters in place (p -= ...) and leaves their gradients, p.grad, as they are.

Check it with: tinytorch exercise 10 --check exercise_10.py
"""

import torch


class SGD:
    """Stochastic gradient descent with momentum."""

    def __init__(self, params, lr=1e-3, momentum=0.0):
        """params: tensors of any shape, each with its gradient in .grad when step() is called."""
        self.params = list(params)
        self.lr, self.momentum = lr, momentum
        self.velocities = [torch.zeros_like(p) for p in self.params]

    def step(self):
        """velocity = momentum · velocity + gradient;  p = p − lr · velocity.

        That is torch's convention: the new gradient counts whole, not times (1 − momentum).
        """
        raise NotImplementedError("SGD.step")


class Adam:
    """Adam."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        """params: as above."""
        self.params = list(params)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.m = [torch.zeros_like(p) for p in self.params]  # running mean of the gradients
        self.v = [torch.zeros_like(p) for p in self.params]  # and of their squares
        self.t = 0  # steps done

    def step(self):
        """Kingma & Ba (2015), algorithm 1, for every parameter p with gradient g, at step t = 1, 2, ...:

        m = β₁ m + (1 − β₁) g           v = β₂ v + (1 − β₂) g²
        m̂ = m / (1 − β₁ᵗ)              v̂ = v / (1 − β₂ᵗ)
        p = p − lr · m̂ / (√v̂ + eps)
        """
        raise NotImplementedError("Adam.step")
