"""KMNIST and EMNIST: tiny files of their format, since theirs have no published checksum once unpacked."""

import dataclasses
import gzip
import hashlib
import io
import zipfile

import pytest
import torch
import torchvision

from tinytorch_course import data
from tinytorch_course.data import catalog, idx_sets
from tinytorch_course.errors import InputError


def numbers(*shape, most=256):
    return torch.randint(0, most, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(sum(shape)))


class Emnist:
    """Three sets in one archive, as NIST has it: letters have labels from 1 on, images lie on their side."""

    def __init__(self, as_idx):
        self.upright = {}
        contents = {}
        for split, classes, first in (("letters", 26, 1), ("balanced", 47, 0), ("digits", 10, 0)):
            for part, count in (("train", 60), ("test", 30)):
                images = numbers(count, 28, 28)
                labels = (torch.arange(count) % classes).to(torch.uint8)
                self.upright[split, part] = images, labels.long()
                name = f"emnist-{split}-{part}"
                contents[f"{name}-images-idx3-ubyte"] = as_idx(images.transpose(1, 2).contiguous())
                contents[f"{name}-labels-idx1-ubyte"] = as_idx(labels + first)
        self.contents = contents
        with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
            file.writestr("gzip/", b"")
            for name, content in contents.items():
                file.writestr(f"gzip/{name}.gz", gzip.compress(content, mtime=0))
        self.archive = archive.getvalue()


@pytest.fixture
def emnist(as_idx, monkeypatch):
    made = Emnist(as_idx)
    monkeypatch.setattr(torchvision.datasets.EMNIST, "md5", hashlib.md5(made.archive).hexdigest())
    for split in ("letters", "balanced", "digits"):
        source = idx_sets.SOURCES[f"emnist-{split}"]
        files = tuple(idx_sets.IdxFile(file.name, len(made.contents[file.name]), None) for file in source.files)
        tiny = dataclasses.replace(
            source, files=files, archive_bytes=len(made.archive), about=source.about._replace(val_size=10)
        )
        monkeypatch.setitem(idx_sets.SOURCES, f"emnist-{split}", tiny)
    return made


@pytest.fixture
def kmnist(as_idx, monkeypatch):
    """The contents of its four files, and the archives by name."""
    contents = {
        "train-images-idx3-ubyte": as_idx(numbers(60, 28, 28)),
        "train-labels-idx1-ubyte": as_idx(torch.arange(60).remainder(10).to(torch.uint8)),
        "t10k-images-idx3-ubyte": as_idx(numbers(20, 28, 28)),
        "t10k-labels-idx1-ubyte": as_idx(torch.arange(20).remainder(10).to(torch.uint8)),
    }
    archives = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in contents.items()}
    resources = [(name, hashlib.md5(archive).hexdigest()) for name, archive in archives.items()]
    monkeypatch.setattr(torchvision.datasets.KMNIST, "resources", resources)
    tiny = dataclasses.replace(
        idx_sets.KMNIST,
        files=tuple(idx_sets.IdxFile(name, len(content), None) for name, content in contents.items()),
        archive_bytes=sum(map(len, archives.values())),
        about=idx_sets.KMNIST.about._replace(val_size=10),
    )
    monkeypatch.setitem(idx_sets.SOURCES, "kmnist", tiny)
    return contents, archives


@pytest.mark.parametrize("name", ["kmnist", "emnist-letters", "emnist-balanced", "emnist-digits"])
def test_the_tables_agree_with_torchvision(name):
    source = idx_sets.SOURCES[name]
    assert sum(file.size for file in source.files[::2]) == 16 * 2 + 784 * (
        source.about.train_size + source.about.test_size
    )
    if name == "kmnist":
        theirs = torchvision.datasets.KMNIST
        assert source.about.classes == tuple(theirs.classes)
        assert [f"{file.name}.gz" for file in source.files] == [archive for archive, _ in theirs.resources]
    else:
        theirs = torchvision.datasets.EMNIST
        classes = theirs.classes_split_dict[name.removeprefix("emnist-")][source.first_label :]
        assert source.about.classes == tuple(c.upper() if name == "emnist-letters" else c for c in classes)
        assert source.job().archives == (("gzip.zip", theirs.md5),)
        assert f"{source.mirrors[0]}/gzip.zip" == theirs.url


def test_kmnist_is_fetched_read_and_torchvisions(kmnist, serve_files, tmp_path):
    serve_files(kmnist[1])
    dataset = data.load("kmnist", tmp_path)
    assert [len(split.labels) for split in dataset[3:6]] == [50, 10, 20]
    theirs = torchvision.datasets.KMNIST(tmp_path, train=False)
    assert torch.equal(dataset.test.images[:, 0], theirs.data)
    assert torch.equal(dataset.test.labels, theirs.targets)
    checks = catalog.source_of("kmnist").verify(tmp_path)
    assert len(checks) == 8
    assert all(check.whole for check in checks)


