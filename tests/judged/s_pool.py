"""Pooling, by various hands."""
import torch
import torch.nn.functional as F


def _pair(k):
    return (k, k) if isinstance(k, int) else tuple(k)


def max_pool_forward(x, kernel_size, stride=None):
    N, C, H, W = x.shape
    kh, kw = _pair(kernel_size)
    sh, sw = _pair(stride if stride is not None else kernel_size)
    Ho, Wo = (H - kh) // sh + 1, (W - kw) // sw + 1
    out = torch.empty(N, C, Ho, Wo, dtype=x.dtype)
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw].amax((2, 3))
    return out, (x, out, (kh, kw), (sh, sw))


# CASE pool_001 like=max_pool2d code=max_pool_forward,max_pool_b1 kind=one :: ties: every maximum of a window gets the gradient; right: only the first
def max_pool_b1(dout, cache):
    x, out, (kh, kw), (sh, sw) = cache
    dx = torch.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            win = x[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw]
            mask = win == win.amax((2, 3), keepdim=True)
            dx[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw] += mask * dout[:, :, i, j][..., None, None]
    return dx


# CASE pool_008 like=max_pool2d code=mp_pad,mp_pad_b kind=one :: forward pads with zeros; right: with -inf (negative inputs lose to the padding)
def mp_pad(x, kernel_size, stride=None, padding=0):
    xp = F.pad(x, (padding,) * 4)
    out, idx = F.max_pool2d(xp, kernel_size, stride, return_indices=True)
    return out, (x.shape, xp.shape, idx, padding)


def mp_pad_b(dout, cache):
    shape, pshape, idx, p = cache
    dxp = torch.zeros(*pshape[:2], pshape[2] * pshape[3], dtype=dout.dtype)
    dxp.scatter_add_(2, idx.flatten(2), dout.flatten(2))
    return dxp.view(pshape)[:, :, p:p + shape[2], p:p + shape[3]]


# CASE pool_009 like=max_pool2d code=mp_idx,mp_idx_b kind=one :: scatter_ overwrites a pixel that is the maximum of two windows; right: scatter_add_
def mp_idx(x, kernel_size, stride=None, padding=0):
    out, idx = F.max_pool2d(x, kernel_size, stride, padding, return_indices=True)
    return out, (x.shape, idx)


def mp_idx_b(dout, cache):
    shape, idx = cache
    g = torch.zeros(shape, dtype=dout.dtype).flatten(2)
    g.scatter_(2, idx.flatten(2), dout.flatten(2))
    return g.reshape(shape)


def avg_pool_forward(x, kernel_size, stride=None):
    k = _pair(kernel_size)
    s = _pair(kernel_size if stride is None else stride)
    N, C, H, W = x.shape
    cols = F.unfold(x.reshape(N * C, 1, H, W), k, stride=s)
    out = cols.mean(1).reshape(N, C, (H - k[0]) // s[0] + 1, (W - k[1]) // s[1] + 1)
    return out, (x.shape, k, s)


# CASE pool_010 like=avg_pool2d code=avg_pool_forward,avg_pool_b1 kind=one :: divides by kh only; right: by kh * kw
def avg_pool_b1(dout, cache):
    shape, (kh, kw), (sh, sw) = cache
    dx = torch.zeros(shape, dtype=dout.dtype)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            dx[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw] += dout[:, :, i, j, None, None] / kh
    return dx


# CASE pool_012 like=avg_pool2d code=avg_pool_forward,avg_pool_b3 kind=correct :: right
def avg_pool_b3(dout, cache):
    shape, k, s = cache
    N, C, H, W = shape
    g = dout.reshape(N * C, 1, -1).repeat(1, k[0] * k[1], 1) / (k[0] * k[1])
    return F.fold(g, (H, W), k, stride=s).reshape(shape)


# CASE pool_015 like=avg_pool2d code=avg_pd,avg_pd_b kind=one :: stride's axes swapped in the backward loop: i * sw, j * sh
def avg_pd(x, kernel_size, stride=None, padding=0):
    k, s, p = _pair(kernel_size), _pair(kernel_size if stride is None else stride), _pair(padding)
    return F.avg_pool2d(x, k, s, p), (x.shape, k, s, p)


def avg_pd_b(dout, cache):
    (N, C, H, W), (kh, kw), (sh, sw), (ph, pw) = cache
    big = max(H, W) * 4
    dx = torch.zeros(N, C, H + 2 * ph + big, W + 2 * pw + big, dtype=dout.dtype)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            r, c = i * sw, j * sh
            dx[:, :, r:r + kh, c:c + kw] += dout[:, :, i, j, None, None] / (kh * kw)
    return dx[:, :, ph:ph + H, pw:pw + W]
