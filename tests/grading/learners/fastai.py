# ruff: noqa
"""As fast.ai's course does: a function that goes back leaves each gradient in .g of its tensor; modules with a call."""


# CASE linear Lin | self.b.g = out.g.sum(0) => self.b.g = -out.g.sum(0)
class Lin:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, inp):
        self.inp = inp
        self.out = inp @ self.w + self.b
        return self.out

    def backward(self):
        inp, out = self.inp, self.out
        inp.g = out.g @ self.w.t()
        self.w.g = inp.t() @ out.g
        self.b.g = out.g.sum(0)


# CASE relu Relu | self.inp.g = (self.inp > 0).double() * self.out.g => self.inp.g = (self.inp < 0).double() * self.out.g
class Relu:
    def __call__(self, inp):
        self.inp = inp
        self.out = inp.clamp_min(0.0)
        return self.out

    def backward(self):
        self.inp.g = (self.inp > 0).double() * self.out.g


# CASE mse_loss Mse | self.inp.g = 2.0 * (self.inp - self.targ) / self.targ.numel() => self.inp.g = -2.0 * (self.inp - self.targ) / self.targ.numel()
class Mse:
    def __call__(self, inp, targ):
        self.inp, self.targ = inp, targ
        self.out = (inp - targ).pow(2).mean()
        return self.out

    def backward(self):
        self.inp.g = 2.0 * (self.inp - self.targ) / self.targ.numel()


# CASE linear lin,lin_grad | w.g = inp.t() @ out.g => w.g = -inp.t() @ out.g
def lin(inp, w, b):
    return inp @ w + b


def lin_grad(inp, out, w, b):
    inp.g = out.g @ w.t()
    w.g = inp.t() @ out.g
    b.g = out.g.sum(0)
