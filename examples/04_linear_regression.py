"""04. Linear regression

What you learn: a line from noisy points by gradient descent, the cost as a surface over slope and bias, what a learning
rate does, nn.Linear and a module of your own doing the same, and many inputs and outputs at once.

Run: tinytorch lesson 04 (or python examples/04_linear_regression.py)
Time: about 6 s on 2 CPU cores

Expected output (excerpt):
    by hand and by autograd: the gradients agree to 1e-12: True
    lr 0.01: too small after 40 steps; lr 0.3: there; lr 1.1: diverged
    nn.Linear, our own module and our own loop: largest difference below 1e-12: True
    many outputs: weight (2, 3), equal to the least-squares solution: True
"""

# %% Points around a line
# 40 points of y = 2 x - 1 with noise of standard deviation 0.3. The model may choose a slope w and a bias b.
import torch

random = torch.Generator().manual_seed(0)
x = 2 * torch.rand(40, generator=random, dtype=torch.float64) - 1  # from -1 to 1
y = 2 * x - 1 + 0.3 * torch.randn(40, generator=random, dtype=torch.float64)
print(f"{len(x)} points, x from {x.min():.2f} to {x.max():.2f}, y from {y.min():.2f} to {y.max():.2f}")
assert x.shape == y.shape == (40,)


# %% The cost, and its gradient by hand
# **Mean squared error**: mean((w x + b - y)^2). By the chain rule its derivative is 2 error / N times x for the slope,
# and times 1 for the bias. (Why squares? If the noise is normally distributed, the probability of a point is
# proportional to e^(-error^2 / (2 s^2)); the -log of the product over all points is the sum of squares, up to
# constants. The line that makes the data most probable is the one with the least squares: **maximum likelihood**,
# lesson 06.)
def cost_and_gradient(w, b):
    error = w * x + b - y
    cost = (error**2).mean()
    derror = 2 * error / len(x)
    return cost, (derror * x).sum(), derror.sum()


cost, dw, db = cost_and_gradient(0.0, 0.0)
print(f"at w = 0, b = 0: cost {cost:.3f}, gradient ({dw:.3f}, {db:.3f})")
assert dw < 0  # the slope must grow
assert db > 0  # the bias must shrink

# %% The same gradient by autograd
w = torch.zeros((), dtype=torch.float64, requires_grad=True)
b = torch.zeros((), dtype=torch.float64, requires_grad=True)
torch.nn.functional.mse_loss(w * x + b, y).backward()
agree = abs(w.grad - dw) < 1e-12 and abs(b.grad - db) < 1e-12
print("by hand and by autograd: the gradients agree to 1e-12:", bool(agree))
assert agree


# %% Gradient descent
# Against the gradient, lr times as far as it is long, again and again. The path is kept for the picture.
def descend(lr, steps=40):
    w, b = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    path = []
    for _ in range(steps):
        cost, dw, db = cost_and_gradient(w, b)
        path.append((w.item(), b.item(), cost.item()))
        w, b = w - lr * dw, b - lr * db
    return w, b, torch.tensor(path, dtype=torch.float64)


w, b, path = descend(lr=0.3)
print(f"after 40 steps: y = {w:.3f} x + {b:.3f}, cost from {path[0, 2]:.3f} to {path[-1, 2]:.3f}")
assert abs(w - 2) < 0.2
assert abs(b + 1) < 0.2
assert path[-1, 2] < 0.15

# %% Where it must end
# For a line the best slope and bias are known: the solution of the least-squares problem. Descent finds the same.
design = torch.stack([x, torch.ones_like(x)], dim=1)  # (40, 2): a column for the slope, one for the bias
best = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
w, b, _ = descend(lr=0.3, steps=300)
print(f"least squares: {best[0]:.6f} x + {best[1]:.6f}; descent: {w:.6f} x + {b:.6f}")
assert abs(w - best[0]) < 1e-6
assert abs(b - best[1]) < 1e-6

