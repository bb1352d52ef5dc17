"""Exercise 04. Linear regression

A linear layer and the mean squared error are given; write their backwards. Each gradient has the shape of what it
belongs to, which leaves few ways to multiply the matrices.

Check it with: tinytorch exercise 04 --check exercise_04.py
"""


def linear_forward(x, weight, bias):
    """out = x weightᵀ + bias.

    x: (N, I), a sample a row. weight: (O, I). bias: (O,). Returns out (N, O), and the cache.
    """
    return x @ weight.T + bias, (x, weight)


def linear_backward(dout, cache):
    """dout: (N, O); cache: x (N, I) and weight (O, I). Returns (dx (N, I), dweight (O, I), dbias (O,)).

    Every sample uses the same weight and bias: their gradients are sums over the samples.
    """
    raise NotImplementedError("linear_backward")


def mse_loss_forward(input, target):
    """loss = the mean of (input − target)² over all entries.

    input, target: the same shape, whatever it is. Returns the loss, a tensor of shape (), and the cache.
    """
    diff = input - target
    return (diff * diff).mean(), diff


def mse_loss_backward(dloss, cache):
    """dloss: (); cache: input − target. Returns (dinput, dtarget), both of input's shape."""
    raise NotImplementedError("mse_loss_backward")
