"""02. Derivatives by hand

What you learn: the chain rule on a small graph, forward and backward in pairs, what autograd does (requires_grad, grad,
grad_fn, leaves, accumulation, no_grad), and how to check a derivative by central differences in float32 and float64.

Run: tinytorch lesson 02 (or python examples/02_derivatives_by_hand.py)
Time: about 6 s on 2 CPU cores

Expected output (excerpt):
    by hand: dloss/dw = 6.0, dloss/db = 2.0
    autograd: dloss/dw = 6.0, dloss/db = 2.0
    two calls of backward: 12.0
    x used twice: by hand 10.0, autograd 10.0
    float64: the smallest error is near h = ...
"""

# %% A small graph, forwards
# loss = (w x + b - y)^2, one operation a line. What a later line needs is kept under a name.
x, y = 3.0, 6.0
w, b = 2.0, 1.0
product = w * x
prediction = product + b
error = prediction - y
loss = error**2
print(f"forward: product {product}, prediction {prediction}, error {error}, loss {loss}")
assert loss == 1.0

# %% The chain rule, backwards
# From the last line to the first: each line's own derivative times what arrives from behind. dname means dloss/dname.
dloss = 1.0
derror = 2 * error * dloss  # loss = error^2
dprediction = derror  # error = prediction - y
dproduct, db = dprediction, dprediction  # prediction = product + b
dw = x * dproduct  # product = w x
print(f"by hand: dloss/dw = {dw}, dloss/db = {db}")
assert (dw, db) == (6.0, 2.0)


# %% Moving a little says the same
# A derivative is a ratio of small changes. The central difference looks h to both sides, trusting forward alone.
def loss_of(w):
    return (w * x + b - y) ** 2


h = 1e-6
numeric = (loss_of(w + h) - loss_of(w - h)) / (2 * h)
print(f"central difference: dloss/dw = {numeric:.6f}")
assert abs(numeric - dw) < 1e-6

# %% The same by autograd
# requires_grad=True asks torch to record every operation on a tensor. backward() walks the record from its end and puts
# the derivatives into .grad of the leaves: the tensors that were made by you and not by an operation.
import torch

w = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
loss = (w * x + b - y) ** 2
loss.backward()
print(f"autograd: dloss/dw = {w.grad.item()}, dloss/db = {b.grad.item()}")
assert (w.grad.item(), b.grad.item()) == (dw, db)
assert w.is_leaf
assert not loss.is_leaf


# %% The record is a graph of functions
# grad_fn is the backward of the operation that made a tensor; next_functions are those before it, one for each of its
# inputs. A leaf ends its branch with AccumulateGrad. The addition has two branches: one to b, one by the product to w.
# Reading the names from the loss is reading our backward from its first line to its last.
def show(node, depth=0):
    lines = ["  " * depth + type(node).__name__]
    for before, _ in node.next_functions:  # every branch; None where no derivative is needed (x, y)
        lines += show(before, depth + 1) if before is not None else []
    return lines


record = show(loss.grad_fn)
print("\n".join(record))
names = [line.strip() for line in record]
assert names == ["PowBackward0", "SubBackward0", "AddBackward0", "MulBackward0", "AccumulateGrad", "AccumulateGrad"]
assert [len(line) - len(line.strip()) for line in record] == [0, 2, 4, 6, 8, 6]  # w is behind the product, b is not
assert w.grad_fn is None


# %% The graph is dynamic
# The record is made anew while the forward pass runs, so an ordinary if or for decides what is in it. Here the number
# of multiplications depends on a value: x is doubled until it exceeds 10.
def doubled(x):
    while x < 10:
        x = 2 * x
    return x


for value in (3.0, 1.0):
    leaf = torch.tensor(value, requires_grad=True)
    doubled(leaf).backward()
    print(f"x = {value}: doubled(x) = {doubled(leaf).item()}, derivative {leaf.grad.item()}")
    assert leaf.grad.item() == {3.0: 4.0, 1.0: 16.0}[value]  # two doublings, four doublings

# %% Gradients accumulate
# backward adds to .grad and never replaces it: a choice of torch's (a large batch can then be computed in parts). A
# training loop that forgets to clear it steps along old gradients.
loss = (w * x + b - y) ** 2
loss.backward()
print(f"two calls of backward: {w.grad.item()}")
assert w.grad.item() == 2 * dw
w.grad = None  # what optimizer.zero_grad() does
assert w.grad is None

