"""``tinytorch data``, with MNIST in tiny: the servers and files are those of tests/data/conftest.py."""
# ruff: noqa: F811 - a fixture that is imported is redefined, to ruff's eyes, wherever it is asked for

import dataclasses
import json
import sys

import numpy as np
import pytest
from data.conftest import (  # noqa: F401 - fixtures
    _own_environment,
    healthy,
    send,
    serve,
    tiny,
)
from PIL import Image

from tinytorch_course.cli.app import run
from tinytorch_course.data import idx_sets


@pytest.fixture
def tinytorch(capsys):
    """Run a command line; returns exit code, stdout and stderr."""

    def call(*args):
        code = run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def own(tmp_path):
    """An .npz file with images of three classes, one of them brighter."""
    images = np.zeros((60, 16, 16), np.uint8)
    images[20:40, 4:12, 4:12] = 255
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=np.arange(60) // 20, classes=["night", "window", "a name that is long"])
    return path


def test_without_a_command_the_help(tinytorch):
    code, out, err = tinytorch("data")
    assert (code, err) == (0, "")
    for command in ("list", "fetch", "show", "verify"):
        assert f"\n  {command} " in out


def test_list(tinytorch, tiny, tmp_path):
    tiny.write(tmp_path)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-labels-idx1-ubyte").write_bytes(b"")
    (tmp_path / "KMNIST").write_text("a file in the way")
    parts = idx_sets.SOURCES["emnist-digits"].job().parts(tmp_path)
    parts.mkdir()
    (parts / "gzip.zip.part").write_bytes(bytes(2_000_000))
    code, out, err = tinytorch("data", "list", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()[1:] if line}
    assert lines["mnist"].endswith(f"here: {tmp_path}/MNIST/raw")
    assert lines["fashion-mnist"].endswith("in part; 30.9 MB to fetch")
    assert lines["kmnist"].endswith("unusable")
    assert lines["emnist-digits"].endswith("not here; 562 MB to fetch, of which 2 MB have arrived")
    assert lines["cifar10"].split()[1:4] == ["10", "60,000", "32x32x3"]
    assert lines["letters"].endswith("built in, drawn from matplotlib's fonts")

    code, out, err = tinytorch("data", "list", "--data-dir", tmp_path, "--json")
    sets = {one["name"]: one for one in json.loads(out)["sets"]}
    states = [sets[name]["state"] for name in ("mnist", "fashion-mnist", "kmnist", "usps", "digits")]
    assert states == ["present", "incomplete", "unusable", "absent", "embedded"]
    assert sets["fashion-mnist"]["missing"] == [name for name in tiny.contents if name != "train-labels-idx1-ubyte"]
    assert "is a file, but a folder" in sets["kmnist"]["problem"]
    assert "auto" not in sets


def test_fetch(tinytorch, tiny, healthy, tmp_path):
    code, out, err = tinytorch("data", "fetch", "mnist", "--mirror", healthy, "--data-dir", tmp_path / "new")
    assert (code, out, err) == (0, f"MNIST is now in {tmp_path}/new/MNIST/raw.\n", "")
    code, out, err = tinytorch("data", "fetch", "mnist", "--data-dir", tmp_path / "new", "--json")
    document = json.loads(out)
    assert (document["name"], document["state"], document["fetched"]) == ("mnist", "present", False)
    assert document["location"] == f"{tmp_path}/new/MNIST/raw"
    assert tinytorch("data", "fetch", "letters")[:2] == (
        0,
        "There is nothing to fetch: embedded letters (drawn from matplotlib's fonts) need no network.\n",
    )


def test_fetch_completes_what_is_there_in_part(tinytorch, tiny, healthy, tmp_path):
    raw = tiny.write(tmp_path)
    (raw / "t10k-labels-idx1-ubyte").unlink()
    assert tinytorch("data", "verify", "mnist", "--data-dir", tmp_path)[0] == 1
    assert tinytorch("data", "fetch", "mnist", "--mirror", healthy, "--data-dir", tmp_path)[0] == 0
    assert tinytorch("data", "verify", "mnist", "--data-dir", tmp_path)[0] == 0


