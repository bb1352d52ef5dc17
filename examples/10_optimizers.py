"""10. Optimizers

What you learn: SGD, momentum, Nesterov, RMSprop, Adam and AdamW, each written out and drawn on surfaces; bias
correction; decoupled weight decay; schedules and warm-up; all of them equal to torch.optim's.

Run: tinytorch lesson 10 (or python examples/10_optimizers.py)
Time: about 15 s on 2 CPU cores

Expected output (excerpt):
    SGD, momentum, Nesterov, RMSprop, Adam and AdamW by hand equal the course's to 1e-12: True
    SGD, momentum, Nesterov, RMSprop, Adam, AdamW: 200 steps equal to torch.optim's to 1e-9: True
    Adam's first step is lr: 0.100; without bias correction 0.316
    the five schedules equal torch's to 1e-12: True
    x^4 / 4 with lr 0.5: diverged; with 30 steps of warm-up: arrived
    torch goes on from our state: True
"""

# %% A narrow valley
# f = (x^2 + 25 y^2) / 2 rises 25 times as steeply across as along. Its gradient, (x, 25 y), points almost straight
# across, although the way to the minimum is along.
import torch


def valley(p):
    return (p[..., 0] ** 2 + 25 * p[..., 1] ** 2) / 2


def valley_gradient(p):
    return p * torch.tensor([1.0, 25.0], dtype=torch.float64)


start = torch.tensor([-4.0, 1.5], dtype=torch.float64)
gradient, leaf = valley_gradient(start), start.clone().requires_grad_()
valley(leaf).backward()
steepest, wanted = gradient / gradient.norm(), start / start.norm()
angle = torch.rad2deg(torch.acos(steepest @ wanted)).item()
print(f"the gradient and the way to the minimum are {angle:.0f} degrees apart")
assert torch.equal(gradient, leaf.grad)
assert angle > 60


# %% Following a gradient
# The course's optimizers are pure functions: parameters, gradients and state in, new parameters and state out. The
# path is kept.
from tinytorch_course.scratch import optimizers


def follow(optimizer, gradient, start=start, steps=100, schedule=lambda step: {}):
    params = {"p": start}
    opt_state, path = optimizer.init(params), [start]
    for step in range(steps):
        grads = {"p": gradient(params["p"])}
        params, opt_state = optimizer.update(params, grads, opt_state, **schedule(step))
        path.append(params["p"])
    return torch.stack(path)


path = follow(optimizers.sgd(lr=0.07), valley_gradient)
print(f"SGD, lr 0.07: after 100 steps {path[-1].norm():.4f} from the minimum; y after each step:", end=" ")
print([round(y, 2) for y in path[:5, 1].tolist()])
assert path[1, 1] < 0 < path[2, 1]  # to and fro across the valley
assert path[-1].norm() < 0.01

# %% The steepest direction limits the rate
# y is multiplied by 1 - 25 lr at every step: above 2 / 25 = 0.08 it grows. And x, by 1 - lr only, crawls.
beyond = follow(optimizers.sgd(lr=0.081), valley_gradient)
print(f"lr 0.081: |y| from {abs(beyond[0, 1]):.1f} to {abs(beyond[-1, 1]):.1f}")
assert abs(beyond[-1, 1]) > abs(beyond[0, 1])
assert torch.allclose(path[:, 0], -4 * 0.93 ** torch.arange(101, dtype=torch.float64))

# %% Six optimizers
# Momentum adds up gradients: across the valley they cancel, along it they grow. Nesterov looks ahead to where momentum
# is going. RMSprop divides each coordinate by the size its gradients have had; Adam does both; AdamW also pulls to 0.
six = {
    "SGD": optimizers.sgd(lr=0.07),
    "momentum": optimizers.sgd(lr=0.02, momentum=0.8),
    "Nesterov": optimizers.sgd(lr=0.02, momentum=0.8, nesterov=True),
    "RMSprop": optimizers.rmsprop(lr=0.1, alpha=0.9),
    "Adam": optimizers.adam(lr=0.3, betas=(0.8, 0.99)),
    "AdamW": optimizers.adamw(lr=0.3, betas=(0.8, 0.99), weight_decay=0.1),
}
paths = {name: follow(optimizer, valley_gradient) for name, optimizer in six.items()}
near = {name: (path.norm(dim=1) > 0.5).sum().item() for name, path in paths.items()}  # steps farther away than 0.5
print("steps until within 0.5 of the minimum:", near)
assert max(near["momentum"], near["Nesterov"]) < near["SGD"]
assert all(path[-1].norm() < 0.2 for path in paths.values())


