import numpy as np
import pytest
import torch
from PIL import Image

from tinytorch_course import data
from tinytorch_course.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """``folder({"cat": 5, "dog": 5})`` makes a folder with as many images of each class; each class has its grey."""

    def make(counts, where="", size=(20, 20), mode="L"):
        for place, (name, count) in enumerate(counts.items()):
            (tmp_path / "own" / where / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", size, 40 * place + number).convert(mode).save(
                    tmp_path / "own" / where / name / f"{number}.png"
                )
        return tmp_path / "own"

    return make


def test_one_folder_is_split_the_same_way_each_time(folder):
    path = folder({"cat": 20, "dog": 20})
    (path / ".ipynb_checkpoints").mkdir()
    (path / "cat" / "notes.txt").write_text("not an image")
    (path / "cat" / "._0.png").write_bytes(b"what a Mac leaves on a stick")
    dataset = data.load(str(path))
    assert (dataset.classes, dataset.name, dataset.title, dataset.flips) == (("cat", "dog"), str(path), "own", True)
    assert [tuple(split.images.shape) for split in dataset[3:6]] == [(29, 1, 20, 20), (5, 1, 20, 20), (6, 1, 20, 20)]
    values = [sorted(split.images[:, 0, 0, 0].tolist()) for split in dataset[3:6]]
    assert sorted(value for part in values for value in part) == [*range(20), *range(40, 60)]
    for split in dataset[3:6]:
        assert torch.equal((split.images[:, 0, 0, 0] >= 40).long(), split.labels)
    assert [sorted(split.images[:, 0, 0, 0].tolist()) for split in data.load(str(path))[3:6]] == values


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (("train", "val", "test"), [18, 6, 4]),
        (("training", "Validation", "testing"), [18, 6, 4]),
        (("train", "test"), [16, 2, 4]),
        (("train", "val"), [16, 2, 6]),
    ],
)
def test_folders_for_the_splits(folder, parts, sizes):
    for part in parts:
        path = folder({"cat": {"r": 9, "a": 3, "e": 2}[part[1]], "dog": {"r": 9, "a": 3, "e": 2}[part[1]]}, part)
    dataset = data.load(str(path))
    assert [len(split.labels) for split in dataset[3:6]] == sizes
    assert dataset.classes == ("cat", "dog")


def test_a_class_may_be_called_train(folder):
    path = folder({"train": 10, "bus": 10})
    assert data.load(str(path)).classes == ("bus", "train")


@pytest.mark.parametrize(
    ("size", "wish", "side"),
    [((20, 20), "", 20), ((64, 64), "", 64), ((65, 65), "", 32), ((20, 24), "", 32), ((20, 20), ":28", 28)],
)
def test_one_square_size(folder, size, wish, side):
    path = folder({"cat": 5, "dog": 5}, size=size)
    assert data.load(f"{path}{wish}").train.images.shape[1:] == (1, side, side)


def test_grey_stays_grey_and_colour_colour(folder):
    path = folder({"cat": 5, "dog": 5}, mode="RGB")  # in three channels that are all the same
    assert data.load(str(path)).train.images.shape[1] == 1
    Image.new("RGB", (20, 20), (200, 30, 30)).save(path / "cat" / "red.jpg", quality=100)
    assert data.load(str(path)).train.images.shape[1] == 3


def one_image(path, image, name="odd.png", **options):
    """The image as it is loaded from a folder with one more in another class, at its own size."""
    for label in ("a", "b", "c"):
        (path / "one" / label).mkdir(parents=True)
        image.save(path / "one" / label / name, **options)
    dataset = data.load(str(path / "one"), limit=1)
    return dataset.train.images[0]


def test_transparent_is_white_and_16_bits_are_not_cut_off(tmp_path):
    drawn = np.zeros((16, 16, 4), np.uint8)
    drawn[4:8, :, 3] = 255  # a black stroke on nothing
    (tmp_path / "alpha").mkdir()
    pixels = one_image(tmp_path / "alpha", Image.fromarray(drawn))
    assert pixels[0, :, 0].tolist() == [255] * 4 + [0] * 4 + [255] * 8
    deep = np.full((16, 16), 128 * 257, np.uint16)
    (tmp_path / "deep").mkdir()
    assert one_image(tmp_path / "deep", Image.fromarray(deep)).unique().tolist() == [128]


def test_a_photograph_stands_as_the_camera_says(tmp_path):
    half = np.zeros((16, 16), np.uint8)
    half[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pixels = one_image(tmp_path, Image.fromarray(half), "turned.jpg", exif=exif, quality=95)
    assert (pixels[0, :, 10:] > 200).all()
    assert (pixels[0, :, :6] < 50).all()


def test_unreadable_files_are_named(folder):
    path = folder({"cat": 6, "dog": 6})
    (path / "cat" / "0.png").write_bytes(b"")
    (path / "cat" / "1.png").write_bytes(b"<html>not an image</html>")
    good = (path / "dog" / "0.png").read_bytes()
    (path / "dog" / "0.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match=r"3 of 12 images cannot be read: .*cat/0\.png, .*cat/1\.png, .*dog/0\.png; "):
        data.load(f"{path}:16")
    (path / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"4 of 12 images .* and 1 more; remove or replace them"):
        data.load(f"{path}:16")


def test_folders_that_are_of_no_use(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere', but there is no file or folder"):
        data.load(f"{tmp_path}/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no subfolders: a folder of images needs one for each class"):
        data.load(f"{tmp_path}/empty")
    (tmp_path / "empty" / "cat").mkdir()
    with pytest.raises(InputError, match=r"contains no images, that is, files that end in \.jpg"):
        data.load(f"{tmp_path}/empty")
    path = folder({"cat": 6})
    with pytest.raises(InputError, match=r"has only one class \(cat\)"):
        data.load(str(path))
    (path / "dog").mkdir()
    with pytest.raises(InputError, match="has no training images of class 'dog'"):
        data.load(str(path))


def test_a_class_that_only_the_test_has(folder):
    folder({"cat": 6, "dog": 6}, "train")
    path = folder({"cat": 2, "emu": 2}, "test")
    with pytest.raises(InputError, match="own/test has a class 'emu' without training images"):
        data.load(str(path))


def test_letters_of_a_folder(folder):
    dataset = data.load(f"{folder({'1': 5, 'a': 5, 'b': 5})}:letters")
    assert (dataset.classes, dataset.flips) == (("A", "B"), False)
