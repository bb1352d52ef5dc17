"""Exercise 18. Why float32 paths part

The logarithm of a softmax, whose naive form is the first to lose its digits in float32, is given in its safe form;
write its backward.

Check it with: tinytorch exercise 18 --check exercise_18.py
"""


def log_softmax_forward(x, dim):
    """out = x − log(the sum of exp(x)) along the axis dim; the largest entry is taken off first, so nothing overflows.

    x: any shape. dim: an axis. Returns out (x's shape), and the cache.
    """
    shifted = x - x.amax(dim=dim, keepdim=True)
    out = shifted - shifted.exp().sum(dim=dim, keepdim=True).log()
    return out, (out, dim)


def log_softmax_backward(dout, cache):
    """dout: x's shape; cache: out (x's shape) and dim. Returns dx.

    Every out has the same sum taken off, so every dout of a row reaches every x of the row.
    """
    raise NotImplementedError("log_softmax_backward")
