"""Exercise 09. Deep networks

Batch norm and dropout are given; write their backwards. Batch norm's is the hardest of the course: every sample moves
the mean and the variance, and through them all others.

Check it with: tinytorch exercise 09 --check exercise_09.py
"""

import torch


def batch_norm_forward(x, weight, bias, eps=1e-5):
    """Each channel of the batch normalised to mean 0 and variance 1, then scaled and shifted.

        mean = x's mean, var = the mean of (x − mean)², over the batch (and the pixels)
        xhat = (x − mean) / √(var + eps)
        out = weight · xhat + bias

    x: (N, C), or images (N, C, H, W). weight, bias: (C,). Returns out, x's shape, and the cache.
    """
    axes = [0, *range(2, x.dim())]  # all but the channels'
    shape = [1, -1] + [1] * (x.dim() - 2)  # brings (C,) into x's form
    mean = x.mean(dim=axes, keepdim=True)
    std = torch.sqrt(((x - mean) ** 2).mean(dim=axes, keepdim=True) + eps)
    xhat = (x - mean) / std
    return weight.reshape(shape) * xhat + bias.reshape(shape), (xhat, std, weight, axes, shape)


def batch_norm_backward(dout, cache):
    """dout: x's shape; cache: as above. Returns (dx (x's shape), dweight (C,), dbias (C,)).

    With dxhat = dout · weight and m the number of entries of a channel:

        dx = (dxhat − mean(dxhat) − xhat · mean(dxhat · xhat)) / std        (means over a channel)
    """
    raise NotImplementedError("batch_norm_backward")


def dropout_forward(x, p=0.5, training=True, mask=None):
    """out = x · mask / (1 − p) in training: each entry is kept with probability 1 − p, and then enlarged.

    x: any shape. p: a probability. mask: x's shape, True where an entry is kept; drawn here if it is None.
    Without training out = x. Returns out, and the cache: by what x was multiplied, or None.
    """
    if not training:
        return x.clone(), None
    if mask is None:
        mask = torch.rand_like(x) >= p
    scale = mask.to(x.dtype) / (1 - p) if p < 1 else torch.zeros_like(x)
    return x * scale, scale


def dropout_backward(dout, cache):
    """dout: x's shape; cache: x's shape, or None. Returns dx, and leaves dout as it is."""
    raise NotImplementedError("dropout_backward")