# %% Each of them, written out
# One step of one optimizer is one line or two, with the numbers chosen above. `kept` is what it remembers: a velocity,
# or running means.
def sgd_step(p, g, kept, t):
    return p - 0.07 * g, kept


def momentum_step(p, g, kept, t):
    velocity = 0.8 * kept[0] + g
    return p - 0.02 * velocity, (velocity,)


def nesterov_step(p, g, kept, t):
    velocity = 0.8 * kept[0] + g
    return p - 0.02 * (g + 0.8 * velocity), (velocity,)


def rmsprop_step(p, g, kept, t):
    square = 0.9 * kept[0] + 0.1 * g**2
    return p - 0.1 * g / (square.sqrt() + 1e-8), (square,)


def adam_step(p, g, kept, t):
    mean, square = 0.8 * kept[0] + 0.2 * g, 0.99 * kept[1] + 0.01 * g**2
    return p - 0.3 * (mean / (1 - 0.8**t)) / ((square / (1 - 0.99**t)).sqrt() + 1e-8), (mean, square)


def adamw_step(p, g, kept, t):
    p = p - 0.3 * 0.1 * p  # the decay, before and apart from Adam's step: lr * weight_decay of each parameter
    return adam_step(p, g, kept, t)


# %% By hand, and the course's
steps = {"SGD": sgd_step, "momentum": momentum_step, "Nesterov": nesterov_step}
steps |= {"RMSprop": rmsprop_step, "Adam": adam_step, "AdamW": adamw_step}
largest = 0.0
for name, step in steps.items():
    p, kept = start, (torch.zeros_like(start),) * 2
    for t in range(1, 101):
        p, kept = step(p, valley_gradient(p), kept, t)
        largest = max(largest, (p - paths[name][t]).abs().max().item())
print("SGD, momentum, Nesterov, RMSprop, Adam and AdamW by hand equal the course's to 1e-12:", largest < 1e-12)
assert largest < 1e-12

# %% And torch's
# A curved valley this time, Rosenbrock's, in float64: 200 steps, each optimizer with the same keywords in both ways.
from tinytorch_course import reference


def curved(p):
    return (1 - p[..., 0]) ** 2 + 5 * (p[..., 1] - p[..., 0] ** 2) ** 2


def curved_gradient(p):
    leaf = p.clone().requires_grad_()
    return torch.autograd.grad(curved(leaf).sum(), leaf)[0]


bend = torch.tensor([-1.2, 1.0], dtype=torch.float64)
choices = {
    "SGD": ("sgd", {"lr": 0.01}),
    "momentum": ("sgd", {"lr": 0.005, "momentum": 0.9}),
    "Nesterov": ("sgd", {"lr": 0.005, "momentum": 0.9, "nesterov": True}),
    "RMSprop": ("rmsprop", {"lr": 0.02}),
    "Adam": ("adam", {"lr": 0.1}),
    "AdamW": ("adamw", {"lr": 0.1, "weight_decay": 0.1}),
}

# %% Side by side
# torch.optim changes parameters in place; reference.optimizers makes the same class with our keywords.
differences, curved_paths = {}, {}
for name, (kind, keywords) in choices.items():
    ours = curved_paths[name] = follow(getattr(optimizers, kind)(**keywords), curved_gradient, bend, 200)
    module = torch.nn.ParameterDict({"p": torch.nn.Parameter(bend.clone())})
    optimizer = getattr(reference.optimizers, kind)(**keywords)(module)
    for step in range(200):
        optimizer.zero_grad()
        curved(module["p"]).backward()
        optimizer.step()
        apart = (module["p"].detach() - ours[step + 1]).abs().max().item()
        differences[name] = max(differences.get(name, 0), apart)
