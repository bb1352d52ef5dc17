"""A file with a network of one's own, as a user would write it; and what goes wrong in such files."""

MY_NET = '''"""A network with two layers of my own: an op pair with a parameter, and three functions."""

import torch
from torch import nn

from tinytorch_course.scratch.layers import Layer


def swish_forward(x, beta):
    gate = 1 / (1 + (-beta * x).exp())
    return x * gate, (x, gate, beta)


def swish_backward(dout, cache):
    x, gate, beta = cache
    slope = dout * x * gate * (1 - gate)
    return dout * gate + slope * beta, (slope * x).sum()


def scale(size):
    def init(generator):
        return {"weight": torch.rand(size, generator=generator)}, {}

    def forward(params, state, x, *, training, generator=None):
        return x * params["weight"], state, (x, params["weight"])

    def backward(dout, cache, *, need_dx=True):
        x, weight = cache
        return dout * weight, {"weight": (dout * x).sum(0)}

    return Layer(init, forward, backward)


class Scale(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x * self.weight)


def net(L, *, num_classes, in_channels, image_size):
    """Two layers of my own."""
    return L.sequential(
        flatten=L.flatten(),
        fc1=L.linear(in_channels * image_size**2, 8),
        act=L.own(
            scratch=(swish_forward, swish_backward),
            reference=lambda x, beta: x * torch.sigmoid(beta * x),
            params={"beta": 1.5},
        ),
        scale=L.own(scratch=scale(8), reference=Scale(8)),
        fc2=L.linear(8, num_classes),
    )


def shortcut(L, *, num_classes, image_size):
    return L.residual(
        flatten=L.flatten(),
        fc1=L.linear(image_size**2, 8),
        relu=L.relu(),
        fc2=L.linear(8, num_classes),
        downsample=L.sequential(L.flatten(), L.linear(image_size**2, num_classes)),
    )


def short(L):
    return L.sequential(L.flatten(), L.linear(784, 10))
'''

# What is wrong in the rest of a file, the function, and how the refusal goes on after "bad.py line N".
MISTAKES = {
    "twelve": ("def net(L): return L.sequential(L.flatten(), L.linear(784, 12))", "it makes 2 x 12 of 2 pictures"),
    "nothing": ("def net(L): L.flatten()", "it must return a layer made by L, as L.sequential(...), not None"),
    "typo": ("def net(L): return L.lnear(784, 10)", "has no attribute 'lnear'; did you mean linear?"),
    "raises": ("def net(L): return 1 / 0", "in net: ZeroDivisionError: division by zero"),
    "sizes": (
        "def net(L): return L.sequential(flatten=L.flatten(), a=L.linear(784, 16), b=L.linear(15, 10))",
        "cannot take pictures of 1x28x28: at b, x has 16 features",
    ),
    "names": (
        "def net(L): return L.sequential(L.flatten(), L.linear(784, 10), L.own(scratch=(double, undouble), "
        "reference=nn.Linear(10, 10)))",
        "not the same network in both namespaces: 2.weight is there in torch only, 2.bias is there in torch only",
    ),
    "shapes": (
        "def net(L): return L.sequential(L.flatten(), L.linear(784, 10), L.own(scratch=Layer(lambda g: ({'weight': "
        "torch.ones(3, 10)}, {}), lambda params, state, x, **mode: (x, state, None), None), reference=nn.Linear(10, "
        "10, bias=False)))",
        "2.weight is 3 x 10 from scratch and 10 x 10 in torch",
    ),
    "count": (
        "def net(L): return L.sequential(L.flatten(), L.linear(784, 10), L.own(scratch=(lambda x, a: (x * a, (x, a)), "
        "undouble), reference=lambda x, a: x * a, params={'a': 2.0}))",
        "undouble must return dx, da, but it returned 1 gradient",
    ),
    "gradient": (
        "def net(L): return L.sequential(L.flatten(), L.linear(784, 10), L.own(scratch=(lambda x, a: (x * a, (x, a)), "
        "lambda dout, cache: (dout, dout)), reference=lambda x, a: x * a, params={'a': 2.0}))",
        "2.a is 2 x 10 among its gradients and a single number among its parameters",
    ),
    "another for every L": (
        "import tinytorch_course as tt\ndef net(L): return L.sequential(L.flatten(), L.linear(784, 16), L.tanh() "
        "if L is tt.layers else L.relu(), L.linear(16, 10))",
        "it asks what L is, and makes another network",
    ),
    "another backward for every L": (
        "import tinytorch_course as tt\ndef net(L): return L.sequential(L.flatten(), L.linear(784, 10), L.own("
        "scratch=(lambda x: (x, None), undouble if L is tt.layers else lambda dout, _: dout), reference=lambda x: x))",
        "it asks what L is, and makes another network",
    ),
    "forward": (
        "def net(L): return L.sequential(flatten=L.flatten(), a=L.linear(784, 10), b=L.own(scratch=(half, undouble), "
        "reference=lambda x: x))",
        "in half: RuntimeError: ",
    ),
}
HEAD = """import torch
from torch import nn
from tinytorch_course.scratch.layers import Layer
def double(x): return 2 * x, None
def undouble(dout, cache): return 2 * dout
def half(x): return x @ x, None
"""
