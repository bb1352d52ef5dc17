"""05. Stochastic and mini-batch descent

What you learn: batch, stochastic and mini-batch descent (cost per epoch, noise, time), training, validation and test
splits, under- and overfitting, choosing a rate and a batch size on validation data, and early stopping.

Run: tinytorch lesson 05 (or python examples/05_stochastic_and_mini_batch_descent.py)
Time: about 20 s on 2 CPU cores

Expected output (excerpt):
    the samples' gradients average to the whole one, to 1e-12: True
    four times the samples in a batch halve the noise of its gradient: True
    our loop, and torch's DataLoader and SGD: largest difference below 1e-12: True
    degree 1 underfits, degree 15 overfits, validation chooses degree ...
    the best of the grid: rate ..., batches of ...
    four batches of 16, accumulated, and one of 64: gradients equal to 1e-12: True
"""

# %% Many points around a line
# 400 points of y = 2 x - 1 with noise, and the squared error of a line with slope w and bias b, as in lesson 04. The
# gradient is given sample by sample here, a row each.
import torch

random = torch.Generator().manual_seed(0)
x = 2 * torch.rand(400, generator=random, dtype=torch.float64) - 1
y = 2 * x - 1 + 0.5 * torch.randn(400, generator=random, dtype=torch.float64)


def sample_gradients(point, chosen):
    w, b = point
    error = w * x[chosen] + b - y[chosen]
    return torch.stack([2 * error * x[chosen], 2 * error], dim=1)  # (samples, 2)


leaf = torch.zeros(2, dtype=torch.float64, requires_grad=True)
torch.nn.functional.mse_loss(leaf[0] * x + leaf[1], y).backward()
whole = sample_gradients(leaf.detach(), slice(None)).mean(0)
print("the samples' gradients average to the whole one, to 1e-12:", bool((whole - leaf.grad).abs().max() < 1e-12))
assert (whole - leaf.grad).abs().max() < 1e-12

# %% A few samples estimate the gradient of all
# The mean over a batch drawn at random is right on average. Its standard deviation falls with the root of the batch's
# size: four times the work for half the noise, which is why small batches pay.
noise = {}
for size in (1, 4, 16, 64):
    chosen = torch.randint(0, 400, (20000, size), generator=random)  # 20,000 batches
    estimates = sample_gradients((0.0, 0.0), chosen.flatten()).reshape(20000, size, 2).mean(1)
    noise[size] = (estimates - whole).norm(dim=1).square().mean().sqrt().item()
    assert (estimates.mean(0) - whole).abs().max() < 0.1
ratios = [noise[size] / noise[4 * size] for size in (1, 4, 16)]
halves = all(1.8 < ratio < 2.2 for ratio in ratios)
print("noise of the gradient:", {size: f"{value:.2f}" for size, value in noise.items()})
print("four times the samples in a batch halve the noise of its gradient:", halves)
assert halves


# %% One loop for all three
# A new order each epoch, cut into batches, a step for each. Batches of 400 are batch descent, of 1 stochastic descent,
# anything between is called mini-batch.
def cost(point):
    return ((point[0] * x + point[1] - y) ** 2).mean().item()


def descend(size, epochs, rate, decay=1.0):
    orders = torch.Generator().manual_seed(1)
    point = torch.zeros(2, dtype=torch.float64)
    path, costs = [point], [cost(point)]
    for epoch in range(epochs):
        for chosen in torch.randperm(400, generator=orders).split(size):
            point = point - rate * decay**epoch * sample_gradients(point, chosen).mean(0)
            path.append(point)
        costs.append(cost(point))
    return torch.stack(path), torch.tensor(costs, dtype=torch.float64)


# %% Cost per epoch
# An epoch reads every sample once, whatever the batch. A batch of all makes one step of it, batches of 1 make 400.
design = torch.stack([x, torch.ones_like(x)], dim=1)
best = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
kinds = {"batch": 400, "mini-batch": 20, "stochastic": 1}
runs = {name: descend(size, epochs=5, rate=0.1) for name, size in kinds.items()}
for name, (path, costs) in runs.items():
    above = [f"{value - cost(best):.4f}" for value in costs]
    print(f"{name}: {len(path) - 1} steps, cost above the lowest after each epoch: {above}")
after = {name: costs[-1].item() - cost(best) for name, (path, costs) in runs.items()}
assert after["batch"] > 0.1  # five steps are not enough
assert after["mini-batch"] < after["batch"] / 100
assert after["mini-batch"] < after["stochastic"]  # which is there early, but does not come to rest

