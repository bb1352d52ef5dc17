"""17. Your own pictures, transfer learning

What you learn: pictures of your own in folders, preparing them as the network knows them, a pretrained trunk with a new
head, frozen and then fine-tuned with a smaller rate, feature extraction, and what to do where there is no network.

Run: tinytorch lesson 17 (or python examples/17_transfer_learning.py)
Time: about 30 s on 2 CPU cores

Expected output (excerpt):
    700 pictures of your own: 200 to train, 500 to test
    a head for 26 classes does not fit one for 10: True
    trained through the frozen trunk, and on its features: heads equal to 1e-3: True
    on the features by hand: the head is equal to 1e-3: True
    fine-tuning by hand and by torch: parameters equal to 1e-9: True
    five pictures of each class, same steps: fine-tuned, it is ahead by more than five points: True
    frozen, but in training mode: batch norm's statistics moved: True
"""

# %% A network of two parts
# The trunk (**backbone** in many papers) turns a picture into 64 numbers, its **features**; the head turns these into
# classes. L is the course's hand-written layers or
# torch's.
import torch

from tinytorch_course import reference, scratch


def build(L, classes):
    trunk = L.sequential(
        conv1=L.conv2d(1, 8, 5, stride=2),  # 28 -> 12 pixels
        relu1=L.relu(),
        conv2=L.conv2d(8, 16, 3, stride=2),  # 12 -> 5
        relu2=L.relu(),
        conv3=L.conv2d(16, 32, 3),  # 5 -> 3
        relu3=L.relu(),
        flatten=L.flatten(),
        fc=L.linear(288, 64),
        relu4=L.relu(),
    )
    return L.sequential(trunk=trunk, head=L.linear(64, classes))


# %% Their names
# What a file of weights is taken apart by: each name begins with its part.
names = list(build(reference.layers, 26).state_dict())
print("parameters:", ", ".join(names))
assert names == list(build(scratch.layers, 26).init(torch.Generator().manual_seed(0))[0])
assert {name.split(".")[0] for name in names} == {"trunk", "head"}

# %% Something to learn from: 7,072 letters
# Large sets of pictures teach what is useful for others too: edges, strokes, where they meet. Here it is the embedded
# letters, each moved by up to four pixels, so that the place shall not matter.
from tinytorch_course.data import load

letters = load("letters")


def normalised(images):
    return (images.float() / 255 - letters.mean[0]) / letters.std[0]


