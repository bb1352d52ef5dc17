"""Exercise 11. The MLP project

A network of two layers is given whole; write its backward: the chain rule from the scores back to the image, in the
reverse order of the forward.

Check it with: tinytorch exercise 11 --check exercise_11.py
"""


def mlp_forward(x, weight1, bias1, weight2, bias2):
    """hidden = max(0, x weight1ᵀ + bias1);  out = hidden weight2ᵀ + bias2.

    x: (N, I). weight1: (M, I). bias1: (M,). weight2: (O, M). bias2: (O,). Returns out (N, O), and the cache.
    """
    hidden = (x @ weight1.T + bias1).clamp(min=0)  # (N, M)
    return hidden @ weight2.T + bias2, (x, hidden, weight1, weight2)


def mlp_backward(dout, cache):
    """dout: (N, O); cache: x (N, I), hidden (N, M), weight1 (M, I), weight2 (O, M).

    Returns (dx, dweight1, dbias1, dweight2, dbias2), each of its argument's shape.
    """
    raise NotImplementedError("mlp_backward")
