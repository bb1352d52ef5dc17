"""Exercise 16. Letters

Some letters cannot be told apart by anybody (l and I), and nobody should be sure of them: cross-entropy with smoothed
labels is given; write its backward. It is the plain one's, but for what the probabilities are compared with.

Check it with: tinytorch exercise 16 --check exercise_16.py
"""

import torch


def cross_entropy_forward(input, target, label_smoothing=0.0):
    """loss = the mean over the samples of −Σ wanted · log softmax(input).

    wanted is label_smoothing / C for every class, and 1 − label_smoothing more for the target's.

    input: scores (N, C). target: classes (N,), integers from 0 to C − 1. Returns the loss, (), and the cache.
    """
    shifted = input - input.amax(dim=1, keepdim=True)
    logp = shifted - shifted.exp().sum(dim=1, keepdim=True).log()  # (N, C)
    wanted = torch.full_like(logp, label_smoothing / input.shape[1])
    wanted[torch.arange(len(target)), target] += 1 - label_smoothing
    return -(wanted * logp).sum(dim=1).mean(), (logp, wanted)


def cross_entropy_backward(dloss, cache):
    """dloss: (); cache: logp, the logarithms of the probabilities, and wanted, both (N, C). Returns dinput (N, C)."""
    raise NotImplementedError("cross_entropy_backward")
