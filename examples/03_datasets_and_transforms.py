"""03. Datasets and transforms

What you learn: a Dataset of your own, transforms and Compose, why inputs are normalised, batches by hand and by
DataLoader (shuffling, collate_fn, workers), MNIST's files, a folder of pictures, and augmentation, with what it may do.

Run: tinytorch lesson 03 (or python examples/03_datasets_and_transforms.py)
Time: about 15 s on 2 CPU cores

Expected output (excerpt):
    1297 samples; one of them: (1, 28, 28), torch.uint8, from 0 to 255, label ...
    our transforms and torchvision's: equal to 1e-6: True
    after 60 equal steps, loss with pixels from 0 to 255: ..., from 0 to 1: ..., normalised: ...
    our batches and DataLoader's: 21 and 21, equal: True
    MNIST's files, written here and read by torchvision: equal: True
    ImageFolder numbers its classes by their names: eight is 0, zero is 9
    ImageFolder and our own folder dataset: equal: True
    our rotation by 90 degrees and torchvision's: equal: True
"""

# %% A dataset is a length and an index
# That is all a Dataset must have: how many samples there are, and sample number i as (input, label). These are
# scikit-learn's handwritten digits. The originals have 8 x 8 pixels from 0 to 16; the course has enlarged them to 28 x
# 28 pixels of a byte each, MNIST's format.
import torch

from tinytorch_course.data import load


class Digits(torch.utils.data.Dataset):
    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return (image if self.transform is None else self.transform(image)), int(self.labels[index])


# %% What one sample is
# Nothing is computed before a sample is asked for: a dataset can stand for more pictures than fit into memory.
digits = load("digits")
raw = Digits(digits.train.images, digits.train.labels)
image, label = raw[0]
print(
    f"{len(raw)} samples; one of them: {tuple(image.shape)}, {image.dtype}, "
    f"from {image.min()} to {image.max()}, label {label}"
)
assert len(raw) == 1297
assert image.shape == (1, 28, 28)
assert image.dtype == torch.uint8


# %% A transform is anything that can be called
# Here three: bytes to numbers from 0 to 1, a shift and a scale, and one after the other. They are classes, and not
# functions, because they remember their settings.
class ToFloat:
    def __call__(self, image):
        return image.float() / 255


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, image):
        return (image - self.mean) / self.std


# %% Compose: one transform made of several
# Mean and standard deviation come from the training images alone: what is measured on the test images is not known in
# advance.
class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


pixels = digits.train.images.double() / 255
mean, std = pixels.mean().item(), pixels.std(correction=0).item()
ours = Digits(raw.images, raw.labels, Compose([ToFloat(), Normalize(mean, std)]))
everything = torch.stack([ours[i][0] for i in range(len(ours))])
print(
    f"mean {mean:.4f}, standard deviation {std:.4f}; afterwards {abs(everything.mean()):.4f} and {everything.std():.4f}"
)
assert abs(everything.mean()) < 1e-3
assert abs(everything.std() - 1) < 1e-3

# %% torchvision's transforms are the same
# ToDtype(scale=True) divides by 255, Normalize takes a mean and a standard deviation for each channel.
from torchvision.transforms import v2

transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([mean], [std])])
torchs = Digits(raw.images, raw.labels, transform)
difference = max((ours[i][0] - torchs[i][0]).abs().max().item() for i in range(100))
print("our transforms and torchvision's: equal to 1e-6:", difference < 1e-6)
assert difference < 1e-6


# %% Something that learns
# Sixty steps of gradient descent on a small network. How it works is told in the lessons 04 to 08; here it is one and
# the same start and rate for all inputs, so that only they can make a difference.
def train(images, labels, steps=60, rate=0.1):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    return network, loss.item()


# %% Why inputs are normalised
# The weights' gradient is proportional to the input: pixels up to 255 make steps that are far too long, and then every
# ReLU gives 0 for every picture (**dead units**). Pixels from 0 to 1 make steps that are too short for this **learning
# rate**. Is it the scale that matters, or the centring? A fourth input tells them apart: divided by the standard
# deviation, but not centred.
losses, alive = {}, {}
kinds = {"0 to 255": pixels * 255, "0 to 1": pixels, "scaled only": pixels / pixels.std(), "normalised": everything}
for name, inputs in kinds.items():
    network, losses[name] = train(inputs.float(), raw.labels)
    alive[name] = (network[:3](inputs.float()) > 0).any(0).sum().item()  # units that answer to some picture
print(
    f"after 60 equal steps, loss with pixels from 0 to 255: {losses['0 to 255']:.2f}, "
    f"from 0 to 1: {losses['0 to 1']:.2f}, normalised: {losses['normalised']:.2f}"
)
print(f"of 64 units still alive: {alive}")
assert losses["0 to 255"] > 2  # log 10 = 2.30 is guessing
assert alive["0 to 255"] < 8 < alive["normalised"]
assert losses["normalised"] < losses["0 to 1"] / 2

