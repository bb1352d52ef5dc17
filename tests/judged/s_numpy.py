"""The NumPy ones: homework from a course that has no torch."""
import numpy as np
import torch


def to_np(*ts):
    return [t.detach().numpy() for t in ts]


def to_torch(*arrays):
    out = tuple(torch.from_numpy(np.asarray(a)) for a in arrays)
    return out if len(out) > 1 else out[0]


def np_relu(Z):
    A = np.maximum(0, Z)
    return A, Z


# CASE np_001 like=relu code=np_relu,np_relu_bw kind=one :: dZ[Z <= 0] should be 0 but tests the upstream: dZ[dA <= 0] = 0
def np_relu_bw(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[dA <= 0] = 0
    return dZ


# CASE np_002 like=relu code=np_relu,np_relu_bw2 kind=correct :: right
def np_relu_bw2(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


# CASE np_008 code=np_softmax,np_softmax_bw kind=one shapes=3x4 :: inner sum over axis 0; right: axis 1 (each row's)
def np_softmax(z):
    z, = to_np(z)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return to_torch(p), p


def np_softmax_bw(dout, p):
    dout, = to_np(dout)
    s = np.sum(dout * p, axis=0, keepdims=True)
    return to_torch(p * (dout - s))


# CASE np_016 code=np_tanh_layer,np_tanh_layer_bw kind=one shapes=4x3,3x5,5 :: dout goes past tanh: (1 - h**2) missing
def np_tanh_layer(x, w, b):
    x, w, b = to_np(x, w, b)
    h = np.tanh(x @ w + b)
    return to_torch(h), (x, w, h)


def np_tanh_layer_bw(dout, cache):
    dout, = to_np(dout)
    x, w, h = cache
    dz = dout
    return to_torch(dz @ w.T, x.T @ dz, dz.sum(axis=0))