# %% Three learning rates
# Too small and it is not there yet; too large and every step lands further up the opposite side.
lowest = cost_and_gradient(best[0], best[1])[0]
paths = {lr: descend(lr)[2] for lr in (0.01, 0.3, 1.1)}
above = {lr: (path[-1, 2] - lowest).item() for lr, path in paths.items()}
print("cost above the lowest after 40 steps:", {lr: f"{excess:.1e}" for lr, excess in above.items()})
print("lr 0.01: too small after 40 steps; lr 0.3: there; lr 1.1: diverged")
assert above[0.01] > 0.1
assert above[0.3] < 1e-3
assert above[1.1] > above[0.01]
assert paths[1.1][-1, 2] > paths[1.1][0, 2]

# %% How large is too large?
# The cost is a bowl. Cut it along a line through its lowest point, and the cut is a parabola, cost = c/2 * distance^2,
# whose second derivative c is called its **curvature**. A step of descent takes lr * c * distance, so it leaves (1 - lr
# c) of the distance: if the **learning rate** lr is above 2 / c, that is more than before, on the other side. The
# steepest cut decides. Its curvature is the largest **eigenvalue** of the matrix of second derivatives (the Hessian),
# here 2/N X^T X: along its eigenvector the matrix only multiplies by that number.
curvatures = torch.linalg.eigvalsh(2 / len(x) * design.T @ design)
limit = (2 / curvatures.max()).item()
below, beyond = descend(0.99 * limit, 200)[2], descend(1.01 * limit, 200)[2]
print(f"curvatures {curvatures[0]:.2f} and {curvatures[1]:.2f}: rates below {limit:.3f} converge")
assert below[-1, 2] < below[0, 2]
assert beyond[-1, 2] > beyond[0, 2]

# %% The surface, with the paths on it
# Every point of the plane is a line through the data; its height is that line's cost.
slopes, biases = torch.meshgrid(
    torch.linspace(-1.5, 4.5, 80, dtype=torch.float64),
    torch.linspace(-3.5, 1.5, 80, dtype=torch.float64),
    indexing="ij",
)
surface = ((slopes[..., None] * x + biases[..., None] - y) ** 2).mean(-1)  # (80, 80, 40) before the mean
lowest_at = surface.flatten().argmin()
print(f"lowest point of the grid: slope {slopes.flatten()[lowest_at]:.2f}, bias {biases.flatten()[lowest_at]:.2f}")
assert abs(slopes.flatten()[lowest_at] - best[0]) < 0.1
assert abs(biases.flatten()[lowest_at] - best[1]) < 0.1

# %% A folder for the pictures
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams["font.size"] = 13
print("pictures go to the folder", OUT.name)
assert OUT.is_dir()

# %% The points, and the line on its way
# What the surface means: each of its points is one of these lines.
figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
axes.scatter(x, y, color="#0072b2", edgecolor="black", label="data", zorder=3)
ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
for step, shade in ((0, "0.75"), (2, "0.6"), (5, "0.4"), (39, "#d55e00")):
    slope, offset, _ = paths[0.3][step]
    axes.plot(ends, slope * ends + offset, color=shade, linewidth=2.5, label=f"after {step} steps")
axes.set_xlabel("x", fontsize=14)
axes.set_ylabel("y", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "04_line.png", dpi=120)
fit = (paths[0.3][39, :2] - best).abs().max().item()
print(f"after 39 steps slope and bias are within {fit:.4f} of the best line's")
assert fit < 0.05

# %% Drawn for the three rates
# A white dot for each step, a star at the lowest point.
figure, panels = plt.subplots(1, 3, figsize=(12, 4.3), sharey=True, layout="constrained")
for axes, (lr, path) in zip(panels, paths.items(), strict=True):
    shown = axes.contourf(slopes, biases, surface, levels=20, cmap="cividis")
    axes.plot(path[:, 0], path[:, 1], "o-", color="white", markeredgecolor="black", markersize=5)
    axes.plot(*best, "*", color="#e69f00", markeredgecolor="black", markersize=18)
    axes.set(xlim=(-1.5, 4.5), ylim=(-3.5, 1.5))
    axes.set_xlabel("slope w", fontsize=14)
    axes.set_title(f"learning rate {lr}", fontsize=14)
