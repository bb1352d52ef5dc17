import importlib.util
import io
import json

import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.export.forms import FORMS
from tinytorch_course.export.packages import FOR_ONNX, require_onnx
from tinytorch_course.export.write import BATCHES, TOLERANCE, export, open_both, pictures
from tinytorch_course.models import find_model
from tinytorch_course.scratch import layers

PLAIN = [form for form in FORMS if form.flag != "--onnx"]


@pytest.fixture
def save(tmp_path):
    """Saves a network of random weights, and opens it by both implementations."""

    def save(model, dtype=torch.float32, **options):
        params, state = find_model(model).build(layers, **options).init(torch.Generator().manual_seed(0))
        tensors = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in (params | state).items()
        }
        torch.save(tensors, tmp_path / f"{model}.pt")
        return open_both(str(tmp_path / f"{model}.pt"), model=model)

    return save


def skip_without_onnx():
    for name in FOR_ONNX:
        pytest.importorskip(name, reason=f"{name}, of the extra onnx, is not installed")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.title)
@pytest.mark.parametrize(("model", "dtype"), [("mlp-8", torch.float32), ("lenet5", torch.float64)])
def test_what_is_written_is_the_network(save, tmp_path, form, model, dtype):
    if form.flag == "--onnx":
        skip_without_onnx()
    twin, scratch = save(model, dtype)
    result = export(twin, scratch, form, tmp_path / "file")
    assert result.ok
    assert result.to_dict()["error"] <= TOLERANCE
    data = (tmp_path / "file").read_bytes()
    assert len(data) == result.size
    run = form.read(data, twin)
    for count in (1, 3, 64):
        images = pictures(scratch, count)
        with torch.no_grad():
            got = run(images / 255)
        assert got.dtype == torch.float32
        assert (got - scratch.logits(images)).abs().max() < 1e-4


def test_running_statistics_are_used(save, tmp_path):
    """A network with batch norm and dropout is written as it answers, not as it trains."""
    twin, scratch = save("mnist_cnn")
    for network in (twin, scratch):
        tensors = {
            name: tensor + 0.5 if "running_mean" in name else tensor
            for name, tensor in network.learner.state_dict().items()
        }
        network.learner.load_state_dict(tensors)
    assert export(twin, scratch, PLAIN[0], tmp_path / "file").ok


def test_notes_go_with_the_network(save, tmp_path):
    twin, scratch = save("mlp-8")
    found = {"classes.txt": "", "input.txt": ""}
    for form in PLAIN:
        export(twin, scratch, form, tmp_path / form.title)
    torch.jit.load(tmp_path / "TorchScript", _extra_files=found)
    assert json.loads(found["classes.txt"]) == [str(digit) for digit in range(10)]
    assert found["input.txt"] in (notes := "images: float32 (N, 1, 28, 28), pixels 0 to 1", notes.encode())
    found = {"classes.txt": ""}
    torch.export.load(io.BytesIO((tmp_path / "torch.export").read_bytes()), extra_files=found)
    assert len(json.loads(found["classes.txt"])) == 10


def test_notes_in_onnx(save, tmp_path):
    skip_without_onnx()
    import onnx

    twin, scratch = save("mlp-8")
    export(twin, scratch, FORMS[0], tmp_path / "file.onnx")
    model = onnx.load(tmp_path / "file.onnx")
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["model"] == "mlp-8"
    (images,) = model.graph.input
    batch, *rest = images.type.tensor_type.shape.dim
    assert batch.dim_param
    assert not batch.HasField("dim_value")
    assert [size.dim_value for size in rest] == [1, 28, 28]


@pytest.mark.parametrize("form", PLAIN, ids=lambda form: form.title)
def test_what_does_not_agree_is_not_written(save, tmp_path, form):
    twin, scratch = save("mlp-8")
    with torch.no_grad():
        next(twin.learner.net.parameters()).add_(0.01)
    result = export(twin, scratch, form, tmp_path / "file")
    assert not result.ok
    assert result.error > TOLERANCE
    assert not (tmp_path / "file").exists()


def test_a_batch_that_is_not_free_is_noticed(save, tmp_path):
    """A form that only takes the batch it was made by fails on the others."""
    twin, scratch = save("mlp-8")

    def fixed(data, network):
        run = PLAIN[0].read(data, network)
        return lambda images: run(images)[:2]

    result = export(twin, scratch, PLAIN[0]._replace(read=fixed), tmp_path / "file")
    assert max(BATCHES) > 2
    assert not result.ok
    assert result.to_dict()["error"] is None  # JSON has no infinity


def test_what_cannot_be_written_is_one_sentence(save, tmp_path):
    def fails(network, images):
        raise RuntimeError("no such operator\nand a stack of lines")

    twin, scratch = save("mlp-8")
    with pytest.raises(InputError, match=r"cannot write mlp-8 as torch\.export: no such operator$"):
        export(twin, scratch, PLAIN[0]._replace(make=fails), tmp_path / "file")


def test_the_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--onnx needs onnx and onnxruntime and onnxscript, which are not installed"):
        require_onnx()
