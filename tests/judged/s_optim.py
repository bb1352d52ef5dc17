"""Optimizers, by various hands."""
import torch


class Opt:
    def zero_grad(self):
        for p in self.params:
            p.grad = None


# CASE opt_001 like=sgd code=SGDa kind=one :: momentum buffer made anew in each step: state not kept
class SGDa(Opt):
    def __init__(self, params, lr=1e-3, momentum=0.0):
        self.params = list(params)
        self.lr, self.mu = lr, momentum

    def step(self):
        buf = [torch.zeros_like(p) for p in self.params]
        with torch.no_grad():
            for p, v in zip(self.params, buf):
                v.mul_(self.mu).add_(p.grad)
                p.sub_(self.lr * v)


# CASE opt_002 like=sgd code=SGDb kind=one :: nesterov looks ahead with v alone: lr * mu * v; right: lr * (g + mu * v)
class SGDb(Opt):
    def __init__(self, params, lr=1e-3, momentum=0, nesterov=False):
        self.params = list(params)
        self.lr, self.mu, self.nesterov = lr, momentum, nesterov
        self.v = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            g = p.grad
            if self.mu:
                self.v[i] = self.mu * self.v[i] + g
                g = self.mu * self.v[i] if self.nesterov else self.v[i]
            p -= self.lr * g


# CASE opt_004 like=sgd code=SGDd kind=one :: weight decay applied after the momentum (decoupled); right: added to g before the buffer
class SGDd(Opt):
    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0):
        self.params = list(params)
        self.lr, self.mu, self.wd = lr, momentum, weight_decay
        self.v = [0.0 for _ in self.params]

    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            self.v[i] = self.mu * self.v[i] + p.grad
            p -= self.lr * (self.v[i] + self.wd * p)


class AdamBase(Opt):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        self.params = list(params)
        self.lr, self.eps, self.wd = lr, eps, weight_decay
        self.b1, self.b2 = betas
        self.t = 0
        self.m = [torch.zeros_like(p) for p in self.params]
        self.v = [torch.zeros_like(p) for p in self.params]


# CASE opt_008 like=adam code=AdamA kind=one :: t incremented inside the loop, once per parameter; right: once per step
class AdamA(AdamBase):
    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            self.t += 1
            g = p.grad + self.wd * p
            self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * g
            self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * g ** 2
            mh = self.m[i] / (1 - self.b1 ** self.t)
            vh = self.v[i] / (1 - self.b2 ** self.t)
            p -= self.lr * mh / (vh.sqrt() + self.eps)


# CASE opt_013 like=adam code=AdamF kind=correct :: right: step size folded
class AdamF(AdamBase):
    @torch.no_grad()
    def step(self):
        self.t += 1
        c1, c2 = 1 - self.b1 ** self.t, 1 - self.b2 ** self.t
        for p, m, v in zip(self.params, self.m, self.v):
            g = p.grad.add(p, alpha=self.wd)
            m += (1 - self.b1) * (g - m)
            v += (1 - self.b2) * (g * g - v)
            p.addcdiv_(m, v.sqrt() / c2 ** 0.5 + self.eps, value=-self.lr / c1)


class AdamWBase(AdamBase):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, lr, betas, eps, weight_decay)


# CASE opt_018 like=adamw code=AdamWD kind=one :: decay divided by the adaptive denominator: wd * p inside the fraction
class AdamWD(AdamWBase):
    @torch.no_grad()
    def step(self):
        self.t += 1
        for p, m, v in zip(self.params, self.m, self.v):
            m.lerp_(p.grad, 1 - self.b1)
            v.mul_(self.b2).addcmul_(p.grad, p.grad, value=1 - self.b2)
            mh = m / (1 - self.b1 ** self.t)
            vh = v / (1 - self.b2 ** self.t)
            p.sub_(self.lr * (mh + self.wd * p) / (vh.sqrt() + self.eps))


class RMSBase(Opt):
    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8):
        self.params = list(params)
        self.lr, self.alpha, self.eps = lr, alpha, eps
        self.sq = [torch.zeros_like(p) for p in self.params]


# CASE opt_021 like=rmsprop code=RMSC kind=correct :: right
class RMSC(RMSBase):
    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            g = p.grad
            self.sq[i] = self.alpha * self.sq[i] + (1 - self.alpha) * g.square()
            p.data = p.data - self.lr * g / (self.sq[i] ** 0.5 + self.eps)
