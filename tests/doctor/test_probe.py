import json

import pytest
import torch

from tinytorch_course.doctor import probe
from tinytorch_course.doctor.checks import NOTE, OK, WRONG


def test_this_processor_computes_right():
    assert probe.wrong_number("cpu") == ""
    assert probe.try_device("cpu").state == OK


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_this_gpu_computes_right():
    finding = probe.try_device("cuda:0")
    assert finding.state == OK, finding


def test_a_wrong_product_is_seen(monkeypatch):
    right = torch.conv2d

    def spoiled(x, weight):
        out = right(x, weight)
        out[0, 0, 3, 4] += 1
        return out

    monkeypatch.setattr(torch, "conv2d", spoiled)
    finding = probe.try_device("cpu")
    assert finding.state == WRONG
    assert "the convolution at [3, 4] is " in finding.text
    assert "trust no result" in finding.advice


def test_a_kernel_that_fails(monkeypatch):
    def fails(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr(torch, "conv2d", fails)
    finding = probe.try_device("cuda:0") if torch.cuda.is_available() else probe.try_device("cpu")
    assert finding.state == WRONG
    assert finding.text == "a kernel failed: RuntimeError: CUDA error: no kernel image is available"


@pytest.mark.parametrize(
    ("driver", "built_for", "state", "words"),
    [
        (None, None, OK, "no NVIDIA GPU here"),
        ("/usr/bin/nvidia-smi", None, NOTE, "built for the CPU alone"),
        ("/usr/bin/nvidia-smi", "12.8", NOTE, "torch (for CUDA 12.8) finds no GPU"),
    ],
)
def test_without_a_usable_gpu(monkeypatch, driver, built_for, state, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(probe.shutil, "which", lambda name: driver)
    monkeypatch.setattr(probe, "DRIVER", probe.Path("nowhere"))
    (finding,) = probe.look_for_gpus()
    assert finding.state == state
    assert words in finding.text
    assert bool(finding.advice) == (state == NOTE)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'sympy'"), "ModuleNotFoundError: No module named 'sympy'"),
        (RuntimeError("operator torchvision::nms does not exist"), "operator torchvision::nms does not exist"),
        (OSError("libcudart.so.12: cannot open shared object file"), "libcudart.so.12"),
    ],
)
def test_a_torch_that_cannot_be_imported_ends_the_probe(monkeypatch, capsys, error, words):
    def fails(name):
        raise error

    monkeypatch.setattr(probe.importlib, "import_module", fails)
    probe.main()
    lines = capsys.readouterr().out.splitlines()
    findings = [json.loads(line.removeprefix("FINDING ")) for line in lines if line.startswith("FINDING")]
    assert [(finding["name"], finding["state"]) for finding in findings] == [("torch", WRONG)]
    assert words in findings[0]["text"]
    assert lines[-1] == "END"


def test_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"")
    (tmp_path / "FashionMNIST").write_text("")
    found = {finding.name: finding for finding in probe.look_for_data()}
    assert found["mnist"].state == NOTE
    assert "lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte" in found["mnist"].text
    assert found["mnist"].advice == "tinytorch data fetch mnist"
    assert found["fashion-mnist"].state == NOTE
    assert "is a file" in found["fashion-mnist"].text
    assert (found["digits"].state, found["data folder"].state) == (OK, OK)
    assert found["not here"].text.startswith("kmnist, ")
    assert "mnist," not in found["not here"].text.replace("kmnist,", "")
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (raw / name).write_bytes(b"")
    found = {finding.name: finding for finding in probe.look_for_data()}
    assert (found["mnist"].state, found["mnist"].text) == (OK, f"in {raw}")