def moved(images):
    large = torch.nn.functional.pad(images, (4, 4, 4, 4), value=images.min().item())
    top, left = torch.randint(0, 9, (2, len(images), 1))
    rows, columns = top + torch.arange(28), left + torch.arange(28)  # (N, 28)
    return large[torch.arange(len(images))[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


torch.manual_seed(0)
print(f"{len(letters.train.labels)} letters of {len(letters.classes)} classes")
assert moved(letters.val.images).shape == letters.val.images.shape
assert not torch.equal(moved(letters.val.images), letters.val.images)

# %% Pretraining
# This is what others have done for you where you download weights. Afterwards it is a file of tensors with names.
import os
from pathlib import Path

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
OUT.mkdir(parents=True, exist_ok=True)
reader = build(reference.layers, 26)
optimizer = torch.optim.Adam(reader.parameters(), lr=2e-3)
for chosen in torch.randint(0, len(letters.train.labels), (1000, 64)):
    optimizer.zero_grad()
    logits = reader(moved(normalised(letters.train.images[chosen])))
    torch.nn.functional.cross_entropy(logits, letters.train.labels[chosen]).backward()
    optimizer.step()
torch.save(reader.state_dict(), OUT / "17_letters.pt")
share = (reader(moved(normalised(letters.val.images))).argmax(1) == letters.val.labels).double().mean().item()
print(f"the network for letters reads {share:.0%} of other letters; saved to 17_letters.pt")
assert share > 0.75

# %% Your own pictures
# Ink on paper, in colour, of different sizes, neither centred nor straight: digits stand in for yours. A folder for
# each class, in a tree for training (some twenty of each class) and in one for testing.
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

digits = load("digits").train
untidy = v2.Compose([v2.Pad(4), v2.RandomCrop(28), v2.RandomRotation(10)])
paper, pen = torch.tensor([235.0, 225.0, 205.0]), torch.tensor([30.0, 40.0, 110.0])  # red, green, blue
for i in range(700):
    ink = untidy(digits.images[i])[0] / 255  # (28, 28)
    picture = (paper + ink[..., None] * (pen - paper)).round().byte()  # (28, 28, 3)
    folder = OUT / "17_pictures" / ("train" if i < 200 else "test") / str(digits.labels[i].item())
    folder.mkdir(parents=True, exist_ok=True)
    side = int(torch.randint(32, 64, ()))
    Image.fromarray(picture.numpy()).resize((side, side), Image.Resampling.BILINEAR).save(folder / f"{i:03}.png")

# %% What is in the folders
# Nothing else is needed: the folder's name is the class.
files = sorted((OUT / "17_pictures").glob("*/*/*.png"))
for file in files[::150]:
    print(f"  {file.relative_to(OUT).as_posix()}: {Image.open(file).size}, {Image.open(file).mode}")
assert len(files) == 700
assert len({Image.open(file).size for file in files}) > 10

# %% Prepared as the network knows them
# Its letters were grey, light on dark, 28 x 28, black where nothing is, and normalised by their own mean and standard
# deviation, not by yours. The pictures must become the same: what was done in training belongs to the weights.
prepare = v2.Compose(
    [
        v2.Grayscale(),
        v2.RandomInvert(p=1),  # always: dark on light becomes light on dark
        v2.RandomAutocontrast(p=1),  # the paper becomes 0, the ink 255
        v2.Resize((28, 28)),
        v2.PILToTensor(),
        v2.Lambda(normalised),
    ]
)
folders = {part: datasets.ImageFolder(OUT / "17_pictures" / part, transform=prepare) for part in ("train", "test")}
print("ImageFolder's classes:", folders["train"].classes)
assert folders["train"].classes == folders["test"].classes == [str(digit) for digit in range(10)]

# %% All of them in memory
pictures, labels = next(iter(torch.utils.data.DataLoader(folders["train"], batch_size=200)))
test_pictures, test_labels = next(iter(torch.utils.data.DataLoader(folders["test"], batch_size=500)))
print(f"{len(labels) + len(test_labels)} pictures of your own: {len(labels)} to train, {len(test_labels)} to test")
black, white = normalised(torch.zeros(())), normalised(torch.tensor(255))
assert pictures.shape == (200, 1, 28, 28)
assert (pictures.amin((1, 2, 3)) - black).max() < 0.1  # in each, black where nothing is
assert (white - pictures.amax((1, 2, 3))).max() < 1

# %% Drawn
import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 13
figure, panels = plt.subplots(2, 8, figsize=(12, 3.6), layout="constrained")
chosen = range(0, 200, 26)
for column, i in zip(panels.T, chosen, strict=True):
    column[0].imshow(Image.open(folders["train"].samples[i][0]))
    column[1].imshow(pictures[i, 0], cmap="gray")
    for axes in column:
        axes.set(xticks=[], yticks=[])
for axes, name in zip(panels[:, 0], ("yours", "prepared"), strict=True):
    axes.set_ylabel(name, fontsize=15, rotation=0, ha="right", va="center")
figure.savefig(OUT / "17_prepared.png", dpi=120)

# %% A new head
# The saved head is for 26 classes, and torch refuses it. Its entries are left out; `strict=False` lets the new head
# keep its random start, and tells what was missing. Look at that list: it must hold the head and nothing else.
saved = torch.load(OUT / "17_letters.pt", weights_only=True)
torch.manual_seed(1)
fresh = build(reference.layers, 10)
try:
    fresh.load_state_dict(saved)
except RuntimeError as error:
    print("a head for 26 classes does not fit one for 10:", "size mismatch for head.weight" in str(error))
trunk = {name: tensor for name, tensor in saved.items() if name.startswith("trunk.")}
report = fresh.load_state_dict(trunk, strict=False)
print(f"kept from the letters: {len(trunk)} tensors; new: {report.missing_keys}")
assert report.missing_keys == ["head.weight", "head.bias"]
assert report.unexpected_keys == []
start = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}


# %% Frozen: only the head learns
# requires_grad_(False) on the trunk: autograd records nothing there, and its parameters have no gradient.
def descend(groups, forward, steps, labels):
    optimizer = torch.optim.Adam(groups)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(forward(), labels).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(network):
    return (network(test_pictures).argmax(1) == test_labels).double().mean().item()


print(f"new head, before it has learnt anything: {accuracy(fresh):.1%} of {len(test_labels)} test pictures are right")
assert accuracy(fresh) < 0.4

# %% Through the frozen trunk
network = build(reference.layers, 10)
network.load_state_dict(start)
network.trunk.requires_grad_(False)
descend([{"params": network.head.parameters(), "lr": 0.01}], lambda: network(pictures), 40, labels)
print(f"frozen trunk, trained head: {accuracy(network):.1%}")
assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in trunk.items())
assert accuracy(network) > 0.45

