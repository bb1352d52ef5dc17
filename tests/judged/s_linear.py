"""Affine layers, embedding, dropout, flatten, add."""
import torch


def affine_forward(x, w, b):
    """
    Inputs:
    - x: (N, d_1, ..., d_k)
    - w: (D, M)
    - b: (M,)
    """
    N = x.shape[0]
    out = x.reshape(N, -1).mm(w) + b
    cache = (x, w, b)
    return out, cache


# CASE lin_001 code=affine_forward,affine_backward_1 kind=one shapes=4x2x3,6x5,5 :: dx not reshaped back to x.shape
def affine_backward_1(dout, cache):
    x, w, b = cache
    dx = dout.mm(w.t())
    dw = x.reshape(x.shape[0], -1).t().mm(dout)
    db = dout.sum(dim=0)
    return dx, dw, db


# CASE lin_004 code=affine_forward,affine_backward_4 kind=correct shapes=4x2x3,6x5,5 :: right
def affine_backward_4(dout, cache):
    x, w, b = cache
    dx = torch.einsum('nm,dm->nd', dout, w).reshape_as(x)
    dw = torch.einsum('nd,nm->dm', x.flatten(1), dout)
    db = torch.einsum('nm->m', dout)
    return dx, dw, db


class Dense:
    """y = x W^T + b"""

    def forward(self, x, weight, bias):
        self.x = x
        self.weight = weight
        return torch.matmul(x, weight.transpose(0, 1)) + bias


# CASE lin_008 like=linear code=DenseA kind=one :: dW = x^T dout, the transpose of weight's shape; right: dout^T x
class DenseA(Dense):
    def backward(self, dout):
        dx = dout @ self.weight
        dW = self.x.t() @ dout
        db = dout.sum(0)
        return dx, dW, db


# CASE lin_011 code=linear3,linear3_bwd kind=one shapes=2x3x4,5x4,5 :: db summed over the batch only; right: over batch and time
def linear3(x, w, b):
    return torch.einsum('btd,od->bto', x, w) + b, (x, w)


def linear3_bwd(dout, cache):
    x, w = cache
    dx = torch.einsum('bto,od->btd', dout, w)
    dw = torch.einsum('bto,btd->od', dout, x)
    db = dout.sum(0)
    return dx, dw, db


def dropout_forward(x, p=0.5, training=True, mask=None):
    if not training:
        return x, (None, p)
    if mask is None:
        mask = torch.rand_like(x) >= p
    if p == 1:
        return torch.zeros_like(x), (torch.zeros_like(x), 0.0)
    return x * mask / (1 - p), (mask, p)


# CASE drop_001 like=dropout code=dropout_forward,dropout_b1 kind=one :: backward forgets the inverted scale 1/(1-p)
def dropout_b1(dout, cache):
    mask, p = cache
    if mask is None:
        return dout
    return dout * mask


# CASE drop_003 like=dropout code=dropout_forward,dropout_b3 kind=one :: draws a new mask in backward; right: the cached one
def dropout_b3(dout, cache):
    mask, p = cache
    if mask is None:
        return dout
    mask = (torch.rand(dout.shape) >= p).to(dout.dtype)
    return dout * mask / (1 - p)


# CASE drop_004 like=dropout code=dropout_forward,dropout_b4 kind=one :: scales by 1/(1-p) in eval mode too; right: dout unchanged
def dropout_b4(dout, cache):
    mask, p = cache
    if mask is None:
        return dout / (1 - p)
    return dout * mask / (1 - p)


# CASE drop_005 like=dropout code=dropout_forward,dropout_b5 kind=correct :: right
def dropout_b5(dout, cache):
    mask, p = cache
    return dout if mask is None else torch.where(mask.bool(), dout / (1 - p), torch.zeros_like(dout))


# CASE flat_002 like=flatten code=flatten_sd,flatten_sd_back kind=one :: returns dout flattened by batch, not x's shape
def flatten_sd(x, start_dim=0, end_dim=-1):
    return torch.flatten(x, start_dim, end_dim), x


def flatten_sd_back(dout, cache):
    x = cache
    return dout.reshape(x.shape[0], -1)


# CASE flat_003 code=Flat kind=correct shapes=2x3x4 :: right
class Flat:
    def forward(self, x):
        self.in_shape = x.shape
        return x.reshape(x.size(0), -1)

    def backward(self, dout):
        return dout.reshape(self.in_shape)