# %% Nearly all of it is scale
# Pixels from 0 to 1 are no worse, they need a rate of their own: with 0.5 instead of 0.1 they do almost as well. So
# normalising does not make learning possible; it makes one rate fit all data, which is why everybody does it. (With
# several inputs of different sizes no single rate fits all of them: exercise 1 of lesson 04.)
own_rate = train(pixels.float(), raw.labels, rate=0.5)[1]
print(f"scaled, not centred: {losses['scaled only']:.2f}; 0 to 1 at the rate 0.5: {own_rate:.2f}")
assert losses["scaled only"] < 1.5 * losses["normalised"]
assert own_rate < 2 * losses["normalised"] < losses["0 to 1"]


# %% Batches by hand
# An order of the positions, cut into pieces; the samples of a piece, stacked. The last batch is shorter.
def batches(dataset, order, size):
    for chunk in order.split(size):
        images, labels = zip(*[dataset[i] for i in chunk.tolist()], strict=True)
        yield torch.stack(images), torch.tensor(labels)


order = torch.randperm(len(ours), generator=torch.Generator().manual_seed(0))
by_hand = list(batches(ours, order, 64))
by_loader = list(torch.utils.data.DataLoader(ours, batch_size=64, sampler=order.tolist()))
same = all(torch.equal(a, b) and torch.equal(m, n) for (a, m), (b, n) in zip(by_hand, by_loader, strict=True))
print(f"our batches and DataLoader's: {len(by_hand)} and {len(by_loader)}, equal: {same}")
print(f"the first: {tuple(by_hand[0][0].shape)}, the last: {tuple(by_hand[-1][0].shape)}")
assert same
assert len(by_hand[-1][0]) == 1297 - 20 * 64

# %% Shuffling
# shuffle=True draws a new order each epoch, so that no two epochs have the same batches; every sample still comes once.
# The order is the generator's: the same seed gives the same epochs. drop_last=True leaves the short batch out.
loader = torch.utils.data.DataLoader(
    ours, batch_size=64, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(1)
)
positions = torch.utils.data.DataLoader(range(10), batch_size=10, shuffle=True, generator=torch.Generator())
first, second = next(iter(positions)), next(iter(positions))
print(f"two epochs over ten samples: {first.tolist()} and {second.tolist()}; {len(loader)} batches with drop_last")
assert first.tolist() != second.tolist()
assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
assert len(loader) == 20

# %% Pictures of different sizes do not stack
# Cut to its ink, each digit has a size of its own. DataLoader's usual way of making a batch, stacking, then fails.
cut = []
for image, label in [raw[i] for i in range(64)]:
    rows, columns = (image[0] > 0).any(1).nonzero()[:, 0], (image[0] > 0).any(0).nonzero()[:, 0]
    cut.append((image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], label))
try:
    next(iter(torch.utils.data.DataLoader(cut, batch_size=4)))
except RuntimeError as error:
    message = str(error)
print(f"stacking: {message.splitlines()[0]}")
assert "equal size" in message


# %% collate_fn says how samples become a batch
# It is given the list of samples. This one pads each picture with background, right and below, to the largest.
def pad_and_stack(samples):
    height, width = (max(image.shape[axis] for image, _ in samples) for axis in (1, 2))
    batch = torch.zeros(len(samples), 1, height, width, dtype=torch.uint8)
    for i, (image, _) in enumerate(samples):
        batch[i, :, : image.shape[1], : image.shape[2]] = image
    return batch, torch.tensor([label for _, label in samples])


batch, labels = next(iter(torch.utils.data.DataLoader(cut, batch_size=4, collate_fn=pad_and_stack)))
print(f"four pictures of {[tuple(image.shape[1:]) for image, _ in cut[:4]]} make a batch {tuple(batch.shape)}")
assert batch.shape[2] == max(image.shape[1] for image, _ in cut[:4])
assert batch.sum() == sum(image.sum() for image, _ in cut[:4])


# %% Workers
# With num_workers, other processes read ahead, batch by batch in turn, and the batches keep their order. Linux can copy
# the running process (fork); on Windows and macOS the new processes start empty and import your script first, so there
# the loop must stand under `if __name__ == "__main__":`.
import sys


