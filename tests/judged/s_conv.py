"""2d convolution, by various hands."""
import torch
import torch.nn.functional as F


def conv_forward_naive(x, w, b, stride=1, pad=0):
    N, C, H, W = x.shape
    Fn, _, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = F.pad(x, (pad, pad, pad, pad))
    out = torch.zeros(N, Fn, H_out, W_out, dtype=x.dtype)
    for n in range(N):
        for f in range(Fn):
            for i in range(H_out):
                for j in range(W_out):
                    win = x_pad[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = (win * w[f]).sum() + b[f]
    cache = (x, w, b, stride, pad)
    return out, cache


# CASE conv_001 like=conv2d code=conv_forward_naive,conv_backward_a kind=one :: crop dx_pad[pad:-pad] is empty when pad = 0; right: pad:pad+H
def conv_backward_a(dout, cache):
    x, w, b, stride, pad = cache
    N, C, H, W = x.shape
    Fn, _, HH, WW = w.shape
    _, _, Ho, Wo = dout.shape
    x_pad = F.pad(x, (pad,) * 4)
    dx_pad = torch.zeros_like(x_pad)
    dw = torch.zeros_like(w)
    db = dout.sum(dim=(0, 2, 3))
    for n in range(N):
        for f in range(Fn):
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    dw[f] += x_pad[n, :, hs:hs + HH, ws:ws + WW] * dout[n, f, i, j]
                    dx_pad[n, :, hs:hs + HH, ws:ws + WW] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad:-pad, pad:-pad]
    return dx, dw, db


# CASE conv_002 like=conv2d code=conv_forward_naive,conv_backward_b kind=one :: stride ignored in the windows of the backward: i:i+HH; right: i*stride
def conv_backward_b(dout, cache):
    x, w, b, stride, pad = cache
    N, C, H, W = x.shape
    Fn, _, HH, WW = w.shape
    _, _, Ho, Wo = dout.shape
    x_pad = F.pad(x, (pad,) * 4)
    dx_pad = torch.zeros_like(x_pad)
    dw = torch.zeros_like(w)
    db = dout.sum(dim=(0, 2, 3))
    for i in range(Ho):
        for j in range(Wo):
            g = dout[:, :, i, j]
            dw += torch.einsum('nf,nchw->fchw', g, x_pad[:, :, i:i + HH, j:j + WW])
            dx_pad[:, :, i:i + HH, j:j + WW] += torch.einsum('nf,fchw->nchw', g, w)
    return dx_pad[:, :, pad:pad + H, pad:pad + W], dw, db


# CASE conv_004 like=conv2d code=conv_forward_naive,conv_backward_d kind=correct :: right
def conv_backward_d(dout, cache):
    x, w, b, stride, pad = cache
    H, W = x.shape[2:]
    HH, WW = w.shape[2:]
    x_pad = F.pad(x, (pad, pad, pad, pad))
    dx_pad = torch.zeros_like(x_pad)
    dw = torch.zeros_like(w)
    db = torch.zeros_like(b)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            g = dout[:, :, i, j]
            hs, ws = i * stride, j * stride
            patch = x_pad[:, :, hs:hs + HH, ws:ws + WW]
            db += g.sum(0)
            dw += torch.tensordot(g, patch, dims=([0], [0]))
            dx_pad[:, :, hs:hs + HH, ws:ws + WW] += torch.tensordot(g, w, dims=([1], [0]))
    return dx_pad[:, :, pad:pad + H, pad:pad + W], dw, db


def conv_im2col(x, weight, bias=None, stride=1, padding=0):
    N, C, H, W = x.shape
    O, _, kh, kw = weight.shape
    cols = F.unfold(x, (kh, kw), padding=padding, stride=stride)      # N, C*kh*kw, L
    out = weight.reshape(O, -1) @ cols                                # N, O, L
    if bias is not None:
        out = out + bias[:, None]
    Ho = (H + 2 * padding - kh) // stride + 1
    out = out.reshape(N, O, Ho, -1)
    return out, (x.shape, cols, weight, bias, stride, padding)


# CASE conv_008 like=conv2d code=conv_im2col,conv_im2col_b1 kind=correct :: right
def conv_im2col_b1(dout, cache):
    shape, cols, w, b, stride, padding = cache
    O, C, kh, kw = w.shape
    d = dout.reshape(dout.shape[0], O, -1)
    dw = (d @ cols.transpose(1, 2)).sum(0).reshape(w.shape)
    dcols = w.reshape(O, -1).t() @ d
    dx = F.fold(dcols, shape[2:], (kh, kw), padding=padding, stride=stride)
    if b is None:
        return dx, dw
    return dx, dw, d.sum((0, 2))
