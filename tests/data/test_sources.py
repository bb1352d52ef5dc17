import socket
import sys
from pathlib import Path

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data import digits, idx_sets
from tinytorch_course.errors import InputError


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to open a connection is an error, and is counted."""
    attempts = []

    def refuse(*args, **kwargs):
        attempts.append(args)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_an_unknown_name():
    with pytest.raises(InputError, match=r"data must be one of auto, mnist, .* but it is 'imagenet'"):
        data.load("imagenet")
    with pytest.raises(InputError, match=r"did you mean kmnist\?"):
        data.load("kminst")


def test_digits_need_no_network(no_network, tmp_path):
    dataset = data.load("digits", tmp_path / "nowhere")
    assert dataset.name == "digits"
    assert no_network == []


def test_auto_says_on_stderr_why_it_takes_the_digits(no_network, tiny, tmp_path, capsys):
    assert data.load("auto", tmp_path).name == "digits"
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Network is unreachable" in err
    assert no_network


def test_auto_takes_mnist_where_it_is(tiny, tmp_path):
    tiny.write(tmp_path)
    notices = []
    dataset = data.load("auto", tmp_path, notify=notices.append)
    assert (dataset.name, dataset.title, dataset.default_epochs, notices) == ("mnist", "MNIST", 1, [])


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_named_datasets_never_fall_back(no_network, name, tmp_path):
    with pytest.raises(InputError) as refused:
        data.load(name, tmp_path / "data", notify=lambda sentence: pytest.fail("it fell back"))
    sentence = str(refused.value)
    source = idx_sets.SOURCES[name]
    assert f"{source.about.title} is not in {tmp_path}/data/{source.folder}/raw and could not be downloaded" in sentence
    assert all(file.name in sentence for file in source.files)
    assert f"or choose the folder that holds {source.folder}/raw with data_dir" in sentence


@pytest.mark.parametrize("name", ["auto", "mnist", "digits"])
@pytest.mark.parametrize("flag", ["val_size", "limit"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_one_is_refused_before_anything_is_fetched(no_network, tmp_path, name, flag, value):
    with pytest.raises(InputError, match=f"{flag} must be at least 1, but it is {value}"):
        data.load(name, tmp_path, **{flag: value})
    assert no_network == []


def test_labels_are_looked_at_when_they_are_loaded(monkeypatch):
    images, labels = torch.zeros(1797, 1, 28, 28, dtype=torch.uint8), torch.arange(1797) % 11
    split = data.Split(images, labels)
    monkeypatch.setattr(digits, "read", lambda: (split, split))
    with pytest.raises(InputError, match="has the label 10, but with 10 classes labels are from 0 to 9"):
        data.load("digits")


def test_sizes_reach_the_split(tiny, tmp_path):
    tiny.write(tmp_path)
    dataset = data.load("mnist", tmp_path, val_size=20, limit=30)
    assert [len(split.images) for split in dataset[3:6]] == [30, 20, 30]
    assert torch.equal(dataset.train.images[:, 0], tiny.images[:30])
    assert torch.equal(dataset.val.images[:, 0], tiny.images[180:200])
    assert dataset.mean == pytest.approx(((tiny.images[:30].double() / 255).mean().item(),))
    with pytest.raises(InputError, match="val_size must be from 1 to 199 "):
        data.load("mnist", tmp_path, val_size=200)
    with pytest.raises(InputError, match="limit must be from 1 to 160, the number of training images, but it is 161"):
        data.load("mnist", tmp_path, limit=161)


def test_a_bad_size_is_no_reason_to_fall_back(tiny, tmp_path):
    tiny.write(tmp_path)
    with pytest.raises(InputError, match="limit must be from 1 to 160"):
        data.load("auto", tmp_path, limit=1000)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "~/.cache/tinytorch"),
        ("darwin", {}, "~/Library/Caches/tinytorch"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/tinytorch"),
        ("win32", {}, "~/AppData/Local/tinytorch"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/tinytorch"),
        ("linux", {"XDG_CACHE_HOME": "/cache", "TINYTORCH_DATA": "~/data"}, "~/data"),
        ("linux", {"XDG_CACHE_HOME": "", "TINYTORCH_DATA": ""}, "~/.cache/tinytorch"),
    ],
)
def test_the_default_folder(monkeypatch, platform, environment, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "TINYTORCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert data.default_data_dir() == Path(expected).expanduser()


def test_the_folder_is_the_argument_before_the_environment(tiny, tmp_path, monkeypatch):
    tiny.write(tmp_path / "home" / "data")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "home" / "data"))
    for folder in ("~/data", str(tmp_path / "home" / "data"), None, ""):
        assert data.load("mnist", folder).location == str(tmp_path / "home" / "data" / "MNIST" / "raw")
    tiny.write(tmp_path / "other")
    assert data.load("mnist", tmp_path / "other").location == str(tmp_path / "other" / "MNIST" / "raw")
