"""09. Deep networks

What you learn: what depth buys; initialisation (zeros, small normal, Xavier, Kaiming) and what it does to activations,
gradients and learning; dropout and batch norm, in training and in evaluation; regularisation.

Run: tinytorch lesson 09 (or python examples/09_deep_networks.py)
Time: about 15 s on 2 CPU cores

Expected output (excerpt):
    12 hidden units: 64 straight pieces in six layers, at most 13 in one
    scratch and torch.nn.init draw the same numbers: True
    zeros: loss after training 2.30
    ours and torch: 30 steps, losses equal to 1e-9: True
    dropout: outputs and gradients equal torch's: True
    batch norm: outputs, gradients and running statistics equal torch's to 1e-12: True
    one class at a time: over half wrong without eval: True
"""

# %% What depth buys
# A layer of two ReLUs can fold the line from 0 to 1: up to 1 in the middle and down again. The next layer folds the
# folded line, so each layer doubles the straight pieces. In one layer each unit adds a single kink.
import torch


def pieces(x, y):
    slopes = (y[1:] - y[:-1]) / (x[1:] - x[:-1])
    return ((slopes[1:] - slopes[:-1]).abs() > 1e-3).sum().item() + 1


x = torch.linspace(0, 1, 64 * 16 + 1, dtype=torch.float64)
deep = x
for _ in range(6):
    deep = 2 * torch.relu(deep) - 4 * torch.relu(deep - 0.5)
kinks = torch.arange(1, 13) * 64 / 1024  # as many as units
wide = (torch.relu(x[:, None] - kinks) * torch.randn(12, generator=torch.Generator().manual_seed(0))).sum(1)
print(f"12 hidden units: {pieces(x, deep)} straight pieces in six layers, at most {pieces(x, wide)} in one")
assert (pieces(x, deep), pieces(x, wide)) == (64, 13)

# %% Ten hidden layers for digits
# The course's mlp with ten hidden layers of 64, and ReLU after each. MNIST if it is there (1,000 images are enough
# here), else the embedded digits. Pixels are brought to mean 0 and deviation 1.
from tinytorch_course import scratch
from tinytorch_course.data import default_data_dir, load
from tinytorch_course.models import mlp

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
digits = load("mnist" if found else "digits", limit=1000)
images = ((digits.train.images / 255 - digits.mean[0]) / digits.std[0]).double()  # (N, 1, 28, 28)
labels = digits.train.labels
network = mlp(scratch.layers, widths=(64,) * 10)
names = [f"fc{layer}" for layer in range(1, 12)]
default, _ = network.init(torch.Generator().manual_seed(0))
print(f"{len(images)} images; {len(names)} linear layers, {sum(p.numel() for p in default.values()):,} parameters")
assert [f"{name}.weight" for name in names] == [key for key in default if key.endswith("weight")]

# %% Four ways to start
# Biases 0; weights zero, or normal with a deviation of 0.01, of sqrt(2 / (in + out)) (Xavier: keeps the size of signals
# and gradients in a linear network), or of sqrt(2 / in) (Kaiming: the 2 makes up for ReLU, which drops half).
from tinytorch_course.scratch import initializers


def start(rule):
    draw = torch.Generator().manual_seed(0)
    return {key: rule(p.shape, draw) if p.dim() == 2 else initializers.zeros(p.shape) for key, p in default.items()}


rules = {
    "zeros": lambda shape, draw: initializers.zeros(shape),
    "small normal": lambda shape, draw: initializers.normal(shape, draw, std=0.01),
    "Xavier": lambda shape, draw: initializers.xavier_normal(shape, draw),
    "Kaiming": lambda shape, draw: initializers.kaiming_normal(shape, draw, nonlinearity="relu"),
}
starts = {name: {key: p.double() for key, p in start(rule).items()} for name, rule in rules.items()}
for name, params in starts.items():
    print(f"{name}: deviation of fc2's weights {params['fc2.weight'].std():.3f}")
assert abs(starts["Kaiming"]["fc2.weight"].std() / starts["Xavier"]["fc2.weight"].std() - 2**0.5) < 0.01

# %% Torch has the same rules
# Its functions fill a tensor in place. From the same generator they draw the same numbers, bit for bit.
draw = torch.Generator().manual_seed(0)
weights = [torch.empty(p.shape) for p in default.values() if p.dim() == 2]
for weight in weights:
    torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=draw)
