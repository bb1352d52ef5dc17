"""09. Deep networks

What you learn: what depth buys; initialisation (zeros, small normal, Xavier, Kaiming) and what it does to activations,
gradients and learning; dropout and batch norm, in training and in evaluation; regularisation.

Run: tinytorch lesson 09 (or python examples/09_deep_networks.py)
Time: about 20 s on 2 CPU cores

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
# here), else the embedded digits. Pixels are brought to mean 0 and standard deviation 1.
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
# **Initialisation** is one number: the standard deviation of the weights of a layer with `fan_in` inputs and `fan_out`
# outputs. Zero; small; sqrt(2 / (fan_in + fan_out)) (**Xavier** or Glorot: keeps the size of signals and gradients in a
# linear network); or sqrt(2 / fan_in) (**Kaiming** or He: the 2 makes up for ReLU, which drops half). Biases start at
# 0.
rules = {
    "zeros": lambda fan_in, fan_out: 0.0,
    "small normal": lambda fan_in, fan_out: 0.01,
    "Xavier": lambda fan_in, fan_out: (2 / (fan_in + fan_out)) ** 0.5,
    "Kaiming": lambda fan_in, fan_out: (2 / fan_in) ** 0.5,
}


def start(rule):
    draw, params = torch.Generator().manual_seed(0), {}
    for key, p in default.items():
        params[key] = torch.zeros(p.shape)
        if p.dim() == 2:  # a weight, (fan_out, fan_in)
            params[key].normal_(0, rule(*p.shape[::-1]), generator=draw)
    return params


starts = {name: {key: p.double() for key, p in start(rule).items()} for name, rule in rules.items()}
for name, params in starts.items():
    print(f"{name}: standard deviation of fc2's weights {params['fc2.weight'].std():.3f}")
assert abs(starts["Kaiming"]["fc2.weight"].std() / starts["Xavier"]["fc2.weight"].std() - 2**0.5) < 0.01

# %% Torch has the same rules
# Its functions fill a tensor in place. From the same generator they draw the same numbers, bit for bit; and so do the
# course's own, tt.initializers.
import tinytorch_course.scratch.initializers as package

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
draw = torch.Generator().manual_seed(0)
for key, p in default.items():
    if p.dim() == 2:
        again = package.kaiming_normal(p.shape, draw, nonlinearity="relu")
        assert torch.equal(again.double(), starts["Kaiming"][key])

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
figure.savefig(OUT / "09_layers.png", dpi=120)


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
figure.savefig(OUT / "09_starts.png", dpi=120)

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


# %% Dropout, written out
# In training each value is set to 0 with probability p, and what is left is divided by 1 - p, so that the mean stays.
# In evaluation nothing is done. Forward is a product with a mask, so backward is the product with the same mask.
def drop_forward(x, p, generator, training=True):
    if not training:
        return x, torch.ones_like(x)
    mask = (torch.rand(x.shape, generator=generator) >= p) / (1 - p)
    return x * mask, mask


def drop_backward(dout, mask):
    return dout * mask


values = torch.ones(20000, dtype=torch.float64)
draw = torch.Generator().manual_seed(0)
dropped, mask = drop_forward(values, 0.25, draw)
silent, _ = drop_forward(values, 0.25, draw, training=False)
dvalues = drop_backward(torch.ones_like(values), mask)
print(f"train: {(dropped == 0).double().mean():.2f} are 0, the others {dropped.max():.4f}, mean {dropped.mean():.3f}")
assert abs((dropped == 0).double().mean() - 0.25) < 0.02
assert abs(dropped.mean() - 1) < 0.02
assert torch.equal(silent, values)
assert torch.equal(dvalues, dropped)  # both are the mask here

# %% It is the course's
# Its layer takes a mask from outside too, so that the two can be compared.
from tinytorch_course.scratch.ops.dropout import dropout_backward, dropout_forward

packaged, cache = dropout_forward(values, 0.25, mask=mask != 0)
print("dropout written out equals the course's:", torch.allclose(packaged, dropped))
assert torch.allclose(packaged, dropped)
assert torch.allclose(dropout_backward(torch.ones_like(values), cache), dvalues)

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
# Each column (of pictures: each channel, over all places) gets mean 0 and standard deviation 1 over the batch, then a
# learnt weight and bias. One operation a line, each result kept for backward:
def norm_forward(x, weight, bias, eps=1e-5):
    centred = x - x.mean(0)
    var = (centred**2).mean(0)
    inverse_std = 1 / torch.sqrt(var + eps)
    x_hat = centred * inverse_std
    return weight * x_hat + bias, (centred, inverse_std, x_hat, weight)


x = torch.randn(100, 3, generator=draw, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1]) + 5
zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
out, kept = norm_forward(x, one, zero)
print("standard deviations before:", [f"{d:.2f}" for d in x.std(0)], "after:", [f"{d:.2f}" for d in out.std(0)])
assert out.mean(0).abs().max() < 1e-12
assert (out.std(0, correction=0) - 1).abs().max() < 1e-3


# %% Backward, line by line
# The same lines from the last to the first. Two of them are sums over ways: a value reaches x_hat both by itself and by
# the variance, and x reaches the loss both by itself and by the mean. So a row's gradient depends on all rows.
def norm_backward(dout, kept):
    centred, inverse_std, x_hat, weight = kept
    dbias, dweight, dx_hat = dout.sum(0), (dout * x_hat).sum(0), dout * weight  # out = weight * x_hat + bias
    dinverse_std = (dx_hat * centred).sum(0)  # x_hat = centred * inverse_std
    dvar = dinverse_std * -0.5 * inverse_std**3  # inverse_std = (var + eps)^(-1/2)
    dcentred = dx_hat * inverse_std + dvar * 2 * centred / len(dout)  # x_hat; and var = mean(centred^2)
    dx = dcentred - dcentred.mean(0)  # centred = x - mean(x)
    return dx, dweight, dbias


dout = torch.randn(100, 3, generator=draw, dtype=torch.float64)
dx, dweight, dbias = norm_backward(dout, kept)
leaf = x.clone().requires_grad_()
(autograds,) = torch.autograd.grad(norm_forward(leaf, one, zero)[0], leaf, dout)
print("batch norm's dx line by line equals autograd's to 1e-10:", bool((dx - autograds).abs().max() < 1e-10))
assert (dx - autograds).abs().max() < 1e-10

# %% And its short form
# Put into one another, the lines become
#
# $$ dx = \frac{1}{\sigma} \left( d\hat x - mean(d\hat x) - \hat x \; mean(d\hat x \, \hat x) \right) $$
#
# To add the same to all rows, or to multiply all by the same, changes nothing in x_hat, so the gradient has no part in
# these two directions: the two means take them out.
centred, inverse_std, x_hat, weight = kept
dx_hat = dout * weight
short = inverse_std * (dx_hat - dx_hat.mean(0) - x_hat * (dx_hat * x_hat).mean(0))
print("the short form agrees to 1e-10:", bool((short - dx).abs().max() < 1e-10))
assert (short - dx).abs().max() < 1e-10
assert dx.sum(0).abs().max() < 1e-8  # nothing in the direction of "add the same to all"

# %% The course's, and its running statistics
# These lines are the course's batch norm. Beside the output it keeps running means of mean and variance, for
# evaluation, where a sample must not depend on the others of its batch.
from tinytorch_course.scratch.ops.normalization import batch_norm_backward, batch_norm_forward

packaged, (mean, var), cache = batch_norm_forward(x, zero, one, one, zero, training=True)
print(f"running mean of the first column: {mean[0]:.3f}, a tenth of the batch's {x.mean(0)[0]:.3f}")
assert torch.allclose(packaged, out, rtol=0, atol=1e-12)
assert torch.allclose(mean, 0.1 * x.mean(0))  # 0.9 * 0 + 0.1 * the batch's
assert torch.allclose(var, 0.9 + 0.1 * x.var(0))  # here torch divides by N - 1, above by N

# %% Equal to torch's, backward too
layer = torch.nn.BatchNorm1d(3, dtype=torch.float64)
leaf = x.clone().requires_grad_()
torchs = layer(leaf)
torchs.backward(dout)
ours = [out, *batch_norm_backward(dout, cache), mean, var]
theirs = [torchs, leaf.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]
difference = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
print("batch norm: outputs, gradients and running statistics equal torch's to 1e-12:", difference < 1e-12)
assert difference < 1e-12
ours = [out, dx, dweight, dbias]  # written out above
assert max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=False)) < 1e-10

# %% Batch norm bears a bad start, and higher rates
# It undoes the shrinking at every layer. Ten layers, once with it and once without, from two starts, all at the
# learning rate 0.05, five times that of above: there Kaiming without batch norm does worse than it did, and the small
# normal start learns nothing. With batch norm both learn.
L = scratch.layers
layers = {"flatten": L.flatten()}
for number in range(1, 11):
    layers[f"fc{number}"] = L.linear(784 if number == 1 else 64, 64, bias=False)  # batch norm has one
    layers |= {f"norm{number}": L.batch_norm1d(64), f"relu{number}": L.relu()}
normed = L.sequential(**layers, fc11=L.linear(64, 10))
drawn, state = normed.init(torch.Generator().manual_seed(0))
first_state = {key: s.double() if s.is_floating_point() else s for key, s in state.items()}
end = {}
for name in ("Kaiming", "small normal"):
    losses = train(network, starts[name], {}, sgd(lr=0.05, momentum=0.9), 100)[2]
    first = {key: (starts[name][key] if key.startswith("fc") else p.double()) for key, p in drawn.items()}
    params, state, normed_losses = train(normed, first, first_state, sgd(lr=0.05, momentum=0.9), 100)
    end[name] = sum(losses[-10:]) / 10, sum(normed_losses[-10:]) / 10
    print(f"{name}, lr 0.05: loss {end[name][0]:.2f} without batch norm, {end[name][1]:.2f} with it")
assert end["small normal"][0] > 2.2
assert end["small normal"][1] < 1.5
assert end["Kaiming"][1] < end["Kaiming"][0]
assert end["Kaiming"][0] > final["Kaiming"]

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
# Its standard deviation would be 0 and its answer the bias, whatever the row. Both ways say so.
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
# AdamW takes lr * weight_decay of each weight away at every step, beside Adam's own step (lesson 10). Its usual decay
# of 0.01 is for many thousand steps: here, in 100 steps at 0.002, it would take 0.2 % away. So that anything is seen,
# it is 2 (33 %). Evaluation is without dropout. Each seed has a start and 100 images of its own.
from tinytorch_course.scratch.optimizers import adamw


def fit(p, weight_decay, seed):
    net, masks = memoriser(p), torch.Generator().manual_seed(seed)
    x, y = images[100 * seed : 100 * seed + 100], labels[100 * seed : 100 * seed + 100]
    params = {key: value.double() for key, value in net.init(torch.Generator().manual_seed(seed))[0].items()}
    optimizer = adamw(lr=2e-3, weight_decay=weight_decay)
    opt_state = optimizer.init(params)
    for _ in range(100):
        logits, _, cache = net.forward(params, {}, x, training=True, generator=masks)
        loss, loss_cache = loss_of.forward(logits, y)
        _, grads = net.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        params, opt_state = optimizer.update(params, grads, opt_state)
    seen, unseen = (net.forward(params, {}, inputs, training=False)[0] for inputs in (x, held_out))
    right = (unseen.argmax(1) == held_out_labels).double().mean()
    return loss_of.forward(seen, y)[0].item(), loss_of.forward(unseen, held_out_labels)[0].item(), right.item()


# %% Regularisation
# The loss on the images that were learnt says nothing: it is almost 0 for all. Of images that were not, dropout and
# weight decay lower the *loss*, without a single new image; the *accuracy* changes much less. They make the network
# less sure where it is wrong. Five seeds, and how far these differ: a gain smaller than that says nothing. (Other ways
# of **regularisation**: more data, augmentation, stopping early.)
held_out, held_out_labels = test[:300], digits.test.labels[:300]
settings = {"nothing": (0, 0), "dropout": (0.5, 0), "weight decay": (0, 2.0)}
fits = {name: torch.tensor([fit(*setting, seed) for seed in range(5)]) for name, setting in settings.items()}
for name, rows in fits.items():
    (seen, unseen, right), (_, spread, right_spread) = rows.mean(0), rows.std(0)
    print(f"{name}: loss {seen:.3f} on training images, {unseen:.3f} +- {spread:.3f} on others;", end=" ")
    print(f"{right:.1%} +- {right_spread:.1%} of these right")
gain = {name: (fits["nothing"][:, 1] - fits[name][:, 1]).mean().item() for name in ("dropout", "weight decay")}
assert all((rows[:, 0] < 0.2 * rows[:, 1]).all() for rows in fits.values())
assert all(value > 0 for value in gain.values())

# %% What torch does here
# nn.Linear starts with neither Xavier nor Kaiming as they are meant: uniform within 1 / sqrt(in), whose variance is 1 /
# (3 in), a sixth of what ReLU needs. What does that do in ten layers? The activations themselves hold up, because the
# biases, drawn likewise, add something new at every layer. But what tells one image from another is lost: the spread
# between the samples shrinks thousands of times, and all images look the same to the last layer. Draw anew, or
# normalise.
activations = look({key: p.double() for key, p in default.items()})[0]
size = [t.norm() for t in activations]
spread = [t.std(0).norm() for t in activations]  # over the samples
layer = torch.nn.Linear(64, 64)
print(f"torch's start, last layer over first: activations {size[-1] / size[0]:.2f}", end=", ")
print(f"their spread between samples {spread[-1] / spread[0]:.0e}")
assert layer.weight.abs().max() <= 1 / 64**0.5
assert 0.02 < size[-1] / size[0] < 1
assert spread[-1] / spread[0] < 1e-2

# %% Exercises
# 1. Replace ReLU by tanh in "Why 2 / in" and measure: which gain keeps the mean square now? Compare it with
#    torch.nn.init.calculate_gain("tanh").
# 2. Train the network with batch norm in batches of 2 instead of 100. What becomes of its loss in training and in
#    evaluation mode, and why?