same = max(differences.values()) < 1e-9
print(f"{', '.join(differences)}: 200 steps equal to torch.optim's to 1e-9: {same}")
assert same

# %% A folder for the pictures
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)


# %% Drawn: six ways through a valley
# Dark is low: the logarithm of the height. A dot is a step, the star the minimum.
def draw(surface, box, paths, minimum, name):
    x, y = torch.meshgrid(torch.linspace(*box[:2], 150), torch.linspace(*box[2:], 150), indexing="ij")
    heights = torch.log10(surface(torch.stack([x, y], dim=-1).double()) + 0.1)
    figure, panels = plt.subplots(2, 3, figsize=(13, 7), sharex=True, sharey=True, layout="constrained")
    for axes, (title, path) in zip(panels.flat, paths.items(), strict=True):
        axes.contourf(x, y, heights, levels=20, cmap="cividis")
        axes.plot(*path.T, "o-", color="white", markeredgecolor="black", markersize=4, linewidth=1)
        axes.plot(*minimum, "*", color="#e69f00", markeredgecolor="black", markersize=20)
        axes.set_title(title, fontsize=16)
        axes.set(xlim=box[:2], ylim=box[2:])
    figure.supxlabel("first parameter", fontsize=14)
    figure.supylabel("second parameter", fontsize=14)
    figure.savefig(OUT / name, dpi=120)


# %% The narrow one, 40 steps, and the curved one
# AdamW comes to rest beside the star: its decay pulls towards 0, and the minimum is at (1, 1).
draw(valley, (-5.0, 3.0, -2.0, 2.0), {name: path[:41] for name, path in paths.items()}, (0, 0), "10_valley.png")
draw(curved, (-2.0, 2.0, -1.0, 3.0), curved_paths, (1, 1), "10_curved.png")
heights = {name: curved(path[-1]).item() for name, path in curved_paths.items()}
print("height after 200 steps in the curved valley:", {name: f"{height:.0e}" for name, height in heights.items()})
assert heights["momentum"] < heights["SGD"]
assert all(height < curved(bend) / 10 for height in heights.values())


# %% A saddle
# f = x^2 / 2 + y^4 / 4 - y^2 / 2 has its minima at y = 1 and -1 and is flat, but no minimum, at (0, 0). Near it the
# gradient is small, and SGD's steps with it. Adam's steps do not depend on the gradient's size.
def saddle_gradient(p):
    return torch.stack([p[..., 0], p[..., 1] ** 3 - p[..., 1]], dim=-1)


beside = torch.tensor([1.5, 1e-3], dtype=torch.float64)
left = {}
for name in ("SGD", "momentum", "Adam"):
    optimizer = {"SGD": optimizers.sgd(lr=0.05), "momentum": optimizers.sgd(lr=0.05, momentum=0.9)}.get(name)
    away = follow(optimizer or optimizers.adam(lr=0.05), saddle_gradient, beside, 400)
    left[name] = (away[:, 1] < 0.5).sum().item()
print("steps to leave the saddle:", left)
assert left["Adam"] < left["momentum"] < left["SGD"]

# %% Bias correction
# Adam's means start at 0, so at first they are too small: after one step the mean is 0.1 g and the mean square
# 0.001 g^2. Both are too small, but not equally: the step divides the one, a tenth of g, by the root of the other, a
# thirty-second part of g. So without correction the first step is 32 / 10 = 3.2 times too *long*. Divided by 1 - beta^t
# both are right from the start, and the first step is lr whatever the gradient.
g = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)
adam = optimizers.adam(lr=0.1)
zero = {"p": torch.zeros(3, dtype=torch.float64)}
moved, _ = adam.update(zero, {"p": g}, adam.init(zero))
uncorrected = 0.1 * (0.1 * g) / (0.001 * g**2).sqrt()
print(f"Adam's first step is lr: {-moved['p'][1]:.3f}; without bias correction {uncorrected[1]:.3f}")
assert torch.allclose(moved["p"], torch.full_like(g, -0.1), rtol=1e-4)
assert torch.allclose(uncorrected, torch.full_like(g, 0.1 * 10**0.5))

