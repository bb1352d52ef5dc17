"""Functions of one's own: no twin, checked by --shapes."""
import math

import numpy as np
import torch
import torch.nn.functional as F


# CASE pl_001 code=rmsnorm,rmsnorm_bwd kind=plain shapes=4x6,6 :: correction term uses mean(dxhat); right: mean(dxhat * xhat)
def rmsnorm(x, gamma, eps=1e-6):
    r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return x * r * gamma, (x, r, gamma)


def rmsnorm_bwd(dout, cache):
    x, r, gamma = cache
    xhat = x * r
    dxhat = dout * gamma
    dx = r * (dxhat - xhat * dxhat.mean(-1, keepdim=True))
    dgamma = (dout * xhat).sum(0)
    return dx, dgamma


# CASE pl_004 code=attention_b,attention_b_bwd kind=plain shapes=2x3x4,2x3x4,2x3x4 :: dv = a @ dout; right: a transposed
def attention_b(q, k, v):
    d = q.size(-1)
    att = F.softmax(torch.einsum('btd,bsd->bts', q, k) / d ** 0.5, -1)
    return torch.einsum('bts,bsd->btd', att, v), (q, k, v, att)


def attention_b_bwd(dout, cache):
    q, k, v, att = cache
    d = q.size(-1)
    dv = torch.einsum('bts,bsd->btd', att, dout)
    datt = torch.einsum('btd,bsd->bts', dout, v)
    ds = att * (datt - (datt * att).sum(-1, keepdim=True)) / d ** 0.5
    return torch.einsum('bts,bsd->btd', ds, k), torch.einsum('bts,btd->bsd', ds, q), dv


# CASE pl_005 code=cosine_sim,cosine_sim_bwd kind=plain shapes=4x5,4x5 :: projection divided by |a| instead of |a|**2
def cosine_sim(a, b):
    na = a.norm(dim=1, keepdim=True)
    nb = b.norm(dim=1, keepdim=True)
    c = (a * b).sum(1, keepdim=True) / (na * nb)
    return c.squeeze(1), (a, b, na, nb, c)


def cosine_sim_bwd(dout, cache):
    a, b, na, nb, c = cache
    g = dout[:, None]
    da = g * (b / (na * nb) - c * a / na)
    db = g * (a / (na * nb) - c * b / nb ** 2)
    return da, db


# CASE pl_006 code=logsumexp,logsumexp_bwd kind=plain shapes=4x5 :: exp(x - max) not divided by its sum; right: softmax(x)
def logsumexp(x):
    m = x.max(dim=1, keepdim=True).values
    e = torch.exp(x - m)
    return m[:, 0] + torch.log(e.sum(1)), (e, m)


def logsumexp_bwd(dout, cache):
    e, m = cache
    return dout[:, None] * e


# CASE pl_008 code=l2_normalize,l2_normalize_bwd kind=plain shapes=4x5 :: norm treated as a constant: projection onto x missing
def l2_normalize(x):
    n = x.square().sum(-1, keepdim=True).sqrt()
    y = x / n
    return y, (y, n)


def l2_normalize_bwd(dout, cache):
    y, n = cache
    return dout / n


# CASE pl_010 code=lstm_cell,lstm_cell_bwd kind=plain shapes=3x8,3x2 :: c_prev's gradient is dc * i (wrong gate); right: dc * f
def lstm_cell(z, c_prev):
    i, f, o, g = z.chunk(4, 1)
    i, f, o, g = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o), torch.tanh(g)
    c = f * c_prev + i * g
    tc = torch.tanh(c)
    return o * tc, (i, f, o, g, tc, c_prev)


def lstm_cell_bwd(dh, cache):
    i, f, o, g, tc, c_prev = cache
    do = dh * tc
    dc = dh * o * (1 - tc ** 2)
    df, di, dg = dc * c_prev, dc * g, dc * i
    dz = torch.cat([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)], 1)
    return dz, dc * i


# CASE pl_011 code=dice_loss,dice_loss_bwd kind=plain shapes=4x5,4x5 :: denominator treated as a constant: quotient rule's second half missing
def dice_loss(p, t):
    p, t = p, t
    inter = (p * t).sum()
    union = (p * p).sum() + (t * t).sum()
    return 1 - 2 * inter / union, (p, t, inter, union)


def dice_loss_bwd(dout, cache):
    p, t, inter, union = cache
    return -dout * 2 * t / union, -dout * 2 * p / union


# CASE pl_013 code=bilinear,bilinear_bwd kind=plain shapes=4x3,3x5,4x5 :: dW computed as y^T x and reshaped into W's shape; right: transposed (x^T y)
def bilinear(x, W, y):
    return torch.einsum('ni,ij,nj->n', x, W, y), (x, W, y)


def bilinear_bwd(dout, cache):
    x, W, y = cache
    g = dout.unsqueeze(1)
    dW = ((g * y).T @ x).reshape(W.shape)
    return g * (y @ W.T), dW, g * (x @ W)
