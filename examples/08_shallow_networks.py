"""08. Shallow networks

What you learn: what one hidden layer adds (XOR, a spiral), sigmoid, tanh and ReLU, backpropagation written out, what
width buys and what each hidden unit draws, and how gradients vanish layer by layer.

Run: tinytorch lesson 08 (or python examples/08_shallow_networks.py)
Time: about 10 s on 2 CPU cores

Expected output (excerpt):
    XOR by a linear model: at most 3 of 4 right
    XOR by two hidden units, chosen by hand: [0.0, 1.0, 1.0, 0.0]
    backpropagation and autograd: gradients equal to 1e-12: True
    200 steps by hand and by torch: weights equal to 1e-9: True
"""

# %% XOR: no straight line will do
# Yes where exactly one input is 1. No straight cut gets all four right: it would need w2 + b > 0 and w1 + b > 0 (yes)
# but b <= 0 and w1 + w2 + b <= 0 (no). The first two add up to w1 + w2 + 2b > 0, the last two to at most 0:
# contradiction. Three of four can be had; 20,000 random cuts find nothing better.
import torch

corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
xor = torch.tensor([0.0, 1.0, 1.0, 0.0])
random = torch.Generator().manual_seed(0)
cuts = torch.randn(20000, 3, generator=random)  # two weights and a bias each
answers = corners @ cuts[:, :2].T + cuts[:, 2] > 0  # (4, 20000)
best = (answers == xor[:, None].bool()).sum(0).max().item()
print(f"XOR by a linear model: at most {best} of 4 right")
assert best == 3

# %% Two hidden units suffice
# relu(a + b) counts the ones; relu(a + b - 1) is 1 only for two of them, and is taken off twice.
hidden = torch.stack([corners.sum(1), corners.sum(1) - 1], dim=1).clamp_min(0)  # (4, 2)
out = hidden @ torch.tensor([1.0, -2.0])
print("XOR by two hidden units, chosen by hand:", out.tolist())
assert torch.equal(out, xor)

# %% Without a non-linearity nothing is gained
# Two linear layers are one: (x A^T) B^T = x (B A)^T.
a, b = torch.randn(8, 2, generator=random), torch.randn(1, 8, generator=random)
print("two linear layers equal one:", torch.allclose(corners @ a.T @ b.T, corners @ (b @ a).T, atol=1e-5))
assert torch.allclose(corners @ a.T @ b.T, corners @ (b @ a).T, atol=1e-5)

# %% Three activations and their slopes
# Sigmoid's slope is at most 1/4, tanh's and ReLU's 1. Far from 0 the slopes of sigmoid and tanh are almost 0 on both
# sides: they **saturate**. ReLU keeps its slope of 1 for every positive input, and has 0 for every negative one: a unit
# whose input is negative for all samples gets no gradient and stays as it is, a **dead unit**. Leaky ReLU (slope 0.01
# on the left) and GELU (smooth) leave it a way back.
z = torch.linspace(-6, 6, 241, dtype=torch.float64, requires_grad=True)
slopes = {}
for name in ("sigmoid", "tanh", "relu"):
    (slopes[name],) = torch.autograd.grad(getattr(torch, name)(z).sum(), z)
print(
    "largest slope, and slope at 6:", {n: (round(s.max().item(), 3), round(s[-1].item(), 5)) for n, s in slopes.items()}
)
assert slopes["sigmoid"].max() == 0.25
assert slopes["tanh"][-1] < 1e-4
assert slopes["relu"][-1] == 1
assert slopes["relu"][0] == 0

# %% Drawn: activations and their slopes
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
figure, panels = plt.subplots(1, 4, figsize=(15, 4.2), layout="constrained")
curves = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu}
for axes, (name, curve) in zip(panels, curves.items(), strict=True):
    (slope,) = torch.autograd.grad(curve(z).sum(), z)
    axes.plot(z.detach(), curve(z).detach(), color="#0072b2", linewidth=3, label="value")
    axes.plot(z.detach(), slope, "--", color="#d55e00", linewidth=3, label="slope")
    axes.set(ylim=(-1.2, 2.2), xlabel="input z")
    axes.set_title(name, fontsize=16)