class WhoReads(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        worker = torch.utils.data.get_worker_info()
        return index, -1 if worker is None else worker.id


workers = {"num_workers": 2, "multiprocessing_context": "fork"} if sys.platform == "linux" else {}
seen = list(torch.utils.data.DataLoader(WhoReads(), batch_size=8, **workers))
print(f"batches were read by worker {[who[0].item() for _, who in seen]}, in order all the same")
assert torch.cat([indices for indices, _ in seen]).tolist() == list(range(32))
assert len({who[0].item() for _, who in seen}) == (2 if workers else 1)

# %% How MNIST lies on a disk
# Four files, called IDX: two zero bytes, a byte for the type (8 is uint8), one for the number of axes, then the sizes
# as 32-bit integers, then the bytes. We write our digits in this form; torchvision takes them for MNIST.
import os
import struct
from pathlib import Path

from torchvision import datasets

OUT = Path(os.environ.get("TINYTORCH_OUT", "pictures"))
folder = OUT / "03_files" / "MNIST" / "raw"
folder.mkdir(parents=True, exist_ok=True)
for part, split in (("train", digits.train), ("t10k", digits.test)):
    for kind, numbers in (("images-idx3", split.images[:, 0]), ("labels-idx1", split.labels.byte())):
        header = struct.pack(f">HBB{numbers.dim()}I", 0, 8, numbers.dim(), *numbers.shape)
        (folder / f"{part}-{kind}-ubyte").write_bytes(header + numbers.numpy().tobytes())
written = datasets.MNIST(OUT / "03_files", train=True, download=False)
same = torch.equal(written.data, digits.train.images[:, 0]) and torch.equal(written.targets, digits.train.labels)
print("MNIST's files, written here and read by torchvision: equal:", same)
assert same

# %% MNIST and Fashion-MNIST
# The same class reads the real ones, and Fashion-MNIST's clothes, if they lie in the data folder. (Its argument
# `download` would fetch them.) 0.1307 and 0.3081, seen in many scripts, are MNIST's mean and standard deviation.
from tinytorch_course.data import default_data_dir

for dataset, usual in ((datasets.MNIST, (0.1307, 0.3081)), (datasets.FashionMNIST, (0.2860, 0.3530))):
    try:
        real = dataset(default_data_dir(), train=True, download=False)
    except RuntimeError:
        print(f"{dataset.__name__} is not in the data folder")
        continue
    found = ((real.data / 255).mean().item(), (real.data / 255).std().item())
    print(f"{dataset.__name__}: {len(real)} pictures, {real.classes[:3]}..., mean {found[0]:.4f}, std {found[1]:.4f}")
    assert max(abs(a - b) for a, b in zip(found, usual, strict=True)) < 1e-3
assert issubclass(datasets.FashionMNIST, datasets.MNIST)

# %% Your own pictures: a folder for each class
# ImageFolder wants root/class/file. We make one from 200 digits, its folders named by words.
from PIL import Image

words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
root = OUT / "03_folder"
for i, (image, label) in enumerate([raw[i] for i in range(200)]):
    (root / words[label]).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[0].numpy()).save(root / words[label] / f"{i:03}.png")
pictures = datasets.ImageFolder(root)
image, label = pictures[0]
print(f"{len(pictures)} pictures; the first is {image.mode}, {image.size}, of class {label}: {pictures.classes[label]}")
assert len(pictures) == 200
assert image.mode == "RGB"  # always, even if the file is grey: a network for one channel wants v2.Grayscale first

# %% Its numbers are not yours
# Classes are numbered in the order of their folders' names. Digits named by words are in the order of the alphabet.
numbers = pictures.class_to_idx
print(f"ImageFolder numbers its classes by their names: eight is {numbers['eight']}, zero is {numbers['zero']}")
assert pictures.classes == sorted(words)
assert numbers["eight"] == 0


# %% The same dataset by hand
# Sorted folders are the classes, sorted files the samples.
class Folder(torch.utils.data.Dataset):
    def __init__(self, root):
        self.classes = sorted(folder.name for folder in root.iterdir())
        self.files = [file for name in self.classes for file in sorted((root / name).iterdir())]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        file = self.files[index]
        return Image.open(file).convert("RGB"), self.classes.index(file.parent.name)


same = all(a.tobytes() == b.tobytes() and i == j for (a, i), (b, j) in zip(Folder(root), pictures, strict=True))
print("ImageFolder and our own folder dataset: equal:", same)
assert same


# %% Augmentation: the same digit, another picture
# Flip: the columns in reverse. Crop: pad by three pixels, then cut 28 x 28 out of it somewhere. Rotate: for each pixel
# of the new picture, ask where it was in the old one, and take the nearest.
import math


def flip(image):
    return image.flip(-1)


def crop(image, top, left, padding=3):
    return torch.nn.functional.pad(image, (padding,) * 4)[:, top : top + 28, left : left + 28]


