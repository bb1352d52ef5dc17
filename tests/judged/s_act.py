"""Activations, by various hands."""
import math

import numpy as np
import torch
import torch.nn.functional as F


def relu_forward(x):
    """Computes the forward pass for a layer of rectified linear units (ReLUs)."""
    out = torch.maximum(x, torch.zeros_like(x))
    cache = x
    return out, cache


# CASE act_001 like=relu code=relu_forward,relu_backward_a kind=one :: mask taken from dout (dout > 0), not from the cached x > 0
def relu_backward_a(dout, cache):
    x = cache
    dx = dout * (dout > 0)
    return dx


class ReluUnit:
    def forward(self, inp):
        self.y = inp.clamp(min=0)
        return self.y


# CASE act_002 like=relu code=ReluUnitA kind=one :: multiplies dout by the output itself; right: by the mask (y > 0)
class ReluUnitA(ReluUnit):
    def backward(self, grad_out):
        return grad_out * self.y


def lrelu(x, negative_slope=0.01):
    return torch.where(x > 0, x, negative_slope * x), (x, negative_slope)


# CASE act_008 like=leaky_relu code=lrelu,lrelu_back4 kind=correct :: right
def lrelu_back4(dout, cache):
    x, a = cache
    pos = (x > 0).double()
    return (pos + (1 - pos) * a).to(dout.dtype) * dout


def sig(z):
    return torch.sigmoid(z)


def sigmoid_layer(z):
    return sig(z), z


# CASE act_012 like=sigmoid code=sigmoid_layer,sigmoid_layer_chain kind=one :: chain rule: d(1/u) = -1/u instead of -1/u**2
def sigmoid_layer_chain(dout, z):
    # s = 1/u, u = 1 + v, v = exp(w), w = -z
    w = -z
    v = torch.exp(w)
    u = 1 + v
    du = dout * (-1 / u)
    dv = du
    dw = dv * v
    dz = -dw
    return dz


# CASE act_013 like=sigmoid code=sigmoid_layer,sigmoid_layer_chain2 kind=correct :: right, line by line
def sigmoid_layer_chain2(dout, z):
    s = sig(z)
    local = s - s * s
    return dout * local


def gelu_fwd(x):
    cdf = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x * cdf, (x, cdf)


# CASE act_018 like=gelu code=gelu_fwd,gelu_bwd_a kind=one :: normal density without 1/sqrt(2 pi)
def gelu_bwd_a(dout, cache):
    x, cdf = cache
    pdf = torch.exp(-0.5 * x * x)
    return dout * (cdf + x * pdf)


# CASE act_021 like=gelu code=gelu_fwd,gelu_bwd_d kind=correct :: right
def gelu_bwd_d(dout, cache):
    x, cdf = cache
    phi = x.square().mul(-0.5).exp() / (2 * math.pi) ** 0.5
    return torch.addcmul(cdf, x, phi) * dout


C0 = math.sqrt(2 / math.pi)


def new_gelu(x):
    """gelu with tanh, as in GPT-2"""
    u = C0 * (x + 0.044715 * x ** 3)
    t = torch.tanh(u)
    return 0.5 * x * (1 + t), (x, t)


# CASE act_022 code=new_gelu,new_gelu_b kind=one shapes=4x5 :: derivative of x**3 without the 3: 0.044715 x**2; right: 3 * 0.044715 x**2
def new_gelu_b(dout, cache):
    x, t = cache
    du = C0 * (1 + 0.044715 * x ** 2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * du)


def swish(x):
    s = sig(x)
    return x * s, (x, s)


# CASE act_026 code=swish,swish_b3 kind=correct shapes=4x5 :: right: y + s (1 - y)
def swish_b3(dout, cache):
    x, s = cache
    y = x * s
    return dout * (y + s * (1 - y))


def softplus_forward(x, beta=2.0):
    bx = beta * x
    return (bx.clamp(min=0) + torch.log1p(torch.exp(-bx.abs()))) / beta, (x, beta)


# CASE act_027 code=softplus_forward,softplus_backward1 kind=one shapes=7 :: extra beta: the 1/beta in front cancels it; right: sigmoid(beta x)
def softplus_backward1(dout, cache):
    x, beta = cache
    return dout * beta * torch.sigmoid(beta * x)


def elu_forward(x, alpha=0.5):
    out = torch.where(x > 0, x, alpha * (torch.exp(x) - 1))
    return out, (x, out, alpha)


# CASE act_030 code=elu_forward,elu_backward1 kind=one shapes=4x6 :: out + 1 on the negative side; right: out + alpha
def elu_backward1(dout, cache):
    x, out, alpha = cache
    return dout * torch.where(x > 0, torch.ones_like(x), out + 1)