panels[0].legend(fontsize=13, loc="upper left")
figure.savefig(OUT / "08_activations.png", dpi=120)

# %% A dead unit
# A unit with ReLU and a bias of -10: negative for every sample, so its gradient is 0 for all of them, and no step of
# any optimizer brings it back. With leaky ReLU it gets a small gradient, and returns.
samples = torch.randn(100, 3, generator=random)
gradient = {}
for name, activation in (("relu", torch.relu), ("leaky", torch.nn.functional.leaky_relu)):
    weight, bias = torch.ones(3, requires_grad=True), torch.tensor(-10.0, requires_grad=True)
    activation(samples @ weight + bias).sum().backward()
    gradient[name] = bias.grad.item()
print("gradient of the bias of a unit that is off for all samples:", {n: round(g, 2) for n, g in gradient.items()})
assert gradient["relu"] == 0
assert abs(gradient["leaky"] - 1) < 1e-4  # 100 samples times 0.01

# %% Any curve, from kinks
# A layer of ReLUs is a sum of kinks, and with enough of them it follows every continuous curve as closely as one likes
# (**universal approximation**). Here kinks at even distances, with the outer weights by least squares. Each doubling of
# the units divides the largest error by about four.
line = torch.linspace(-3, 3, 601, dtype=torch.float64)
target = torch.sin(2 * line) + 0.3 * line
largest = {}
for units in (8, 16, 32, 64):
    kinks = torch.linspace(-3, 3, units + 1, dtype=torch.float64)[:-1]
    hidden = torch.cat([torch.relu(line[:, None] - kinks), torch.ones(601, 1)], dim=1)  # (601, units + 1)
    outer = torch.linalg.lstsq(hidden, target[:, None]).solution
    largest[units] = (hidden @ outer - target[:, None]).abs().max().item()
print("largest error of the approximation, by units:", {units: f"{error:.4f}" for units, error in largest.items()})
assert largest[8] > 2 * largest[16] > 4 * largest[32] > 8 * largest[64]

# %% A spiral
# Two arms of 100 points that wind around each other, once and a third.
turn = torch.linspace(0.3, 1, 100, dtype=torch.float64)
arm = torch.stack([turn * torch.cos(12 * turn), turn * torch.sin(12 * turn)], dim=1)
x = torch.cat([arm, -arm]) + 0.02 * torch.randn(200, 2, generator=random, dtype=torch.float64)
y = torch.cat([torch.zeros(100, 1), torch.ones(100, 1)]).double()
print(f"spiral: {tuple(x.shape)} points, {int(y.sum())} of them on the second arm")
assert x.shape == (200, 2)


# %% Backpropagation, written out
# **Backpropagation** is the chain rule, carried out from the loss to the input, each line of forward answered by a line
# of backward. Nothing is computed twice: what arrives at a value (dhidden, dz) is used for its parameters and handed
# on. Forward: hidden = tanh(x w1^T + b1), logit = hidden w2^T + b2. The lines of the linear layers are those of lesson
# 02, dlogit is that of lesson 06.
def loss_and_gradients(w1, b1, w2, b2):
    hidden = torch.tanh(x @ w1.T + b1)  # (N, width)
    logit = hidden @ w2.T + b2  # (N, 1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, y)
    dlogit = (torch.sigmoid(logit) - y) / len(x)
    dw2, db2 = dlogit.T @ hidden, dlogit.sum(0)
    dhidden = dlogit @ w2
    dz = dhidden * (1 - hidden**2)  # tanh' = 1 - tanh^2
    dw1, db1 = dz.T @ x, dz.sum(0)
    return loss, [dw1, db1, dw2, db2]