# %% Where a value is used twice, its derivatives add up
# s = x * x + 4 x at x = 3: x reaches s by three ways, and the chain rule of several variables is a sum over the ways.
# The engine adds them up before they reach .grad, in one call of backward: that is mathematics, while the adding from
# call to call above is a convention.
by_hand = 3.0 + 3.0 + 4.0  # left factor, right factor, 4 x
twice = torch.tensor(3.0, requires_grad=True)
(twice * twice + 4 * twice).backward()
print(f"x used twice: by hand {by_hand}, autograd {twice.grad.item()}")
assert twice.grad.item() == by_hand

# %% no_grad: no record
# Updating a parameter must not become part of the next loss. Inside no_grad nothing is recorded; detach gives a tensor
# that shares the numbers and forgets the record.
with torch.no_grad():
    silent = w * x
recorded = w * x
print(f"recorded: {recorded.requires_grad}, in no_grad: {silent.requires_grad}")
assert recorded.requires_grad
assert not silent.requires_grad
assert not recorded.detach().requires_grad
assert recorded.detach().data_ptr() == recorded.data_ptr()


# %% A forward and backward pair for whole tensors
# All of tinytorch_course.scratch is built like this: forward returns the result and a cache of what backward will need;
# backward takes dout, the derivative that arrives, and returns one gradient for each tensor argument.
def square_forward(x):
    return x * x, x  # out, cache


def square_backward(dout, cache):
    x = cache
    return 2 * x * dout  # out = x * x


values = torch.tensor([1.0, -2.0, 3.0])
out, cache = square_forward(values)
dvalues = square_backward(torch.ones(3), cache)
print(f"square: out {out.tolist()}, dx {dvalues.tolist()}")
assert dvalues.tolist() == [2.0, -4.0, 6.0]

# %% The linear layer, index by index
# The most important formulas of deep learning, derived. The **linear layer** computes, for sample n and output o,
#
# $$ out_{no} = \sum_i x_{ni}\, w_{oi} + b_o $$
#
# What is the derivative of the loss with respect to one weight, w_oi? It acts on column o of out only, in every sample,
# and there its factor is x_ni. The chain rule sums over all ways, so over the samples:
#
# $$ dw_{oi} = \sum_n dout_{no}\, x_{ni} \qquad dx_{ni} = \sum_o dout_{no}\, w_{oi} \qquad db_o = \sum_n dout_{no} $$
#
# x_ni acts on all outputs o of its own sample: a sum over o. The bias has the factor 1. einsum is this notation in
# code: indices that do not stand behind the arrow are summed over.
generator = torch.Generator().manual_seed(0)
x, weight, bias, dout = (torch.randn(*s, generator=generator).double() for s in ((5, 4), (3, 4), (3,), (5, 3)))
out = torch.einsum("ni,oi->no", x, weight) + bias
dweight = torch.einsum("no,ni->oi", dout, x)
dx = torch.einsum("no,oi->ni", dout, weight)
dbias = torch.einsum("no->o", dout)
print("shapes:", {"dweight": tuple(dweight.shape), "dx": tuple(dx.shape), "dbias": tuple(dbias.shape)})
assert (dx.shape, dweight.shape, dbias.shape) == (x.shape, weight.shape, bias.shape)

# %% The same in matrix form
# A sum over the second index of both factors is a product with a transpose. There is only one way to multiply dout (N,
# O) with x (N, I) to the shape of weight (O, I): the shapes alone nearly tell the formula.
forms = [(out, x @ weight.T + bias), (dweight, dout.T @ x), (dx, dout @ weight), (dbias, dout.sum(0))]
differences = [(by_index - by_matrix).abs().max().item() for by_index, by_matrix in forms]
print("index notation and matrix form agree to 1e-12:", max(differences) < 1e-12)
assert max(differences) < 1e-12

# %% Our backward equals autograd's
# And these are the lines of the course's linear layer. On random numbers in float64; dout is random too: with dout = 1
# everywhere, many a wrong backward would pass.
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward

generator = torch.Generator().manual_seed(0)
shapes = [(5, 4), (3, 4), (3,)]  # x, weight, bias
arguments = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
dout = torch.randn(5, 3, generator=generator, dtype=torch.float64)
out, cache = linear_forward(*arguments)
ours = linear_backward(dout, cache)
arguments_x, arguments_weight, _ = arguments
assert torch.allclose(ours[0], dout @ arguments_weight, rtol=0, atol=1e-12)
assert torch.allclose(ours[1], dout.T @ arguments_x, rtol=0, atol=1e-12)
leaves = [argument.clone().requires_grad_() for argument in arguments]
torchs = torch.autograd.grad(torch.nn.functional.linear(*leaves), leaves, dout)
differences = [(a - b).abs().max().item() for a, b in zip(ours, torchs, strict=True)]
print("linear, largest difference to autograd below 1e-12:", max(differences) < 1e-12)
assert max(differences) < 1e-12

# %% How large should the step be?
# Too large a step, and the curve bends within it: the error grows as h^2. Too small a step, and the two values agree in
# all their digits but the last: the error grows as 1/h. Here for e^x at x = 1, whose derivative is known to be e.
steps = torch.logspace(-12, -0.5, 47, dtype=torch.float64)
errors = {}
for dtype in (torch.float32, torch.float64):
    at = torch.ones(len(steps), dtype=dtype)
    h = steps.to(dtype)
    numeric = (torch.exp(at + h) - torch.exp(at - h)) / (2 * h)
    errors[dtype] = ((numeric.double() - torch.e) / torch.e).abs().clamp_min(1e-17)
best = {dtype: steps[error.argmin()].item() for dtype, error in errors.items()}
print(f"float32: the smallest error is {errors[torch.float32].min().item():.0e} near h = {best[torch.float32]:.0e}")
print(f"float64: the smallest error is near h = {best[torch.float64]:.0e}")
assert errors[torch.float32].min() > 100 * errors[torch.float64].min()
assert 1e-4 < best[torch.float32] < 1e-1
assert 1e-7 < best[torch.float64] < 1e-4

# %% The two sides of the curve, drawn
# Both axes are logarithmic, so a power of h is a straight line. Checks of gradients are made in float64 with h = 1e-6.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
for dtype, color, marker in ((torch.float32, "#d55e00", "o"), (torch.float64, "#0072b2", "s")):
    axes.loglog(steps, errors[dtype], marker=marker, color=color, label=str(dtype).removeprefix("torch."))
axes.set_xlabel("step h", fontsize=14)
axes.set_ylabel("relative error of the derivative", fontsize=14)
axes.set_title("Rounding on the left, curvature on the right", fontsize=15)
axes.legend(fontsize=13)
figure.savefig(OUT / "02_error_against_step.png", dpi=120)


# %% The powers are what was claimed
# On the right, a tenth of the step gives a hundredth of the error. On the left, only rounding remains.
def error_at(h):
    at, h = torch.tensor(1.0, dtype=torch.float64), torch.tensor(h, dtype=torch.float64)
    return abs(((torch.exp(at + h) - torch.exp(at - h)) / (2 * h) - torch.e).item() / torch.e)


ratio = error_at(1e-1) / error_at(1e-2)
print(f"a tenth of the step: the error is {ratio:.0f} times smaller; at h = 1e-11 it is {error_at(1e-11):.0e} again")
assert 95 < ratio < 105
assert error_at(1e-11) > 1000 * error_at(1e-5)


# %% What torch does here
# torch.autograd.gradcheck compares its backward with central differences in float64, h = 1e-6, as above.
# Our pair becomes an operation that autograd records by giving the two halves to torch.autograd.Function.
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out, cache = square_forward(x)
        ctx.save_for_backward(cache)
        return out

    @staticmethod
    def backward(ctx, dout):
        return square_backward(dout, *ctx.saved_tensors)


points = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
print("gradcheck of our pair inside autograd:", torch.autograd.gradcheck(Square.apply, (points,)))
assert torch.autograd.gradcheck(Square.apply, (points,))

# %% Exercises
# 1. Write the pair for out = 1 / x and check it by a central difference in float64. Then forget the minus sign in your
#    backward: by how much is the check off?
# 2. Use the one-sided difference (f(x + h) - f(x)) / h in "How large should the step be?". Which power of h is its
#    right side now, and how much worse is its best error?
