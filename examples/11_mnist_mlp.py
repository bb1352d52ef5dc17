"""11. MNIST, the MLP project

What you learn: a whole project with a network of 784-128-64-10: data in three parts, training, choosing the epoch,
testing once, saving and loading (either implementation loads the other's file), and what the network gets wrong.

Run: tinytorch lesson 11 (or python examples/11_mnist_mlp.py)
Time: about 12 s on 2 CPU cores

Expected output (excerpt):
    109,386 parameters, the same names in both ways: True
    written out, autograd: six gradients equal to 1e-12: True
    over 90 % right on the test images, both ways: True
    ours in torch, torch's in ours: the same answers: True
    a kept state_dict has changed with the network: True
"""

# %% Three parts of the data
# Training images make the gradients, validation images choose the epoch, test images are looked at once. MNIST if it is
# there (its first 12,800 images, so that this takes seconds), else the embedded digits.
import torch

from tinytorch_course.data import default_data_dir, epoch_order, load

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
digits = load("mnist", limit=12800) if found else load("digits")
print(f"{digits.title}: {len(digits.train.images)} to train, {len(digits.val.images)} to choose,", end=" ")
print(f"{len(digits.test.images)} to test; {digits.train.images.dtype}, {tuple(digits.train.images.shape[1:])}")
assert digits.train.images.shape[1:] == (1, 28, 28)
assert digits.train.labels.unique().tolist() == list(range(10))

# %% Look at the data before anything else
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
figure, panels = plt.subplots(2, 10, figsize=(13, 3.3), layout="constrained")
for axes, image, label in zip(panels.flat, digits.train.images, digits.train.labels, strict=False):
    axes.imshow(image[0], cmap="gray")
    axes.set(xticks=[], yticks=[])
    axes.set_title(label.item(), fontsize=16)
figure.savefig(OUT / "11_data.png", dpi=120)


# %% Pixels to numbers around 0
# Mean and standard deviation come from the training images alone: the others must not leak into training.
def normalise(images):  # uint8 (N, 1, 28, 28)
    return (images / 255 - digits.mean[0]) / digits.std[0]


(x, y), (val_x, val_y) = ((normalise(split.images), split.labels) for split in (digits.train, digits.val))
print(
    f"training: mean {x.mean():.3f}, standard deviation {x.std():.3f}; "
    f"validation: {val_x.mean():.3f}, {val_x.std():.3f}"
)
assert abs(x.mean()) < 0.01
assert abs(x.std() - 1) < 0.01

# %% The network in PyTorch, as people write it
# 784 pixels, 128 and 64 hidden units with ReLU, 10 scores. A class of your own: `__init__` makes the layers that have
# parameters, `forward` says what is done with them.
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.fc1(x.flatten(1)))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)  # logits: the loss takes the softmax itself


print(Net())
assert Net()(x[:5]).shape == (5, 10)

# %% The network, two ways
# The course's mlp is the same, written once for both ways, and its parameters have the same names.
from tinytorch_course import reference, scratch
from tinytorch_course.models import mlp

network, module = mlp(scratch.layers), Net()
start, _ = network.init(torch.Generator().manual_seed(0))
module.load_state_dict(start)
count = sum(p.numel() for p in start.values())
same_names = list(start) == [name for name, _ in module.named_parameters()]
for name, p in start.items():
    print(f"{name:12}{tuple(p.shape)!s:12}{p.numel():>8,}")
print(f"{count:,} parameters, the same names in both ways: {same_names}")
assert count == (784 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10)
assert same_names

# %% Forward, written out
# What network.forward does for these layers: each layer's forward in order, each keeping what its backward will need.
from tinytorch_course.scratch.ops.activation import relu_backward, relu_forward
from tinytorch_course.scratch.ops.linear import linear_backward, linear_forward


