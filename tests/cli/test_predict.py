"""``tinytorch predict``, asked about pictures that are drawn here; what it reads rightly is in tests/pictures."""

import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from pictures import drawing
from tinytorch_course.cli.app import run
from tinytorch_course.models import find_model
from tinytorch_course.scratch import layers

NETWORK = Path(drawing.__file__).parent / "network"


@pytest.fixture
def tinytorch(capsys):
    """Run a command line; returns exit code, stdout and stderr."""

    def call(*args):
        code = run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with pictures of a 1 and of a 0, one that is blank, and one that is none; and in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").mkdir()
    one, zero = Image.new("L", (60, 80), 255), Image.new("L", (60, 80), 255)
    ImageDraw.Draw(one).line((32, 10, 28, 70), fill=0, width=7)
    ImageDraw.Draw(zero).ellipse((12, 10, 48, 70), outline=0, width=7)
    one.save("good/one.png")
    zero.save("good/zero.jpg")
    Image.new("L", (60, 80), 255).save("blank.png")
    (tmp_path / "good" / "notes.txt").write_text("no picture, and passed over in a folder")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def test_one_line_a_picture(tinytorch):
    code, out, err = tinytorch("predict", NETWORK, "good/zero.jpg", "good/one.png", "--top", 2)
    assert (code, err) == (0, "")
    zero, one = out.splitlines()
    assert zero.startswith("good/zero.jpg  0 ")
    assert one.startswith("good/one.png   1 ")
    assert zero.count("%") == one.count("%") == 2


def test_a_folder_stands_for_the_pictures_in_it(tinytorch):
    code, out, err = tinytorch("predict", NETWORK, "good", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert (document["model"], document["impl"], document["data"]) == ("mini_cnn", "torch", "mnist")
    assert [(Path(each["file"]).name, each["answer"]) for each in document["pictures"]] == [
        ("one.png", "1"),
        ("zero.jpg", "0"),
    ]
    for each in document["pictures"]:
        assert each["error"] is None
        assert len(each["top"]) == 3
        assert each["top"][0] == {"class": each["answer"], "probability": each["probability"]}
        assert 0.5 < each["probability"] <= 1
        assert "seen" not in each


def test_both_implementations_answer_alike(tinytorch):
    answers = []
    for impl in ("scratch", "torch"):
        code, out, _ = tinytorch("predict", NETWORK, "good", "--json", "--impl", impl, "--top", 10)
        assert code == 0
        tops = [each["top"] for each in json.loads(out)["pictures"]]
        answers.append([sorted((one["class"], one["probability"]) for one in top) for top in tops])
    for ours, theirs in zip(*answers, strict=True):
        assert [name for name, _ in ours] == [name for name, _ in theirs] == list("0123456789")
        assert [share for _, share in ours] == pytest.approx([share for _, share in theirs], abs=1e-5)


def test_standard_input(tinytorch, monkeypatch):
    data = Path("good/zero.jpg").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))
    code, out, err = tinytorch("predict", NETWORK, "-")
    assert (code, err) == (0, "")
    assert out.startswith("standard input  0 ")


def test_show_draws_what_the_network_sees(tinytorch):
    code, out, err = tinytorch("predict", NETWORK, "good/zero.jpg", "--show")
    assert (code, err) == (0, "")
    _, *drawn = out.splitlines()
    assert len(drawn) == 28
    inked = [row for row, line in enumerate(drawn) if line.strip()]
    assert len(inked) == 20  # MNIST's box
    assert "\x1b" not in out

    code, out, _ = tinytorch("predict", NETWORK, "good/zero.jpg", "--show", "--json")
    seen = np.array(json.loads(out)["pictures"][0]["seen"])
    assert seen.shape == (1, 28, 28)
    assert (seen[0].max(axis=1) > 0).sum() == 20
    assert seen[0, 14, 14] == 0  # the middle of a 0


def test_a_picture_without_an_answer_does_not_stop_the_others(tinytorch):
    code, out, err = tinytorch("predict", NETWORK, "blank.png", "good/zero.jpg", "text.png")
    assert code == 2
    assert out.startswith("good/zero.jpg  0 ")
    assert len(out.splitlines()) == 1
    blank, text, last = err.splitlines()
    assert blank == "blank.png contains nothing that stands out from its background"
    assert text.startswith("text.png is not a picture that can be read")
    assert last == "Error: 2 of 3 pictures have no answer."
    code, out, _ = tinytorch("predict", NETWORK, "blank.png", "good/zero.jpg", "--json")
    assert code == 2
    blank, zero = json.loads(out)["pictures"]
    assert (blank["answer"], blank["top"], zero["answer"]) == (None, [], "0")
    assert "contains nothing" in blank["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net"], "Missing argument 'IMAGE...'"),
        (["net", "nowhere.png"], "there is no picture nowhere.png"),
        (["net", "text.png"], "text.png is not a picture that can be read: it begins with b'no picture'"),
        (["net", "blank.png"], "blank.png contains nothing that stands out from its background"),
        (["net", "cut.jpg"], "cut.jpg is a damaged picture"),
        (["net", "empty.png"], "empty.png is empty (0 bytes), not a picture"),
        (["net", "empty"], "the folder empty contains no picture"),
        (["net", "good/one.png", "--top", "0"], "--top must be at least 1, but it is 0"),
        (["net", "good/one.png", "--form", "cursive"], "--form must be mnist, things or plain, but it is 'cursive'"),
        (["net", "good/one.png", "--impl", "jax"], "--impl"),
        (["net", "good/one.png", "--device", "tpu"], "--device"),
        (["net", "good/one.png", "--model", "lenet5"], "it lacks conv1.bias, conv2.bias, fc1.weight and 5 more and"),
        (["nowhere", "good/one.png"], "nowhere"),
        (["good", "good/one.png"], "good has no model.pt or model.safetensors: it is not a run folder"),
        (["text.png", "good/one.png", "--model", "mlp-8"], "text.png"),
        (["mlp.pt", "good/one.png"], "mlp.pt does not say which network it holds: name it with --model"),
        (["mlp.pt", "good/one.png", "--model", "mlp-9"], "mlp.pt"),
        (["mlp.pt", "good/one.png", "--model", "mlpp"], "there is no network"),
    ],
)
def test_refusals(here, tinytorch, arguments, words):
    shutil.copytree(NETWORK, here / "net")
    params, state = find_model("mlp-8").build(layers).init(torch.Generator().manual_seed(0))
    torch.save(params | state, "mlp.pt")
    (here / "cut.jpg").write_bytes((here / "good" / "zero.jpg").read_bytes()[:700])
    (here / "empty.png").write_bytes(b"")
    (here / "empty").mkdir()
    code, out, err = tinytorch("predict", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