# %% Time per epoch
# A step costs much the same for 1 sample as for 20: it is the call that takes time, and a processor computes 20 numbers
# nearly as fast as one. So stochastic descent is slow where it is taken literally. (The fastest of three epochs each.)
import time

seconds = {name: [] for name in kinds}
for name, size in 3 * list(kinds.items()):
    start = time.perf_counter()
    descend(size, epochs=1, rate=0.1)
    seconds[name].append(time.perf_counter() - start)
print("milliseconds an epoch:", {name: f"{1000 * min(times):.1f}" for name, times in seconds.items()})
assert min(seconds["stochastic"]) > 3 * min(seconds["batch"])

# %% The noise that stays
# At the lowest point single gradients are not 0, only their mean is. With a constant rate the path never rests: its
# cost stays above the lowest by an amount proportional to the rate. A rate that shrinks makes it rest.
above = {}
for rate in (0.1, 0.01):
    costs = descend(1, epochs=40, rate=rate)[1]
    above[rate] = (costs[20:] - cost(best)).mean().item()
shrinking = (descend(1, epochs=40, rate=0.1, decay=0.8)[1][-1] - cost(best)).item()
print(f"cost above the lowest: rate 0.1 {above[0.1]:.4f}, rate 0.01 {above[0.01]:.5f}, shrinking {shrinking:.1e}")
assert 4 < above[0.1] / above[0.01] < 25
assert shrinking < above[0.01] / 10

# %% Batch size and learning rate
# A gradient is the true one plus noise. Far from the minimum the true one dominates, and a batch of 16 gives as long a
# gradient as one of 64. At the minimum only the noise is left, and a batch of 16 gives one twice as long. So a larger
# batch can bear a larger **learning rate**; the **linear scaling rule** (Goyal et al., 2017) raises it by the same
# factor as the batch. It is a rule of thumb with a limit: the rate above which descent diverges even without noise.
lengths, draws = {}, torch.Generator().manual_seed(2)
for place, point in (("start", (0.0, 0.0)), ("minimum", tuple(best.tolist()))):
    for size in (16, 64):
        chosen = torch.randint(0, 400, (20000, size), generator=draws)
        estimates = sample_gradients(point, chosen.flatten()).reshape(20000, size, 2).mean(1)
        lengths[place, size] = estimates.norm(dim=1).square().mean().sqrt().item()  # root mean square
    print(f"at the {place}: {lengths[place, 16]:.3f} long in batches of 16, {lengths[place, 64]:.3f} in batches of 64")
assert lengths["start", 16] < 1.2 * lengths["start", 64]
assert 1.8 < lengths["minimum", 16] / lengths["minimum", 64] < 2.2

# %% The ground under the paths
# The cost of every slope and bias. Its lowest point is the best line's, where the cost is that of the noise: 0.5^2.
slopes, biases = torch.meshgrid(torch.linspace(-0.5, 3, 70), torch.linspace(-2, 0.5, 70), indexing="ij")
surface = (slopes[..., None] * x + biases[..., None] - y).square().mean(-1)
print(f"lowest cost of the grid {surface.min():.4f}, of all lines {cost(best):.4f}")
assert 0 < surface.min() - cost(best) < 1e-3
assert 0.2 < cost(best) < 0.3

# %% The three paths, drawn
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), sharey=True, layout="constrained")
for axes, (name, (path, _)) in zip(panels, runs.items(), strict=True):
    axes.contourf(slopes, biases, surface, levels=20, cmap="cividis")
    axes.plot(path[:, 0], path[:, 1], ".-", color="white", markersize=7, linewidth=1)
    axes.plot(*best, "*", color="#e69f00", markeredgecolor="black", markersize=18)
    axes.set_title(f"{name}: {len(path) - 1} steps in 5 epochs", fontsize=14)
    axes.set_xlabel("slope w", fontsize=14)
panels[0].set_ylabel("bias b", fontsize=14)
figure.savefig(OUT / "05_three_paths.png", dpi=120)

# %% The same by DataLoader and SGD
# torch.optim.SGD knows nothing of batches: it takes the gradient it is given. What makes it stochastic is the loader.
orders = torch.Generator().manual_seed(1)
linear = torch.nn.Linear(1, 1, dtype=torch.float64)
for parameter in linear.parameters():
    torch.nn.init.zeros_(parameter)
optimizer = torch.optim.SGD(linear.parameters(), lr=0.1)
samples = torch.utils.data.TensorDataset(x[:, None], y[:, None])
for order in [torch.randperm(400, generator=orders).tolist() for _ in range(5)]:
    for inputs, targets in torch.utils.data.DataLoader(samples, batch_size=20, sampler=order):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(linear(inputs), targets).backward()
        optimizer.step()