def forward(params, x):
    a, caches = x.flatten(1), {}  # (N, 784)
    for number in (1, 2, 3):
        a, caches[f"fc{number}"] = linear_forward(a, params[f"fc{number}.weight"], params[f"fc{number}.bias"])
        if number < 3:
            a, caches[f"relu{number}"] = relu_forward(a)
    return a, caches  # (N, 10)


scores, caches = forward(start, x[:100])
print(f"scores {tuple(scores.shape)}; kept for backward: {list(caches)}")
assert torch.allclose(scores, module(x[:100]), atol=1e-5)

# %% Backward, written out
# Each layer's backward, from the last to the first, starting from the gradient of the loss.
from tinytorch_course.scratch.losses import cross_entropy_backward, cross_entropy_forward


def gradients(params, x, y):
    scores, caches = forward(params, x)
    loss, loss_cache = cross_entropy_forward(scores, y)
    da, grads = cross_entropy_backward(torch.ones_like(loss), loss_cache), {}
    for number in (3, 2, 1):
        if number < 3:
            da = relu_backward(da, caches[f"relu{number}"])
        da, grads[f"fc{number}.weight"], grads[f"fc{number}.bias"] = linear_backward(da, caches[f"fc{number}"])
    return loss, grads


# %% Equal to autograd's
double = mlp(reference.layers).double()
double.load_state_dict(start)
expected = torch.nn.functional.cross_entropy(double(x[:100].double()), y[:100])
expected.backward()
loss, grads = gradients({name: p.double() for name, p in start.items()}, x[:100].double(), y[:100])
apart = max((grads[name] - p.grad).abs().max().item() for name, p in double.named_parameters())
print(f"written out, autograd: six gradients equal to 1e-12: {apart < 1e-12}")
print(f"loss {loss:.4f}; guessing would cost log 10 = {torch.log(torch.tensor(10.0)):.4f}")
assert apart < 1e-12
assert len(grads) == 6
assert abs(loss - 2.3) < 0.3


# %% Evaluation
# Loss and accuracy on a part of the data, for any function from images to scores.
def evaluate(scores_of, x, y):
    with torch.no_grad():
        scores = scores_of(x)
    return torch.nn.functional.cross_entropy(scores, y).item(), (scores.argmax(1) == y).double().mean().item()


untrained = evaluate(module, val_x, val_y)
print(f"before training: loss {untrained[0]:.2f}, {untrained[1]:.0%} right")
assert untrained[1] < 0.3

# %% Training, from scratch
# An epoch goes through all images in a new order, 128 at a time. Our update returns new tensors and leaves the old ones
# alone, so keeping the best epoch is keeping a name.
epochs = 4 if found else 15
adam = scratch.optimizers.adam(lr=1e-3)
params, opt_state, best, history = start, adam.init(start), (0, start), []
for epoch in range(epochs):
    losses = []
    for batch in epoch_order(len(x), seed=0, epoch=epoch).split(128):
        loss, grads = gradients(params, x[batch], y[batch])
        params, opt_state = adam.update(params, grads, opt_state)
        losses.append(loss.item())
    accuracy = evaluate(lambda x, params=params: forward(params, x)[0], val_x, val_y)[1]
    history.append((sum(losses) / len(losses), accuracy))
    best = max(best, (accuracy, params), key=lambda pair: pair[0])
print(f"the best epoch has {best[0]:.1%} of the validation images right")
assert best[0] > 0.9

# %% Training, in torch
# The loop that you will see everywhere. A **device** is chosen once; the network and each batch are moved there. A
# **DataLoader** makes the batches (usually with shuffle=True; here it is given the order, so that both ways see the
# same). train() and eval() switch layers that behave differently in the two, such as dropout: this network has none,
# but the habit saves you one day. step() changes the parameters in place, so keeping an epoch needs a copy.
import copy

