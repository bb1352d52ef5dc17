"""Exercise 06. Logistic regression

Binary cross-entropy of logits is given in its safe form; write its backward. With p = 1 / (1 + exp(−z)), a sample's
loss is −y log p − (1 − y) log(1 − p), and almost everything in its derivative cancels.

Check it with: tinytorch exercise 06 --check exercise_06.py
"""

import torch


def binary_cross_entropy_with_logits_forward(input, target):
    """loss = the mean of max(z, 0) − z y + log(1 + exp(−|z|)) over all entries z of input and y of target.

    That is −y log p − (1 − y) log(1 − p), written so that nothing overflows.

    input: logits. target: of the same shape, from 0 to 1. Returns the loss, (), and the cache.
    """
    losses = input.clamp(min=0) - input * target + torch.log1p(torch.exp(-input.abs()))
    return losses.mean(), (input, target)


def binary_cross_entropy_with_logits_backward(dloss, cache):
    """dloss: (); cache: input and target. Returns (dinput, dtarget), both of input's shape.

    dtarget is asked for too, since the target is a tensor like any other: the loss is linear in it.
    """
    raise NotImplementedError("binary_cross_entropy_with_logits_backward")
