import dataclasses
import gzip
from pathlib import Path

import pytest
import torch
import torchvision

from tinytorch_course.data import idx, idx_sets, sources
from tinytorch_course.errors import InputError

NAMES = [file.name for file in idx_sets.MNIST.files]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def snapshot(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refusal(data_dir):
    """The one sentence with which MNIST in ``data_dir`` is refused; "auto" gives the same, and takes the digits."""
    before = snapshot(data_dir)
    with pytest.raises(InputError) as refused:
        sources.load("mnist", data_dir)
    sentence = str(refused.value)
    assert "\n" not in sentence
    notices = []
    assert sources.load("auto", data_dir, notify=notices.append).name == "digits"
    assert notices == [f"{sentence}; using the 1,797 embedded digits instead"]
    assert snapshot(data_dir) == before
    return sentence


@pytest.mark.parametrize("packed", [False, True, "mixed"])
def test_files_are_found(tiny, tmp_path, packed):
    if packed is True:
        contents = tiny.archives
    elif packed == "mixed":
        contents = dict([*list(tiny.contents.items())[:2], *list(tiny.archives.items())[2:]])
    else:
        contents = tiny.contents
    raw = tiny.write(tmp_path, contents)
    dataset = sources.load("mnist", tmp_path)
    assert torch.equal(torch.cat([dataset.train.images, dataset.val.images])[:, 0], tiny.images[:200])
    assert torch.equal(torch.cat([dataset.train.labels, dataset.val.labels]), tiny.labels[:200].long())
    assert torch.equal(dataset.test.images[:, 0], tiny.images[200:])
    assert torch.equal(dataset.test.labels, tiny.labels[200:].long())
    assert dataset.location == str(raw)
    assert sorted(path.name for path in raw.iterdir()) == sorted(contents)  # nothing was written


def test_unpacked_files_go_before_packed_ones(tiny, tmp_path):
    tiny.write(tmp_path, {**tiny.contents, f"{TRAIN_IMAGES}.gz": b"damaged"})
    assert sources.load("mnist", tmp_path).name == "mnist"


def test_an_old_processed_folder_is_passed_over(tiny, tmp_path):
    tiny.write(tmp_path)
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3).long()), processed / name)
    assert len(torchvision.datasets.MNIST(tmp_path)) == 3
    assert len(sources.load("mnist", tmp_path).test.images) == 50


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        (TRAIN_IMAGES, lambda good: good[:-1], "is cut short: it has 156,815 of 156,816 bytes"),
        (TRAIN_LABELS, lambda good: b"", "is empty"),
        (TEST_IMAGES, lambda good: b" \n<!DOCTYPE html><title>404</title>", "is a web page, not data"),
        (TEST_LABELS, lambda good: b"\xef\xbb\xbf<html>", "is a web page, not data"),
        (TEST_LABELS, lambda good: gzip.compress(good), "is still packed: it needs the ending .gz"),
        (TRAIN_IMAGES, lambda good: b"PK" + good, "is not an IDX file of images"),
        (TRAIN_LABELS, lambda good: good[:3] + b"\x03" + good[4:], "is not an IDX file of labels"),
        (TRAIN_IMAGES, lambda good: good[:-1] + bytes([good[-1] ^ 1]), "has been changed: its SHA-256 begins with"),
        (TRAIN_LABELS, lambda good: good + b"\0", "has been changed"),
    ],
)
def test_a_damaged_file_is_named(tiny, tmp_path, name, damage, expected):
    raw = tiny.write(tmp_path, {**tiny.contents, name: damage(tiny.contents[name])})
    sentence = refusal(tmp_path)
    assert f"MNIST in {raw} cannot be used: {name} {expected}" in sentence
    assert "put the original files there, or delete that folder and run again to download them" in sentence
    assert sum(other in sentence for other in NAMES) == 1  # the good ones are not accused


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda good: good[:-20], "is cut short"),
        (lambda good: b"", "is empty"),
        (lambda good: b"<html>", "is a web page, not data"),
        (lambda good: b"PK" + good, "is not a gzip archive, or a damaged one"),
        (lambda good: good[:100] + bytes(20) + good[120:], "is not a gzip archive, or a damaged one"),
        (lambda good: gzip.compress(b"<html>"), "is a web page, not data"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-1]), "is cut short: it has"),
    ],
)
def test_a_damaged_archive_is_named(tiny, tmp_path, damage, expected):
    name = f"{TRAIN_IMAGES}.gz"
    tiny.write(tmp_path, {**tiny.archives, name: damage(tiny.archives[name])})
    assert f"{name} {expected}" in refusal(tmp_path)


