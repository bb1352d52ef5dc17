"""Ops as a learner writes them: right, plain, and not after our own code. ``learner_mistakes.py`` makes them wrong."""

import math

import torch


def linear_forward(x, w, b):
    return x.mm(w.t()) + b, (x, w)


def linear_backward(dout, cache):
    x, w = cache
    dx = dout.mm(w)
    dw = dout.t().mm(x)
    db = dout.sum(0)
    return dx, dw, db


def relu_forward(x):
    return torch.maximum(x, torch.zeros_like(x)), x


def relu_backward(dout, x):
    dx = dout.clone()
    dx[x <= 0] = 0
    return dx


def leaky_relu_forward(x, negative_slope=0.01):
    slope = torch.ones_like(x)
    slope[x <= 0] = negative_slope
    return x * slope, slope


def leaky_relu_backward(dout, slope):
    return dout * slope


def sigmoid_forward(x):
    s = 1 / (1 + torch.exp(-x))
    return s, s


def sigmoid_backward(dout, s):
    return dout * s * (1 - s)


def tanh_forward(x):
    t = torch.tanh(x)
    return t, t


def tanh_backward(dout, t):
    return dout * (1 - t**2)


def gelu_forward(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), x


def gelu_backward(dout, x):
    pdf = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return dout * (0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * pdf)


def softmax_forward(x, dim):
    e = torch.exp(x - x.max(dim=dim, keepdim=True).values)
    p = e / e.sum(dim=dim, keepdim=True)
    return p, (p, dim)


def softmax_backward(dout, cache):
    p, dim = cache
    weighted = (p * dout).sum(dim=dim, keepdim=True)
    return p * (dout - weighted)


def log_softmax_forward(x, dim):
    shifted = x - x.max(dim=dim, keepdim=True).values
    out = shifted - shifted.exp().sum(dim=dim, keepdim=True).log()
    return out, (out, dim)


def log_softmax_backward(dout, cache):
    out, dim = cache
    return dout - out.exp() * dout.sum(dim=dim, keepdim=True)


def conv2d_forward(x, w, b, stride=1, padding=0):
    n_images, _, height, width = x.shape
    filters, _, kh, kw = w.shape
    xp = torch.zeros(n_images, x.shape[1], height + 2 * padding, width + 2 * padding, dtype=x.dtype)
    xp[:, :, padding : padding + height, padding : padding + width] = x
    rows, columns = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    out = torch.zeros(n_images, filters, rows, columns, dtype=x.dtype)
    for f in range(filters):
        for i in range(rows):
            for j in range(columns):
                top, left = i * stride, j * stride
                window = xp[:, :, top : top + kh, left : left + kw]
                out[:, f, i, j] = (window * w[f]).sum(dim=(1, 2, 3)) + b[f]
    return out, (x, xp, w, stride, padding)


def conv2d_backward(dout, cache):
    x, xp, w, stride, padding = cache
    kh, kw = w.shape[2:]
    dxp, dw = torch.zeros_like(xp), torch.zeros_like(w)
    db = dout.sum(dim=(0, 2, 3))
    for f in range(dout.shape[1]):
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                top, left = i * stride, j * stride
                share = dout[:, f, i, j].reshape(-1, 1, 1, 1)
                window = xp[:, :, top : top + kh, left : left + kw]
                dw[f] += (window * share).sum(dim=0)
                dxp[:, :, top : top + kh, left : left + kw] += w[f] * share
    dx = dxp[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]
    return dx, dw, db


def max_pool2d_forward(x, kernel_size, stride=None):
    stride = kernel_size if stride is None else stride
    rows, columns = (x.shape[2] - kernel_size) // stride + 1, (x.shape[3] - kernel_size) // stride + 1
    out = torch.zeros(x.shape[0], x.shape[1], rows, columns, dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + kernel_size, j * stride : j * stride + kernel_size]
            out[:, :, i, j] = window.flatten(2).max(dim=2).values
    return out, (x, kernel_size, stride)


