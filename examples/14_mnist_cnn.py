"""14. The CNN on MNIST

What you learn: the whole project: one network in both ways, in lock-step and then to accuracy; its filters and
activation maps; what it confuses; and what it needs to be used: saved, loaded, exported, asked for one picture.

Run: tinytorch lesson 14 (or python examples/14_mnist_cnn.py)
Time: about 30 s on 2 CPU cores

Expected output (excerpt):
    lock-step in float64: 6 losses equal to 1e-9: True; all 10 parameters equal to 1e-7: True
    over 90 % right, both ways: True
    maps by torch's modules and in our cache are equal to 1e-4: True
    ... MB; saved and loaded, by either: the same answers: True
    exported: the same answers without our code: True
"""

# %% The data
# MNIST if it is there (its first 5,000 images, so that this takes seconds), else the embedded digits. Mean and
# standard deviation of the training images belong to the network from now on: it will know pictures in no other form.
import torch

from tinytorch_course.data import default_data_dir, epoch_order, load

found = any(default_data_dir().glob("MNIST/raw/train-images-idx3-ubyte*"))
digits = load("mnist", limit=5000) if found else load("digits")


def normalise(images):  # uint8 (N, 1, 28, 28)
    return (images / 255 - digits.mean[0]) / digits.std[0]


x, y = normalise(digits.train.images), digits.train.labels
val_x, val_y = normalise(digits.val.images[:500]), digits.val.labels[:500]
test_x, test_y = normalise(digits.test.images[:1000]), digits.test.labels[:1000]
print(
    f"{digits.title}: {len(x)} images to train on, {len(test_x)} to test; "
    f"mean {x.mean():.3f}, standard deviation {x.std():.3f}"
)
assert abs(x.mean()) < 0.01
assert abs(x.std() - 1) < 0.01

# %% The network in PyTorch, as people write it
# Two blocks of convolution, batch norm, ReLU and pooling (28 -> 14 -> 7 pixels), then two linear layers with dropout
# before each. The convolutions have no bias: batch norm would take it away again, and brings one of its own.
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.norm1, self.relu1, self.pool1 = nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.norm2, self.relu2, self.pool2 = nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)
        self.flatten, self.drop1 = nn.Flatten(), nn.Dropout(0.25)
        self.fc1, self.relu3, self.drop2 = nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = self.pool1(self.relu1(self.norm1(self.conv1(x))))
        x = self.pool2(self.relu2(self.norm2(self.conv2(x))))
        x = self.relu3(self.fc1(self.drop1(self.flatten(x))))
        return self.fc2(self.drop2(x))


# %% The same, written once for both ways
# The course's mnist_cnn is the same network for any namespace of layers. Ours draws the start; Net loads it by name.
from tinytorch_course import reference, scratch
from tinytorch_course.models import mnist_cnn

network = mnist_cnn(scratch.layers)
start, start_state = network.init(torch.Generator().manual_seed(0))
module = Net()
module.load_state_dict(start | start_state)  # strict: every name must be there, and no other
print(f"{sum(p.numel() for p in start.values()):,} parameters; the first: {list(start)[:4]}")
assert set(module.state_dict()) == set(start | start_state)


# %% A training step, written out
# Forward, loss, the loss's gradient, backward through the network, update. Nothing is hidden: what changes comes back.
loss_of = scratch.losses.cross_entropy()
optimizer = scratch.optimizers.adam(lr=1e-3)


def scratch_step(params, state, opt_state, x, y, masks, rates):
    logits, state, cache = network.forward(params, state, x, training=True, generator=masks)
    loss, loss_cache = loss_of.forward(logits, y)
    dlogits = loss_of.backward(torch.ones_like(loss), loss_cache)
    _, grads = network.backward(dlogits, cache, need_dx=False)
    params, opt_state = optimizer.update(params, grads, opt_state, **rates)
    return loss, params, state, opt_state


