"""What a newcomer found at the bench: outputs that are what they are called, and arguments that were exchanged."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from trials import SMALL

from tinytorch_course.cli.app import run
from tinytorch_course.pictures.ink import find_ink, with_margin
from tinytorch_course.training.loop import train


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "run"
    train(dataclasses.replace(SMALL, model="softmax"), out=str(folder))
    return folder


@pytest.fixture
def three(tmp_path):
    """A three as a scan in two tones, cut out tightly: the ink reaches all four sides."""
    rows = ["#######.", "......##", "......##", "..#####.", "......##", "......##", "......##", "#######."]
    picture = np.array([[letter == "#" for letter in row] for row in rows])
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def test_a_report_is_html_by_name_too(net, tmp_path, capsys):
    assert run(["report", str(net), "--out", str(tmp_path / "x.pdf")]) == 2
    assert "--out must end in .html" in capsys.readouterr().err
    assert not (tmp_path / "x.pdf").exists()


def test_predict_saves_what_the_network_sees(net, tmp_path, three, capsys):
    Image.fromarray(np.uint8(255 * np.pad(three, 8))).save(tmp_path / "three.png")
    assert run(["predict", str(net), str(tmp_path / "three.png"), "--save-seen", str(tmp_path / "seen")]) == 0
    seen = np.asarray(Image.open(tmp_path / "seen" / "0001.png"))
    assert seen.shape == (28, 28)
    assert seen.max() > 200
    assert run(["predict", str(net), str(tmp_path / "three.png"), "--save-seen", str(tmp_path / "seen")]) == 2
    assert "is not an empty folder: choose a new one for --save-seen" in capsys.readouterr().err


def test_exchanged_arguments_are_told(net, tmp_path, three, capsys):
    Image.fromarray(np.uint8(255 * three)).save(tmp_path / "three.png")
    assert run(["predict", str(tmp_path / "three.png"), str(net)]) == 2
    assert "is a picture, but the first argument is the network" in capsys.readouterr().err


def test_each_refused_picture_has_a_line(net, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    assert run(["predict", str(net), str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "2 of 2 pictures have no answer" in lines[2]


@pytest.fixture
def own_data(tmp_path, three):
    path = tmp_path / "own.npz"
    np.savez(path, images=np.uint8(255 * np.stack([three] * 40)), labels=np.arange(40) % 10)
    return path


def test_evaluate_takes_all_images_and_brings_them_to_the_networks_form(net, own_data, capsys):
    assert run(["evaluate", str(net), "--data", f"{own_data}:28", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert run(["evaluate", str(net), "--data", str(own_data), "--split", "all", "--form", "mnist", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert (part["count"] < 20, every["count"]) == (True, 40)
    assert run(["evaluate", str(net), "--data", f"{own_data}:28"]) == 0
    assert "--split all takes every one" in capsys.readouterr().err
    assert run(["evaluate", str(net), "--split", "all"]) == 2
    assert "would score images that the network was trained on" in capsys.readouterr().err


@pytest.mark.parametrize("black_on_white", [False, True])
def test_a_tightly_cut_scan_is_read_as_one_with_a_margin(three, black_on_white):
    def strokes(mask):
        picture = (~mask if black_on_white else mask).astype(np.float32)
        ink = find_ink(np.repeat(picture[..., None], 3, axis=2))
        assert ink is not None
        assert ink.dark == black_on_white
        return ink.mask[ink.mask.any(axis=1)][:, ink.mask.any(axis=0)]

    assert (strokes(three) == three).all()
    assert (strokes(np.pad(three, 8)) == three).all()


def test_photographs_and_pictures_with_a_margin_are_left_as_they_are(three):
    photograph = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    assert with_margin(photograph) is photograph
    margin = np.repeat(np.pad(three, 4).astype(np.float32)[..., None], 3, axis=2)
    assert with_margin(margin) is margin