# %% Feature extraction
# A frozen trunk gives the same 64 numbers for a picture each time. So run it once, keep the numbers, and train the head
# alone on them: the same steps, without the trunk's work in each. (The price: no picture can be moved anew.)
with torch.no_grad():
    features = fresh.trunk(pictures)  # (200, 64)
head = torch.nn.Linear(64, 10)
head.load_state_dict({"weight": start["head.weight"], "bias": start["head.bias"]})
descend([{"params": head.parameters(), "lr": 0.01}], lambda: head(features), 40, labels)
difference = (head.weight - network.head.weight).abs().max().item()
print("trained through the frozen trunk, and on its features: heads equal to 1e-3:", difference < 1e-3)
assert difference < 1e-3

# %% The head by hand
# Softmax regression on 64 numbers, by the formulas of lesson 07 and the course's Adam.
params = {"weight": start["head.weight"], "bias": start["head.bias"]}
optimizer = scratch.optimizers.adam(lr=0.01)
opt_state = optimizer.init(params)
one_hot = torch.nn.functional.one_hot(labels, 10).float()
for _ in range(40):
    logits = features @ params["weight"].T + params["bias"]
    dlogits = (torch.softmax(logits, dim=1) - one_hot) / len(labels)
    params, opt_state = optimizer.update(params, {"weight": dlogits.T @ features, "bias": dlogits.sum(0)}, opt_state)
difference = (params["weight"] - network.head.weight).abs().max().item()
print("on the features by hand: the head is equal to 1e-3:", difference < 1e-3)
assert difference < 1e-3

# %% Fine-tuning: the trunk learns too, more slowly
# When the head is good, the trunk is released, at a tenth of the head's **learning rate**: what it knows shall be bent,
# not broken. (With a fresh head the first gradients would be noise.) The pictures are moved anew in each step, as the
# letters were.
before, good_head = accuracy(network), {name: tensor.clone() for name, tensor in network.state_dict().items()}
network.trunk.requires_grad_(True)
groups = [
    {"params": network.head.parameters(), "lr": 0.01},
    {"params": network.trunk.parameters(), "lr": 0.001},
]
descend(groups, lambda: network(moved(pictures)), 60, labels)
print(f"frozen {before:.1%}, fine-tuned {accuracy(network):.1%}")
assert accuracy(network) > before + 0.02

