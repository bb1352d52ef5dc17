"""Exercise 15. Residual learning

A residual block is given, with linear layers in place of convolutions; write its backward. The input reaches out along
two paths, through the layers and past them, and its gradient is the sum of what comes back along both.

Check it with: tinytorch exercise 15 --check exercise_15.py
"""


def residual_block_forward(x, weight1, weight2):
    """hidden = max(0, x weight1ᵀ);  out = max(0, hidden weight2ᵀ + x).

    x: (N, D). weight1: (M, D). weight2: (D, M). Returns out (N, D), and the cache.
    """
    hidden = (x @ weight1.T).clamp(min=0)  # (N, M)
    out = (hidden @ weight2.T + x).clamp(min=0)
    return out, (x, hidden, out, weight1, weight2)


def residual_block_backward(dout, cache):
    """dout: (N, D); cache: x (N, D), hidden (N, M), out (N, D), weight1 (M, D), weight2 (D, M).

    Returns (dx, dweight1, dweight2), each of its argument's shape.
    """
    raise NotImplementedError("residual_block_backward")
