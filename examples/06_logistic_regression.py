"""06. Logistic regression

What you learn: the sigmoid, how maximum likelihood gives cross-entropy, why squared error fails (its surface is flat),
why a loss takes logits and not probabilities, and nn.Sequential, nn.ModuleList and a module of your own.

Run: tinytorch lesson 06 (or python examples/06_logistic_regression.py)
Time: about 10 s on 2 CPU cores

Expected output (excerpt):
    -log of the likelihood and the cross-entropy agree to 1e-12: True
    gradient by hand, (p - y) x / N, and by autograd agree to 1e-12: True
    logit -200, target 1: BCE of the sigmoid 100.0 (torch's bound), BCE with logits 200.0
    Sequential, ModuleList and our own module end at the same weights: True
"""

# %% The sigmoid
# It turns any number into a probability; its inverse, the logit, is log(p / (1 - p)). Its slope is s (1 - s), at most
# 1/4, and nearly 0 where it is sure of itself.
import torch

z = torch.tensor([-10.0, -1.0, 0.0, 1.0, 10.0], dtype=torch.float64)
s = 1 / (1 + torch.exp(-z))
slope = s * (1 - s)
print("sigmoid:", [f"{p:.4f}" for p in s], " slope:", [f"{p:.4f}" for p in slope])
assert torch.allclose(s, torch.sigmoid(z))
assert torch.allclose(torch.log(s / (1 - s)), z)
assert slope.max() == 0.25

# %% Yes and no along a line
# 100 points; the larger x, the more likely a yes (1). No boundary separates them without error.
random = torch.Generator().manual_seed(0)
x = 6 * torch.rand(100, generator=random, dtype=torch.float64) - 3
y = (torch.rand(100, generator=random, dtype=torch.float64) < torch.sigmoid(2 * x - 1)).double()
print(f"{int(y.sum())} times yes; the largest no at {x[y == 0].max():.2f}, the smallest yes at {x[y == 1].min():.2f}")
assert x[y == 0].max() > x[y == 1].min()

# %% Maximum likelihood gives cross-entropy
# A yes of probability p is a Bernoulli variable: what was seen has probability p^y (1-p)^(1-y). The likelihood of all
# is the product. Its -log, divided by N, is the mean of -(y log p + (1 - y) log(1 - p)): binary cross-entropy.
p = torch.sigmoid(2 * x - 1)
likelihood = torch.where(y == 1, p, 1 - p).prod()
cross_entropy = -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()
agree = abs(-torch.log(likelihood) / 100 - cross_entropy).item() < 1e-12
print(f"likelihood {likelihood:.1e}, cross-entropy {cross_entropy:.4f}")
print("-log of the likelihood and the cross-entropy agree to 1e-12:", agree)
assert agree


# %% The gradient is short
# Sigmoid's slope p (1 - p) cancels against the loss's 1 / (p (1 - p)): what remains is (p - y), times x for the slope.
def gradient(w, b):
    dlogit = (1 / (1 + torch.exp(-(w * x + b))) - y) / len(x)
    return (dlogit * x).sum(), dlogit.sum()


w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
b = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
torch.nn.functional.binary_cross_entropy_with_logits(w * x + b, y).backward()
dw, db = gradient(w.detach(), b.detach())
agree = max(abs(dw - w.grad), abs(db - b.grad)).item() < 1e-12
print("gradient by hand, (p - y) x / N, and by autograd agree to 1e-12:", agree)
assert agree

# %% Training by hand
w, b = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
for _ in range(1000):
    dw, db = gradient(w, b)
    w, b = w - 0.5 * dw, b - 0.5 * db
right = ((w * x + b > 0) == (y == 1)).double().mean().item()
print(f"w = {w:.2f}, b = {b:.2f} (drawn with 2 and -1); {right:.0%} right; at the end |dw| = {abs(dw):.0e}")
assert right > 0.8
assert abs(dw) < 1e-6