def max_pool2d_backward(dout, cache):
    x, k, stride = cache
    dx = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    window = x[n, c, i * stride : i * stride + k, j * stride : j * stride + k]
                    winner = int(torch.argmax((window == window.max()).flatten().int()))
                    dx[n, c, i * stride + winner // k, j * stride + winner % k] += dout[n, c, i, j]
    return dx


def avg_pool2d_forward(x, kernel_size, stride=None):
    stride = kernel_size if stride is None else stride
    rows, columns = (x.shape[2] - kernel_size) // stride + 1, (x.shape[3] - kernel_size) // stride + 1
    out = torch.zeros(x.shape[0], x.shape[1], rows, columns, dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + kernel_size, j * stride : j * stride + kernel_size]
            out[:, :, i, j] = window.mean(dim=(2, 3))
    return out, (x.shape, kernel_size, stride)


def avg_pool2d_backward(dout, cache):
    shape, k, stride = cache
    dx = torch.zeros(shape, dtype=dout.dtype)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            share = dout[:, :, i : i + 1, j : j + 1] / (k * k)
            dx[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += share
    return dx


def batch_norm_long_forward(x, gamma, beta, eps=1e-5):
    axes = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    mu = x.mean(dim=axes, keepdim=True)
    var = ((x - mu) ** 2).mean(dim=axes, keepdim=True)
    xhat = (x - mu) / torch.sqrt(var + eps)
    return gamma.reshape(shape) * xhat + beta.reshape(shape), (xhat, gamma, var, eps, axes, shape)


def batch_norm_long_backward(dout, cache):
    xhat, gamma, var, eps, axes, shape = cache
    m = xhat.numel() / xhat.shape[1]
    dgamma = (dout * xhat).sum(dim=axes)
    dbeta = dout.sum(dim=axes)
    dxhat = dout * gamma.reshape(shape)
    mean_part = dxhat.sum(dim=axes, keepdim=True)
    var_part = xhat * (dxhat * xhat).sum(dim=axes, keepdim=True)
    dx = (m * dxhat - mean_part - var_part) / (m * torch.sqrt(var + eps))
    return dx, dgamma, dbeta


def dropout_forward(x, p=0.5, training=True, mask=None):
    if not training:
        return x.clone(), None
    scale = mask.to(x.dtype) / (1 - p) if p < 1 else torch.zeros_like(x)
    return x * scale, scale


def dropout_backward(dout, scale):
    return dout.clone() if scale is None else dout * scale


def flatten_forward(x, start_dim=0, end_dim=-1):
    return x.flatten(start_dim, end_dim), x.shape


def flatten_backward(dout, shape):
    return dout.reshape(shape)


def add_forward(x, shortcut, alpha=1):
    return x + alpha * shortcut, (x.shape, shortcut.shape, alpha)


def add_backward(dout, cache):
    x_shape, shortcut_shape, alpha = cache
    return dout.sum_to_size(x_shape), alpha * dout.sum_to_size(shortcut_shape)


def mse_loss_forward(pred, target):
    diff = pred - target
    return (diff**2).mean(), diff


def mse_loss_backward(dloss, diff):
    dpred = dloss * 2 * diff / diff.numel()
    return dpred, -dpred


def l1_loss_forward(pred, target):
    return (pred - target).abs().mean(), pred - target


def l1_loss_backward(dloss, diff):
    dpred = dloss * torch.sign(diff) / diff.numel()
    return dpred, -dpred


def binary_cross_entropy_with_logits_forward(z, y):
    losses = torch.clamp(z, min=0) - z * y + torch.log1p(torch.exp(-z.abs()))
    return losses.mean(), (z, y)


def binary_cross_entropy_with_logits_backward(dloss, cache):
    z, y = cache
    s = 1 / (1 + torch.exp(-z))
    return dloss * (s - y) / z.numel(), -dloss * z / z.numel()


def nll_loss_forward(logp, y):
    return -logp[torch.arange(len(y)), y].mean(), (logp.shape, y, logp.dtype)


def nll_loss_backward(dloss, cache):
    shape, y, dtype = cache
    dlogp = torch.zeros(shape, dtype=dtype)
    dlogp[torch.arange(len(y)), y] = -dloss / len(y)
    return dlogp


def cross_entropy_forward(scores, y):
    shifted = scores - scores.max(dim=1, keepdim=True).values
    logp = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    return -logp[torch.arange(len(y)), y].mean(), (logp, y)


def cross_entropy_backward(dloss, cache):
    logp, y = cache
    dscores = logp.exp()
    dscores[torch.arange(len(y)), y] -= 1
    return dloss * dscores / len(y)