# %% Adam does not feel the gradient's scale, down to eps
# 1000 times the loss gives the same path: mean and root mean square grow alike. eps = 1e-8 stands in the denominator:
# gradients smaller than that are small again.
steps = {
    scale: follow(optimizers.adam(lr=0.1), lambda p, scale=scale: scale * valley_gradient(p), steps=20)[-1]
    for scale in (1, 1000, 1e-10)
}
apart = {scale: (end - steps[1]).norm().item() for scale, end in steps.items()}
print("where Adam is after 20 steps, beside the gradient times 1:", {scale: f"{d:.0e}" for scale, d in apart.items()})
assert apart[1000] < 1e-5
assert apart[1e-10] > 0.1

# %% Weight decay: in the gradient, or beside it
# Two weights whose gradients only wobble, one by 100, one by 0.01. As an L2 penalty, Adam divides the decay by the
# gradient's size as well: the first weight hardly decays, the second at full speed. AdamW takes lr * decay of both.
ends = {}
for name, optimizer in {
    "Adam": optimizers.adam(lr=0.01, weight_decay=1.0),
    "AdamW": optimizers.adamw(lr=0.01, weight_decay=1.0),
}.items():
    params = {"p": torch.ones(2, dtype=torch.float64)}
    opt_state = optimizer.init(params)
    for step in range(200):
        wobble = torch.tensor([100.0, 0.01], dtype=torch.float64) * (-1) ** step
        params, opt_state = optimizer.update(params, {"p": wobble}, opt_state)
    ends[name] = params["p"]
print("after 200 steps:", {name: [round(w, 2) for w in end.tolist()] for name, end in ends.items()})
assert ends["Adam"][0] > 0.9 > 0.1 > ends["Adam"][1].abs()
assert torch.allclose(ends["AdamW"], torch.full((2,), 0.99**200, dtype=torch.float64), atol=0.05)

# %% Schedules
# A schedule is a function of the step. torch's schedulers change the optimizer's rate after each step; read as a
# function they are the same.
from tinytorch_course.scratch import schedules

plans = {
    "constant": {"lr": 0.1},
    "step": {"lr": 0.1, "step_size": 30},
    "cosine": {"lr": 0.1, "T_max": 100},
    "linear_warmup": {"lr": 0.1, "start_factor": 0.01, "total_iters": 20},
    "one_cycle": {"max_lr": 0.1, "total_steps": 100},
}
ours = {name: getattr(schedules, name)(**plan) for name, plan in plans.items()}
theirs = {name: getattr(reference.schedules, name)(**plan) for name, plan in plans.items()}
rates = {name: [schedule(step)["lr"] for step in range(100)] for name, schedule in ours.items()}
apart = max(abs(theirs[name](step)["lr"] - rates[name][step]) for name in plans for step in range(100))
print("the five schedules equal torch's to 1e-12:", apart < 1e-12)
assert apart < 1e-12

# %% Drawn
figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
styles = zip(("#000000", "#e69f00", "#0072b2", "#009e73", "#cc79a7"), ("-", "--", "-.", ":", "-"), strict=True)
for (name, values), (color, style) in zip(rates.items(), styles, strict=True):
    axes.plot(values, color=color, linestyle=style, linewidth=3, label=name)
axes.set_xlabel("step", fontsize=14)
axes.set_ylabel("learning rate", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "10_schedules.png", dpi=120)


# %% Why a rate should fall
# Gradients of mini-batches are noisy. With a constant rate the noise keeps the parameters moving about; with a falling
# one they come to rest. 1,000 runs at once: a parameter of shape (1000, 2).
def noisy(p):
    return valley_gradient(p) + 3 * torch.randn(p.shape, generator=noise, dtype=torch.float64)


