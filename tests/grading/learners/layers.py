# ruff: noqa
"""As somebody does who writes a small library: layers with sizes, self.cache, a grads dictionary, an nn.Module."""

import math

import torch


# CASE linear Dense | self.grads["b"] = dout.sum(dim=0) => self.grads["b"] = -dout.sum(dim=0)
class Dense:
    def __init__(self, in_features, out_features):
        self.params = {
            "W": torch.randn(out_features, in_features, dtype=torch.float64),
            "b": torch.zeros(out_features, dtype=torch.float64),
        }
        self.grads = {}

    def forward(self, x):
        self.cache = x
        return x @ self.params["W"].T + self.params["b"]

    def backward(self, dout):
        x = self.cache
        self.grads["W"] = dout.T @ x
        self.grads["b"] = dout.sum(dim=0)
        return dout @ self.params["W"]


# CASE conv2d Conv | self.dw += torch.einsum("no,ncij->ocij", d[:, :, i, j], patch) => self.dw -= torch.einsum("no,ncij->ocij", d[:, :, i, j], patch)
class Conv:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.w = torch.randn(out_channels, in_channels, kernel_size, kernel_size, dtype=torch.float64)
        self.b = torch.zeros(out_channels, dtype=torch.float64)
        self.k, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x):
        p, s, k = self.padding, self.stride, self.k
        self.xp = torch.nn.functional.pad(x, (p, p, p, p))
        ho, wo = (self.xp.shape[2] - k) // s + 1, (self.xp.shape[3] - k) // s + 1
        out = torch.zeros(x.shape[0], self.w.shape[0], ho, wo, dtype=x.dtype)
        for i in range(ho):
            for j in range(wo):
                patch = self.xp[:, :, i * s : i * s + k, j * s : j * s + k]
                out[:, :, i, j] = torch.einsum("ncij,ocij->no", patch, self.w) + self.b
        return out

    def backward(self, d):
        p, s, k = self.padding, self.stride, self.k
        self.dw, self.db, dxp = torch.zeros_like(self.w), d.sum((0, 2, 3)), torch.zeros_like(self.xp)
        for i in range(d.shape[2]):
            for j in range(d.shape[3]):
                patch = self.xp[:, :, i * s : i * s + k, j * s : j * s + k]
                self.dw += torch.einsum("no,ncij->ocij", d[:, :, i, j], patch)
                dxp[:, :, i * s : i * s + k, j * s : j * s + k] += torch.einsum("no,ocij->ncij", d[:, :, i, j], self.w)
        return dxp[:, :, p : dxp.shape[2] - p, p : dxp.shape[3] - p]


# CASE gelu GELU | return dout * (cdf + x * pdf) => return dout * (cdf - x * pdf)
class GELU(torch.nn.Module):
    def forward(self, x):
        self.cache = x
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))

    def backward(self, dout):
        x = self.cache
        cdf = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        pdf = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return dout * (cdf + x * pdf)


# CASE flatten Flatten | return dout.reshape(self.shape) => return -dout.reshape(self.shape)
class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


# CASE avg_pool2d AvgPool2x2 | return g.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4 => return -g.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
class AvgPool2x2:
    def forward(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    def backward(self, g):
        return g.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4


# CASE embedding Embedding | self.dW.index_add_(0, self.ids.reshape(-1), d.reshape(-1, d.shape[-1])) => self.dW.index_add_(0, self.ids.reshape(-1), -d.reshape(-1, d.shape[-1]))
class Embedding:
    def __init__(self, W):
        self.W = W

    def forward(self, ids):
        self.ids = ids
        return self.W[ids]

    def backward(self, d):
        self.dW = torch.zeros_like(self.W)
        self.dW.index_add_(0, self.ids.reshape(-1), d.reshape(-1, d.shape[-1]))