# %% Why not squared error?
# With p - y squared, the slope p (1 - p) stays in the gradient. Confidently wrong, p (1 - p) is almost 0: the worse the
# answer, the less is learnt. Here a start with the wrong sign, w = -10.
far_w = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
probabilities = torch.sigmoid(far_w * x)
(squared_gradient,) = torch.autograd.grad(((probabilities - y) ** 2).mean(), far_w)
(entropy_gradient,) = torch.autograd.grad(torch.nn.functional.binary_cross_entropy_with_logits(far_w * x, y), far_w)
print(f"at w = -10: gradient of squared error {squared_gradient:.4f}, of cross-entropy {entropy_gradient:.4f}")
assert abs(squared_gradient) < abs(entropy_gradient) / 20

# %% What that costs
# From w = -10 both go downhill with the same learning rate. How many steps until 80 % are right? Guess first.
counts = {}
for name in ("cross-entropy", "squared error"):
    w_far, b_far, step = torch.tensor(-10.0).double(), torch.tensor(0.0).double(), 0
    while ((w_far * x + b_far > 0) == (y == 1)).double().mean() < 0.8:
        p = torch.sigmoid(w_far * x + b_far)
        dlogit = (p - y) / 100 if name == "cross-entropy" else 2 * (p - y) * p * (1 - p) / 100
        w_far, b_far, step = w_far - 0.5 * (dlogit * x).sum(), b_far - 0.5 * dlogit.sum(), step + 1
    counts[name] = step
print("steps from w = -10 to 80 % right:", counts)
assert counts["cross-entropy"] < 100
assert counts["squared error"] > 10000

# %% The two surfaces
# Cross-entropy is **convex**: a bowl, however far away one starts. Squared error has a **plateau**, high up and without
# a slope. Convex means: along every straight line the second difference is nowhere negative. Along four directions:
ws, bs = torch.meshgrid(
    torch.linspace(-15, 15, 80, dtype=torch.float64), torch.linspace(-15, 15, 80, dtype=torch.float64), indexing="ij"
)
logits = ws[..., None] * x + bs[..., None]  # (80, 80, 100)
squared = ((torch.sigmoid(logits) - y) ** 2).mean(-1)
entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, y.expand_as(logits), reduction="none").mean(-1)


def bends(z):  # along w, along b, and along the two diagonals
    middle = 2 * z[1:-1, 1:-1]
    along = (z[2:, 1:-1] + z[:-2, 1:-1], z[1:-1, 2:] + z[1:-1, :-2], z[2:, 2:] + z[:-2, :-2], z[2:, :-2] + z[:-2, 2:])
    return torch.stack([sides - middle for sides in along])


bend, squared_bend = bends(entropy), bends(squared)
print(f"smallest second difference: cross-entropy {bend.min():.1e}, squared error {squared_bend.min():.1e}")
assert bend.min() > -1e-9
assert squared_bend.min() < -1e-3

# %% The S through the points, and the likelihood
# Left: the data, and the probability of yes that the model gives. Right: how probable the data are for each w (b as
# trained): the maximum is where descent has arrived.
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, (left, right_panel) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
left.scatter(x, y, color="#0072b2", edgecolor="black", label="data: no (0), yes (1)")
line = torch.linspace(-3, 3, 200, dtype=torch.float64)
left.plot(line, torch.sigmoid(w * line + b), color="#d55e00", linewidth=3, label="probability of yes")
left.axvline((-b / w).item(), color="black", linestyle=":", label="decision boundary, p = 1/2")
left.set(xlabel="x", ylabel="probability")
left.legend(fontsize=11)
slopes = torch.linspace(0.2, 5, 200, dtype=torch.float64)
p = torch.sigmoid(slopes[:, None] * x + b)
likelihoods = torch.where(y == 1, p, 1 - p).prod(1)
right_panel.plot(slopes, likelihoods, color="#0072b2", linewidth=3)
right_panel.axvline(w.item(), color="#d55e00", linestyle="--", label="w found by descent")
right_panel.set(xlabel="weight w", ylabel="likelihood of the data")
right_panel.legend(fontsize=11)
figure.savefig(OUT / "06_likelihood.png", dpi=120)
print(f"most likely w on the grid {slopes[likelihoods.argmax()]:.2f}, found by descent {w:.2f}")
assert abs(slopes[likelihoods.argmax()] - w) < 0.05