def rotate(image, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, x = torch.meshgrid(torch.arange(28) - 13.5, torch.arange(28) - 13.5, indexing="ij")  # from the centre
    row, column = ((value + 13.5).round().long() for value in (cos * y + sin * x, cos * x - sin * y))
    inside = (row >= 0) & (row < 28) & (column >= 0) & (column < 28)
    return torch.where(inside, image[:, row.clamp(0, 27), column.clamp(0, 27)], 0)


# %% torchvision does the same
# A quarter turn is exact. At other angles a pixel may lie half way between two, and rounding decides which is nearest.
image = raw[5][0]
same = torch.equal(rotate(image, 90), v2.functional.rotate(image, 90))
close = (rotate(image, 20) == v2.functional.rotate(image, 20)).float().mean().item()
print("our rotation by 90 degrees and torchvision's: equal:", same)
print("by 20 degrees, over 98 % of the pixels are equal:", close > 0.98)
assert same
assert torch.equal(rotate(image, 90), image.rot90(1, (1, 2)))
assert close > 0.98
assert torch.equal(flip(image), v2.functional.horizontal_flip(image))
assert torch.equal(crop(image, 3, 3), image)

# %% Drawn
import matplotlib.pyplot as plt

examples = [digits.train.images[(digits.train.labels == digit).nonzero()[0, 0]] for digit in range(10)]
rows = {
    "as it is": lambda image: image,
    "flipped": flip,
    "rotated by 20°": lambda image: rotate(image, 20),
    "cropped: 3 down": lambda image: crop(image, 0, 3),
}
figure, panels = plt.subplots(4, 10, figsize=(12, 5.4), layout="constrained")
for line, (name, change) in zip(panels, rows.items(), strict=True):
    for axes, image in zip(line, examples, strict=True):
        axes.imshow(change(image)[0], cmap="gray")
        axes.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, fontsize=14, rotation=0, ha="right", va="center")
figure.savefig(OUT / "03_augmentation.png", dpi=120)

# %% Drawn anew each time
# A random transform belongs to the dataset: then the same index gives another picture in every epoch.
torch.manual_seed(0)
random = Digits(raw.images, raw.labels, v2.Compose([v2.RandomCrop(28, padding=3), v2.RandomRotation(15)]))
versions = {random[0][0].numpy().tobytes() for _ in range(20)}
print(f"sample 0, asked for 20 times: {len(versions)} different pictures, always of a {random[0][1]}")
assert len(versions) > 15

# %% What it is for
# A network that saw only centred digits does not read them where they are not. Two more copies of the training images,
# each moved by up to three pixels, teach it that the place does not matter.
move, normalize = v2.RandomCrop(28, padding=3), v2.Normalize([mean], [std])
copies = [torch.stack([move(image) for image in digits.train.images]) for _ in range(2)]
moved = torch.stack([move(image) for image in digits.test.images])
plain, _ = train(normalize(raw.images / 255), raw.labels, 100)
taught, _ = train(normalize(torch.cat([raw.images, *copies]) / 255), raw.labels.repeat(3), 100)


def accuracy(network, images):
    return (network(normalize(images / 255)).argmax(1) == digits.test.labels).float().mean().item()


found = [accuracy(network, images) for network in (plain, taught) for images in (digits.test.images, moved)]
print(f"trained on centred digits: {found[0]:.0%} right, {found[1]:.0%} of those that were moved")
print(f"trained on moved ones too: {found[2]:.0%} right, {found[3]:.0%} of those that were moved")
assert found[0] > 0.93
assert found[3] > found[1] + 0.15

# %% What it must not do
# Change the class. A mirrored 0 or 8 is still one, a mirrored 3 or 7 is nothing that anybody writes.
right = plain(normalize(flip(digits.test.images) / 255)).argmax(1) == digits.test.labels
share = [right[digits.test.labels == digit].float().mean().item() for digit in range(10)]
print("mirrored and still read:", {digit: f"{share[digit]:.0%}" for digit in (0, 8, 3, 7)})
assert min(share[0], share[8]) > 0.6
assert max(share[3], share[7]) < 0.3

# %% What torch does here
# DataLoader is three small things: a sampler gives positions, a batch sampler cuts them into lists, and collate_fn
# makes a batch of the samples. Each can be asked alone; batches() above is what they do together. (pin_memory=True
# puts batches where a GPU can fetch them without waiting.)
sampler = torch.utils.data.SequentialSampler(ours)
lists = torch.utils.data.BatchSampler(sampler, batch_size=64, drop_last=False)
first = torch.utils.data.default_collate([ours[i] for i in next(iter(lists))])
print(f"sampler: {list(sampler)[:4]}...; batch sampler: {len(lists)} lists; collate: {tuple(first[0].shape)}")
assert torch.equal(first[0], everything[:64])
assert len(lists) == 21

# %% Exercises
# 1. Write a transform RandomErase that blanks a random 8 x 8 square, put it into a Compose, and draw ten of its results
#    for one digit. Where in the Compose must it stand if the square shall be 0 after normalising?
# 2. Write a sampler for an unbalanced dataset that draws each class equally often, give it to DataLoader, and count the
#    classes of an epoch. Which sampler of torch.utils.data does the same?