end = torch.cat([parameter.detach().flatten() for parameter in linear.parameters()])
difference = (end - runs["mini-batch"][0][-1]).abs().max().item()
print("our loop, and torch's DataLoader and SGD: largest difference below 1e-12:", difference < 1e-12)
assert difference < 1e-12


# %% Three splits
# Training data fit the model, validation data choose among models, test data judge the chosen one, once. Here points of
# a sine with noise: 20, 200 and 200 of them.
def sine(count):
    inputs = 2 * torch.rand(count, generator=random, dtype=torch.float64) - 1
    return inputs, torch.sin(3 * inputs) + 0.3 * torch.randn(count, generator=random, dtype=torch.float64)


splits = {"train": sine(20), "val": sine(200), "test": sine(200)}
print("samples:", {name: len(inputs) for name, (inputs, _) in splits.items()})
assert not set(splits["train"][0].tolist()) & set(splits["val"][0].tolist())  # no sample is in two of them


# %% Polynomials, fitted by least squares
# A degree is a number of columns: the powers of x from 0 on.
def powers(inputs, degree):
    return torch.stack([inputs**k for k in range(degree + 1)], dim=1)


def fit(degree, inputs, targets):
    return torch.linalg.lstsq(powers(inputs, degree), targets[:, None]).solution


def error(coefficients, inputs, targets):
    return ((powers(inputs, len(coefficients) - 1) @ coefficients)[:, 0] - targets).square().mean().item()


line = fit(1, *splits["train"])
print(f"the best line: slope {line[1].item():.2f}, mean squared error {error(line, *splits['train']):.3f}")
assert all(error(line * factor, *splits["train"]) > error(line, *splits["train"]) for factor in (0.95, 1.05))

# %% Underfitting and overfitting
# The error on the training data can only fall with the degree, since each contains those below it. On other data it
# falls first, and rises when the curve begins to follow the noise.
fits = {degree: fit(degree, *splits["train"]) for degree in range(1, 16)}
errors = {name: [error(fits[degree], *splits[name]) for degree in fits] for name in ("train", "val")}
chosen = 1 + min(range(15), key=lambda i: errors["val"][i])
for degree in (1, chosen, 15):
    print(f"degree {degree}: mean squared error", {name: f"{errors[name][degree - 1]:.3f}" for name in errors})
print(f"the chosen one on the test data, asked once: {error(fits[chosen], *splits['test']):.3f}")
print(f"degree 1 underfits, degree 15 overfits, validation chooses degree {chosen}")
assert all(a >= b - 1e-9 for a, b in zip(errors["train"], errors["train"][1:], strict=False))
assert errors["train"][0] > 1.5 * errors["train"][chosen - 1]  # too stiff even for what it was fitted to
assert errors["val"][14] > 5 * errors["val"][chosen - 1]
assert errors["train"][14] < 0.05  # below the noise, 0.09: it has learnt some of the noise by heart

# %% Drawn
grid = torch.linspace(-1, 1, 400, dtype=torch.float64)
figure, panels = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
panels = panels.flatten()
for axes, degree, word in zip(panels, (1, chosen, 15), ("underfits", "chosen", "overfits"), strict=False):
    axes.plot(*splits["train"], "o", color="#0072b2", label="training data")
    axes.plot(grid, torch.sin(3 * grid), "--", color="black", label="the truth")
    axes.plot(grid, powers(grid, degree) @ fits[degree], color="#d55e00", linewidth=2, label="the fit")
    axes.set(ylim=(-2, 2), xlabel="x", ylabel="y")
    axes.set_title(f"degree {degree}: {word}", fontsize=14)
panels[0].legend(fontsize=11)
for name, color, marker in (("train", "#0072b2", "o"), ("val", "#e69f00", "s")):
    panels[3].semilogy(list(fits), errors[name], color=color, marker=marker, label=name)
panels[3].legend(fontsize=13)
panels[3].set(xlabel="degree", ylabel="mean squared error", xticks=range(1, 16, 2))
panels[3].set_title("error against degree", fontsize=14)
figure.savefig(OUT / "05_overfitting.png", dpi=120)

# %% More data help against overfitting
# The same degree 15 with 2,000 training points: the noise averages out, and there is little left to follow.
many = fit(15, *sine(2000))
print(
    f"degree 15: validation error {errors['val'][14]:.2f} from 20 points, {error(many, *splits['val']):.3f} from 2000"
)
assert error(many, *splits["val"]) < 0.12