# %% The two surfaces, drawn beside each other
plt.rcParams["font.size"] = 11
figure, panels = plt.subplots(1, 2, figsize=(12, 5.5), subplot_kw={"projection": "3d"}, layout="constrained")
for axes, surface, title in zip(panels, (squared, entropy), ("squared error", "cross-entropy"), strict=True):
    axes.plot_surface(ws, bs, surface, cmap="cividis")
    axes.set_xlabel("weight w", fontsize=13)
    axes.set_ylabel("bias b", fontsize=13)
    axes.set_title(f"height: {title}", fontsize=16)
figure.savefig(OUT / "06_two_surfaces.png", dpi=120)

# %% Probabilities lose what logits keep
# In float32 the sigmoid of 20 is exactly 1, so log(1 - p) is log 0. torch bounds it by -100; the gradient is lost. From
# logits, -log sigmoid(z) is log(1 + e^-z) = max(-z, 0) + log(1 + e^-|z|), which overflows nowhere.
logit, yes = torch.tensor(-200.0), torch.tensor(1.0)
bounded = torch.nn.functional.binary_cross_entropy(torch.sigmoid(logit), yes).item()
exact = torch.nn.functional.binary_cross_entropy_with_logits(logit, yes).item()
by_hand = ((-logit).clamp_min(0) + torch.log1p(torch.exp(-logit.abs()))).item()
plain = torch.log(1 + torch.exp(-logit)).item()
print(f"logit -200, target 1: BCE of the sigmoid {bounded} (torch's bound), BCE with logits {exact}")
print(f"log(1 + e^200) as it stands: {plain}; written without overflow: {by_hand}")
assert torch.sigmoid(torch.tensor(20.0)) == 1
assert (bounded, exact, by_hand, plain) == (100, 200, 200, float("inf"))


# %% Layers in a list
# ModuleList only holds its layers, and forward says what to do with them. A plain list would hide their parameters from
# the optimizer.
class FromList(torch.nn.Module):
    def __init__(self, hold=torch.nn.ModuleList):
        super().__init__()
        self.layers = hold([torch.nn.Linear(1, 1, dtype=torch.float64)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


print("parameters in a ModuleList:", list(FromList().state_dict()), "in a list:", list(FromList(list).state_dict()))
assert list(FromList().state_dict()) == ["layers.0.weight", "layers.0.bias"]
assert list(FromList(list).parameters()) == []


# %% Three ways to write a network in torch
# Sequential calls its layers in order; the list is as above; a module of your own may hold anything, under any name.
class Logistic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1, dtype=torch.float64)

    def forward(self, x):
        return self.linear(x)  # the logit


networks = [torch.nn.Sequential(torch.nn.Linear(1, 1, dtype=torch.float64)), FromList(), Logistic()]
print("parameters:", [list(network.state_dict()) for network in networks])
assert [next(iter(network.state_dict())) for network in networks] == ["0.weight", "layers.0.weight", "linear.weight"]

# %% All of them, and our loop, do the same
ends = []
for network in networks:
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(1000):
        optimizer.zero_grad()
        torch.nn.BCEWithLogitsLoss()(network(x[:, None]), y[:, None]).backward()
        optimizer.step()
    ends.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
same = all(torch.allclose(end, torch.stack([w, b]), rtol=0, atol=1e-10) for end in ends)
print("Sequential, ModuleList and our own module end at the same weights:", same)
assert same

# %% What torch does here
# BCEWithLogitsLoss is the formula without overflow; the course's own, with its hand-written backward, is beside it.
from tinytorch_course.scratch.losses import (
    binary_cross_entropy_with_logits_backward,
    binary_cross_entropy_with_logits_forward,
)

leaf = (w * x + b).requires_grad_()
torch.nn.BCEWithLogitsLoss()(leaf, y).backward()
loss, cache = binary_cross_entropy_with_logits_forward(leaf.detach(), y)
dlogits, _ = binary_cross_entropy_with_logits_backward(torch.ones_like(loss), cache)
print(f"loss {loss:.4f}; gradients agree to 1e-12: {bool((dlogits - leaf.grad).abs().max() < 1e-12)}")
assert (dlogits - leaf.grad).abs().max() < 1e-12

# %% Exercises
# 1. Remove every no above the smallest yes, so that a boundary without error exists. What do w and the loss do when you
#    train ten times as long, and why?
# 2. In "What that costs", derive the line of squared error yourself. Then draw |dlogit| of both losses against the
#    logit of a sample whose answer is yes: where does each of them learn most?
