"""23. An autograd engine, and a framework

What you learn: what autograd is, by building it: a number that remembers how it was made, a graph, and the chain rule
walked backwards, in 60 lines; then Layer and sequential, the course's own way, in 40; and what each is good for.

Run: tinytorch lesson 23 (or python examples/23_autograd_engine.py)
Time: about 10 s on 2 CPU cores

Expected output (excerpt):
    (w x + b - y)^2: dw = 6.0, db = 2.0
    the engine and torch: derivatives equal to 1e-12: True
    a network of 41 Values: XOR learnt: True
    our sequential and the course's: outputs and gradients equal to 1e-12: True
"""

# %% What is missing
# Lesson 02 walked backwards by hand: for each line of forward, a line of backward. torch does that by itself. How? It
# needs three things: every value remembers which operation made it and from what; every operation knows its own
# derivative; and something visits them in the right order. (The idea of a scalar engine in a page of Python is Andrej
# Karpathy's micrograd.)
import math


class Value:
    """A number that remembers how it was made."""

    def __init__(self, data, parents=(), local=(), made_by=""):
        self.data, self.grad = data, 0.0
        self.parents, self.local = parents, local  # d self / d parent, one for each parent
        self.made_by = made_by

    def __add__(self, other):
        other = as_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        other = as_value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data), "*")

    def __pow__(self, power):
        return Value(self.data**power, (self,), (power * self.data ** (power - 1),), f"^{power}")

    def exp(self):
        return Value(math.exp(self.data), (self,), (math.exp(self.data),), "exp")

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,), "log")

    def tanh(self):
        return Value(math.tanh(self.data), (self,), (1 - math.tanh(self.data) ** 2,), "tanh")

    def relu(self):
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),), "relu")

    # The others are made of these, so that they need no derivative of their own.
    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -as_value(other)

    def __truediv__(self, other):
        return self * as_value(other) ** -1

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        """The derivative of this value with respect to every value that it was made of, into their grad."""
        self.grad = 1.0
        for value in reversed(in_order(self)):
            for parent, slope in zip(value.parents, value.local, strict=True):
                parent.grad += value.grad * slope  # the chain rule; += because there may be several ways


def as_value(number):
    return number if isinstance(number, Value) else Value(number)


def in_order(value, seen=None):
    """Every value behind this one, each after those it was made of: a topological order."""
    seen = set() if seen is None else seen
    if value in seen:
        return []
    seen.add(value)
    return [earlier for parent in value.parents for earlier in in_order(parent, seen)] + [value]


# %% Lesson 02's graph
# The same numbers as there, without a line of backward.
w, b, x, y = Value(2.0), Value(1.0), Value(3.0), Value(6.0)
loss = (w * x + b - y) ** 2
loss.backward()
print(f"(w x + b - y)^2: dw = {w.grad}, db = {b.grad}")
assert (w.grad, b.grad) == (6.0, 2.0)

# %% Drawn: values above, gradients below
# Read it from left to right for forward, from right to left for backward.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)


def depth(value):
    return 1 + max(map(depth, value.parents)) if value.parents else 0


def draw(end, names, path):
    figure, axes = plt.subplots(figsize=(14, 6), layout="constrained")
    columns, places = {}, {}
    for value in in_order(end):
        column = columns.setdefault(depth(value), [])
        column.append(value)
    for x_place, column in columns.items():
        for row, value in enumerate(column):
            spread = 3 if len(column) == 2 else 1
            places[value] = (x_place, spread * ((len(column) - 1) / 2 - row))
    for value, (right, height) in places.items():
        for parent in value.parents:
            arrow = {"arrowstyle": "-|>", "color": "0.5", "shrinkA": 42, "shrinkB": 42, "linewidth": 2}
            axes.annotate("", (right, height), places[parent], arrowprops=arrow)
        text = f"{names.get(value, value.made_by)}\n{value.data:g}\ngrad {value.grad:g}"
        box = {"boxstyle": "round", "facecolor": "#fff2cc" if value in names else "#dae8fc"}
        axes.text(right, height, text, ha="center", va="center", fontsize=14, bbox=box)
    axes.set(xlim=(-0.5, max(columns) + 0.5), ylim=(-2.6, 2.6))
    axes.axis("off")
    figure.savefig(path, dpi=120)


