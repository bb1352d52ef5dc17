"""Exercise 17. Transfer learning

Fine-tuning is mostly done with AdamW: Adam, but the weights decay on their own and not through the gradient, so that
the decay is not divided by √v̂. Write its step.

Check it with: tinytorch exercise 17 --check exercise_17.py
"""

import torch


class AdamW:
    """AdamW."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        """params: tensors of any shape, each with its gradient in .grad when step() is called."""
        self.params = list(params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.m = [torch.zeros_like(p) for p in self.params]  # running mean of the gradients
        self.v = [torch.zeros_like(p) for p in self.params]  # and of their squares
        self.t = 0  # steps done

    def step(self):
        """Loshchilov & Hutter (2019), algorithm 2, for every parameter p with gradient g, at step t = 1, 2, ...:

        p = p − lr · weight_decay · p
        m = β₁ m + (1 − β₁) g           v = β₂ v + (1 − β₂) g²
        m̂ = m / (1 − β₁ᵗ)              v̂ = v / (1 − β₂ᵗ)
        p = p − lr · m̂ / (√v̂ + eps)
        """
        raise NotImplementedError("AdamW.step")