equal = all(
    torch.equal(weight.double(), starts["Kaiming"][f"{name}.weight"])
    for weight, name in zip(weights, names, strict=True)
)
print("scratch and torch.nn.init draw the same numbers:", equal)
assert equal

# %% Why 2 / in
# An output sums `in` products, so its variance is in * var(weight) * mean(x^2). Kaiming's variance 2 / in gives twice
# mean(x^2), and ReLU halves it again. Xavier's (1 / in where in = out) halves it at every layer.
many = torch.relu(torch.randn(10000, 64, generator=draw, dtype=torch.float64))
ratio = {}
for name in ("Xavier", "Kaiming"):
    after = torch.relu(many @ starts[name]["fc2.weight"].T)
    ratio[name] = ((after**2).mean() / (many**2).mean()).item()
print("mean square after a layer, over that before:", {name: round(r, 2) for name, r in ratio.items()})
assert 0.35 < ratio["Xavier"] < 0.65
assert 0.7 < ratio["Kaiming"] < 1.3

# %% What each start does to activations and gradients
# Our forward returns what it keeps, so the activations need no hook: the input of fc5 is what the fourth ReLU put out.
loss_of = scratch.losses.cross_entropy()


def look(params):
    logits, _, cache = network.forward(params, {}, images[:256], training=True)
    loss, loss_cache = loss_of.forward(logits, labels[:256])
    _, grads = network.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
    return [cache.caches[name].x for name in names[1:]], [grads[f"{name}.weight"] for name in names]


looks = {name: look(params) for name, params in starts.items()}
for name, (activations, gradients) in looks.items():
    sizes = [f"{t.square().mean().sqrt():.0e}" for t in (activations[0], activations[-1], gradients[0], gradients[-1])]
    print(f"{name}: activations {sizes[0]} to {sizes[1]}, gradients {sizes[2]} to {sizes[3]} (first to last layer)")
size = {name: (a[-1].norm() / a[0].norm(), g[0].norm()) for name, (a, g) in looks.items()}
assert size["small normal"][0] < 1e-8
assert 0.01 < size["Xavier"][0] < 0.2 < size["Kaiming"][0]
assert size["zeros"][1] == 0
assert size["small normal"][1] < 1e-8 < size["Xavier"][1] < size["Kaiming"][1]

# %% A folder for the pictures
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
colors = dict(zip(rules, ("#000000", "#cc79a7", "#e69f00", "#0072b2"), strict=True))

# %% Drawn: a histogram for each layer
# From left to right the layers, upwards the size of a value as a power of ten: the brighter, the more values are there.
# (Those that are 0 are left out: about half of the activations, and with zeros everything.)
figure, panels = plt.subplots(2, 4, figsize=(14, 7.5), sharex=True, sharey=True, layout="constrained")
for column, (name, look_at) in enumerate(looks.items()):
    for axes, tensors, what in zip(panels[:, column], look_at, ("activations", "gradients"), strict=True):
        sizes = [t[t != 0].abs().log10().clamp(-20, 2).float() for t in tensors]
        shares = torch.stack([torch.histogram(s, 44, range=(-20.0, 2.0)).hist / max(len(s), 1) for s in sizes])
        box = {"origin": "lower", "aspect": "auto", "extent": (0.5, len(tensors) + 0.5, -20, 2)}
        shown = axes.imshow(shares.T, cmap="cividis", vmax=0.4, **box)
        axes.set_title(f"{name}: {what}", fontsize=15)
figure.supxlabel("layer, from the input", fontsize=14)
figure.supylabel("size of the value, as a power of ten", fontsize=14)
figure.colorbar(shown, ax=panels).set_label("share of the layer's values", fontsize=14)
figure.savefig(OUT / "09_layers.png", dpi=80)


# %% A training loop
# Batches of 100, and the same ones for everybody who gives the same seed.
def batches(steps, seed=0):
    order = torch.Generator().manual_seed(seed)
    return [torch.randint(len(images), (100,), generator=order) for _ in range(steps)]


