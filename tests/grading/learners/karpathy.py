# ruff: noqa
"""As micrograd's and makemore's readers do: a class called like a function, closures that know how to go back."""

import torch


# CASE tanh Tanh | return grad * (1 - self.out**2) => return grad * (1 + self.out**2)
class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def backward(self, grad):
        return grad * (1 - self.out**2)

    def parameters(self):
        return []


# CASE linear Linear | self.weight.grad = self.x.T @ grad => self.weight.grad = -self.x.T @ grad
class Linear:
    def __init__(self, fan_in, fan_out, bias=True):
        self.weight = torch.randn((fan_in, fan_out), dtype=torch.float64) / fan_in**0.5
        self.bias = torch.zeros(fan_out, dtype=torch.float64) if bias else None

    def __call__(self, x):
        self.x = x
        self.out = x @ self.weight
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def backward(self, grad):
        self.weight.grad = self.x.T @ grad
        if self.bias is not None:
            self.bias.grad = grad.sum(0)
        return grad @ self.weight.T

    def parameters(self):
        return [self.weight] + ([] if self.bias is None else [self.bias])


# CASE sigmoid sigmoid | return dout * s * (1 - s) => return dout * s * (s - 1)
def sigmoid(x):
    s = 1 / (1 + torch.exp(-x))

    def _backward(dout):
        return dout * s * (1 - s)

    return s, _backward


# CASE add add | return grad, grad => return grad, -grad
def add(a, b):
    def back(grad):
        return grad, grad

    return a + b, back


# CASE batch_norm_long BatchNorm1d | self.bngain.grad = (dout * self.xhat).sum(0) => self.bngain.grad = -(dout * self.xhat).sum(0)
class BatchNorm1d:
    def __init__(self, dim, eps=1e-5):
        self.eps = eps
        self.bngain = torch.ones(dim, dtype=torch.float64)
        self.bnbias = torch.zeros(dim, dtype=torch.float64)

    def __call__(self, x):
        mean = x.mean(0, keepdim=True)
        var = x.var(0, keepdim=True, unbiased=False)
        self.istd = (var + self.eps) ** -0.5
        self.xhat = (x - mean) * self.istd
        return self.bngain * self.xhat + self.bnbias

    def backward(self, dout):
        n = dout.shape[0]
        self.bngain.grad = (dout * self.xhat).sum(0)
        self.bnbias.grad = dout.sum(0)
        d = self.bngain * self.istd / n
        return d * (n * dout - dout.sum(0) - self.xhat * (dout * self.xhat).sum(0))