# %% The same step in torch
# backward() fills .grad, step() changes the parameters in place. The course's dropout draws its masks from a generator
# that we choose, so that both ways can drop the same units.
def torch_step(module, optimizer, x, y, masks, rates):
    reference.layers.set_generator(module, masks)
    loss = torch.nn.functional.cross_entropy(module.train()(x), y)
    optimizer.zero_grad()
    loss.backward()
    reference.optimizers.set_rates(optimizer, **rates)
    optimizer.step()
    return loss.detach()


# %% Lock-step
# In float64, on the same batches with the same masks, two correct implementations stay together.
double = mnist_cnn(reference.layers).double()
double.load_state_dict(start | start_state)
adam = torch.optim.Adam(double.parameters(), lr=1e-3)
params = {name: p.double() for name, p in start.items()}
state = {name: s.double() if s.is_floating_point() else s for name, s in start_state.items()}
opt_state, gaps = optimizer.init(params), []
for step in range(6):
    batch = (x[step * 16 : step * 16 + 16].double(), y[step * 16 : step * 16 + 16])
    ours, params, state, opt_state = scratch_step(
        params, state, opt_state, *batch, torch.Generator().manual_seed(step), {}
    )
    gaps.append(abs(ours - torch_step(double, adam, *batch, torch.Generator().manual_seed(step), {})).item())

# %% How far apart?
apart = {name: (params[name] - p).abs().max().item() for name, p in double.named_parameters()}
moved = min((params[name] - start[name]).abs().max().item() for name in params)
print(f"lock-step in float64: {len(gaps)} losses equal to 1e-9: {max(gaps) < 1e-9};", end=" ")
print(f"all {len(apart)} parameters equal to 1e-7: {max(apart.values()) < 1e-7}")
assert max(gaps) < 1e-9
assert max(apart.values()) < 1e-7
assert moved > 1e-3  # and they did learn