# %% A network for digits
# 784-32-10, from the course's hand-written layers, trained by mini-batches with the rate and the size that are given. A
# **layer** of the course is three functions. `init` draws its parameters (a dict of tensors) and its state (what
# changes without a gradient; empty here). `forward` returns the output, the state, and a **cache** of what backward
# will need. `backward` takes the gradient of the output and the cache, and returns the gradient of the input and those
# of the parameters; with need_dx=False the former is left out, for nobody asks for the gradient of the images.
# `sequential` makes one such layer of several: forward in order, backward in the opposite one (lesson 23 builds it).
from tinytorch_course.data import load
from tinytorch_course.scratch import layers, losses, optimizers

digits = load("digits")
parts = {
    name: ((split.images / 255 - digits.mean[0]) / digits.std[0], split.labels)
    for name, split in (("train", digits.train), ("val", digits.val), ("test", digits.test))
}
network = layers.sequential(layers.flatten(), layers.linear(784, 32), layers.relu(), layers.linear(32, 10))
entropy = losses.cross_entropy()
print("images:", {name: len(labels) for name, (_, labels) in parts.items()})
assert [len(labels) for _, labels in parts.values()] == [1297, 200, 300]


# %% Its training, by hand
def train(rate, size, epochs=5):
    params, state = network.init(torch.Generator().manual_seed(0))
    optimizer = optimizers.sgd(lr=rate)
    opt_state, orders = optimizer.init(params), torch.Generator().manual_seed(1)
    images, labels = parts["train"]
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=orders).split(size):
            logits, _, cache = network.forward(params, state, images[chosen], training=True)
            loss, loss_cache = entropy.forward(logits, labels[chosen])
            dlogits = entropy.backward(torch.ones_like(loss), loss_cache)
            _, gradients = network.backward(dlogits, cache, need_dx=False)
            params, opt_state = optimizer.update(params, gradients, opt_state)
    return params, state


# %% And how many it gets right
def accuracy(trained, part):
    images, labels = parts[part]
    logits, _, _ = network.forward(*trained, images, training=False)
    return (logits.argmax(1) == labels).double().mean().item()


share = accuracy(network.init(torch.Generator().manual_seed(0)), "val")
print(f"untrained: {share:.0%} right, about one in ten")
assert share < 0.3

# %% Rate and batch size, chosen on validation data
# Small batches make more steps in an epoch, so they get further with a small rate; large batches have less noise and
# bear a larger one; a rate too large ruins every size. Five epochs each, all from the same start. If the best setting
# of a search lies at its edge, the search was too narrow: look further out.
rates, sizes = (0.003, 0.01, 0.03, 0.1, 0.3), (16, 64, 256)
trained = {(rate, size): train(rate, size) for rate in rates for size in sizes}
scores = {setting: accuracy(result, "val") for setting, result in trained.items()}
for rate in rates:
    print(f"rate {rate}: " + ", ".join(f"{scores[rate, size]:.1%} in batches of {size}" for size in sizes))
best_rate, best_size = max(scores, key=scores.get)
print(f"the best of the grid: rate {best_rate}, batches of {best_size}")
assert scores[best_rate, best_size] > 0.88
assert scores[0.003, 16] > scores[0.003, 256] + 0.2
assert scores[0.3, 16] < 0.5
own_best = {size: max(rates, key=lambda rate, size=size: scores[rate, size]) for size in sizes}
print("best rate of each size:", own_best)
assert own_best[16] < own_best[256]  # the larger batch bears the larger rate

# %% The grid, drawn
figure, axes = plt.subplots(figsize=(6.5, 5), layout="constrained")
table = torch.tensor([[scores[rate, size] for size in sizes] for rate in rates])
axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
for i, j in torch.cartesian_prod(torch.arange(5), torch.arange(3)).tolist():
    color = "black" if table[i, j] > 0.5 else "white"
    axes.text(j, i, f"{table[i, j]:.1%}", ha="center", va="center", color=color, fontsize=15)
axes.set_xticks(range(3), sizes, fontsize=13)
axes.set_yticks(range(5), rates, fontsize=13)
axes.set_xlabel("batch size", fontsize=14)
axes.set_ylabel("learning rate", fontsize=14)
axes.set_title("right on validation data, after 5 epochs", fontsize=14)
figure.savefig(OUT / "05_grid.png", dpi=120)