def train(network, params, state, optimizer, steps):
    opt_state, losses = optimizer.init(params), []
    for batch in batches(steps):
        logits, state, cache = network.forward(params, state, images[batch], training=True)
        loss, loss_cache = loss_of.forward(logits, labels[batch])
        _, grads = network.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, grads, opt_state)
        losses.append(loss.item())
    return params, state, losses


# %% What each start does to learning
# 100 steps of SGD with momentum. With zeros only the last bias learns: how often each class occurs. The loss stays at
# log 10 = 2.30, that of guessing.
from tinytorch_course.scratch.optimizers import sgd

curves = {name: train(network, params, {}, sgd(lr=0.01, momentum=0.9), 100)[2] for name, params in starts.items()}
for name, losses in curves.items():
    print(f"{name}: loss after training {sum(losses[-10:]) / 10:.2f}")
final = {name: sum(losses[-10:]) / 10 for name, losses in curves.items()}
assert abs(final["zeros"] - 2.3) < 0.1
assert abs(final["small normal"] - 2.3) < 0.1
assert final["Kaiming"] < 0.6
assert sum(curves["Kaiming"]) < 0.8 * sum(curves["Xavier"])

# %% Drawn
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
for (name, losses), style in zip(curves.items(), ("-", "--", "-.", "-"), strict=True):
    axes.plot(losses, color=colors[name], linestyle=style, linewidth=2.5, label=name)
axes.set_xlabel("step", fontsize=14)
axes.set_ylabel("loss of the batch", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "09_starts.png", dpi=90)

# %% Both ways, step by step
# The same network written by torch's modules, from the Kaiming start, on the same batches in float64.
from tinytorch_course import reference

module = mlp(reference.layers, widths=(64,) * 10).double()
module.load_state_dict(starts["Kaiming"])
optimizer, losses = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9), []
for batch in batches(30):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(module(images[batch]), labels[batch])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
difference = max(abs(ours - torchs) for ours, torchs in zip(curves["Kaiming"], losses, strict=False))
print("ours and torch: 30 steps, losses equal to 1e-9:", difference < 1e-9)
assert difference < 1e-9

# %% Equal weights stay equal
# The trouble with zeros is not their size: with all weights 1/64, all units of a layer compute the same, get the same
# gradient and stay equal for ever. Random numbers break the tie.
same_start = {key: torch.full_like(p, 1 / 64 if p.dim() == 2 else 0) for key, p in starts["zeros"].items()}
trained, _, _ = train(network, same_start, {}, sgd(lr=0.01), 20)
weight = trained["fc2.weight"]  # (64, 64): a row for each unit
moved = (weight - 1 / 64).abs().max().item()
apart = (weight - weight[0]).abs().max().item()
print(f"after 20 steps fc2 has moved by {moved:.0e}, and its 64 units are apart by {apart:.0e}")
assert moved > 1e-6
assert apart < moved * 1e-6

# %% Dropout: in training, a random part is set to 0
# Each value is dropped with probability p, and what is left is divided by 1 - p, so that the mean stays. In evaluation
# nothing is done. Backward uses the same mask.
from tinytorch_course.scratch.ops.dropout import dropout_backward, dropout_forward

values = torch.ones(20000, dtype=torch.float64)
draw = torch.Generator().manual_seed(0)
dropped, cache = dropout_forward(values, 0.25, generator=draw)
silent, _ = dropout_forward(values, 0.25, training=False)
dvalues = dropout_backward(torch.ones_like(values), cache)
print(f"train: {(dropped == 0).double().mean():.2f} are 0, the others {dropped.max():.4f}, mean {dropped.mean():.3f}")
assert abs((dropped == 0).double().mean() - 0.25) < 0.02
assert abs(dropped.mean() - 1) < 0.02
assert torch.equal(silent, values)
assert torch.equal(dvalues, dropped)  # both are mask / (1 - p) here

# %% The same in torch
# nn.Dropout drops while module.training is true; train() and eval() set that for a module and all in it. We learn its
# mask from what it put out, and give it to ours.
layer, x = torch.nn.Dropout(0.25), torch.randn(50, 8, generator=draw, dtype=torch.float64, requires_grad=True)
torchs = layer.train()(x)
torchs.sum().backward()
out, cache = dropout_forward(x.detach(), 0.25, mask=torchs != 0)
dx = dropout_backward(torch.ones_like(out), cache)
same = torch.allclose(out, torchs.detach()) and torch.allclose(dx, x.grad)
print("dropout: outputs and gradients equal torch's:", same)
assert same
assert torch.equal(layer.eval()(x), x)