draw(loss, {w: "w", x: "x", b: "b", y: "y"}, OUT / "23_graph.png")
print(f"the graph has {len(in_order(loss))} values; the first made {in_order(loss)[0].data}, the last {loss.data}")
assert in_order(loss)[-1] is loss

# %% Why the order matters
# A value hands its gradient on only when it has all of it. Here a is used twice, and once by way of c. A walk that goes
# to a before c has added its part would hand on too little. Topological order, reversed, makes that impossible.
a = Value(3.0)
c = a * a
end = c * a + c  # a^3 + a^2, whose derivative is 3 a^2 + 2 a
end.backward()
print(f"a^3 + a^2 at 3: {a.grad}, by the formula {3 * 3**2 + 2 * 3}")
assert a.grad == 33

# %% Beside torch
# A long expression with every operation in it.
import torch


def expression(p, q, number):
    z = (p * q).tanh() + (p / (q * q + number)).exp() - (q**3 + 2.0 * p).relu()
    return (z * z + 1.0).log() * p


ours = Value(0.7), Value(-0.4)
result = expression(*ours, Value(1.5))
result.backward()
leaves = [torch.tensor(v.data, dtype=torch.float64, requires_grad=True) for v in ours]
expression(*leaves, torch.tensor(1.5, dtype=torch.float64)).backward()
apart = max(abs(mine.grad - leaf.grad.item()) for mine, leaf in zip(ours, leaves, strict=True))
print("the engine and torch: derivatives equal to 1e-12:", apart < 1e-12)
assert apart < 1e-12

# %% A network of Values
# Two inputs, ten hidden units with tanh, one output: XOR (lesson 08). Every weight is a Value, and training is the loop
# you know: zero, forward, loss, backward, step.
import random

draws = random.Random(0)
w1 = [[Value(draws.gauss(0, 1)) for _ in range(2)] for _ in range(10)]
b1, w2, b2 = [Value(0.0) for _ in range(10)], [Value(draws.gauss(0, 0.3)) for _ in range(10)], Value(0.0)
parameters = [*(v for row in w1 for v in row), *b1, *w2, b2]


def network(inputs):
    hidden = [(row[0] * inputs[0] + row[1] * inputs[1] + bias).tanh() for row, bias in zip(w1, b1, strict=True)]
    return sum((v * h for v, h in zip(w2, hidden, strict=True)), start=b2)


xor = {(0.0, 0.0): -1.0, (0.0, 1.0): 1.0, (1.0, 0.0): 1.0, (1.0, 1.0): -1.0}
for _ in range(300):
    for p in parameters:
        p.grad = 0.0
    error = sum(((network(inputs) - target) ** 2 for inputs, target in xor.items()), start=Value(0.0)) / 4.0
    error.backward()
    for p in parameters:
        p.data -= 0.1 * p.grad
answers = [network(inputs).data for inputs in xor]
learnt = all((answer > 0) == (target > 0) for answer, target in zip(answers, xor.values(), strict=True))
print(f"loss {error.data:.4f}; answers {[round(answer, 2) for answer in answers]}")
print(f"a network of {len(parameters)} Values: XOR learnt:", learnt)
assert learnt
assert error.data < 0.1

# %% What it costs
# Every number is a Python object, and every addition makes one. torch does the same with whole tensors: the graph has a
# node for a matmul, not for each of its products. That is the only difference in kind.
nodes = len(in_order(error))
leaf = torch.randn(4, 2, requires_grad=True)
print(f"one loss over four samples: {nodes} nodes here; as tensors it takes about ten")
assert nodes > 300


# %% The other way: layers that know their backward
# The course's from-scratch side does without a graph. A **layer** is three functions: `init` draws parameters;
# `forward` returns the output and a cache; `backward` takes the output's gradient and the cache. In a chain of layers
# the order of backward is known beforehand, so nothing needs to be recorded. Here with tensors, and without the
# niceties:
from typing import NamedTuple


