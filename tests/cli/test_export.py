import importlib.util
import json

import pytest
import torch

from tinytorch_course.cli.app import run
from tinytorch_course.export import write
from tinytorch_course.export.packages import FOR_ONNX
from tinytorch_course.models import find_model
from tinytorch_course.scratch import layers


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a file of weights, and in it."""
    monkeypatch.chdir(tmp_path)
    params, state = find_model("mlp-8").build(layers).init(torch.Generator().manual_seed(0))
    torch.save(params | state, "mlp.pt")
    return tmp_path


EXPORT = ("export", "mlp.pt", "--model", "mlp-8")


def test_two_forms(here, capsys):
    assert run([*EXPORT, "--exported", "mlp.pt2", "--torchscript", "mlp.ts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"mlp.pt2: torch.export, written ({(here / 'mlp.pt2').stat().st_size / 1e6:.2f} MB)"
    assert lines[1].startswith("  largest error beside the from-scratch forward: ")
    assert lines[2].startswith("mlp.ts: TorchScript, written")
    assert torch.jit.load("mlp.ts")(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_json(here, capsys):
    assert run([*EXPORT, "--torchscript", "mlp.ts", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (file,) = document["files"]
    assert document["ok"]
    assert (file["file"], file["form"], file["bytes"]) == ("mlp.ts", "TorchScript", (here / "mlp.ts").stat().st_size)


def test_onnx(here, capsys):
    for name in FOR_ONNX:
        pytest.importorskip(name, reason=f"{name}, of the extra onnx, is not installed")
    assert run([*EXPORT, "--onnx", "mlp.onnx"]) == 0
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 2  # nothing of the exporter's own
    assert [file.name for file in here.glob("mlp.onnx*")] == ["mlp.onnx"]  # the weights are inside


def test_one_that_does_not_agree(here, capsys, monkeypatch):
    monkeypatch.setattr(write, "TOLERANCE", -1.0)
    assert run([*EXPORT, "--torchscript", "mlp.ts"]) == 1
    assert "WRONG, and not written" in capsys.readouterr().out
    assert not (here / "mlp.ts").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "mlp.pt"], "say what to write: --onnx, --exported, --torchscript or --safetensors FILE"),
        (["export", "mlp.pt", "--exported", "x"], "does not say which network it holds: name it with --model"),
        (["export", "mlp.pt", "--exported", "x", "--model", "lenet5"], "lacks"),
        (["export", "nowhere", "--exported", "x"], "nowhere"),
        (["export", "text.txt", "--exported", "x", "--model", "mlp-8"], "is not a checkpoint"),
        ([*EXPORT, "--exported", "text.txt"], "--exported is 'text.txt', which exists already"),
        ([*EXPORT, "--exported", "nowhere/x"], "there is no folder 'nowhere'"),
        ([*EXPORT, "--exported", "x", "--torchscript", "./x"], "name the same file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(here, capsys, arguments, words):
    (here / "text.txt").write_text("some words")
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (here / "x").exists()


def test_without_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run([*EXPORT, "--onnx", "mlp.onnx"]) == 2
    assert "pip install 'tinytorch-course[onnx]'" in capsys.readouterr().err
