"""Two mistakes at once."""
import math

import torch
import torch.nn.functional as F


# CASE two_004 like=conv2d code=cv_p,cv_p_b kind=two :: kernel not flipped for dx AND dw averaged over the batch
def cv_p(x, weight, bias, padding=0):
    return F.conv2d(x, weight, bias, 1, padding), (x, weight, padding)


def cv_p_b(dout, cache):
    x, w, p = cache
    kh, kw = w.shape[2:]
    g = F.pad(dout, (kw - 1, kw - 1, kh - 1, kh - 1))
    dx = F.conv2d(g, w.transpose(0, 1))[:, :, p:p + x.shape[2], p:p + x.shape[3]]
    xp = F.pad(x, (p, p, p, p))
    dw = F.conv2d(xp.transpose(0, 1), dout.transpose(0, 1)).transpose(0, 1) / x.shape[0]
    return dx, dw, dout.sum((0, 2, 3))


# CASE two_007 like=batch_norm_long code=bn2,bn2_b kind=two :: gamma missing in dx AND dgamma averaged, not summed
def bn2(x, gamma, beta, eps=1e-5):
    d = [i for i in range(x.dim()) if i != 1]
    s = [1, -1] + [1] * (x.dim() - 2)
    mu, var = x.mean(d, keepdim=True), x.var(d, unbiased=False, keepdim=True)
    inv = 1 / torch.sqrt(var + eps)
    xh = (x - mu) * inv
    return gamma.reshape(s) * xh + beta.reshape(s), (xh, inv, gamma, d, s)


def bn2_b(dout, cache):
    xh, inv, gamma, d, s = cache
    dx = inv * (dout - dout.mean(d, keepdim=True) - xh * (dout * xh).mean(d, keepdim=True))
    return dx, (dout * xh).mean(d), dout.sum(d)


# CASE two_008 code=ln2,ln2_b kind=two shapes=4x5,5,5 :: mean term missing AND dbeta averaged over the batch
def ln2(x, g, b, eps=1e-5):
    mu = x.mean(-1, keepdim=True)
    rs = (x.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    xh = (x - mu) * rs
    return xh * g + b, (xh, rs, g)


def ln2_b(dout, cache):
    xh, rs, g = cache
    dh = dout * g
    dx = rs * (dh - xh * (dh * xh).mean(-1, keepdim=True))
    return dx, (dout * xh).sum(0), dout.mean(0)


# CASE two_009 like=cross_entropy code=ce2,ce2_b kind=two :: target's 1 not subtracted AND no division by N
def ce2(z, y):
    lp = torch.log_softmax(z, 1)
    return F.nll_loss(lp, y), (lp, y)


def ce2_b(dout, cache):
    lp, y = cache
    return dout * lp.exp()


# CASE two_010 like=mse_loss code=mse2,mse2_b kind=two :: factor 2 missing AND the sign (target - pred)
def mse2(a, b):
    return ((a - b) ** 2).mean(), (a, b)


def mse2_b(dout, cache):
    a, b = cache
    g = dout * (b - a) / a.numel()
    return g, -g


# CASE two_011 like=gelu code=gelu2,gelu2_b kind=two :: density without 1/sqrt(2 pi) AND exp(-x^2) instead of exp(-x^2/2)
def gelu2(x):
    c = 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))
    return x * c, (x, c)


def gelu2_b(dout, cache):
    x, c = cache
    return dout * (c + x * torch.exp(-x * x))


# CASE two_013 like=leaky_relu code=lk,lk_b kind=two :: slope hard-coded 0.1 AND mask from dout
def lk(x, negative_slope=0.01):
    return torch.where(x >= 0, x, x * negative_slope), (x, negative_slope)


def lk_b(dout, cache):
    x, a = cache
    return torch.where(dout > 0, dout, dout * 0.1)


# CASE two_014 like=max_pool2d code=mp2,mp2_b kind=two :: assigned instead of added where windows overlap AND window step is the kernel, not the stride
def mp2(x, kernel_size, stride=None):
    return F.max_pool2d(x, kernel_size, stride), (x, kernel_size, stride)


def mp2_b(dout, cache):
    x, k, s = cache
    kh, kw = (k, k) if isinstance(k, int) else k
    dx = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    win = x[n, c, i * kh:i * kh + kh, j * kw:j * kw + kw]
                    if win.numel():
                        a = int(win.argmax())
                        u, v = divmod(a, win.shape[1])
                        dx[n, c, i * kh + u, j * kw + v] = dout[n, c, i, j]
    return dx


# CASE two_017 like=adam code=Adam2 kind=two :: t starts at 1 and is raised before use (one ahead) AND eps inside the root
class Adam2:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.params = list(params)
        self.lr, self.b, self.eps = lr, betas, eps
        self.t = 1
        self.m = [torch.zeros_like(p) for p in self.params]
        self.v = [torch.zeros_like(p) for p in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.t += 1
        b1, b2 = self.b
        for i, p in enumerate(self.params):
            self.m[i] = b1 * self.m[i] + (1 - b1) * p.grad
            self.v[i] = b2 * self.v[i] + (1 - b2) * p.grad ** 2
            p -= self.lr * self.m[i] / (1 - b1 ** self.t) / torch.sqrt(self.v[i] / (1 - b2 ** self.t) + self.eps)


# CASE two_018 like=sgd code=Sgd2 kind=two :: weight decay left out of the momentum buffer AND with dampening (1 - mu) on g
class Sgd2:
    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0):
        self.params = list(params)
        self.lr, self.mu, self.wd = lr, momentum, weight_decay
        self.v = [torch.zeros_like(p) for p in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        for p, v in zip(self.params, self.v):
            v.mul_(self.mu).add_(p.grad, alpha=1 - self.mu)
            p.sub_(self.lr * (v + self.wd * p))