rest = {}
for name, schedule in {"constant": schedules.constant(0.05), "cosine": schedules.cosine(0.05, T_max=200)}.items():
    noise = torch.Generator().manual_seed(0)
    crowd = follow(optimizers.sgd(), noisy, start.expand(1000, 2), 200, schedule)
    rest[name] = valley(crowd[-1]).mean().item()
print("mean height after 200 noisy steps:", {name: round(height, 3) for name, height in rest.items()})
assert rest["cosine"] < 0.5 * rest["constant"]

# %% Why it should rise first
# Slopes are often steepest where training starts. x^4 / 4 has the gradient x^3: at x = 3 a rate above 2 / 9 throws us
# farther out, at x = 1 even 0.5 is fine. Warm-up starts small and gives the full rate when it does no harm any more.
far = torch.tensor([3.0], dtype=torch.float64)
warm = schedules.linear_warmup(lr=0.5, start_factor=0.02, total_iters=30)
cold_path = follow(optimizers.sgd(lr=0.5), lambda p: p**3, far, 5)
warm_path = follow(optimizers.sgd(lr=0.5), lambda p: p**3, far, 100, warm)
end = {True: "arrived", False: "diverged"}
arrived = [abs(path[-1].item()) < 0.2 for path in (cold_path, warm_path)]
print(f"x^4 / 4 with lr 0.5: {end[arrived[0]]}; with 30 steps of warm-up: {end[arrived[1]]}")
assert arrived == [False, True]
assert cold_path[-1].abs() > 1e6

# %% A race on digits
# The course's mlp with one hidden layer. A race is fair only if each optimizer has its own best **learning rate**: the
# order of six at rates that somebody picked says who was lucky. So each gets three rates, a factor of three apart, and
# each rate three seeds (start and batches). MNIST if it is there, else the embedded digits.
from tinytorch_course import scratch
from tinytorch_course.data import default_data_dir, load
from tinytorch_course.models import mlp

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
digits = load("mnist" if found else "digits", limit=1000)
images, labels = (digits.train.images / 255 - digits.mean[0]) / digits.std[0], digits.train.labels
network, loss_of = mlp(scratch.layers, widths=(64,)), scratch.losses.cross_entropy()
kinds = {
    "SGD": (optimizers.sgd, {}, (0.06, 0.2, 0.6)),
    "momentum": (optimizers.sgd, {"momentum": 0.9}, (0.03, 0.1, 0.3)),
    "Nesterov": (optimizers.sgd, {"momentum": 0.9, "nesterov": True}, (0.03, 0.1, 0.3)),
    "RMSprop": (optimizers.rmsprop, {}, (2e-3, 6e-3, 2e-2)),
    "Adam": (optimizers.adam, {}, (4e-3, 1.2e-2, 4e-2)),
    "AdamW": (optimizers.adamw, {}, (4e-3, 1.2e-2, 4e-2)),
}


# %% Their losses
def train(optimizer, seed, steps=80):
    params, _ = network.init(torch.Generator().manual_seed(seed))
    opt_state, order, losses = optimizer.init(params), torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        batch = torch.randint(len(images), (100,), generator=order)
        logits, _, cache = network.forward(params, {}, images[batch], training=True)
        loss, loss_cache = loss_of.forward(logits, labels[batch])
        _, grads = network.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, grads, opt_state)
        losses.append(loss.item())
    return losses, params, opt_state


best = {}
for name, (make, keywords, rates) in kinds.items():
    runs = {rate: torch.tensor([train(make(lr=rate, **keywords), seed)[0] for seed in range(3)]) for rate in rates}
    ends = {rate: losses[:, -10:].mean(1) for rate, losses in runs.items()}  # of each seed
    rate = min(ends, key=lambda rate: ends[rate].mean())
    means = [end.mean().item() for end in ends.values()]
    best[name] = rate, runs[rate], ends[rate], max(means) / min(means)
    print(
        f"{name:8} best at lr {rate}: loss {ends[rate].mean():.3f} +- {ends[rate].std():.3f}; mean loss at each rate:",
        end=" ",
    )
    print({rate: round(end.mean().item(), 3) for rate, end in ends.items()})