# %% Batch norm: what it normalises
# Each column (of pictures: each channel, over all places) gets mean 0 and deviation 1 over the batch; then a learnt
# weight and bias. Beside that it keeps running means of both, for evaluation.
from tinytorch_course.scratch.ops.normalization import batch_norm_backward, batch_norm_forward

x = torch.randn(100, 3, generator=draw, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1]) + 5
zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
out, (mean, var), cache = batch_norm_forward(x, zero, one, one, zero, training=True)
print("deviations before:", [f"{d:.2f}" for d in x.std(0)], "after:", [f"{d:.2f}" for d in out.std(0)])
assert out.mean(0).abs().max() < 1e-12
assert (out.std(0, correction=0) - 1).abs().max() < 1e-3
assert torch.allclose(mean, 0.1 * x.mean(0))  # 0.9 * 0 + 0.1 * the batch's
assert torch.allclose(var, 0.9 + 0.1 * x.var(0))  # here torch divides by N - 1, above by N

# %% Equal to torch's, backward too
# A row's gradient depends on all rows, because the mean and the deviation do.
layer = torch.nn.BatchNorm1d(3, dtype=torch.float64)
leaf, dout = x.clone().requires_grad_(), torch.randn(100, 3, generator=draw, dtype=torch.float64)
torchs = layer(leaf)
torchs.backward(dout)
ours = [out, *batch_norm_backward(dout, cache), mean, var]
theirs = [torchs, leaf.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]
difference = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
print("batch norm: outputs, gradients and running statistics equal torch's to 1e-12:", difference < 1e-12)
assert difference < 1e-12

# %% Batch norm forgives a bad start
# It undoes the shrinking at every layer. The small normal start, which learnt nothing, now learns.
L = scratch.layers
layers = {"flatten": L.flatten()}
for number in range(1, 11):
    layers[f"fc{number}"] = L.linear(784 if number == 1 else 64, 64, bias=False)  # batch norm has one
    layers |= {f"norm{number}": L.batch_norm1d(64), f"relu{number}": L.relu()}
normed = L.sequential(**layers, fc11=L.linear(64, 10))
params, state = normed.init(torch.Generator().manual_seed(0))
params = {key: (starts["small normal"][key] if key.startswith("fc") else p.double()) for key, p in params.items()}
state = {key: s.double() if s.is_floating_point() else s for key, s in state.items()}
params, state, losses = train(normed, params, state, sgd(lr=0.05, momentum=0.9), 100)
print(f"small normal: loss {curves['small normal'][-1]:.2f} without batch norm, {sum(losses[-10:]) / 10:.2f} with it")
assert sum(losses[-10:]) / 10 < 1.5

# %% The eval trap
# In training mode an answer depends on the other rows of its batch. Sort test images by class, and each batch holds one
# class only: its mean, which is what makes it a 3, is taken away. With running statistics all is well.
test = ((digits.test.images / 255 - digits.mean[0]) / digits.std[0]).double()
right = {}
for training in (True, False):
    answers = torch.zeros_like(digits.test.labels)
    for label in range(10):
        chosen = digits.test.labels == label
        answers[chosen] = normed.forward(params, state, test[chosen], training=training)[0].argmax(1)
    right[training] = (answers == digits.test.labels).double().mean().item()
print(f"one class at a time: {right[False]:.0%} right in evaluation mode, {right[True]:.0%} in training mode")
print("one class at a time: over half wrong without eval:", right[True] < 0.5)
assert right[True] < 0.5
assert right[False] > right[True] + 0.2

# %% In training mode, one row is no batch
# Its deviation would be 0 and its answer the bias, whatever the row. Both ways say so.
for forward in (layer.train(), lambda row: batch_norm_forward(row, zero, one, training=True)):
    try:
        forward(x[:1])
    except ValueError as error:
        message = str(error)
    print("a batch of one:", message)
    assert "per channel" in message
assert layer.eval()(x[:1]).shape == (1, 3)

