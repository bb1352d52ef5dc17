# ruff: noqa
"""Functions that no list has, to be checked with --shapes."""

import numpy as np
import torch


# CASE 4x3 swish,swish_back | return dout * (s + x * s * (1 - s)) => return dout * (s - x * s * (1 - s))
def swish(x):
    s = torch.sigmoid(x)
    return x * s, (x, s)


def swish_back(dout, cache):
    x, s = cache
    return dout * (s + x * s * (1 - s))


# CASE 4x3,3x5,5 np_layer,np_layer_back | dz = dout * (1 - t**2) => dz = dout * (1 + t**2)
def np_layer(x, w, b):
    t = np.tanh(x.dot(w) + b)
    return t, (x, w, t)


def np_layer_back(dout, cache):
    x, w, t = cache
    dz = dout * (1 - t**2)
    return dz.dot(w.T), x.T.dot(dz), dz.sum(axis=0)


# CASE 4x3,4x3 Distance | return g * d / r, -g * d / r => return g * d / r, g * d / r
class Distance:
    def forward(self, a, b):
        self.d = a - b
        self.r = (self.d**2).sum(-1, keepdim=True).sqrt()
        return self.r

    def backward(self, g):
        d, r = self.d, self.r
        return g * d / r, -g * d / r


# CASE 5x4 softplus | return {"x": dout / (1 + torch.exp(-x))} => return {"x": -dout / (1 + torch.exp(-x))}
def softplus(x):
    def pullback(dout):
        return {"x": dout / (1 + torch.exp(-x))}

    return torch.log1p(torch.exp(x)), pullback


# CASE 6x4 Standardize | return (d - d.mean(0) - self.y * (d * self.y).mean(0)) / self.s => return (d - d.mean(0) + self.y * (d * self.y).mean(0)) / self.s
class Standardize:
    def __call__(self, x):
        self.s = x.std(0, unbiased=False)
        self.y = (x - x.mean(0)) / self.s
        return self.y

    def backward(self, d):
        return (d - d.mean(0) - self.y * (d * self.y).mean(0)) / self.s