def test_a_packed_file_is_compared_with_its_own_checksum(kmnist, tmp_path):
    contents, archives = kmnist
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, archive in archives.items():
        (raw / name).write_bytes(archive)
    checks = catalog.source_of("kmnist").verify(tmp_path)
    assert [(check.whole, check.remark) for check in checks] == [(True, "its MD5 is right")] * 4
    name = "t10k-labels-idx1-ubyte"
    (raw / f"{name}.gz").write_bytes(gzip.compress(contents[name], compresslevel=1, mtime=1))  # the same, packed anew
    (wrong,) = [check for check in catalog.source_of("kmnist").verify(tmp_path) if not check.whole]
    assert wrong == (raw / f"{name}.gz", False, "has the wrong MD5")


def test_a_changed_pixel_shows_beside_the_archive(kmnist, serve_files, tmp_path):
    contents, archives = kmnist
    serve_files(archives)
    catalog.fetch("kmnist", tmp_path)
    path = tmp_path / "KMNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(contents[path.name][:-1] + b"\x07")
    data.load("kmnist", tmp_path)  # of the right form
    wrong = [check for check in catalog.source_of("kmnist").verify(tmp_path) if not check.whole]
    assert [(check.path, check.whole, check.remark) for check in wrong] == [
        (path, False, "is not what t10k-images-idx3-ubyte.gz holds")
    ]
    (path.parent / "t10k-images-idx3-ubyte.gz").unlink()
    (unknown,) = [check for check in catalog.source_of("kmnist").verify(tmp_path) if not check.whole]
    assert unknown.whole is None
    assert "only t10k-images-idx3-ubyte.gz, which is not here, has a checksum" in unknown.remark


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("train-images-idx3-ubyte", lambda good: good[:-5], "is cut short"),
        ("train-images-idx3-ubyte", lambda good: good[:7] + b"\x09" + good[8:], "size and its header do not match"),
        ("train-labels-idx1-ubyte", lambda good: good[:-1] + b"\x0a", "has labels outside 0 to 9"),
        ("t10k-labels-idx1-ubyte", lambda good: b"<html>", "is a web page"),
        ("t10k-images-idx3-ubyte", lambda good: b"PK" + good[2:], "is not an IDX file of images"),
    ],
)
def test_without_a_checksum_the_form_is_checked(kmnist, tmp_path, name, damage, expected):
    contents, _ = kmnist
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in contents.items():
        (raw / file).write_bytes(damage(content) if file == name else content)
    with pytest.raises(InputError, match=f"{name} .*{expected}"):
        data.load("kmnist", tmp_path)
    assert [check.whole for check in catalog.source_of("kmnist").verify(tmp_path)].count(False) == 1


def test_emnist_stands_upright_with_labels_from_0(emnist, serve_files, tmp_path):
    asked = serve_files({"gzip.zip": emnist.archive})
    for split in ("letters", "balanced"):
        dataset = data.load(f"emnist-{split}", tmp_path)
        images, labels = emnist.upright[split, "train"]
        assert torch.equal(torch.cat([dataset.train.images, dataset.val.images])[:, 0], images)
        assert torch.equal(torch.cat([dataset.train.labels, dataset.val.labels]), labels)
        images, labels = emnist.upright[split, "test"]
        assert torch.equal(dataset.test.images[:, 0], images)
        assert torch.equal(dataset.test.labels, labels)
        theirs = torchvision.datasets.EMNIST(tmp_path, split=split, train=False)
        assert torch.equal(theirs.data.transpose(1, 2), images)
    assert asked == ["gzip.zip"]  # once, for all sets
    raw = tmp_path / "EMNIST" / "raw"
    assert len(list(raw.iterdir())) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["EMNIST"]
    checks = catalog.source_of("emnist-letters").verify(tmp_path)
    assert [check.whole for check in checks] == [True] * 5


def test_emnist_of_torchvision_is_found(emnist, serve_files, tmp_path):
    asked = serve_files({})
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in emnist.contents.items():
        (raw / name).write_bytes(content)
    assert len(data.load("emnist-digits", tmp_path).test.labels) == 30
    assert asked == []


def test_a_damaged_archive_that_was_kept(emnist, serve_files, tmp_path):
    asked = serve_files({"gzip.zip": emnist.archive})
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "gzip.zip").write_bytes(emnist.archive[:-9])
    with pytest.raises(InputError, match=r"gzip.zip has the wrong checksum: delete it and run again"):
        data.load("emnist-letters", tmp_path)
    assert asked == []
