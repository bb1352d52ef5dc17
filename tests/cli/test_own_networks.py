"""A network of one's own in every command."""

import json

import pytest
import torch
from own_file import MY_NET
from PIL import Image

from tinytorch_course.checking.networks import first_wrong_layer
from tinytorch_course.cli.app import run
from tinytorch_course.models import find_model

NET = "my_net.py:net"
TRAIN = "train --data digits --limit 64 --batch-size 16 --epochs 1 --out one --model my_net.py:net"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with my_net.py and a run, ``one``."""
    path = tmp_path_factory.mktemp("own")
    (path / "my_net.py").write_text(MY_NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert run(TRAIN.split()) == 0
    return path


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Run a command there; returns exit code, stdout and stderr."""
    monkeypatch.chdir(folder)

    def call(line):
        code = run(line.split())
        return code, *capsys.readouterr()

    return call


def test_check(call):
    code, out, _ = call(f"check --model {NET} --json")
    row = json.loads(out)["results"][0]
    assert (code, row["kind"], row["name"], row["ok"]) == (0, "network", NET, True)
    assert row["gradient_error"] < 1e-10
    code, out, _ = call(f"check --model {NET} --input 3x8x8")
    assert code == 0


def test_check_finds_a_wrong_own_layer(call, folder):
    (folder / "wrong.py").write_text(MY_NET.replace("return dout * gate + slope * beta", "return dout * gate"))
    code, out, _ = call("check --model wrong.py:net")
    assert code == 1
    assert "dfc1.weight: it is wrong" in out
    assert "the first layer that computes otherwise than torch's is act, in its backward; `tinytorch compare" in out


@pytest.mark.parametrize(
    ("right", "wrong", "layer"),
    [
        ("return x * gate, (x", "return 1.01 * x * gate, (x", "act, in its forward"),
        ("(slope * x).sum()", "2 * (slope * x).sum()", "act, in its backward"),
        ("(dout * x).sum(0)", "dout.sum(0)", "scale, in its backward"),
    ],
)
def test_the_wrong_layer_is_named(folder, monkeypatch, right, wrong, layer):
    monkeypatch.chdir(folder)
    (folder / "wrong.py").write_text(MY_NET.replace(right, wrong))
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(3, 1, 28, 28, generator=generator, dtype=torch.float64), torch.tensor([1, 2, 3])
    assert first_wrong_layer(find_model("wrong.py:net"), x, y, 0) == layer
    assert first_wrong_layer(find_model(NET), x, y, 0) == ""


@pytest.mark.slow
def test_compare_names_the_line_of_a_wrong_own_layer(call, folder):
    (folder / "wrong.py").write_text(MY_NET.replace("return dout * gate + slope * beta", "return dout * gate"))
    line = "compare --data digits --limit 16 --batch-size 8 --steps 2 --dtype float64"
    code, out, _ = call(f"{line} --model {NET}")
    assert (code, "Same: over 2 steps" in out) == (0, True)
    code, out, _ = call(f"{line} --model wrong.py:net")
    assert code == 1
    assert "the gradient of fc1's output" in out
    assert "Made by swish_backward, wrong.py:17" in out


def test_summary(call):
    code, out, _ = call(f"summary {NET} --json")
    found = json.loads(out)
    assert code == 0
    assert [layer["kind"] for layer in found["layers"]] == ["flatten", "linear", "own", "own", "linear"]
    assert found["parameters"] == 784 * 8 + 8 + 1 + 8 + 8 * 10 + 10


def test_bench(call):
    code, out, _ = call(f"bench --model {NET} --batch-size 8 --repeat 1 --json")
    assert (code, json.loads(out)["results"][0]["name"]) == (0, NET)


@pytest.mark.slow
def test_a_network_may_be_a_residual_block_itself(call):
    small = "--data digits --limit 32 --batch-size 16 --model my_net.py:shortcut"
    code, out, _ = call(f"compare {small} --steps 3 --dtype float64")
    assert (code, "Same: over 3 steps" in out) == (0, True)
    for impl in ("scratch", "torch"):
        assert call(f"train {small} --epochs 1 --impl {impl} --out shortcut-{impl}")[0] == 0
        assert call(f"evaluate shortcut-{impl} --trust --limit 32")[0] == 0


