# ruff: noqa
"""As somebody does who likes dictionaries, lists and names of their own."""

import torch


# CASE linear dense,dense_grad | "W": a["A"].t() @ dZ => "W": -a["A"].t() @ dZ
def dense(A, W, b):
    Z = A @ W + b
    return Z, {"A": A, "W": W}


def dense_grad(dZ, a):
    return {"b": dZ.sum(dim=0), "W": a["A"].t() @ dZ, "A": dZ @ a["W"].t()}


# CASE linear lin_fwd,lin_bwd | return {"dw": g.T @ x, "db": g.sum(0), "dx": g @ w} => return {"dw": -g.T @ x, "db": g.sum(0), "dx": g @ w}
def lin_fwd(w, b, x):
    return x @ w.T + b, (x, w)


def lin_bwd(g, saved):
    x, w = saved
    return {"dw": g.T @ x, "db": g.sum(0), "dx": g @ w}


# CASE conv2d conv,conv_grads | grad_k = torch.einsum("nohw,nchwij->ocij", up, win) => grad_k = -torch.einsum("nohw,nchwij->ocij", up, win)
def conv(img, kernels, bias, step=1, pad=0):
    big = torch.nn.functional.pad(img, (pad,) * 4)
    win = big.unfold(2, kernels.shape[2], step).unfold(3, kernels.shape[3], step)
    return torch.einsum("nchwij,ocij->nohw", win, kernels) + bias.view(1, -1, 1, 1), [
        img.shape,
        win,
        kernels,
        step,
        pad,
    ]


def conv_grads(up, memo):
    shape, win, kernels, step, pad = memo
    grad_k = torch.einsum("nohw,nchwij->ocij", up, win)
    big = torch.zeros(shape[0], shape[1], shape[2] + 2 * pad, shape[3] + 2 * pad, dtype=up.dtype)
    for i in range(up.shape[2]):
        for j in range(up.shape[3]):
            rows = slice(i * step, i * step + kernels.shape[2])
            cols = slice(j * step, j * step + kernels.shape[3])
            big[:, :, rows, cols] += torch.einsum("no,ocij->ncij", up[:, :, i, j], kernels)
    grad_x = big[:, :, pad : pad + shape[2], pad : pad + shape[3]]
    return [grad_x, grad_k, up.sum((0, 2, 3))]


# CASE layer_norm ln,ln_back | return {"dx": dx, "dgamma": (dy * xhat).sum(0), "dbeta": dy.sum(0)} => return {"dx": dx, "dgamma": -(dy * xhat).sum(0), "dbeta": dy.sum(0)}
def ln(x, gamma, beta, epsilon=1e-5):
    mu = x.mean(-1, keepdim=True)
    var = ((x - mu) ** 2).mean(-1, keepdim=True)
    xhat = (x - mu) / torch.sqrt(var + epsilon)
    return gamma * xhat + beta, (xhat, gamma, var, epsilon)


def ln_back(dy, c):
    xhat, gamma, var, epsilon = c
    g = dy * gamma
    dx = (g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True)) / torch.sqrt(var + epsilon)
    return {"dx": dx, "dgamma": (dy * xhat).sum(0), "dbeta": dy.sum(0)}


# CASE binary_cross_entropy bce,bce_derivative | return (yhat - y) / (yhat * (1 - yhat)) / y.numel() => return (y - yhat) / (yhat * (1 - yhat)) / y.numel()
def bce(y, yhat):
    return -(y * yhat.log() + (1 - y) * (1 - yhat).log()).mean()


def bce_derivative(y, yhat):
    return (yhat - y) / (yhat * (1 - yhat)) / y.numel()


# CASE log_softmax logsm,logsm_back | return g - logp.exp() * g.sum(-1, keepdim=True) => return g + logp.exp() * g.sum(-1, keepdim=True)
def logsm(logits):
    logp = logits - logits.logsumexp(-1, keepdim=True)
    return logp, logp


def logsm_back(g, logp):
    return g - logp.exp() * g.sum(-1, keepdim=True)