from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
module.to(device)
train_set = TensorDataset(x, y)
optimizer, torch_best, torch_history = torch.optim.Adam(module.parameters(), lr=1e-3), (0, {}), []
for epoch in range(epochs):
    losses = []
    module.train()
    for images, labels in DataLoader(
        train_set, batch_size=128, sampler=epoch_order(len(x), seed=0, epoch=epoch).tolist()
    ):
        loss = nn.functional.cross_entropy(module(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    module.eval()
    accuracy = evaluate(lambda images: module(images.to(device)).cpu(), val_x, val_y)[1]
    torch_history.append((sum(losses) / len(losses), accuracy))
    torch_best = max(torch_best, (accuracy, copy.deepcopy(module.state_dict())), key=lambda pair: pair[0])
assert torch_best[0] > 0.9

# %% Side by side
# Float32 rounds, and the two ways round differently; over so few steps the curves lie on each other all the same.
print(f"loss of each epoch, ours:  {[round(loss, 3) for loss, _ in history]}")
print(f"loss of each epoch, torch: {[round(loss, 3) for loss, _ in torch_history]}")
assert history[-1][0] < history[0][0] / 2
assert abs(history[0][0] - torch_history[0][0]) < 0.01
assert abs(history[-1][0] - torch_history[-1][0]) < 0.03

# %% Drawn
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
for (name, rows), color, style in zip(
    (("scratch", history), ("torch", torch_history)), ("#0072b2", "#e69f00"), ("o-", "s--"), strict=True
):
    left.plot(range(1, epochs + 1), [loss for loss, _ in rows], style, color=color, linewidth=2.5, label=name)
    right.plot(range(1, epochs + 1), [100 * right for _, right in rows], style, color=color, linewidth=2.5, label=name)
left.set_ylabel("loss on the training images", fontsize=14)
right.set_ylabel("right on the validation images, %", fontsize=14)
for axes in (left, right):
    axes.set_xlabel("epoch", fontsize=14)
    axes.legend(fontsize=14)
figure.savefig(OUT / "11_curves.png", dpi=120)

# %% Tested once
# With the epoch that was best on validation. How far can the figure be trusted? Of a hundred test sets of this size,
# about 95 would give a figure within two standard deviations of the truth (lesson 12).
test_x, test_y = normalise(digits.test.images), digits.test.labels
module.cpu()
params = best[1]
module.load_state_dict(torch_best[1])
ours = evaluate(lambda x: forward(params, x)[0], test_x, test_y)[1]
theirs = evaluate(module, test_x, test_y)[1]
deviation = (ours * (1 - ours) / len(test_y)) ** 0.5
print(f"right on {len(test_y)} test images: scratch {ours:.1%}, torch {theirs:.1%}; give or take {2 * deviation:.1%}")
print("over 90 % right on the test images, both ways:", min(ours, theirs) > 0.9)
assert min(ours, theirs) > 0.9
assert abs(ours - theirs) < 0.03

# %% Saved and loaded, across
# A state_dict is a dict of names and tensors, and so are our parameters: each way reads the other's file. weights_only
# makes loading execute nothing that a stranger may have put into the file.
import tempfile

folder = tempfile.TemporaryDirectory()
torch.save(params, Path(folder.name) / "scratch.pt")
torch.save(module.state_dict(), Path(folder.name) / "torch.pt")
from_scratch = torch.load(Path(folder.name) / "scratch.pt", weights_only=True)
from_torch = torch.load(Path(folder.name) / "torch.pt", weights_only=True)
fresh = mlp(reference.layers)
fresh.load_state_dict(from_scratch)  # strict: every name must be there, and no other
same = torch.allclose(fresh(test_x[:100]), forward(params, test_x[:100])[0], atol=1e-3) and torch.allclose(
    module(test_x[:100]), forward(from_torch, test_x[:100])[0], atol=1e-3
)
print("ours in torch, torch's in ours: the same answers:", same)
assert same

# %% A file of another network
# Loading compares names and shapes, and says what does not fit.
try:
    mlp(reference.layers, widths=(128, 32)).load_state_dict(from_scratch)
except RuntimeError as error:
    message = str(error)
print(message.splitlines()[1].strip())
assert "size mismatch for fc2.weight" in message

# %% What it gets wrong
# It is less sure of itself where it is wrong; not always, as the picture shows.
with torch.no_grad():
    sure, answers = torch.softmax(fresh(test_x), dim=1).max(1)
wrong = answers != test_y
print(f"{wrong.sum()} mistakes; {sure[wrong].mean():.0%} sure when wrong, {sure[~wrong].mean():.0%} when right")
assert sure[wrong].mean() < sure[~wrong].mean()
assert abs(wrong.double().mean() - (1 - ours)) < 0.01

# %% Drawn
# The mistakes of which it was surest. For how many of them would you have another answer than the label?
surest = torch.where(wrong, sure, 0).argsort(descending=True)[: min(10, wrong.sum())]
figure, panels = plt.subplots(2, 5, figsize=(11, 6), layout="constrained")
for axes in panels.flat:
    axes.axis("off")  # of the embedded digits it may get fewer than ten wrong
for axes, index in zip(panels.flat, surest, strict=False):
    axes.imshow(digits.test.images[index, 0], cmap="gray")
    axes.set_title(f"a {test_y[index]}, answer {answers[index]}\n{sure[index]:.0%} sure", fontsize=14)
figure.savefig(OUT / "11_mistakes.png", dpi=120)

# %% What the first layer looks at
# A hidden unit has one weight for each pixel: orange wants ink there, purple wants none. At the border, where hardly an
# image has ink, there was little to learn, and the random start is still to be seen. Some units have learnt nothing.
weights = params["fc1.weight"].reshape(128, 28, 28)
figure, panels = plt.subplots(2, 8, figsize=(13, 3.6), layout="constrained")
for axes, weight in zip(panels.flat, weights, strict=False):
    shown = axes.imshow(weight, cmap="PuOr_r", vmin=-0.1, vmax=0.1)
    axes.set(xticks=[], yticks=[])
figure.colorbar(shown, ax=panels).set_label("weight", fontsize=14)
figure.savefig(OUT / "11_hidden_units.png", dpi=120)
change = (weights - start["fc1.weight"].reshape(128, 28, 28)).abs().mean(0)
print(f"mean change of a weight: {change[10:18, 10:18].mean():.3f} in the middle, {change[:2].mean():.3f} at the top")
assert change[10:18, 10:18].mean() > 1.5 * change[:2].mean()

# %% What it cannot do
# Each pixel has weights of its own, so nothing that was learnt at one place is known at the next. Moved by three
# pixels, which no reader would mind, many digits are lost. Convolution is the answer (lessons 13 and 14).
moved = evaluate(fresh, test_x.roll(3, dims=3), test_y)[1]
print(f"right: {ours:.1%}; on the same images, moved by three pixels: {moved:.1%}")
assert moved < ours - 0.1

# %% What torch does here
# state_dict() copies nothing: its tensors are the parameters' own memory. Whoever keeps it as "the best epoch" and goes
# on training has kept the last epoch; hence the deepcopy above.
kept, before = fresh.state_dict(), fresh.fc3.bias.detach().clone()
optimizer = torch.optim.SGD(fresh.parameters(), lr=0.1)
torch.nn.functional.cross_entropy(fresh(x[:100]), y[:100]).backward()
optimizer.step()
changed = not torch.equal(kept["fc3.bias"], before)
print("a kept state_dict has changed with the network:", changed)
assert changed
assert kept["fc3.bias"].data_ptr() == fresh.fc3.bias.data_ptr()

# %% Exercises
# 1. Train with every pixel of the training images moved by a random -2 to 2 places (torch.roll). What does that cost on
#    the test images, and what does it win on moved ones?
# 2. `tinytorch train --model mlp --impl scratch` does all of the above, and keeps a log. Load the model.pt of its run
#    folder into mlp(reference.layers) as in "Saved and loaded, across". What else is in that folder, and what for?
