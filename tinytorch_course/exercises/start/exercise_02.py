"""Exercise 02. Derivatives by hand

Three forwards are given; write their backwards: a power, a product of two arguments, a product of two functions of one.
`dout` is the derivative of some number L with respect to `out`, and has out's shape. A backward returns the derivative
of L with respect to each argument, by the chain rule: dx = dout * (slope of out with respect to x).

Check it with: tinytorch exercise 02 --check exercise_02.py
"""

import torch


def cube_forward(x):
    """out = x³, entry by entry.

    x: (N, D). Returns out (N, D), and the cache, which is whatever backward needs.
    """
    return x * x * x, x


def cube_backward(dout, cache):
    """dout: (N, D); cache: x (N, D). Returns dx (N, D)."""
    raise NotImplementedError("cube_backward")


def product_forward(x, y):
    """out = x · y, entry by entry.

    x, y: (N, D). Returns out (N, D), and the cache.
    """
    return x * y, (x, y)


def product_backward(dout, cache):
    """dout: (N, D); cache: x and y, both (N, D). Returns (dx, dy), both (N, D)."""
    raise NotImplementedError("product_backward")


def swish_forward(x):
    """out = x · s, where s = 1 / (1 + exp(−x)) is the sigmoid of x, whose slope is s · (1 − s).

    x: (N, D). Returns out (N, D), and the cache.
    """
    s = 1 / (1 + torch.exp(-x))
    return x * s, (x, s)


def swish_backward(dout, cache):
    """dout: (N, D); cache: x and s, both (N, D). Returns dx (N, D)."""
    raise NotImplementedError("swish_backward")
