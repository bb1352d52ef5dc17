"""Exercise 07. Softmax regression

Softmax and cross-entropy are given; write their backwards. Each probability depends on all scores of its sample, so
softmax's backward is more than an entry-by-entry product; together with the loss's logarithm it becomes simple again.

Check it with: tinytorch exercise 07 --check exercise_07.py
"""

import torch


def softmax_forward(x, dim):
    """out = exp(x) / the sum of exp(x) along the axis dim.

    x: any shape. dim: an axis. The largest entry is taken off first: it cancels, and exp cannot overflow.
    """
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    out = e / e.sum(dim=dim, keepdim=True)
    return out, (out, dim)


def softmax_backward(dout, cache):
    """dout: x's shape; cache: out (x's shape) and dim. Returns dx.

    With out_i = p_i: the slope of p_i by x_i is p_i (1 − p_i), and by another x_j it is −p_i p_j.
    """
    raise NotImplementedError("softmax_backward")


def cross_entropy_forward(input, target):
    """loss = the mean over the samples of −log softmax(input)[target].

    input: scores (N, C). target: classes (N,), integers from 0 to C − 1. Returns the loss, (), and the cache.
    """
    shifted = input - input.amax(dim=1, keepdim=True)
    logp = shifted - shifted.exp().sum(dim=1, keepdim=True).log()  # (N, C)
    return -logp[torch.arange(len(target)), target].mean(), (logp, target)


def cross_entropy_backward(dloss, cache):
    """dloss: (); cache: logp, the logarithms of the probabilities (N, C), and target (N,). Returns dinput (N, C).

    Integers have no gradient: none is returned for target.
    """
    raise NotImplementedError("cross_entropy_backward")
