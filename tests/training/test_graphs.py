"""The graph's step is the plain step. Without a GPU what records and runs again is replaced by a plain second run: it
shows that inputs, masks and outputs go the right way; the recording itself is tested where there is one."""

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS
from tinytorch_course.training import graphs
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.environment import check_cuda_graph
from tinytorch_course.training.learners import LEARNERS

CPU = torch.device("cpu")


def tensors(outputs):
    loss, logits, state, grads = outputs
    return [loss, logits, *state.values(), *grads.values()]


@pytest.fixture
def run_again(monkeypatch):
    """As a graph does it: each run reads the same inputs and writes over the same outputs."""

    def record(run, device):
        outputs = run()

        def replay():
            for kept, new in zip(tensors(outputs), tensors(run()), strict=True):
                kept.copy_(new)

        replay()
        return replay, outputs

    monkeypatch.setattr(graphs, "record", record)


def make_learner(model, device, **settings):
    return LEARNERS["scratch"](
        MODELS[model].build,
        TrainConfig(model=model, dtype="float64", **settings).resolved(),
        classes=10,
        channels=1,
        image_size=28,
        device=device,
        generator=torch.Generator().manual_seed(0),
    )


def check_steps(model, device):
    """Three steps, the last of a smaller batch; mnist_cnn has batch norm and two layers of dropout."""
    plain, graphed = make_learner(model, device), make_learner(model, device, cuda_graph=True)
    digits = data.load("digits", limit=40)
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=device, dtype=torch.float64)
    kept = []
    for step, (x, y) in enumerate(loader.batches(None, 16)):
        results = [
            each.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3}) for each in (plain, graphed)
        ]
        kept.append((results, [[tensor.clone() for tensor in pair] for pair in results]))
        torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-12)
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(graphed.state_dict()[key], tensor, rtol=1e-10, atol=1e-12)
    for results, copies in kept:  # a later step wrote over no loss or logits
        torch.testing.assert_close([list(pair) for pair in results], copies, rtol=0, atol=0)


@pytest.mark.parametrize("model", ["mlp", "mnist_cnn"])
def test_a_step_through_a_graph_is_the_step(model, run_again):
    check_steps(model, CPU)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("model", ["mlp", "mnist_cnn"])
def test_a_recorded_step_is_the_step(model):
    check_steps(model, torch.device("cuda"))


@pytest.mark.parametrize(
    ("settings", "device", "words"),
    [
        ({}, "cpu", "--cuda-graph is for NVIDIA GPUs, but this run is on the CPU: leave it out"),
        ({"compile": True}, "cuda", "not beside --compile"),
        ({"impl": "torch"}, "cuda", "not beside --impl torch"),
    ],
)
def test_where_there_can_be_none(settings, device, words):
    with pytest.raises(InputError, match=words):
        check_cuda_graph(TrainConfig(cuda_graph=True, **settings), torch.device(device))