def test_fetch_says_why_each_mirror_failed(tinytorch, tiny, serve, send, healthy, tmp_path, monkeypatch):
    refuses = serve(lambda handler: send(handler, b"no", 403))
    circle = serve(
        lambda handler: (
            handler.send_response(302),
            handler.send_header("Location", handler.path),
            handler.end_headers(),
        )
    )
    wrong = serve(lambda handler: send(handler, b"\x1f\x8b something else"))
    reasons = [
        f"{refuses.removeprefix('http://')}: it answered HTTP 403 (Forbidden)",
        f"{circle.removeprefix('http://')}: it redirects in a circle",
        f"{wrong.removeprefix('http://')}: its train-images-idx3-ubyte.gz has the wrong checksum",
    ]
    for mirrors, expected in (((refuses, circle, wrong, healthy), 0), ((refuses, circle, wrong), 2)):
        monkeypatch.setitem(idx_sets.SOURCES, "mnist", dataclasses.replace(idx_sets.SOURCES["mnist"], mirrors=mirrors))
        code, out, err = tinytorch("data", "fetch", "mnist", "--data-dir", tmp_path / str(expected))
        assert code == expected
        assert err.splitlines()[:3] == [f"Note: {reason}" for reason in reasons]
        if expected:
            assert out == ""
            assert len(err.splitlines()) == 4
            assert f"could not be downloaded ({'; '.join(reasons)}): put train-images-idx3-ubyte," in err
            assert not (tmp_path / "2").exists()


def test_show(tinytorch, own, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, err = tinytorch("data", "show", own, "--out", sheet, "--count", 5)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["own.npz: 3 classes, grey images of 16x16", f"in {own}"]
    assert "window" in out
    assert ["all", "43", "8", "9"] in [line.split() for line in lines]
    assert sum("@@@@@@@@" in line for line in lines) == 4  # the window: eight pixels wide, in half as many lines
    assert lines[-1] == f"Contact sheet: {sheet}"
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("L"))
    cells = pixels[4:, -(5 * 68) :]  # three lines of five cells of 64 pixels, with 4 between them
    for row in range(3):
        for column in range(5):
            cell = cells[row * 68 : row * 68 + 64, column * 68 : column * 68 + 64]
            assert cell[32, 32] == (255 if row == 1 else 0)
            assert cell[1, 1] == 0


def test_show_for_machines(tinytorch, own):
    code, out, _ = tinytorch("data", "show", own, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["sizes"] == {"train": 43, "val": 8, "test": 9}
    assert document["class_counts"]["test"] == [3, 3, 3]
    share = document["class_counts"]["train"][1] / 43 / 4  # of white pixels
    assert document["mean"] == pytest.approx([share])
    assert document["std"] == pytest.approx([(share * (1 - share)) ** 0.5])
    assert (document["shape"], document["flips"], document["sheet"]) == ([1, 16, 16], True, None)


def test_show_in_colours(tinytorch, own, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    code, out, _ = tinytorch("data", "show", own)
    assert code == 0
    assert "\u2580" in out
    assert "38;2;255;255;255" in out


def test_verify(tinytorch, tiny, tmp_path):
    raw = tiny.write(tmp_path)
    code, out, err = tinytorch("data", "verify", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "mnist"
    assert out.count("  ok       ") == 4
    (raw / "train-labels-idx1-ubyte").write_bytes(b"<html>")
    (raw / "t10k-images-idx3-ubyte").unlink()
    code, out, err = tinytorch("data", "verify", "mnist", "--data-dir", tmp_path)
    assert (code, err) == (1, "")
    assert "  DAMAGED  train-labels-idx1-ubyte is a web page, not data" in out
    assert "  DAMAGED  t10k-images-idx3-ubyte is missing" in out
    code, out, err = tinytorch("data", "verify", "--data-dir", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["damaged"]) == (1, 2)
    assert {file["set"] for file in document["files"]} == {"mnist"}


def test_verify_where_there_is_nothing(tinytorch, tmp_path):
    code, out, _ = tinytorch("data", "verify", "--data-dir", tmp_path)
    assert (code, out) == (0, f"None of the data sets is in {tmp_path}; `tinytorch data fetch NAME` downloads one.\n")
    assert tinytorch("data", "verify", "digits")[:2] == (0, "There is nothing to verify: digits has no files.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["lst"], "there is no command 'lst'; did you mean list?"),
        (["fetch"], "Missing argument 'NAME'"),
        (["fetch", "cifr10"], "but it is 'cifr10'; did you mean cifar10?"),
        (["fetch", "mnist", "--mirror", "example.org"], "--mirror must be the URL of a folder"),
        (["fetch", "./photos"], "NAME must be one of mnist, "),
        (["verify", "auto"], "NAME must be one of mnist, "),
        (["verify", "kmnist", "--data-dir", "."], "`tinytorch data fetch kmnist` downloads it"),
        (["show", "imagenet"], "NAME must be one of auto, mnist, "),
        (["show", "nowhere.npz"], "there is no file or folder nowhere.npz"),
        (["show", "digits", "--out", "sheet.jpg"], "the name of a contact sheet ends in .png"),
        (["show", "digits", "--out", "no/where.png"], "but there is no folder"),
        (["show", "digits", "--count", "0"], "--count must be from 1 to 100, but it is 0"),
        (["fetch", "mnist", "--miror", "x"], "has no option '--miror'; did you mean --mirror?"),
    ],
)
def test_refusals(tinytorch, args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = tinytorch("data", *args)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
