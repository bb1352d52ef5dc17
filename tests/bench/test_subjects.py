import pytest
import torch

from tinytorch_course import reference, scratch
from tinytorch_course.bench import subjects
from tinytorch_course.bench.subjects import QUICK_STEPS, Setting, find_setting, layers, matmul_ceiling, steps
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model

ONCE = Setting(torch.device("cpu"), torch.float32, 1)


@pytest.mark.parametrize("name", layers())
def test_every_layer_can_be_timed_in_both(name):
    measured = subjects.measure_layer(name, 2, ONCE)
    assert (measured.kind, measured.name, measured.batch) == ("layer", name, 2)
    assert measured.timing.scratch > 0
    assert measured.timing.torch > 0


@pytest.mark.parametrize("name", layers())
def test_both_are_the_same_layer(name):
    build, timed = layers()[name].build, layers()[name]
    layer, module = build(scratch.layers), build(reference.layers)
    params, state = layer.init(torch.Generator().manual_seed(0))
    module.load_state_dict(params | state)
    reference.layers.set_generator(module, torch.Generator().manual_seed(1))
    x = timed.draw(2)
    out, _, _ = layer.forward(params, state, x, training=True, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(out, module(x).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", QUICK_STEPS)
def test_a_training_step(model):
    measured = subjects.measure_step(model, 4, ONCE)
    parameters = sum(p.numel() for p in find_model(model).build(reference.layers).parameters())
    assert measured.flops % (3 * 4) == 0
    assert all(peak > parameters * 4 for peak in measured.memory.values())  # the gradients, at least
    document = measured.to_dict()
    assert document["timing"]["rounds"] == 1
    assert document["memory"] == measured.memory


def test_flops_of_a_step_by_hand():
    assert subjects.measure_step("mlp", 2, ONCE).flops == 3 * 2 * 2 * (784 * 128 + 128 * 64 + 64 * 10)


def test_the_networks_are_there():
    assert set(steps()) <= set(MODELS)
    assert set(QUICK_STEPS) <= set(steps())


def test_the_ceiling_is_a_rate():
    assert 1e8 < matmul_ceiling(ONCE) < 1e16


def test_devices(monkeypatch):
    assert find_setting("cpu", "float64", 3) == Setting(torch.device("cpu"), torch.float64, 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_setting("auto", "float32", 1).device.type == "cpu"
    with pytest.raises(InputError, match="--device is cuda, but torch finds no CUDA device here"):
        find_setting("cuda", "float32", 1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_training_step_on_cuda():
    measured = subjects.measure_step("mnist_cnn", 8, find_setting("cuda", "float32", 1))
    assert measured.timing.scratch > 0
    assert all(measured.memory.values())
