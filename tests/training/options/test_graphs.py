"""The graph's step is the plain step. Without a GPU what records and runs again is replaced by a plain second run: it
shows that inputs, masks, rates, counts and outputs go the right way; the recording itself is tested where there is a
GPU."""

import pytest
import torch
from fake_cuda import CUDA, on_cuda

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.errors import InputError
from tinytorch_course.training.config import OPTIMIZER_DEFAULTS, TrainConfig
from tinytorch_course.training.environment import check_cuda_graph
from tinytorch_course.training.learners import make_learner, make_schedule
from tinytorch_course.training.options import graphs
from tinytorch_course.training.options.averaging import holding

CPU = torch.device("cpu")
STEPS = 7


@pytest.fixture
def run_again(monkeypatch):
    """As a graph does it: each run reads the same inputs and writes over the same outputs."""

    def record(run, keep, device):
        outputs = run()  # of which nothing is kept

        def replay():
            new = run()
            for kept, fresh in zip(tensors(outputs), tensors(new), strict=True):
                kept.copy_(fresh)
            keep(outputs)

        return replay, outputs

    monkeypatch.setattr(graphs, "record", record)


def tensors(outputs):
    loss, logits, grads, *state = outputs
    return [loss, logits, *grads.values(), *(value for value in graphs._values(*state) if value is not None)]


def learner_of(model, device, **settings):
    return make_learner(TrainConfig(model=model, **settings), device=device)


def batches(device, dtype):
    """Of 16, but for the third and the last."""
    digits = data.load("digits", limit=16 * STEPS)
    loader = MemoryLoader(digits.train, digits.mean, digits.std, device=device, dtype=dtype)
    for step, (x, y) in enumerate(loader.batches(None, 16)):
        yield (x[:9], y[:9]) if step in (2, STEPS - 1) else (x, y)


def check_steps(device, *, same, between=lambda step, learners: None, **settings):
    """Seven steps at changing rates by both; ``same`` compares, ``between`` may do something to both after a step."""
    plain, graphed = learner_of(device=device, **settings), learner_of(device=device, cuda_graph=True, **settings)
    schedule = make_schedule(TrainConfig(**settings, schedule="one-cycle"), STEPS, 1)
    seen = {learner: [] for learner in (plain, graphed)}
    for learner, grads in seen.items():
        learner.watch = lambda step_grads, grads=grads: grads.append({n: g.clone() for n, g in step_grads.items()})
    kept = []
    for step, (x, y) in enumerate(batches(device, plain.dtype)):
        results = [
            each.train_step(x, y, torch.Generator().manual_seed(step), schedule(step)) for each in (plain, graphed)
        ]
        kept.append((results, [[tensor.clone() for tensor in pair] for pair in results]))
        same(results[1], results[0])
        same(graphed.state_dict(), plain.state_dict())
        between(step, (plain, graphed))
    same(seen[graphed], seen[plain])
    same(graphed.optimizer_state()["state"], plain.optimizer_state()["state"])
    for results, copies in kept:  # a later step wrote over no loss or logits
        same([list(pair) for pair in results], copies)


def bitwise(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


SETTINGS = [
    {"model": "mnist_cnn", "dtype": "float64"},
    {"model": "mnist_cnn", "clip_norm": 0.5, "label_smoothing": 0.1, "weight_decay": 0.01},
    {"model": "mnist_cnn", "freeze": "conv1*", "optimizer": "adamw"},
    *({"model": "mlp", "optimizer": optimizer} for optimizer in OPTIMIZER_DEFAULTS),
    {"model": "mlp", "optimizer": "rmsprop", "momentum": 0.5},
    {"model": "mlp", "optimizer": "sgd", "momentum": 0.0},
    {"model": "fast_cnn", "optimizer": "sgd"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_a_step_through_a_graph_is_the_step_bit_for_bit(settings, run_again):
    check_steps(CPU, same=bitwise, **settings)


@pytest.mark.parametrize("optimizer", OPTIMIZER_DEFAULTS)
def test_what_is_loaded_between_two_steps_counts(optimizer, run_again):
    """Weights that were lent for an evaluation, and a run's state that was restored, also one from before any step."""
    states = {}

    def between(step, learners):
        for learner in learners:
            if step == 0:
                weights = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
                states[learner] = weights, learner.optimizer_state()
            if step == 2:
                with holding(learner, {name: torch.zeros_like(x) for name, x in learner.state_dict().items()}):
                    pass
            if step == 3:
                learner.load_state_dict(states[learner][0])
                learner.load_optimizer_state(states[learner][1])
            if step == 4:
                learner.load_optimizer_state({**states[learner][1], "state": {}})

    check_steps(CPU, same=bitwise, between=between, model="mlp", optimizer=optimizer)


def test_a_graph_reads_rates_and_counts_anew_in_every_run(run_again):
    """Were the rate recorded, the second step would move as far as the first."""
    learner = learner_of("softmax", CPU, cuda_graph=True, optimizer="sgd", momentum=0.0)
    x, y = torch.randn(4, 1, 28, 28), torch.arange(4)
    for lr in (0.1, 0.1, 0.0):
        before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
        learner.train_step(x, y, torch.Generator(), {"lr": lr})
        assert all(torch.equal(before[name], x) for name, x in learner.state_dict().items()) == (lr == 0.0)


@pytest.mark.parametrize("settings", SETTINGS[1:3], ids=lambda settings: "-".join(map(str, settings.values())))
def test_the_step_that_is_recorded_waits_for_nothing(settings, run_again, cuda):
    learner = learner_of(device=CUDA, cuda_graph=True, **settings)
    x, y = on_cuda(torch.randn(8, 1, 28, 28)), on_cuda(torch.arange(8))
    cuda.waits.clear()
    for step in range(4):
        learner.train_step(x, y, torch.Generator().manual_seed(step), {"lr": 1e-3})
    assert cuda.waits == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_a_recorded_step_is_the_step(settings):
    def close(got, expected):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)

    check_steps(torch.device("cuda"), same=close, **(settings | {"dtype": "float64"}))


@pytest.mark.parametrize(
    ("settings", "device", "words"),
    [
        ({}, "cpu", "--cuda-graph is for NVIDIA GPUs, but this run is on the CPU: leave it out"),
        ({"compile": True}, "cuda", "cannot be combined with --compile"),
        ({"impl": "torch"}, "cuda", "cannot be combined with --impl torch"),
    ],
)
def test_where_there_can_be_none(settings, device, words):
    with pytest.raises(InputError, match=words):
        check_cuda_graph(TrainConfig(cuda_graph=True, **settings), torch.device(device))