class Layer(NamedTuple):
    init: object  # (generator) -> params
    forward: object  # (params, x) -> out, cache
    backward: object  # (dout, cache) -> dx, grads


def linear(inputs, outputs):
    def init(generator):
        bound = inputs**-0.5
        weight = (2 * torch.rand(outputs, inputs, generator=generator) - 1) * bound
        return {"weight": weight, "bias": (2 * torch.rand(outputs, generator=generator) - 1) * bound}

    def forward(params, x):
        return x @ params["weight"].T + params["bias"], (x, params["weight"])

    def backward(dout, cache):
        x, weight = cache
        return dout @ weight, {"weight": dout.T @ x, "bias": dout.sum(0)}  # lesson 02

    return Layer(init, forward, backward)


def relu():
    return Layer(lambda generator: {}, lambda params, x: (x.clamp(min=0), x), lambda dout, x: (dout * (x > 0), {}))


# %% And a layer made of layers
# `sequential` gives each layer a name. Forward in order, backward in the opposite one; parameters and gradients are one
# flat dict with the names in front: "fc1.weight", as in a torch state_dict.
def sequential(**layers):
    def init(generator):
        return {f"{name}.{key}": p for name, layer in layers.items() for key, p in layer.init(generator).items()}

    def forward(params, x):
        caches = {}
        for name, layer in layers.items():
            own = {key.removeprefix(f"{name}."): p for key, p in params.items() if key.startswith(f"{name}.")}
            x, caches[name] = layer.forward(own, x)
        return x, caches

    def backward(dout, caches):
        grads = {}
        for name in reversed(layers):
            dout, own = layers[name].backward(dout, caches[name])
            grads |= {f"{name}.{key}": grad for key, grad in own.items()}
        return dout, grads

    return Layer(init, forward, backward)


net = sequential(fc1=linear(6, 5), relu1=relu(), fc2=linear(5, 3))
params = net.init(torch.Generator().manual_seed(0))
print("parameters:", {name: tuple(p.shape) for name, p in params.items()})
assert list(params) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]

# %% It is the course's
# The same network from tinytorch_course.layers, on the same numbers. Its Layer has a little more: a state (running
# statistics), training or evaluation, a generator for dropout, and need_dx.
import tinytorch_course as tt

packaged = tt.layers.sequential(fc1=tt.layers.linear(6, 5), relu1=tt.layers.relu(), fc2=tt.layers.linear(5, 3))
params = {name: p.double() for name, p in params.items()}
batch, dout = torch.randn(4, 6).double(), torch.randn(4, 3).double()
out, caches = net.forward(params, batch)
dx, grads = net.backward(dout, caches)
their_out, _, their_cache = packaged.forward(params, {}, batch, training=True)
their_dx, their_grads = packaged.backward(dout, their_cache)
pairs = [(out, their_out), (dx, their_dx), *((grads[name], their_grads[name]) for name in params)]
apart = max((mine - its).abs().max().item() for mine, its in pairs)
print("our sequential and the course's: outputs and gradients equal to 1e-12:", apart < 1e-12)
assert apart < 1e-12
assert grads.keys() == params.keys()

# %% Which is better?
# The **graph** follows any program: loops, branches, values used many times. It has to keep everything until backward,
# and what it does is hidden. The **layers** show every formula, and check them one by one (`tinytorch check`), but only
# in the shapes that somebody has built: a chain, and a residual block. Frameworks for use have the graph; a course has
# both.

# %% What torch does here
# torch.Tensor is Value with many numbers: .grad, .grad_fn (made_by with its local derivatives), next_functions
# (parents). Its engine counts, for each node, how many uses have yet to report, instead of sorting first: the same
# order.
t = torch.tensor(3.0, requires_grad=True)
tc = t * t
(tc * t + tc).backward()
print(f"torch at the same expression: {t.grad.item()}, its node {tc.grad_fn.name()}")
assert t.grad.item() == a.grad

# %% Exercises
# 1. Add sigmoid to Value, and a way to forget the graph after backward. Then make p.grad wrong on purpose (= instead of
#    +=): which of the checks above notice?
# 2. Add a layer dropout(p) to the framework of this page. What does forward need that it does not get yet, and how does
#    the course's Layer solve that?
