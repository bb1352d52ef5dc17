import numpy as np
import pytest
import torch

from tinytorch_course import data
from tinytorch_course.errors import InputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 12, 12), dtype=np.uint8)
LABELS = np.arange(60) % 3


@pytest.fixture
def load(tmp_path):
    """Write arrays to own.npz and load it."""

    def write_and_load(wishes="", **arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return data.load(f"{tmp_path}/own.npz{wishes}")

    return write_and_load


def everything(dataset):
    """All images of all splits as a set, and how many there are."""
    images = torch.cat([split.images for split in dataset[3:6]])
    return {image.numpy().tobytes() for image in images}, len(images)


def test_images_and_labels(load, tmp_path):
    dataset = load(images=IMAGES, labels=LABELS)
    assert (dataset.name, dataset.title, dataset.classes) == (f"{tmp_path}/own.npz", "own.npz", ("0", "1", "2"))
    assert [len(split.labels) for split in dataset[3:6]] == [43, 8, 9]
    assert everything(dataset) == ({image.tobytes() for image in IMAGES}, 60)
    for split in dataset[3:6]:
        counts = torch.bincount(split.labels)
        assert counts.max() - counts.min() <= 1
        for image, label in zip(split.images[:, 0].numpy(), split.labels.tolist(), strict=True):
            position = next(i for i in range(60) if (IMAGES[i] == image).all())
            assert LABELS[position] == label
    again = load(images=IMAGES, labels=LABELS)
    assert torch.equal(dataset.test.images, again.test.images)


@pytest.mark.parametrize(
    ("form", "channels"),
    [
        (lambda x: x[:, :, :, None], 1),
        (lambda x: np.stack([x, x, x], 3), 3),
        (lambda x: np.stack([x, x, x], 1), 3),
        (lambda x: x / 255.0, 1),
        (lambda x: (x / 255.0).astype(np.float32), 1),
        (lambda x: x.astype(np.int64), 1),
    ],
)
def test_forms_of_images(load, form, channels):
    dataset = load(images=form(IMAGES), labels=LABELS)
    assert dataset.train.images.shape[1:] == (channels, 12, 12)
    assert dataset.train.images.dtype == torch.uint8
    found, count = everything(
        dataset._replace(
            **{
                part: getattr(dataset, part)._replace(images=getattr(dataset, part).images[:, :1])
                for part in ("train", "val", "test")
            }
        )
    )
    assert (found, count) == ({image.tobytes() for image in IMAGES}, 60)


@pytest.mark.parametrize(
    "names",
    [("train_images", "train_labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "y_test")],
)
def test_what_is_set_apart_for_the_test_stays_apart(load, names):
    dataset = load(**dict(zip(names, (IMAGES[:50], LABELS[:50, None], IMAGES[50:], LABELS[50:, None]), strict=True)))
    assert [len(split.labels) for split in dataset[3:6]] == [44, 6, 10]
    assert torch.equal(dataset.test.images[:, 0], torch.from_numpy(IMAGES[50:]))
    assert torch.equal(dataset.test.labels, torch.from_numpy(LABELS[50:]))


def test_all_three_splits(load):
    parts = {"train": slice(0, 30), "val": slice(30, 45), "test": slice(45, 60)}
    arrays = {f"{part}_images": IMAGES[cut] for part, cut in parts.items()}
    dataset = load(**arrays, **{f"{part}_labels": LABELS[cut] for part, cut in parts.items()})
    for split, cut in zip(dataset[3:6], parts.values(), strict=True):
        assert {image.tobytes() for image in split.images.numpy()} == {image.tobytes() for image in IMAGES[cut]}


def test_writers_are_kept_together(load):
    writers = np.repeat(np.arange(55), 4)
    images = RANDOM.integers(0, 256, (220, 8, 8), dtype=np.uint8)
    images[:, 0, 0] = writers
    dataset = load(images=images, labels=np.arange(220) % 2, writers=writers)
    theirs = [set(split.images[:, 0, 0, 0].tolist()) for split in dataset[3:6]]
    assert theirs == [set(range(40)), set(range(40, 47)), set(range(47, 55))]


def test_labels_that_are_words_or_begin_at_1(load):
    assert load(images=IMAGES, labels=np.array(["cat", "dog", "emu"])[LABELS]).classes == ("cat", "dog", "emu")
    dataset = load(images=IMAGES, labels=LABELS + 1)
    assert dataset.classes == ("1", "2", "3")
    assert sorted(set(dataset.train.labels.tolist())) == [0, 1, 2]
    assert load(images=IMAGES, labels=LABELS, classes=["b", "a", "c"]).classes == ("b", "a", "c")


CHARACTERS = {"images": IMAGES, "labels": np.arange(60) % 6, "classes": ["0", "1", "A", "B", "a", "x"]}


@pytest.mark.parametrize(
    ("choice", "classes", "count"),
    [
        ("letters", ("A", "B", "X"), 40),
        ("digits", ("0", "1"), 20),
        ("upper", ("A", "B"), 20),
        ("lower", ("a", "x"), 20),
        ("merged", ("0", "1", "A", "B", "X"), 60),
    ],
)
def test_some_of_the_characters(load, choice, classes, count):
    dataset = load(f":{choice}", **CHARACTERS)
    assert (dataset.classes, dataset.flips) == (classes, False)
    assert everything(dataset)[1] == count
    assert dataset.title == f"own.npz:{choice}"
    for split in dataset[3:6]:
        for image, label in zip(split.images[:, 0].numpy(), split.labels.tolist(), strict=True):
            name = CHARACTERS["classes"][next(i for i in range(60) if (IMAGES[i] == image).all()) % 6]
            assert dataset.classes[label] in (name, name.upper())


def test_another_size(load):
    dataset = load(":letters,20", **CHARACTERS)
    assert dataset.train.images.shape[1:] == (1, 20, 20)
    assert dataset.name.endswith("own.npz:letters,20")


def test_flips(load):
    assert not load(images=IMAGES, labels=LABELS).flips  # grey, numbered: digits, perhaps
    assert load(images=np.stack([IMAGES] * 3, 3), labels=LABELS).flips
    assert load(images=IMAGES, labels=LABELS, classes=["cat", "dog", "emu"]).flips


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": IMAGES}, r"has 'images' but no array 'labels': its arrays are 'images'"),
        ({"pictures": IMAGES, "labels": LABELS}, r"has no array 'images' or 'train_images': its arrays are 'pictures'"),
        ({}, "its arrays are none at all"),
        ({"images": IMAGES[:, :, :8], "labels": LABELS}, "must be square, but they are 12x8"),
        ({"images": IMAGES[:, 0], "labels": LABELS}, r"must have the shape .* but it is \(60, 12\)"),
        ({"images": np.stack([IMAGES] * 4, 3), "labels": LABELS}, r"but it is \(60, 12, 12, 4\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "must have the shape"),
        ({"images": IMAGES - 300.0, "labels": LABELS}, "must hold bytes, or numbers from 0 to 1, but it holds float64"),
        ({"images": np.full((60, 12, 12), np.nan), "labels": LABELS}, "must hold bytes, or numbers from 0 to 1"),
        ({"images": IMAGES, "labels": LABELS[:-1]}, r"one label for each of the 60 images, but it is \(59,\)"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "must hold integers or words, but it holds float64"),
        ({"images": IMAGES, "labels": LABELS * 0}, r"has only one class \(0\), but at least two are needed"),
        ({"images": IMAGES, "labels": LABELS, "classes": ["a", "b"]}, "'classes' must name the labels 0 to 2"),
        ({"images": IMAGES, "labels": LABELS, "classes": ["a", "b", "a"]}, "each differently, but it has 2 names"),
        ({"images": IMAGES, "labels": LABELS, "classes": list("abcd")}, "has no training images of class 'd'"),
        ({"images": IMAGES, "labels": LABELS, "writers": LABELS[:5]}, r"'writers' must hold one .* but it is \(5,\)"),
        ({"images": IMAGES, "labels": LABELS, "writers": LABELS // 2}, r"holds too few groups \(2\) to train"),
        ({"images": IMAGES[:2], "labels": LABELS[:2]}, r"holds too few images \(2\) to train on some"),
        ({"images": IMAGES, "labels": np.array([None] * 60)}, "holds Python objects"),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:, :8, :8], "test_labels": LABELS},
            r"holds images of several sizes: \(1, 8, 8\) and \(1, 12, 12\)",
        ),
    ],
)
def test_arrays_of_the_wrong_form(load, arrays, expected):
    with pytest.raises(InputError, match=expected) as refused:
        load(**arrays)
    assert "\n" not in str(refused.value)


def test_a_choice_that_leaves_nothing(load):
    with pytest.raises(InputError, match=r"which asks for the letters, .* but the classes of .* are 0, 1, 2"):
        load(":letters", images=IMAGES, labels=LABELS)
    with pytest.raises(InputError, match="after the colon there may only be letters, digits, upper, lower, merged"):
        load(":vowels", **CHARACTERS)
    with pytest.raises(InputError, match="or a size in pixels from 8 to 512"):
        load(":4", **CHARACTERS)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 damaged"])
def test_a_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz is not an \.npz file, or is damaged"):
        data.load(str(path))


def test_a_single_array(tmp_path):
    np.save(tmp_path / "own.npy", IMAGES)
    with pytest.raises(InputError, match=r"is not an \.npz file as numpy\.savez writes it, but a single array"):
        data.load(str(tmp_path / "own.npy"))


def test_a_limit_takes_some_of_each_class(load, tmp_path):
    load(images=IMAGES, labels=np.sort(LABELS))
    dataset = data.load(f"{tmp_path}/own.npz", limit=6)
    assert sorted(set(dataset.train.labels.tolist())) == [0, 1, 2]