# %% Weight decay is a penalty on large weights
# Add decay / 2 times the sum of all squares to the loss: its gradient is decay times the weight. SGD's weight_decay
# adds just that to the gradient, in ours and in torch's; the loss itself stays as it was.
weight = torch.randn(4, 3, generator=draw, dtype=torch.float64)
leaf = weight.clone().requires_grad_()
(torch.nn.functional.mse_loss(leaf.sum(1), torch.zeros(4).double()) + 0.1 / 2 * (leaf**2).sum()).backward()
penalised = weight - 0.5 * leaf.grad
plain = 2 * weight.sum(1, keepdim=True).expand(4, 3) / 4  # the gradient of the squared error alone
decay = sgd(lr=0.5, weight_decay=0.1)
updated, _ = decay.update({"weight": weight}, {"weight": plain}, decay.init({"weight": weight}))
print("weight_decay equals a penalty in the loss:", torch.allclose(updated["weight"], penalised))
assert torch.allclose(updated["weight"], penalised)


# %% A network that can learn 100 images by heart
# It has a thousand times as many weights as there are images. p is the probability of its two dropouts.
def memoriser(p):
    middle = {"relu1": L.relu(), "drop1": L.dropout(p), "fc2": L.linear(128, 128), "relu2": L.relu()}
    return L.sequential(
        flatten=L.flatten(), fc1=L.linear(784, 128), **middle, drop2=L.dropout(p), fc3=L.linear(128, 10)
    )


count = sum(p.numel() for p in memoriser(0).init(torch.Generator().manual_seed(0))[0].values())
print(f"{count:,} parameters for 100 images")
assert count > 1000 * 100

# %% Fitting it
# AdamW takes lr * weight_decay of each weight away at every step, beside Adam's own step (lesson 10). Evaluation is
# without dropout.
from tinytorch_course.scratch.optimizers import adamw


def fit(p, weight_decay):
    net, masks = memoriser(p), torch.Generator().manual_seed(0)
    params = {key: value.double() for key, value in net.init(torch.Generator().manual_seed(0))[0].items()}
    optimizer = adamw(lr=2e-3, weight_decay=weight_decay)
    opt_state = optimizer.init(params)
    for _ in range(100):
        logits, _, cache = net.forward(params, {}, images[:100], training=True, generator=masks)
        loss, loss_cache = loss_of.forward(logits, labels[:100])
        _, grads = net.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, grads, opt_state)
    return lambda x, y: loss_of.forward(net.forward(params, {}, x, training=False)[0], y)[0].item()


# %% Regularisation
# The loss on the images that were learnt says nothing: it is almost 0 for all. On test images dropout and weight decay
# make it smaller, without a single new image. (Other ways: more data, augmentation, stopping early.)
fits = {"nothing": fit(0, 0), "dropout": fit(0.5, 0), "weight decay": fit(0, 2.0)}
losses = {name: (loss(images[:100], labels[:100]), loss(test, digits.test.labels)) for name, loss in fits.items()}
for name, (seen, unseen) in losses.items():
    print(f"{name}: loss {seen:.3f} on training images, {unseen:.3f} on test images")
assert all(seen < 0.2 * unseen for seen, unseen in losses.values())
assert losses["dropout"][1] < 0.9 * losses["nothing"][1]
assert losses["weight decay"][1] < 0.9 * losses["nothing"][1]

# %% What torch does here
# nn.Linear starts with neither Xavier nor Kaiming as they are meant: uniform within 1 / sqrt(in), whose variance is
# 1 / (3 in), a sixth of what ReLU needs: ten layers shrink a signal thousands of times. Draw anew, or normalise.
default = {key: p.double() for key, p in default.items()}
shrunk = look({key: p if p.dim() == 2 else p * 0 for key, p in default.items()})[0]
layer = torch.nn.Linear(64, 64)
print(f"torch's start: the last activations are {shrunk[-1].norm() / shrunk[0].norm():.0e} of the first")
assert layer.weight.abs().max() <= 1 / 64**0.5
assert shrunk[-1].norm() < 1e-2 * shrunk[0].norm()

# %% Exercises
# 1. Replace ReLU by tanh in "Why 2 / in" and measure: which gain keeps the mean square now? Compare it with
#    initializers.calculate_gain("tanh").
# 2. Train the network with batch norm in batches of 2 instead of 100. What becomes of its loss in training and in
#    evaluation mode, and why?