NOISE = """
import torch
from torch import nn

from tinytorch_course.scratch.layers import Layer


def draw(x, generator):
    return torch.randn(x.shape, generator=generator).to(x)


class Noise(nn.Module):
    generator = None

    def forward(self, x):
        return x + draw(x, self.generator) if self.training else x


def net(L):
    noise = Layer(
        lambda generator: ({}, {}),
        lambda params, state, x, *, training, generator: (x + draw(x, generator) if training else x, state, None),
        lambda dout, cache, *, need_dx=True: (dout, {}),
    )
    noise = L.own(scratch=noise, reference=Noise())
    return L.sequential(flatten=L.flatten(), fc=L.linear(784, 8), noise=noise, drop=L.dropout(0.5), out=L.linear(8, 10))
"""


def test_a_layer_of_ones_own_may_draw_random_numbers(call, folder):
    (folder / "noise.py").write_text(NOISE)
    line = "compare --data digits --limit 16 --batch-size 8 --steps 3 --dtype float64 --model noise.py:net"
    code, out, _ = call(line)
    assert (code, "Same: over 3 steps" in out) == (0, True)


def test_the_run_folder_keeps_the_code(folder):
    assert (folder / "one" / "model.py").read_text() == MY_NET
    assert json.loads((folder / "one" / "model.json").read_text())["function"] == "net"


COMMANDS = {
    "evaluate": "evaluate one --json",
    "predict": "predict one picture.png --json",
    "export": "export one --exported {file}.pt2 --json",
    "card": "card one --out {file} --json",
    "verify": "card --verify card/card.json --json",
    "report": "report one --out {file}.html --json",
    "resume": "train --resume one --json",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", ["", f"--model {NET}", "--trust"])
def test_used_by_name_or_trusted_but_never_unasked(call, folder, tmp_path, command, way):
    picture = Image.new("L", (28, 28), 0)
    picture.paste(255, (12, 4, 16, 24))
    picture.save(folder / "picture.png")
    if command == "verify":
        assert call(f"card one --trust --out {folder / 'card'}")[0] == 0
    code, out, err = call(f"{COMMANDS[command].format(file=tmp_path / 'made')} {way}")
    if way:
        assert code == 0, err
        assert json.loads(out)
    else:
        assert (code, out) == (2, "")
        sentence = err.strip().splitlines()[-1]
        assert "code that a run folder names or holds is not run unasked, because it can do anything" in sentence
        assert f"give --model {NET} again, or --trust to run " in sentence


def test_evaluate_says_that_the_file_has_changed(call, folder):
    (folder / "newer.py").write_text(MY_NET + "# newer\n")
    code, _, err = call("evaluate one --model newer.py:net")
    assert code == 0
    assert err == "Note: newer.py:net is not the code that one was trained with, which one/model.py keeps.\n"
    code, _, err = call("train --resume one --epochs 2 --model newer.py:net")
    assert code == 2
    assert "put it back as it was, or go on with the copy by --trust" in err


def test_a_network_whose_parameters_are_others_does_not_fit(call):
    code, _, err = call("evaluate one --model my_net.py:short")
    assert code == 2
    assert "model.pt" in err.splitlines()[-1]


def test_a_configuration_that_names_code_is_not_enough(call):
    code, _, err = call("train --config one/config.toml --out two")
    assert code == 2
    assert "not run unasked, because it can do anything: give --model my_net.py:net too" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("evaluate one --trust --model my_net.py:net", "give one of them"),
        ("train --trust --data digits", "--trust goes with --resume"),
        ("check --model my_net.py:net --op relu", "give one of them"),
        (
            "check my_net.py:net",
            "net in my_net.py is a function of L, so it is a network: check it by --model",
        ),
        ("check --op relu --input 1x28x28", "--input is for --model"),
        ("check --model my_net.py:net --input 1x28x20", "square pictures"),
        ("check --model my_net.py:short --input 1x20x20", "cannot take pictures of 1x20x20: at 1, "),
        ("summary my_net.py:nett", "did you mean net?"),
        ("bench --model no.py:net", "the file 'no.py' does not exist"),
    ],
)
def test_refusals(call, same_process, line, words):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_what_is_raised_while_training_is_one_sentence(call, folder):
    late = "if len(dout) != 2:\n        raise RuntimeError('I give up')\n    x, gate, beta = cache"
    (folder / "late.py").write_text(MY_NET.replace("x, gate, beta = cache", late))
    code, _, err = call("train --data digits --limit 64 --batch-size 16 --epochs 1 --out late --model late.py:net")
    assert (code, err.splitlines()[-1]) == (2, "Error: late.py line 16, in swish_backward: RuntimeError: I give up.")


def test_model_pt_is_the_state_dict_of_the_reference(call, folder):
    state = torch.load(folder / "one" / "model.pt", weights_only=True)
    assert list(state) == ["fc1.weight", "fc1.bias", "act.beta", "scale.weight", "fc2.weight", "fc2.bias"]