# %% Fine-tuning by hand
# The course's optimizer takes groups by the names' beginnings. Five steps in float64, both ways.
twin, layers = build(reference.layers, 10).double(), build(scratch.layers, 10)
twin.load_state_dict(good_head)
params = {name: tensor.double() for name, tensor in good_head.items()}
slow = scratch.optimizers.group("trunk.*", lr=0.001)
optimizer = scratch.optimizers.adam(lr=0.01, groups=(slow,))
opt_state, entropy = optimizer.init(params), scratch.losses.cross_entropy()
for _ in range(5):
    logits, _, cache = layers.forward(params, {}, pictures[:64].double(), training=True)
    loss, loss_cache = entropy.forward(logits, labels[:64])
    _, gradients = layers.backward(entropy.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
    params, opt_state = optimizer.update(params, gradients, opt_state)
print(f"loss after five steps by hand: {loss:.4f}")
assert set(gradients) == set(params)

# %% And by torch
groups = [{"params": twin.head.parameters(), "lr": 0.01}, {"params": twin.trunk.parameters(), "lr": 0.001}]
descend(groups, lambda: twin(pictures[:64].double()), 5, labels[:64])
difference = max((params[name] - tensor).abs().max().item() for name, tensor in twin.state_dict().items())
print("fine-tuning by hand and by torch: parameters equal to 1e-9:", difference < 1e-9)
assert difference < 1e-9


# %% What is it worth?
# The same network three ways, 90 steps each: all of it from a random start; the head on the frozen trunk; 30 steps so,
# then 60 with the trunk. All see the pictures moved anew in each step. Is 90 fair? Whoever starts from nothing has more
# to learn, so it gets 180 steps more, and is measured again. (The pretraining, 1000 steps, was paid by somebody else.)
def three_ways(few, seed):
    torch.manual_seed(seed)

    def fit(groups, network, steps):
        descend(groups, lambda: network(moved(pictures[few])), steps, labels[few])

    nothing, frozen, tuned = (build(reference.layers, 10) for _ in range(3))
    fit([{"params": nothing.parameters(), "lr": 0.002}], nothing, 90)
    after_90 = accuracy(nothing)
    fit([{"params": nothing.parameters(), "lr": 0.002}], nothing, 180)
    for network, steps in ((frozen, 90), (tuned, 30)):
        network.load_state_dict(start)
        network.trunk.requires_grad_(False)
        fit([{"params": network.head.parameters(), "lr": 0.01}], network, steps)
    slow = {"params": tuned.trunk.requires_grad_(True).parameters(), "lr": 0.001}
    fit([{"params": tuned.head.parameters(), "lr": 0.01}, slow], tuned, 60)
    return after_90, accuracy(nothing), accuracy(frozen), accuracy(tuned)


# %% With 5 and 10 pictures of each class
# Three seeds each: the start, the moves and which pictures are taken. The +- is the standard deviation between seeds;
# 500 test pictures alone already make one of 2 points.
results, ways = {}, ("from nothing", "from nothing, 270 steps", "trunk frozen", "fine-tuned")
for count in (5, 10):
    rows = []
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        mixed = torch.randperm(len(labels), generator=draw)
        few = torch.cat([mixed[labels[mixed] == digit][:count] for digit in range(10)])
        rows.append(three_ways(few, seed))
    results[len(few)] = torch.tensor(rows)  # (3, 4)
    means, spreads = results[len(few)].mean(0), results[len(few)].std(0)
    print(
        f"{len(few)} pictures:",
        ", ".join(f"{w} {m:.1%} +- {s:.1%}" for w, m, s in zip(ways, means, spreads, strict=True)),
    )
ahead = (results[50][:, 3] - results[50][:, 0]).mean().item()
print("five pictures of each class, same steps: fine-tuned, it is ahead by more than five points:", ahead > 0.05)
assert ahead > 0.05

# %% What is left of it with more time
# Three times the steps bring the start from nothing nearer: a good part of the lead is time saved. What remains is what
# the letters know and so few digits cannot teach. The more pictures of your own there are, the less that is: exercise
# 1.
from_nothing, longer, frozen, tuned = torch.stack(list(results.values())).mean((0, 1)).tolist()
print(f"mean of both sizes and three seeds: from nothing {from_nothing:.1%}, with 270 steps {longer:.1%},", end=" ")
print(f"frozen {frozen:.1%}, fine-tuned {tuned:.1%}")
assert tuned > max(frozen, from_nothing + 0.05)
assert longer > from_nothing
assert results[50][:, 3].mean() > results[50][:, 1].mean()

# %% Drawn
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
styles = ("#0072b2", "o"), ("#56b4e9", "D"), ("#e69f00", "s"), ("#009e73", "^")
for way, (name, (color, marker)) in enumerate(zip(ways, styles, strict=True)):
    means = [100 * rows[:, way].mean().item() for rows in results.values()]
    spreads = [100 * rows[:, way].std().item() for rows in results.values()]
    places = [count + way - 1.5 for count in results]  # beside each other, so that the bars are seen
    axes.errorbar(places, means, spreads, color=color, marker=marker, markersize=9, linewidth=2, capsize=5, label=name)
axes.axhline(10, color="black", linestyle=":", label="guessing")
axes.set_ylim(0, 100)
axes.set_xlabel("pictures of your own, of ten classes together", fontsize=14)
axes.set_ylabel("test pictures that are right, %", fontsize=14)
axes.legend(fontsize=13)
figure.savefig(OUT / "17_three_ways.png", dpi=120)

# %% Too large a rate forgets
# The same fine-tuning at 0.1, a hundred times the trunk's rate: after a few steps nothing of the letters is left.
broken = build(reference.layers, 10)
broken.load_state_dict(good_head)
descend([{"params": broken.parameters(), "lr": 0.1}], lambda: broken(moved(pictures)), 30, labels)
print(f"fine-tuned at the rate 0.1: {accuracy(broken):.1%} right, {before:.1%} before it")
assert accuracy(broken) < before - 0.1

# %% Pictures prepared in another way
# Left dark on light, the same pictures are another world to the network, and it answers all the same. Nothing warns.
mistaken = (black + white) - test_pictures  # as without RandomInvert
with torch.no_grad():
    share = (network(mistaken).argmax(1) == test_labels).double().mean().item()
print(f"the fine-tuned network: {accuracy(network):.1%} as prepared, {share:.1%} if the inversion is forgotten")
assert share < accuracy(network) - 0.3

# %% Frozen is not the same as eval
# requires_grad_(False) stops gradients. Batch norm's running statistics are not learnt by gradients: in training mode
# they follow your few pictures all the same. A frozen trunk with batch norm must be in eval() too.
norm = torch.nn.BatchNorm2d(1).requires_grad_(False)
statistics = norm.running_mean.clone()
norm.eval()(pictures)
still = torch.equal(norm.running_mean, statistics)
norm.train()(pictures)
print("frozen, but in training mode: batch norm's statistics moved:", not torch.equal(norm.running_mean, statistics))
assert still
assert not torch.equal(norm.running_mean, statistics)

# %% What torch does here
# torchvision's networks are the same: a trunk, and a head called fc. `weights="DEFAULT"` would fetch the trunk's
# weights, which saw a million photographs; without a network, load_state_dict reads a file that you brought, as above.
# A photograph has three channels, 224 x 224 pixels: `weights.transforms()` is how it must be prepared.
import torchvision

resnet = torchvision.models.resnet18(weights=None).requires_grad_(False)
resnet.fc = torch.nn.Linear(resnet.fc.in_features, 10)  # new, so it learns
learns = [name for name, parameter in resnet.named_parameters() if parameter.requires_grad]
total, new = (sum(p.numel() for p in part.parameters()) for part in (resnet, resnet.fc))
size = torchvision.models.ResNet18_Weights.DEFAULT.transforms().crop_size
print(f"ResNet-18: {total} parameters, of which {new} learn: {learns}; pictures of {size[0]} pixels")
assert learns == ["fc.weight", "fc.bias"]
assert new == 512 * 10 + 10
assert size == [224]

# %% Exercises
# 1. Take all 200 pictures in "What is it worth?", and give the start from nothing 270 steps, then 1000. Who is ahead
#    now? Draw their accuracy against the steps: what is pretraining worth if your computer has time?
# 2. Take the trunk after conv1 only, then after conv2, and train a head on these features. Which layers are of use for
#    digits, and which only for letters?