# %% The start
# Random weights and biases, the same ones every time it is called.
def start(width):
    random = torch.Generator().manual_seed(1)
    shapes, wide = [(width, 2), (width,), (1, width), (1,)], [2, 1, 1, 1]  # w1 twice as wide as the others
    draws = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    return [factor * draw for factor, draw in zip(wide, draws, strict=True)]


first = loss_and_gradients(*start(16))
print("loss at the start:", f"{first[0]:.3f}; gradients:", [tuple(gradient.shape) for gradient in first[1]])
assert [gradient.shape for gradient in first[1]] == [parameter.shape for parameter in start(16)]
assert torch.equal(start(16)[0], start(16)[0])


# %% Autograd agrees
leaves = [parameter.requires_grad_() for parameter in start(16)]
hidden = torch.tanh(x @ leaves[0].T + leaves[1])
torch.nn.functional.binary_cross_entropy_with_logits(hidden @ leaves[2].T + leaves[3], y).backward()
loss, gradients = loss_and_gradients(*start(16))
difference = max((mine - leaf.grad).abs().max().item() for mine, leaf in zip(gradients, leaves, strict=True))
print("backpropagation and autograd: gradients equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% Training by hand, against torch's
# Gradient descent on the lines above, and nn.Sequential with SGD from the same start.
ours = start(16)
for _ in range(200):
    ours = [p - 0.1 * dp for p, dp in zip(ours, loss_and_gradients(*ours)[1], strict=True)]
network = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
torch.nn.utils.vector_to_parameters(torch.cat([p.flatten() for p in start(16)]), network.parameters())
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.binary_cross_entropy_with_logits(network(x), y).backward()
    optimizer.step()
difference = max((p - q).abs().max().item() for p, q in zip(ours, network.parameters(), strict=True))
print("200 steps by hand and by torch: weights equal to 1e-9:", difference < 1e-9)
assert difference < 1e-9

# %% Width
# Each hidden unit draws one soft line through the plane. Two are too few for the spiral.
from tinytorch_course.scratch.optimizers import adam

right, trained = {}, {}
for width in (2, 8, 32):
    names = ["w1", "b1", "w2", "b2"]
    params, optimizer = dict(zip(names, start(width), strict=True)), adam(lr=0.05)
    state = optimizer.init(params)
    for _ in range(600):
        loss, gradients = loss_and_gradients(*params.values())
        params, state = optimizer.update(params, dict(zip(names, gradients, strict=True)), state)
    w1, b1, w2, b2 = trained[width] = params.values()
    right[width] = (((torch.tanh(x @ w1.T + b1) @ w2.T + b2 > 0) == (y > 0.5)).double().mean()).item()
print("right on the spiral, by width:", {width: f"{share:.0%}" for width, share in right.items()})
assert right[2] < 0.8
assert right[32] > 0.97

# %% Every point of the plane
# The answers on a grid of 200 x 200 points, and where each hidden unit's input is 0: a straight line.
axis = torch.linspace(-1.2, 1.2, 200, dtype=torch.float64)
grid = torch.cartesian_prod(axis, axis)  # (40000, 2)
maps = {}
for width, (w1, b1, w2, b2) in trained.items():
    units = grid @ w1.T + b1  # (40000, width)
    maps[width] = units, torch.tanh(units) @ w2.T + b2 > 0
print("share of the plane that is yes:", {width: f"{yes.double().mean():.0%}" for width, (_, yes) in maps.items()})
assert all(0.1 < yes.double().mean() < 0.9 for _, yes in maps.values())

# %% Drawn: the regions, and the line of each hidden unit
figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), sharey=True, layout="constrained")
for axes, (width, (units, yes)) in zip(panels, maps.items(), strict=True):
    answers = yes.double().reshape(200, 200).T
    axes.contourf(axis, axis, answers, levels=[-0.5, 0.5, 1.5], colors=["#0072b2", "#e69f00"], alpha=0.35)
    for unit in units.T:
        axes.contour(axis, axis, unit.reshape(200, 200).T, levels=[0], colors="black", linewidths=0.6)
    for arm, color, marker in ((x[:100], "#0072b2", "o"), (x[100:], "#e69f00", "s")):
        axes.scatter(*arm.T, color=color, marker=marker, s=18, edgecolor="black", linewidth=0.5)
    axes.set_title(f"{width} hidden units: {right[width]:.0%} right", fontsize=14)
    axes.set_xlabel("first input", fontsize=13)
