"""Pictures unlike MNIST's, through the whole way from the file to the answer. README.md says what the network is."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import drawing, handwriting
from tinytorch_course import data
from tinytorch_course.pictures.prediction import as_trained, light_on_black, predict, usual_form
from tinytorch_course.pictures.reading import Source
from tinytorch_course.training.networks import open_network

NETWORK = Path(__file__).parent / "network"
MNIST = Path(os.environ.get("TINYTORCH_DATA") or "nowhere") / "MNIST" / "raw"
needs_mnist = pytest.mark.skipif(
    not (MNIST / "t10k-images-idx3-ubyte").is_file(), reason="needs MNIST in the folder that $TINYTORCH_DATA names"
)


@pytest.fixture(scope="module")
def network():
    return open_network(str(NETWORK), impl="torch")


def misread(network, kind, digits, writer, seed, **options):
    """What was wrong with pictures of one kind, in words."""
    wrong = []
    for digit in digits:
        # Any seed does; by the kind's name, so that another kind before it changes nothing.
        rng = np.random.default_rng([seed, digit, *kind.encode()])
        (found,) = predict(network, [Source(kind, drawing.KINDS[kind](digit, writer, rng, **options))])
        answer = None if found.problem else int(found.probabilities.argmax())
        if answer != digit:
            wrong.append(f"{kind}: {digit} " + ("was not found" if answer is None else f"was read as {answer}"))
    return wrong


def read_all(network, kinds, writer, seed, digits=range(10)):
    """How many pictures were read rightly, of how many, and a sentence on each kind and on each failure."""
    wrong = {kind: misread(network, kind, digits, writer, seed) for kind in kinds}
    counts = [f"{kind} {len(digits) - len(failed)}/{len(digits)}" for kind, failed in wrong.items()]
    failures = [failure for failed in wrong.values() for failure in failed]
    total = len(kinds) * len(digits)
    told = (
        f"{total - len(failures)} of {total} read rightly: {', '.join(counts)}. Not so: {'; '.join(failures) or 'none'}"
    )
    return total - len(failures), total, told


@pytest.mark.slow
def test_pictures_that_people_make_are_read(network):
    """Marker photographed, drawn with a mouse, hairlines, scans, on ruled and squared paper, turned: ten of each."""
    right, total, told = read_all(network, drawing.ASKED_FOR, handwriting.Outlines(), seed=1)
    print(told)
    assert total >= 60
    assert right >= 0.9 * total, told


@pytest.mark.slow
def test_photographs_of_1280_pixels_are_read(network):
    """As a phone takes them, with the digit filling the frame; those above are half as large, to save time."""
    wrong = misread(network, "phone", (2, 4, 7, 9), handwriting.Outlines(), seed=2, side=1280)
    assert wrong == []


@pytest.mark.slow
def test_pictures_of_other_kinds_are_read(network):
    others = [kind for kind in drawing.KINDS if kind not in drawing.ASKED_FOR]
    right, total, told = read_all(network, others, handwriting.Outlines(), seed=3, digits=(1, 3, 5, 8))
    print(told)
    assert right >= 0.9 * total, told


@pytest.mark.slow
@needs_mnist
def test_pictures_of_mnists_digits_are_read(network):
    """The same kinds, the strokes taken from MNIST's test images."""
    test = data.load("mnist").test
    writer = handwriting.Images("MNIST", test.images[:, 0].numpy(), test.labels.numpy())
    right, total, told = read_all(network, drawing.ASKED_FOR, writer, seed=4)
    print(told)
    assert right >= 0.9 * total, told


@pytest.mark.slow
@needs_mnist
def test_mnists_own_pictures_stay_what_they_are(network):
    images, labels = (part[:100] for part in data.load("mnist").test)
    pictures = [Source(str(i), drawing.saved(Image.fromarray(image[0].numpy()))) for i, image in enumerate(images)]
    found = list(predict(network, pictures))
    right = sum(int(each.probabilities.argmax()) == label for each, label in zip(found, labels, strict=True))
    assert right >= 97
    seen = torch.stack([each.seen for each in found]).double()
    assert (seen - images).abs().mean() < 12  # of 255, most of it along the edges of strokes


def test_a_picture_that_holds_nothing_is_told(network):
    blanks = drawing.blanks(np.random.default_rng(0))
    for name, found in zip(blanks, predict(network, [Source(*blank) for blank in blanks.items()]), strict=True):
        assert found.probabilities is None
        assert found.problem == f"{name} contains nothing that stands out from its background"


def test_a_bad_picture_does_not_stop_the_others(network):
    good = Source("good", drawing.as_it_is(3, handwriting.Outlines(), np.random.default_rng(1)))
    bad, answer = predict(network, [Source("bad", b"no picture"), good])
    assert bad.problem.startswith("bad is not a picture that can be read")
    assert bad.seen is None
    assert answer.problem is None
    assert int(answer.probabilities.argmax()) == 3
    assert answer.probabilities.sum().item() == pytest.approx(1)
    assert answer.seen.shape == (1, 28, 28)
    assert answer.seen.dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "channels", "form"),
    [
        ("mnist", 1, "mnist"),
        (None, 1, "mnist"),
        ("digits", 1, "mnist"),
        ("my/letters.npz", 1, "mnist"),
        ("fashion-mnist", 1, "things"),
        ("cifar10", 3, "plain"),
        ("my/photos.npz", 3, "plain"),
        ("my/photos", 1, "plain"),
    ],
)
def test_each_set_has_its_form(name, channels, form, network):
    pictures = dataclasses.replace(network.pictures, name=name, channels=channels)
    assert usual_form(dataclasses.replace(network, pictures=pictures)) == form


def test_plain_only_resizes(network):
    pictures = dataclasses.replace(network.pictures, name="cifar10", channels=3, image_size=32)
    colors = np.zeros((64, 64, 3), np.float32)
    colors[:, 32:, 0] = 1  # the right half is red
    (image,) = as_trained(colors, dataclasses.replace(network, pictures=pictures), "plain")
    assert image.shape == (3, 32, 32)
    assert image[0, :, :15].max() == 0
    assert image[0, :, 17:].min() == 255
    assert image[1:].max() == 0


def test_plain_is_grey_for_a_network_of_one_channel(network):
    (image,) = as_trained(np.full((40, 60, 3), 0.2, np.float32), network, "plain")
    assert image.shape == (1, 28, 28)
    assert (image == 51).all()


@pytest.mark.parametrize("ground", [1.0, 0.0])
def test_a_thing_is_light_on_black_and_fills_the_square(ground):
    colors = np.full((100, 100, 3), ground, np.float32)
    colors[30:70, 40:60] = 0.4
    image = light_on_black(colors, 28)
    assert image[:, 8:20].min() > 200
    assert image[:, :6].max() == image[:, 22:].max() == 0


def test_pictures_have_the_networks_size(network):
    pictures = dataclasses.replace(network.pictures, image_size=16)
    colors = np.ones((80, 80, 3), np.float32)
    colors[20:60, 38:43] = 0
    looks = as_trained(colors, dataclasses.replace(network, pictures=pictures), "mnist")
    assert looks.shape[1:] == (1, 16, 16)
    rows = looks[0, 0].amax(dim=1).nonzero().flatten()
    assert len(rows) == round(20 * 16 / 28)