# %% A plan for 80 steps
# Batches of 64 in an order that a seed fixes; the rate rises to 0.005 and falls to almost nothing (lesson 10).
schedule = scratch.schedules.one_cycle(5e-3, total_steps=80, cycle_momentum=False)
orders = torch.cat([epoch_order(len(x) // 64 * 64, seed=0, epoch=epoch) for epoch in range(6)])
batches = orders.split(64)[:80]
print(f"{len(batches)} batches of 64, lr {schedule(0)['lr']:.4f}, {schedule(23)['lr']:.4f}, {schedule(79)['lr']:.0e}")
assert len(batches) == 80
assert all(len(batch) == 64 for batch in batches)


# %% To accuracy, from scratch
# In float32, with validation images looked at every 20 steps, in evaluation mode: no dropout, and batch norm's running
# statistics.
def accuracy(logits, labels):
    return (logits.argmax(1) == labels).double().mean().item()


params, state, opt_state = start, start_state, optimizer.init(start)
losses, validation = {"scratch": [], "torch": []}, {"scratch": {}, "torch": {}}
for step, batch in enumerate(batches):
    masks = torch.Generator().manual_seed(step)
    loss, params, state, opt_state = scratch_step(params, state, opt_state, x[batch], y[batch], masks, schedule(step))
    losses["scratch"].append(loss.item())
    if step % 20 == 19:
        logits, _, _ = network.forward(params, state, val_x, training=False)
        validation["scratch"][step + 1] = accuracy(logits, val_y)
print("from scratch, right on the validation images:", {k: f"{v:.1%}" for k, v in validation["scratch"].items()})
assert validation["scratch"][80] > 0.85

# %% To accuracy, in PyTorch
# The plain loop: device, DataLoader, train(), zero_grad, forward, loss, backward, step, the scheduler's step, eval().
# Its dropout draws masks of its own, so its path is another one; how well it reads in the end must be the same.
from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
module.to(device)
adam = torch.optim.Adam(module.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=80, cycle_momentum=False)
loader = DataLoader(TensorDataset(x, y), batch_sampler=[batch.tolist() for batch in batches])
for step, (images, labels) in enumerate(loader):
    module.train()
    adam.zero_grad()
    loss = nn.functional.cross_entropy(module(images.to(device)), labels.to(device))
    loss.backward()
    adam.step()
    scheduler.step()
    losses["torch"].append(loss.item())
    if step % 20 == 19:
        module.eval()
        with torch.no_grad():
            validation["torch"][step + 1] = accuracy(module(val_x.to(device)).cpu(), val_y)
module.cpu()
print("in PyTorch, right on the validation images:", {k: f"{v:.1%}" for k, v in validation["torch"].items()})
assert validation["torch"][80] > 0.85

# %% Tested, once
with torch.no_grad():
    torch_logits = module.eval()(test_x)
logits, _, _ = network.forward(params, state, test_x, training=False)
right = {"scratch": accuracy(logits, test_y), "torch": accuracy(torch_logits, test_y)}
print("right on the test images:", {name: f"{share:.1%}" for name, share in right.items()})
print("over 90 % right, both ways:", min(right.values()) > 0.9)
assert min(right.values()) > 0.9
assert abs(right["scratch"] - right["torch"]) < 0.05

# %% The promise of lesson 11
# There the MLP, on the same images, lost about half of its answers when the pictures were moved by three pixels. A
# convolution finds an edge wherever it is (**translation equivariance**), and pooling forgets a little of where it was.
# Guess first: how many does the CNN read now? (It has seen each image once. Each further epoch helps: exercise 1.)
shifted = {}
for pixels in (0, 1, 2, 3):
    logits_moved, _, _ = network.forward(params, state, test_x.roll(pixels, dims=3), training=False)
    shifted[pixels] = accuracy(logits_moved, test_y)
print("right, by how many pixels the test images were moved:", {n: f"{share:.1%}" for n, share in shifted.items()})
assert shifted[1] > 0.85
assert shifted[3] > 0.5

# %% A folder for the pictures
import os
from pathlib import Path

import matplotlib.pyplot as plt

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)

# %% Losses and validation accuracy, drawn
figure, (axes, right_axes) = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
for (name, values), color, style in zip(losses.items(), ("#0072b2", "#e69f00"), ("-", "--"), strict=True):
    axes.plot(values, color=color, linestyle=style, linewidth=2.5, label=name)
    points = [100 * share for share in validation[name].values()]
    right_axes.plot(list(validation[name]), points, f"o{style}", color=color, linewidth=2.5, label=name)
axes.set_ylabel("loss of the batch", fontsize=14)
right_axes.set_ylabel("right on the validation images, %", fontsize=14)
for panel in (axes, right_axes):
    panel.set_xlabel("step", fontsize=14)
    panel.legend(fontsize=14)
figure.savefig(OUT / "14_losses.png", dpi=120)

# %% What it has learnt to look for
# The 32 kernels of the first convolution, 3 x 3 each. Some look for edges, as those of lesson 13; after so few steps
# much of the random start is left in all of them.
kernels = params["conv1.weight"][:, 0]  # (32, 3, 3)
change = (kernels - start["conv1.weight"][:, 0]).norm() / kernels.norm()
figure, panels = plt.subplots(4, 8, figsize=(9, 5), layout="constrained")
bound = kernels.abs().max()
for axes, kernel in zip(panels.flat, kernels, strict=True):
    shown = axes.imshow(kernel, cmap="PuOr_r", vmin=-bound, vmax=bound)
    axes.set(xticks=[], yticks=[])
figure.colorbar(shown, ax=panels).set_label("weight", fontsize=14)
figure.suptitle("The 32 kernels of the first convolution", fontsize=16)
figure.savefig(OUT / "14_filters.png", dpi=120)
print(f"the first kernels have changed by {change:.0%} of their size")
assert change > 0.05

# %% One picture on its way through
# Layer by layer in torch. Our forward pass needs no hooks: what backward will need is in the cache, under its name.
module.load_state_dict(params | state)  # ours, from now on in both
picture, maps = test_x[:1], {}
out = picture
with torch.no_grad():
    for name, layer in module.eval().named_children():
        maps[name] = out = layer(out)
_, _, cache = network.forward(params, state, picture, training=False)
into_conv2, into_fc1 = cache.caches["conv2"].x, cache.caches["fc1"].x
print(
    " -> ".join(f"{name} {tuple(maps[name].shape[1:])}" for name in ("conv1", "pool1", "conv2", "pool2", "fc1", "fc2"))
)
apart = max((into_conv2 - maps["pool1"]).abs().max().item(), (into_fc1 - maps["drop1"]).abs().max().item())
print("maps by torch's modules and in our cache are equal to 1e-4:", apart < 1e-4)
assert apart < 1e-4

# %% Its activation maps, drawn
# The picture, and the eight maps with most in them after each pooling. The deeper, the coarser in place.
figure, panels = plt.subplots(2, 9, figsize=(14, 3.8), layout="constrained")
for row, name in zip(panels, ("pool1", "pool2"), strict=True):
    strongest = maps[name][0][maps[name][0].sum((1, 2)).argsort(descending=True)[:8]]
    row[0].imshow(picture[0, 0], cmap="gray")
    row[0].set_title("the picture" if name == "pool1" else "", fontsize=14)
    for axes, one in zip(row[1:], strongest, strict=True):
        axes.imshow(one, cmap="cividis")
    row[4].set_title(f"maps after {name}, {one.shape[0]} x {one.shape[1]}", fontsize=15)
for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
figure.savefig(OUT / "14_maps.png", dpi=120)

# %% What it confuses
# A row for each true class, a column for each answer (**confusion matrix**). What is right lies on the diagonal.
answers = logits.argmax(1)
confusion = torch.zeros(10, 10, dtype=torch.int64)
for truth, answer in zip(test_y, answers, strict=True):
    confusion[truth, answer] += 1
mistakes = confusion - confusion.diag().diag()
worst = divmod(mistakes.argmax().item(), 10)
print(
    f"{mistakes.sum()} of {len(test_y)} are wrong; most often a {worst[0]} is taken for a {worst[1]}: {mistakes.max()}"
)
assert confusion.sum() == len(test_y)
assert abs(confusion.trace() / len(test_y) - right["scratch"]) < 1e-6

# %% Precision and recall of each class
# **Precision**: of all that were called a 3, how many are one? **Recall**: of all 3s, how many were called so? (Lesson
# 12.)
precision, recall = confusion.diag() / confusion.sum(0), confusion.diag() / confusion.sum(1)
for digit in range(10):
    print(f"  {digit}: precision {precision[digit]:.1%}, recall {recall[digit]:.1%}")
print(f"lowest recall: {recall.min():.1%}, of the {recall.argmin().item()}")
assert recall.min() <= right["scratch"] <= recall.max()

# %% Drawn
figure, axes = plt.subplots(figsize=(7, 6.5), layout="constrained")
axes.imshow(
    (confusion / confusion.sum(1, keepdim=True)).sqrt(), cmap="cividis", vmin=0, vmax=1
)  # roots: errors are few
for truth in range(10):
    for answer in range(10):
        count = confusion[truth, answer].item()
        color = "black" if truth == answer else "white"
        axes.text(answer, truth, count or "", ha="center", va="center", fontsize=13, color=color)
axes.set(xticks=range(10), yticks=range(10))
axes.set_xlabel("answer", fontsize=14)
axes.set_ylabel("true class", fontsize=14)
figure.savefig(OUT / "14_confusion.png", dpi=120)

# %% What it gets wrong
# The pictures whose true class got the smallest probability. Would you have known?
probabilities = torch.softmax(logits, dim=1)
of_truth = probabilities[torch.arange(len(test_y)), test_y]
hardest = of_truth.argsort()[:10]
figure, panels = plt.subplots(2, 5, figsize=(11, 6), layout="constrained")
for axes, index in zip(panels.flat, hardest, strict=True):
    axes.imshow(test_x[index, 0], cmap="gray")
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"a {test_y[index]}: {of_truth[index]:.0%}\nanswer {answers[index]}", fontsize=14)
figure.savefig(OUT / "14_hardest.png", dpi=120)
surely_right = of_truth > 0.5
print(f"the ten hardest got {of_truth[hardest].max():.0%} at most")
assert (answers[surely_right] == test_y[surely_right]).all()  # more than half for one class: no other can win

# %% Saved with all it needs
# Weights alone are not enough: whoever uses them must know the classes, and how pictures were normalised. Tensors,
# numbers and texts only, so that loading can be told to execute nothing (weights_only).
import tempfile

folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "cnn.pt"
about = {"classes": list(digits.classes), "mean": digits.mean[0], "std": digits.std[0]}
torch.save({"state_dict": params | state, **about}, file)
saved = torch.load(file, weights_only=True)
fresh = mnist_cnn(reference.layers).eval()
fresh.load_state_dict(saved["state_dict"])
ours, _, _ = network.forward(saved["state_dict"], saved["state_dict"], test_x[:50], training=False)
same = all(torch.allclose(out, logits[:50], atol=1e-3) for out in (ours, fresh(test_x[:50])))
print(f"{file.stat().st_size / 1e6:.1f} MB; saved and loaded, by either: the same answers: {same}")
assert same


# %% Asking for one picture
# What people will call: 28 x 28 bytes in, the likeliest classes out. It uses nothing but the file.
def predict(picture, network=fresh, saved=saved):
    if picture.shape != (28, 28) or picture.dtype != torch.uint8:
        raise ValueError(f"a picture must be 28 x 28 bytes, but it is {tuple(picture.shape)}, {picture.dtype}")
    x = (picture[None, None] / 255 - saved["mean"]) / saved["std"]  # (1, 1, 28, 28): a batch of one
    with torch.no_grad():
        shares = torch.softmax(network(x), dim=1)[0]
    return [(saved["classes"][place], shares[place].item()) for place in shares.argsort(descending=True)[:3]]


guesses = predict(digits.test.images[0, 0])
print(f"a picture of a {test_y[0]}:", ", ".join(f"{name} {share:.1%}" for name, share in guesses))
assert guesses[0][0] == saved["classes"][answers[0]]
assert abs(guesses[0][1] - probabilities[0].max()) < 1e-3  # alone or in a batch: evaluation mode

# %% What goes wrong in use: other pictures than in training
# Black on white instead of white on black: the network still answers, and nothing warns. Check what comes in.
with torch.no_grad():
    inverted = fresh(normalise(255 - digits.test.images[:1000])).argmax(1)
share = (inverted == test_y).double().mean().item()
print(f"the same test pictures, black on white: {share:.0%} right")
assert share < 0.6
try:
    predict(digits.test.images[0, 0] / 255)  # not bytes any more
except ValueError as error:
    message = str(error)
print(f"refused: {message}")
assert "bytes" in message

# %% Exported
# torch.export follows the tensors through the module once and writes down the operations: a file that runs without our
# classes, for any size of batch. (Other ways out, such as ONNX, start from it.)
example, batch = (test_x[:2],), torch.export.Dim("batch")
program = torch.export.export(fresh, example, dynamic_shapes=({0: batch},))
torch.export.save(program, Path(folder.name) / "cnn.pt2")
loaded = torch.export.load(Path(folder.name) / "cnn.pt2").module()
operations = [node.target.__name__ for node in program.graph.nodes if node.op == "call_function"]
print(f"{len(operations)} operations, among them {operations[0]}")
alone = predict(digits.test.images[0, 0], loaded)
same = torch.allclose(loaded(test_x[:7]), logits[:7], atol=1e-3) and alone[0][0] == guesses[0][0]
print("exported: the same answers without our code:", same)
assert same

# %% What torch does here
# module(x) runs each layer's forward and autograd records it; loss.backward() plays the record backwards. In evaluation
# nothing need be recorded: under inference_mode no cache is kept, which is why it needs less memory than training.
fresh.train()
recorded = fresh(test_x[:2])
with torch.inference_mode():
    silent = fresh.eval()(test_x[:2])
print(f"training: {recorded.grad_fn.name()}; inference: {silent.grad_fn}")
assert recorded.requires_grad
assert silent.grad_fn is None

# %% Exercises
# 1. Run `tinytorch train --data mnist` and draw its ten hardest pictures as above, from the model.pt in its run folder.
#    Which of them would you get wrong too? How many does it read that are moved by three pixels?
# 2. Leave norm1 and norm2 out of the network (the convolutions then need a bias) and train again. How many more steps
#    does it need? Then leave out the dropout instead.
