import dataclasses
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
import torchvision

from tinytorch_course import data
from tinytorch_course.data import catalog, cifar
from tinytorch_course.errors import InputError

CIFAR10 = torchvision.datasets.CIFAR10


@pytest.fixture
def tiny(monkeypatch):
    """Seven files of CIFAR-10's format with ten images each, known to torchvision; and the archive of them."""
    random = np.random.default_rng(0)
    files = {"batches.meta": pickle.dumps({"label_names": list(cifar.SOURCES["cifar10"].about.classes)})}
    for name in [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]:
        pixels = random.integers(0, 256, (10, 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": pixels, "labels": random.integers(0, 10, 10).tolist()})
    with tarfile.open(fileobj=(archive := io.BytesIO()), mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5[name]] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.getvalue()).hexdigest())
    about = cifar.SOURCES["cifar10"].about._replace(val_size=5)
    monkeypatch.setitem(cifar.SOURCES, "cifar10", dataclasses.replace(cifar.SOURCES["cifar10"], about=about))
    return files, archive.getvalue()


def test_it_is_fetched_read_and_torchvisions(tiny, serve_files, tmp_path):
    asked = serve_files({"cifar-10-python.tar.gz": tiny[1]})
    dataset = data.load("cifar10", tmp_path)
    assert asked == ["cifar-10-python.tar.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-py"]
    assert [tuple(split.images.shape) for split in dataset[3:6]] == [(45, 3, 32, 32), (5, 3, 32, 32), (10, 3, 32, 32)]
    theirs = CIFAR10(tmp_path, train=False)
    assert torch.equal(dataset.test.images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
    assert dataset.test.labels.tolist() == theirs.targets
    assert dataset.flips
    assert len(dataset.mean) == len(dataset.std) == 3
    assert all(check.whole for check in catalog.source_of("cifar10").verify(tmp_path))


def test_damage_is_named_before_anything_is_unpickled(tiny, serve_files, tmp_path):
    serve_files({"cifar-10-python.tar.gz": tiny[1]})
    catalog.fetch("cifar10", tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_3").write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    (folder / "test_batch").unlink()
    with pytest.raises(InputError, match=r"test_batch is missing, data_batch_3 has the wrong MD5; put the original"):
        data.load("cifar10", tmp_path)


def test_the_table_agrees_with_torchvision():
    source = cifar.SOURCES["cifar10"]
    assert f"{source.mirrors[0]}/{CIFAR10.filename}" == CIFAR10.url
    assert source.job().archives == ((CIFAR10.filename, CIFAR10.tgz_md5),)
    assert len(source.names()) == 7