assert all(losses[:, -10:].mean() < 0.25 * losses[:, 0].mean() for _, losses, _, _ in best.values())

# %% Which one shall I use?
# A wrong rate costs more than the wrong optimizer, as the numbers below say, and who comes first depends on the data:
# on the embedded digits it is not the order of MNIST. So: find the rate first (lesson 22 has a test for it). **Adam**
# or **AdamW** at 0.001 works nearly everywhere untuned, and AdamW is the usual choice for transformers and wherever
# weight decay is wanted. **SGD with momentum** keeps one number per parameter instead of two, and with a tuned rate and
# schedule is as good or better for convolutional networks of pictures. Plain SGD is for understanding; RMSprop for
# older recipes. AdamW lies on Adam here: its default decay of 0.01 does nothing in 80 steps.
means = {name: ends.mean().item() for name, (_, _, ends, _) in best.items()}
print("loss of the worst and the best at their best rates:", f"{max(means.values()):.3f}, {min(means.values()):.3f}")
wrong_rate = max(cost for _, _, _, cost in best.values())
wrong_optimizer = max(means.values()) / min(means.values())
print(f"the wrong rate multiplies the loss by up to {wrong_rate:.0f}, the wrong optimizer by {wrong_optimizer:.1f}")
assert wrong_rate > wrong_optimizer
gap = abs(best["Adam"][2].mean() - best["AdamW"][2].mean()).item()
print(f"Adam and AdamW differ by {gap:.4f}")
assert gap < 0.02

# %% Drawn
# The mean of three seeds, and from the smallest to the largest of them.
figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
colors = ("#000000", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00")
styles = ("-", "--", ":", "-.", "-", "--")
for (name, (rate, losses, _, _)), color, style in zip(best.items(), colors, styles, strict=True):
    means = losses.unfold(1, 5, 1).mean(2)  # of five batches
    axes.semilogy(means.mean(0), color=color, linestyle=style, linewidth=2.5, label=f"{name}, lr {rate}")
    axes.fill_between(range(means.shape[1]), means.amin(0), means.amax(0), color=color, alpha=0.12)
axes.set_xlabel("step", fontsize=14)
axes.set_ylabel("loss, mean of five batches", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "10_digits.png", dpi=120)

# %% What torch does here
# torch.optim keeps the same running means for each parameter, changes parameters in place, and does many parameters in
# one call (foreach) or one kernel (fused): switches of speed. Its state_dict takes ours, and both go on alike.
adam = optimizers.adam(lr=2e-3)
_, params, opt_state = train(adam, seed=0)
module = mlp(reference.layers, widths=(64,))
module.load_state_dict(params)
optimizer = torch.optim.Adam(module.named_parameters(), lr=2e-3)
optimizer.load_state_dict(adam.to_torch(opt_state))
torch.nn.functional.cross_entropy(module(images[:100]), labels[:100]).backward()
optimizer.step()
grads = {name: parameter.grad for name, parameter in module.named_parameters()}
updated, _ = adam.update(params, grads, opt_state)
apart = max((updated[name] - parameter).abs().max().item() for name, parameter in module.named_parameters())
print(f"what it keeps: {list(optimizer.state_dict()['state'][0])}")
print("torch goes on from our state:", apart < 1e-6)
assert apart < 1e-6

# %% Exercises
# 1. Write Lion's step beside adam_step: c = 0.9 m + 0.1 g, p - lr (sign(c) + decay p), m = 0.99 m + 0.01 g. Let it go
#    through the valley. Where does it come to rest, and what would a schedule do for it?
# 2. In the race, which optimizer minds a wrong rate the least? Compare its loss at the three rates with the spread of
#    the seeds, then go a factor of ten to either side.
