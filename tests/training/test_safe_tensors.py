"""Weights as safetensors: written, read, damaged, shared."""

import json
import struct

import pytest
import torch

from tinytorch_course.cli.app import run as command
from tinytorch_course.errors import InputError
from tinytorch_course.training import checkpoints, safe_tensors

TENSORS = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "view": torch.arange(12.0, dtype=torch.float64).view(3, 4).T[1:],
}
SMALL = ("--data", "digits", "--limit", "64", "--batch-size", "32", "--model", "softmax", "--schedule", "constant")
NOTES = {"title": "ä \x1b[31m"}


def test_what_is_written_is_read():
    tensors, notes = safe_tensors.parse(safe_tensors.dump(TENSORS, NOTES), "file", require_digest=True)
    assert notes == NOTES
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in tensors.items()} == {
        name: (tensor.dtype, tensor.tolist()) for name, tensor in TENSORS.items()
    }


def test_any_damage_is_noticed():
    whole = safe_tensors.dump(TENSORS, NOTES)
    generator = torch.Generator().manual_seed(1)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(torch.randint(8, (), generator=generator))
        try:
            tensors, notes = safe_tensors.parse(bytes(damaged), "file", require_digest=True)
        except InputError:
            continue
        assert notes == NOTES, position  # JSON's white space, at most
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items()), position
    for length in range(0, len(whole), 7):
        with pytest.raises(InputError, match="is damaged, or not in the form of safetensors"):
            safe_tensors.parse(whole[:length], "file")


def test_a_file_of_another_program_is_taken_where_no_digest_is_asked_for():
    import safetensors.torch

    data = safetensors.torch.save({"weight": TENSORS["weight"]})
    tensors, notes = safe_tensors.parse(data, "file")
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    assert notes == {}
    with pytest.raises(InputError, match="carries no SHA-256"):
        safe_tensors.parse(data, "file", require_digest=True)


CLAIM = b'{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 4]}}'


@pytest.mark.parametrize("header", [b"[]", b"{}", b"[" * 50_000, CLAIM % b"1e9", CLAIM % b"1000000000000"])
def test_a_header_that_claims_too_much(header):
    with pytest.raises(InputError, match="is damaged"):
        safe_tensors.parse(struct.pack("<Q", len(header)) + header + b"\0\0\0\0", "file", require_digest=True)


def test_nan_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="holds NaN or infinity"):
        checkpoints.save(tmp_path / "a.safetensors", {"weight": torch.tensor(float("nan"))})


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """A run folder with model.safetensors."""
    monkeypatch.chdir(tmp_path)
    assert command(["train", *SMALL, "--epochs", "1", "--format", "safetensors", "--out", "run"]) == 0
    capsys.readouterr()
    return tmp_path


def test_a_run_keeps_its_weights_so(trained, capsys):
    import safetensors.torch

    assert not (trained / "run" / "model.pt").exists()
    tensors = safetensors.torch.load_file(trained / "run" / "model.safetensors")
    torch.nn.Sequential(torch.nn.Linear(784, 10)).load_state_dict(
        {name.replace("fc", "0"): tensor for name, tensor in tensors.items()}
    )
    assert command(["evaluate", "run", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    (trained / "run" / "model.safetensors").rename("alone.safetensors")  # and now it knows its network by itself
    assert command(["evaluate", "alone.safetensors", "--data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == accuracy


def test_it_goes_on(trained, capsys):
    assert command(["train", "--resume", "run", "--epochs", "2"]) == 0
    assert command(["train", *SMALL, "--epochs", "2", "--out", "whole"]) == 0
    found, expected = checkpoints.load("run/model.safetensors"), checkpoints.load("whole/model.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_export_and_damage(trained, capsys):
    assert command(["export", "run", "--safetensors", "shared.safetensors"]) == 0
    assert "shared.safetensors: safetensors, written" in capsys.readouterr().out
    with open("shared.safetensors", "r+b") as file:
        file.seek(-5, 2)
        file.write(b"?")
    assert command(["evaluate", "shared.safetensors", "--data", "digits"]) == 2
    assert "its content does not match the SHA-256 that it carries" in capsys.readouterr().err


def test_code_that_a_file_names_is_not_run(trained, capsys):
    (trained / "evil.py").write_text("raise SystemExit('run')\n")
    tensors, notes = safe_tensors.parse((trained / "run" / "model.safetensors").read_bytes(), "file")
    notes = notes | {"tinytorch-model": "evil.py:net"}
    (trained / "evil.safetensors").write_bytes(safe_tensors.dump(tensors, notes))
    assert command(["evaluate", "evil.safetensors", "--data", "digits"]) == 2
    assert "does not say which network it holds: name it with --model" in capsys.readouterr().err
