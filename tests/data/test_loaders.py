import pytest
import torch
from PIL import Image

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.data.splits import Split

MEAN, STD = (0.5, 0.25, 0.1), (0.3, 0.2, 0.7)


def noise(count, channels=1):
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, channels, 28, 28), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, 10, (count,), generator=generator))


class Pictures(torch.utils.data.Dataset):
    """A split as PIL images that notes which of them were read."""

    def __init__(self, split):
        self.split, self.read = split, []

    def __len__(self):
        return len(self.split.images)

    def __getitem__(self, index):
        self.read.append(index)
        image = self.split.images[index]
        picture = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())
        return picture, int(self.split.labels[index])


def make(kind, split, dtype=torch.float32, device="cpu", **options):
    channels = split.images.shape[1]
    loader = MemoryLoader if kind == "memory" else StreamLoader
    source = Pictures(split) if kind == "pictures" else split
    return loader(source, MEAN[:channels], STD[:channels], device=torch.device(device), dtype=dtype, **options)


def same(left, right):
    left, right = ([tensor for batch in batches for tensor in batch] for batches in (left, right))
    return len(left) == len(right) and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(left, right, strict=True)
    )


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    order = epoch_order(1000, 3, 5)
    assert order.dtype == torch.int64
    torch.manual_seed(99)
    torch.rand(7)
    assert torch.equal(order, epoch_order(1000, 3, 5))
    assert sorted(order.tolist()) == list(range(1000))  # each once
    others = [epoch_order(1000, seed, epoch) for seed, epoch in ((3, 6), (4, 5), (5, 3), (35, 0))]
    assert not any(torch.equal(order, other) for other in others)


def test_the_order_moves_no_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    epoch_order(10, 0, 0)
    list(make("stream", noise(10)).batches(None, 4))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["memory", "stream", "pictures"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_batches_are_the_normalised_images_in_order(kind, dtype, channels):
    split, order = noise(23, channels), epoch_order(23, 0, 0)
    loader = make(kind, split, dtype)
    batches = list(loader.batches(order, 8))
    assert len(loader) == 23
    assert [len(y) for _, y in batches] == [8, 8, 7]  # the last is kept
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(y, split.labels[order])
    assert (x.dtype, y.dtype) == (dtype, torch.int64)
    view = (-1, 1, 1)
    mean, std = (torch.tensor(values[:channels], dtype=torch.float64).view(view) for values in (MEAN, STD))
    expected = (split.images[order].double() / 255 - mean) / std
    torch.testing.assert_close(x.double(), expected, rtol=0, atol=1e-14 if dtype == torch.float64 else 2e-6)


@pytest.mark.parametrize("kind", ["stream", "pictures"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 2])
def test_both_loaders_give_the_same_bits(kind, workers, start):
    split, order = noise(50), epoch_order(50, 1, 2)
    memory, stream = make("memory", split), make(kind, split, num_workers=workers)
    assert same(memory.batches(order, 16, start), stream.batches(order, 16, start))
    assert same(memory.batches(None, 16, start), stream.batches(None, 16, start))


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_a_start_leaves_out_batches(kind):
    loader, order = make(kind, noise(23)), epoch_order(23, 0, 0)
    whole = list(loader.batches(order, 8))
    for start in range(5):
        assert same(loader.batches(order, 8, start), whole[start:])  # none from 3 on


def test_what_is_left_out_is_not_read():
    pictures = Pictures(noise(23))
    order = epoch_order(23, 0, 0)
    stream = StreamLoader(pictures, MEAN[:1], STD[:1], device=torch.device("cpu"), dtype=torch.float32)
    list(stream.batches(order, 8, start=1))
    assert pictures.read == order[8:].tolist()


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_without_an_order_it_is_the_files(kind):
    split = noise(23)
    y = torch.cat([y for _, y in make(kind, split).batches(None, 8)])
    assert torch.equal(y, split.labels)


def test_an_order_of_some_images_gives_those():
    split = noise(23)
    ((_, y),) = make("memory", split).batches(torch.tensor([4, 4, 1]), 8)
    assert torch.equal(y, split.labels[[4, 4, 1]])


def test_normalised_training_images_have_mean_0_and_deviation_1():
    digits = data.load("digits")
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=torch.device("cpu"), dtype=torch.float64)
    ((x, _),) = loader.batches(None, len(loader))
    assert abs(x.mean()) < 1e-10
    assert abs(x.std(correction=0) - 1) < 1e-10


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_cuda_gives_what_the_cpu_gives(kind):
    split, order = noise(50), epoch_order(50, 1, 2)
    on_cuda = [(x.cpu(), y.cpu()) for x, y in make(kind, split, device="cuda").batches(order, 16)]
    for (x, y), (expected_x, expected_y) in zip(on_cuda, make("memory", split).batches(order, 16), strict=True):
        assert torch.equal(y, expected_y)
        torch.testing.assert_close(x, expected_x, rtol=1e-6, atol=1e-6)
