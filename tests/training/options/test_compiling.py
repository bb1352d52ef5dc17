"""What is compiled computes the same numbers. Mostly with the backend that runs the graph as it was captured: what is
tested is that each network can be captured whole, with its masks; the code generator is torch's, and takes long."""

import shutil

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.errors import InputError
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS, make_learner
from tinytorch_course.training.options import compiling

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def captured_only(monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    torch._dynamo.reset()


def learner(impl, model, compile):
    return make_learner(TrainConfig(impl=impl, model=model, compile=compile, dtype="float64"))


def skip_where_torch_is_too_old(impl):
    if impl == "scratch" and torch.__version__.startswith("2.10."):
        pytest.skip("torch 2.10 cannot capture `out=` in channels-last order, which convolutions from scratch have")


@pytest.mark.slow
@pytest.mark.parametrize("impl", LEARNERS)
@pytest.mark.parametrize("model", ["mlp", "mnist_cnn"])
def test_a_compiled_step_is_the_step(impl, model):
    """Three steps, the last of a smaller batch; mnist_cnn has batch norm and two layers of dropout."""
    if model == "mnist_cnn":
        skip_where_torch_is_too_old(impl)
    plain, compiled = learner(impl, model, False), learner(impl, model, True)
    digits = data.load("digits", limit=40)
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=CPU, dtype=torch.float64)
    for step, (x, y) in enumerate(loader.batches(None, 16)):
        results = [
            each.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3}) for each in (plain, compiled)
        ]
        torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], tensor, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("impl", LEARNERS)
def test_torchs_code_generator_computes_the_step_too(impl, monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "inductor")
    plain, compiled = learner(impl, "mlp-16", False), learner(impl, "mlp-16", True)  # a CNN takes minutes
    digits = data.load("digits", limit=8)
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=CPU, dtype=torch.float64)
    ((x, y),) = loader.batches(None, 8)
    results = [each.train_step(x, y, torch.Generator().manual_seed(0), {"lr": 1e-3}) for each in (plain, compiled)]
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-9)
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], tensor, rtol=1e-6, atol=1e-9)


def test_a_network_that_could_not_be_captured_is_noticed():
    def depends_on_numbers(params, state, x, y, masks):
        return x if x.sum() > 0 else -x

    softmax = learner("scratch", "softmax", False)
    compiled = compiling.CompiledGradients(depends_on_numbers, softmax.net)
    x, y = torch.ones(2, 1, 28, 28, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InputError, match=r"cannot compile this network from scratch .*: leave --compile out"):
        compiled(softmax.params, softmax.state, x, y, torch.Generator())