@pytest.mark.parametrize(("first", "second"), [(TRAIN_IMAGES, TEST_IMAGES), (TRAIN_IMAGES, TRAIN_LABELS)])
def test_swapped_files_are_recognised(tiny, tmp_path, first, second):
    swapped = {first: tiny.contents[second], second: tiny.contents[first]}
    tiny.write(tmp_path, {**tiny.contents, **swapped})
    sentence = refusal(tmp_path)
    assert f"{first} is really {second} of MNIST" in sentence
    assert f"{second} is really {first} of MNIST" in sentence


def test_another_datasets_file_is_recognised(tiny, tmp_path, monkeypatch):
    file = idx_sets.IdxFile(*tiny.source.files[0])
    elsewhere = dataclasses.replace(tiny.source, files=(file._replace(sha256="0" * 64), *tiny.source.files[1:]))
    monkeypatch.setitem(idx_sets.SOURCES, "mnist", elsewhere)
    monkeypatch.setitem(idx.SHA256, "Fashion-MNIST", [file.sha256 for file in tiny.source.files])
    tiny.write(tmp_path)
    assert f"{TRAIN_IMAGES} is really {TRAIN_IMAGES} of Fashion-MNIST" in refusal(tmp_path)


def test_missing_files_are_named(tiny, tmp_path):
    raw = tiny.write(tmp_path, {TRAIN_IMAGES: tiny.contents[TRAIN_IMAGES], TEST_LABELS: b""})
    sentence = refusal(tmp_path)
    assert f"MNIST in {raw} cannot be used: {TRAIN_LABELS} is missing, {TEST_IMAGES} is missing, " in sentence
    assert f"{TEST_LABELS} is empty" in sentence


def test_a_folder_in_a_files_place_is_named(tiny, tmp_path):
    raw = tiny.write(tmp_path)
    (raw / TEST_IMAGES).unlink()
    (raw / TEST_IMAGES).mkdir()
    assert f"{TEST_IMAGES} is a folder, not a file" in refusal(tmp_path)


@pytest.mark.parametrize("place", [".", "MNIST", "MNIST/raw"])
def test_a_file_in_a_folders_place_is_named(tiny, tmp_path, place):
    data_dir = tmp_path / "data"
    file = data_dir / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    sentence = refusal(data_dir)
    assert f"{file} is a file, but a folder with " in sentence
    assert "--data-dir" in sentence


def test_a_folder_below_a_file_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be read (Not a directory)" in refusal(tmp_path / "file" / "data")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_read_is_named(tiny, tmp_path, monkeypatch, what):
    raw = tiny.write(tmp_path)

    def forbidden(*args):
        raise PermissionError(13, "Permission denied")

    # Simulated, because chmod stops no test that runs as root.
    if what == "file":
        monkeypatch.setattr(Path, "open", forbidden)
    else:
        monkeypatch.setattr(idx.os, "listdir", forbidden)
    path = raw / TRAIN_IMAGES if what == "file" else raw
    with pytest.raises(InputError) as refused:
        sources.load("mnist", tmp_path)
    assert str(refused.value) == (
        f"{path} cannot be read (Permission denied): make it readable, or choose another folder with --data-dir"
    )


def test_an_archive_that_cannot_be_unpacked_is_named(tiny, tmp_path, monkeypatch):
    tiny.write(tmp_path, tiny.archives)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert f"{TRAIN_IMAGES}.gz cannot be unpacked into " in refusal(tmp_path)


def test_real_mnist_is_torchvisions(real_data):
    dataset = sources.load("mnist", real_data)
    assert [len(split.images) for split in dataset[3:6]] == [55_000, 5_000, 10_000]
    assert dataset.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    train = torchvision.datasets.MNIST(real_data, train=True)
    test = torchvision.datasets.MNIST(real_data, train=False)
    assert torch.equal(torch.cat([dataset.train.images, dataset.val.images])[:, 0], train.data)
    assert torch.equal(torch.cat([dataset.train.labels, dataset.val.labels]), train.targets)
    assert torch.equal(dataset.test.images[:, 0], test.data)
    assert torch.equal(dataset.test.labels, test.targets)
    assert dataset.mean == pytest.approx((0.1307,), abs=1e-4)
    assert dataset.std == pytest.approx((0.3081,), abs=2e-4)
