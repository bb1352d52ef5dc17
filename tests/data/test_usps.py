import bz2
import dataclasses
import hashlib

import numpy as np
import pytest
import torch
import torchvision

from tinytorch_course import data
from tinytorch_course.data import catalog, usps
from tinytorch_course.errors import InputError

USPS = torchvision.datasets.USPS


@pytest.fixture
def tiny(monkeypatch):
    """Two files in LIBSVM's format: labels from 1 to 10, pixels from -1 to 1, known to torchvision."""
    random = np.random.default_rng(0)
    files = {}
    for name, count in (("usps.bz2", 30), ("usps.t.bz2", 12)):
        lines = [
            f"{label} " + " ".join(f"{i + 1}:{value:.6f}" for i, value in enumerate(random.uniform(-1, 1, 256)))
            for label in [i % 10 + 1 for i in range(count)]
        ]
        files[name] = bz2.compress("\n".join(lines).encode())
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    known = {part: [url, name, md5[name]] for part, (url, name, _) in USPS.split_list.items()}
    monkeypatch.setattr(USPS, "split_list", known)
    about = usps.SOURCES["usps"].about._replace(val_size=5)
    monkeypatch.setitem(usps.SOURCES, "usps", dataclasses.replace(usps.SOURCES["usps"], about=about))
    return files


def test_it_is_fetched_read_and_torchvisions(tiny, serve_files, tmp_path):
    serve_files(tiny)
    dataset = data.load("usps", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usps.bz2", "usps.t.bz2"]
    assert [tuple(split.images.shape) for split in dataset[3:6]] == [(25, 1, 16, 16), (5, 1, 16, 16), (12, 1, 16, 16)]
    theirs = USPS(tmp_path, train=False)
    assert torch.equal(dataset.test.images[:, 0], torch.from_numpy(theirs.data))
    assert dataset.test.labels.tolist() == theirs.targets == [i % 10 for i in range(12)]
    assert [check.whole for check in catalog.source_of("usps").verify(tmp_path)] == [True, True]


def test_damage_is_named(tiny, serve_files, tmp_path):
    serve_files(tiny)
    catalog.fetch("usps", tmp_path)
    (tmp_path / "usps.bz2").write_bytes(b"BZh9")
    (tmp_path / "usps.t.bz2").unlink()
    with pytest.raises(InputError, match=r"usps\.t\.bz2 is missing, usps\.bz2 has the wrong MD5"):
        data.load("usps", tmp_path)


def test_the_table_agrees_with_torchvision():
    source = usps.SOURCES["usps"]
    for (name, _), (url, _, _) in zip(source.job().archives, USPS.split_list.values(), strict=True):
        assert f"{source.mirrors[0]}/{name}" == url