panels[0].set_ylabel("bias b", fontsize=14)
figure.colorbar(shown, ax=panels).set_label("cost", fontsize=14)
figure.savefig(OUT / "04_cost_surface.png", dpi=120)


# %% nn.Linear, and a module of your own
# A module keeps its parameters under names and computes in forward. nn.Linear(1, 1) is w x + b for rows of one number.
class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x):
        return self.w * x + self.b


linear = torch.nn.Linear(1, 1, dtype=torch.float64)
for parameter in linear.parameters():
    torch.nn.init.zeros_(parameter)
print("parameters:", [name for name, _ in linear.named_parameters()], [name for name, _ in Line().named_parameters()])
assert [tuple(parameter.shape) for parameter in linear.parameters()] == [(1, 1), (1,)]


# %% The same steps, to the last digit
# zero_grad, forward, loss, backward, step: the loop of every training. SGD is our descent.
def train(module, inputs, targets, steps=40, lr=0.3):
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(inputs), targets).backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


ours = torch.stack(descend(lr=0.3)[:2])
by_linear, by_line = train(linear, x[:, None], y[:, None]), train(Line(), x, y)
difference = max((by_linear - ours).abs().max().item(), (by_line - ours).abs().max().item())
print("nn.Linear, our own module and our own loop: largest difference below 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% Many inputs, many outputs
# With three inputs and two outputs the slope becomes a matrix (2, 3), the bias has 2 numbers, the formulas stay: the
# course's own linear layer and loss, with their hand-written backward.
from tinytorch_course.scratch.losses import mse_loss_backward, mse_loss_forward
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward

inputs = torch.randn(100, 3, generator=random, dtype=torch.float64)
targets = inputs @ torch.randn(3, 2, generator=random, dtype=torch.float64) + 0.5
targets = targets + 0.1 * torch.randn(100, 2, generator=random, dtype=torch.float64)
weight, bias = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
for _ in range(200):
    out, cache = linear_forward(inputs, weight, bias)
    loss, loss_cache = mse_loss_forward(out, targets)
    dout = mse_loss_backward(torch.ones_like(loss), loss_cache)[0]
    _, dweight, dbias = linear_backward(dout, cache)
    weight, bias = weight - 0.5 * dweight, bias - 0.5 * dbias
print(f"many outputs: loss {loss:.4f}")
assert loss < 0.02

# %% Which is the least-squares solution again, and torch's
wide = torch.cat([inputs, torch.ones(100, 1, dtype=torch.float64)], dim=1)  # (100, 4)
solution = torch.linalg.lstsq(wide, targets).solution  # (4, 2): the weights' columns, and the biases below
module = torch.nn.Linear(3, 2, dtype=torch.float64)
for parameter in module.parameters():
    torch.nn.init.zeros_(parameter)
trained = train(module, inputs, targets, steps=200, lr=0.5)
to_solution = (torch.cat([weight.T, bias[None]]) - solution).abs().max()
to_torch = (torch.cat([weight.flatten(), bias]) - trained).abs().max()
print(f"many outputs: weight {tuple(weight.shape)}, equal to the least-squares solution: {bool(to_solution < 1e-8)}")
assert to_solution < 1e-8
assert to_torch < 1e-12

# %% What torch does here
# nn.Linear(in, out) holds weight (out, in) and computes x @ weight.T + bias. Its start is random, uniform within
# 1/sqrt(in) of 0: for one layer zeros do as well, for several they do not (lesson 09).
fresh = torch.nn.Linear(100, 50)
largest = fresh.weight.abs().max().item()
print(f"a fresh nn.Linear(100, 50): weight {tuple(fresh.weight.shape)}, the largest entry {largest:.3f}")
assert largest < 0.1 + 1e-6

# %% Exercises
# 1. Multiply x by 10 before training. Which learning rate is the largest that converges now, and why does everybody
#    normalise inputs?
# 2. Replace the squared error by the absolute one (L1, nn.L1Loss; its derivative is the sign of the error) and move one
#    point far away. Which of the two lines follows it? And with the Huber loss (nn.HuberLoss), square near 0, absolute
#    far out?