panels[0].set_ylabel("second input", fontsize=13)
figure.savefig(OUT / "08_width.png", dpi=120)


# %% Vanishing gradients, layer by layer
# Ten layers of 64. At each, the gradient is multiplied by the weights (which with variance 1/64 keep its length on
# average) and by the activation's slope. Sigmoid's is at most 1/4: after ten layers the gradient has **vanished**.
# tanh's is near 1 as long as its inputs are small, and they stay small, because tanh shrinks what passes: so here its
# gradient does not vanish. ReLU's slope is 1 for half of the inputs, 0 for the others, and weights of variance 2/64
# make up for that half (lesson 09). Printed: the norm of the first layer's gradient over that of the last's.
def norms(activation, variance):
    draw = torch.Generator().manual_seed(2)
    weights = [(torch.randn(64, 64, generator=draw) * variance**0.5).requires_grad_() for _ in range(10)]
    out = torch.randn(128, 64, generator=draw)
    for weight in weights:
        out = activation(out @ weight.T)
    (out * torch.randn(128, 64, generator=draw)).sum().backward()
    return [weight.grad.norm().item() for weight in weights]


depths = {"sigmoid": norms(torch.sigmoid, 1 / 64), "tanh": norms(torch.tanh, 1 / 64), "relu": norms(torch.relu, 2 / 64)}
print("first layer's gradient over the last's:", {name: f"{n[0] / n[-1]:.0e}" for name, n in depths.items()})
assert depths["sigmoid"][0] / depths["sigmoid"][-1] < 1e-4
assert depths["relu"][0] / depths["relu"][-1] > 0.1
assert 0.1 < depths["tanh"][0] / depths["tanh"][-1] < 10

# %% Exploding gradients
# The other way is as easy: with weights 2.5 times as large, each ReLU layer makes the gradient longer instead. The
# first steps then throw the parameters far away, and the loss soon is nan. What helps: the right start, normalisation
# (lesson 09), and **clipping** the gradient to a length (lesson 22).
exploding = norms(torch.relu, 2.5**2 * 2 / 64)
print(f"weights 2.5 times as large: norms {exploding[0]:.0e}, against {depths['relu'][0]:.0e}")
assert exploding[0] > 1000 * depths["relu"][0]

# %% Drawn
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
for (name, values), color, marker in zip(depths.items(), ("#0072b2", "#e69f00", "#009e73"), "os^", strict=True):
    axes.semilogy(range(1, 11), values, color=color, marker=marker, label=name)
axes.set_xlabel("layer, from the input", fontsize=14)
axes.set_ylabel("norm of the weight's gradient", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "08_vanishing.png", dpi=120)

# %% What torch does here
# nn.Sequential composes forward, and autograd's record composes backward: dz = dhidden * (1 - hidden^2) is the one line
# of TanhBackward0, which keeps its output as we do.
node = torch.tanh(torch.ones(2, requires_grad=True)).grad_fn
print("torch's tanh keeps its result:", torch.equal(node._saved_result, torch.tanh(torch.ones(2))))
assert torch.equal(node._saved_result, torch.tanh(torch.ones(2)))

# %% Exercises
# 1. Replace tanh by ReLU in "Backpropagation, written out". Which two lines change?
# 2. Train XOR with two hidden ReLU units from twenty random starts. How often does it fail, and what do the failures
#    have in common?