# %% The test data are asked once
# The best score of a search is too good: it was chosen for being high. The extreme case: of 500 models that guess, the
# best on 200 validation images looks better than chance, and on test images it guesses.
score = accuracy(trained[best_rate, best_size], "test")
guesses = torch.randint(0, 10, (500, 500), generator=random)  # 500 models, 200 + 300 images
right = guesses == torch.cat([parts["val"][1], parts["test"][1]])
winner = right[:, :200].double().mean(1).argmax()
looks, true = right[winner, :200].double().mean().item(), right[winner, 200:].double().mean().item()
print(f"chosen network: {score:.1%} right on the test images")
print(f"the best of 500 guessers: {looks:.1%} on the validation images, {true:.1%} on the test images")
assert score > 0.87
assert looks > 0.14
assert true < 0.15

# %% Early stopping: wrong labels to be learnt by heart
# 150 training images, of which 40 % get a random label. A network first learns what most images say, later the errors.
images, labels = parts["train"][0][:150], parts["train"][1][:150].clone()
random = torch.Generator().manual_seed(0)
replaced = torch.rand(150, generator=random) < 0.4
labels[replaced] = torch.randint(0, 10, (int(replaced.sum()),), generator=random)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def losses_now():
    with torch.no_grad():
        logits, validation = model(images), model(parts["val"][0])
        function = torch.nn.functional.cross_entropy
        return function(logits, labels).item(), function(validation, parts["val"][1]).item()


wrong = int((labels != parts["train"][1][:150]).sum())
print(f"{wrong} of 150 labels are wrong; loss at the start {losses_now()[0]:.2f}")
assert 2 < losses_now()[0] < 3

# %% Keep the best, and wait a little
# After each epoch the validation loss is looked at; the best weights are kept. If it has not improved for `patience`
# epochs, training could stop. Here it goes on, to see what stopping saves from.
patience, history, kept, stopped = 10, [], None, None
for epoch in range(60):
    for chosen in torch.randperm(150, generator=random).split(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    history.append(losses_now())
    lowest = min(range(len(history)), key=lambda i: history[i][1])
    if lowest == epoch and stopped is None:
        kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if epoch - lowest == patience and stopped is None:
        stopped = epoch
print(f"stopped after epoch {stopped + 1}, with the weights of epoch {stopped + 1 - patience}")
assert history[-1][0] < history[stopped][0]  # the training loss goes on falling
assert history[-1][1] > history[stopped - patience][1] + 0.3

# %% What it saves from
# Here the test data are asked twice, to show the difference; in a project only the stopped network would be tested.
# (The validation loss starts below the training loss: the validation labels are clean, of the training labels many are
# wrong and cannot be predicted.)
last = (model(parts["test"][0]).argmax(1) == parts["test"][1]).double().mean().item()
model.load_state_dict(kept)
early = (model(parts["test"][0]).argmax(1) == parts["test"][1]).double().mean().item()
print(f"right on the test images: {early:.1%} stopped early, {last:.1%} after 60 epochs")
assert early > last + 0.05

# %% Drawn
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
for column, name, color, style in ((0, "training", "#0072b2", "-"), (1, "validation", "#e69f00", "--")):
    axes.plot(range(1, 61), [row[column] for row in history], style, color=color, linewidth=2.5, label=name)
axes.axvline(stopped + 1 - patience, color="black", linestyle=":", label="weights that are kept")
axes.axvline(stopped + 1, color="grey", linestyle=":", label="training stops")
axes.set_xlabel("epoch", fontsize=14)
axes.set_ylabel("cross-entropy", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "05_early_stopping.png", dpi=120)

# %% What torch does here
# Losses are means over the batch, so the gradient's expected value is the same for every size (its noise is not: see
# above). `backward` adds to `grad`: four small batches, each divided by 4, make the step of a large one that would not
# fit into memory (**gradient accumulation**).
model = model.double()
inputs, targets = parts["train"][0][:64].double(), labels[:64]
gradients = []
for size in (64, 16):
    model.zero_grad()
    for chosen in torch.arange(64).split(size):
        (torch.nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]) * size / 64).backward()
    gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
difference = (gradients[0] - gradients[1]).abs().max().item()
print("four batches of 16, accumulated, and one of 64: gradients equal to 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% Exercises
# 1. In "The noise that stays", draw the cost against the epoch for rates 0.3, 0.1 and 0.03 in one picture with a
#    logarithmic axis. What happens if you double the batch size together with the rate?
# 2. Fit degree 15 with a penalty: add 0.01 times the sum of the squared coefficients to the cost (lstsq solves it if
#    you append rows to the design). Choose the factor on validation data. Does it beat the chosen degree?
