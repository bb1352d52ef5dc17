"""Exercise 08. Shallow networks

Three activations are given; write their backwards. All work entry by entry: dx = dout * slope. Two of the slopes are
simplest in terms of out, which is what their forwards keep.

Check it with: tinytorch exercise 08 --check exercise_08.py
"""

import torch


def sigmoid_forward(x):
    """out = 1 / (1 + exp(−x)). x: any shape. Returns out, and the cache."""
    out = torch.sigmoid(x)
    return out, out


def sigmoid_backward(dout, cache):
    """dout: x's shape; cache: out. Returns dx."""
    raise NotImplementedError("sigmoid_backward")


def tanh_forward(x):
    """out = (exp(x) − exp(−x)) / (exp(x) + exp(−x)). x: any shape. Returns out, and the cache."""
    out = torch.tanh(x)
    return out, out


def tanh_backward(dout, cache):
    """dout: x's shape; cache: out. Returns dx."""
    raise NotImplementedError("tanh_backward")


def relu_forward(x):
    """out = x where x is above 0, else 0. x: any shape. Returns out, and the cache."""
    return x.clamp(min=0), x


def relu_backward(dout, cache):
    """dout: x's shape; cache: x. Returns dx. The slope at exactly 0 is taken as 0, as torch does."""
    raise NotImplementedError("relu_backward")
