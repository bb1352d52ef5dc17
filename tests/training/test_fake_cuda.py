"""Training on a fake CUDA device: nothing is left on the CPU, and Python waits for the GPU once in 50 steps at most.

What a GPU computes is not seen here, nor the twin's backward pass: see ``fake_cuda.py``.
"""

import dataclasses

import pytest
import torch
from fake_cuda import CPU, CUDA, assert_same, on_cuda, outside
from trials import SMALL, Display, final_state, same

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model
from tinytorch_course.scratch import layers
from tinytorch_course.training import checkpoints, divergence
from tinytorch_course.training.config import OPTIMIZER_DEFAULTS, TrainConfig
from tinytorch_course.training.learners import ScratchLearner, make_learner
from tinytorch_course.training.loop import Interrupted, Trainer, resume, train
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.options.augmentation import Augment
from tinytorch_course.training.options.averaging import Average, holding

RATES = {"lr": 1e-3}
EVERYTHING = {"clip_norm": 0.5, "label_smoothing": 0.1, "weight_decay": 0.01, "dtype": "float64"}
LONG = dataclasses.replace(SMALL, model="softmax", limit=480, batch_size=4, epochs=1)  # 120 steps


def learner(config, device, image_size=28):
    weights = torch.linspace(0.5, 1.5, 10, dtype=torch.float64)
    return make_learner(config, image_size=image_size, device=device, class_weights=weights)


@pytest.mark.parametrize(
    "config",
    [
        *(
            pytest.param(
                TrainConfig(model=model, **EVERYTHING), marks=pytest.mark.slow if model.startswith("resnet") else ()
            )
            for model in MODELS
        ),
        *(TrainConfig(model="mlp", optimizer=optimizer, **EVERYTHING) for optimizer in OPTIMIZER_DEFAULTS),
        TrainConfig(model="mnist_cnn", freeze="conv1*", precision="bfloat16"),
    ],
    ids=lambda config: f"{config.model}-{config.optimizer}-{config.precision}",
)
def test_a_step_waits_for_nothing_and_is_that_of_the_cpu(cuda, config):
    shape = find_model(config.model).check_shape
    x, y = torch.randn(shape, generator=torch.Generator().manual_seed(1)), torch.arange(shape[0])
    x = x.to(getattr(torch, config.dtype))
    # A GPU's sums are taken in another order than the CPU's, and Adam makes 1e-8 of what rounding leaves.
    close = {"rtol": 1e-6, "atol": 1e-6} if config.precision == "float32" else {"rtol": 0.05, "atol": 0.05}
    there, here = (learner(config, device, shape[-1]) for device in (CUDA, CPU))
    x_there, y_there = on_cuda((x, y))
    cuda.waits.clear()
    for step in range(2):
        got = there.train_step(x_there, y_there, torch.Generator().manual_seed(step), RATES)
        assert cuda.waits == []
        with outside():
            expected = here.train_step(x, y, torch.Generator().manual_seed(step), RATES)
        assert_same(got, expected, **close)
    assert_same(there.state_dict(), here.state_dict(), **close)
    with outside():
        expected = here.evaluate(x, y)
    assert_same(there.evaluate(x_there, y_there), expected, **close)
    assert cuda.waits == []


def test_the_mean_of_all_batches_waits_for_nothing(cuda):
    """Its share of the running statistics depends on how many batches there were."""
    layer = layers.batch_norm2d(3, momentum=None)
    params, state = layer.init(torch.Generator())
    params_there, state_there = on_cuda((params, state))
    for step in range(3):
        x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(step))
        _, state, _ = layer.forward(params, state, x, training=True)
        _, state_there, _ = layer.forward(params_there, state_there, on_cuda(x), training=True)
    assert_same(state_there, state, rtol=0, atol=0)
    assert cuda.waits == []


def test_metrics_and_the_average_wait_for_nothing(cuda):
    there = learner(TrainConfig(model="mnist_cnn"), CUDA)
    average, metrics = Average(0.9, there.state_dict()), Metrics()
    x, y = on_cuda((torch.randn(4, 1, 28, 28), torch.arange(4)))
    cuda.waits.clear()
    for step in range(3):
        metrics.add(*there.train_step(x, y, torch.Generator().manual_seed(step), RATES), y)
        average.update(there.state_dict(), step + 1)
    with holding(there, average.tensors):
        there.evaluate(x, y)
    assert cuda.waits == []
    assert len(metrics.read([metrics.loss_sum, metrics.correct])) == 2
    assert metrics.loss > 0
    assert len(cuda.waits) == 1


def test_augmentation_waits_for_nothing_and_is_that_of_the_cpu(cuda):
    text = "shift=3,rotate=15,scale=0.2,shear=10,elastic=2,erase=0.5,flip=0.5"
    dataset = data.load("digits", limit=40)._replace(flips=True)
    augment = Augment(text, 0, dataset)
    x = torch.randn(8, 1, 28, 28)
    for batch in range(3):
        assert_same(augment(on_cuda(x), 0, batch), augment(x, 0, batch))
    assert cuda.waits == []


def test_batches_are_gathered_on_the_device(cuda):
    """Images and labels go there once; of an epoch nothing but its order does."""
    dataset = data.load("digits", limit=40)
    keywords = {"dtype": torch.float32}
    there, here = (
        MemoryLoader(dataset.train, dataset.mean, dataset.std, device=device, **keywords) for device in (CUDA, CPU)
    )
    order = epoch_order(40, 0, 0)
    cuda.waits.clear()
    cuda.copies.clear()
    for got, expected in zip(there.batches(order, 16), here.batches(order, 16), strict=True):
        assert_same(got, expected)
    assert len(cuda.copies) == 1
    assert "order" in cuda.copies[0]
    assert len(cuda.waits) <= 1


@pytest.mark.filterwarnings("ignore:'pin_memory'")
def test_a_stream_of_batches_waits_for_nothing(cuda):
    dataset = data.load("digits", limit=40)
    there, here = (
        StreamLoader(dataset.train, dataset.mean, dataset.std, device=device, dtype=torch.float32)
        for device in (CUDA, CPU)
    )
    cuda.waits.clear()
    for got, expected in zip(there.batches(None, 16), here.batches(None, 16), strict=True):
        assert_same(got, expected)
    assert cuda.waits == []


class Waiting(Display):
    """Notes after how many steps Python had waited how often."""

    def __init__(self, cuda, **keywords):
        super().__init__(**keywords)
        self.cuda, self.waited = cuda, []

    def epoch_start(self, epoch, start_step):
        super().epoch_start(epoch, start_step)
        self.before = len(self.cuda.waits)

    def step(self, step, loss, accuracy, lr):
        super().step(step, loss, accuracy, lr)
        new, self.before = self.cuda.waits[self.before :], len(self.cuda.waits)
        self.waited += [(step, wait) for wait in new]


def test_the_loop_looks_at_the_losses_every_50_steps(cuda, tmp_path):
    display = Waiting(cuda)
    train(dataclasses.replace(LONG, device="cuda"), out=str(tmp_path / "run"), display=display)
    moved = [wait for step, wait in display.waited if step == 1]  # the data and an epoch's order, once
    assert len(moved) <= 5
    assert all("loaders.py" in wait for wait in moved)
    looked = [(step, wait) for step, wait in display.waited if step > 1]
    assert [step for step, _ in looked] == [50, 100, 120]
    assert all("metrics.py" in wait for _, wait in looked)
    assert display.losses[:49] == [None] * 49
    assert display.losses[49] == display.losses[98] != display.losses[99]


@pytest.mark.parametrize("settings", [{"ema": 0.9, "augment": "shift=2"}, {"optimizer": "sgd", "clip_norm": 1.0}])
def test_a_run_is_that_of_the_cpu(cuda, tmp_path, settings):
    config = dataclasses.replace(SMALL, dtype="float64", **settings)
    train(dataclasses.replace(config, device="cuda"), out=str(tmp_path / "cuda"), display=Display())
    with outside():
        train(dataclasses.replace(config, device="cpu"), out=str(tmp_path / "cpu"), display=Display())
    here, there = (final_state(tmp_path / device) for device in ("cpu", "cuda"))
    for row, expected in zip(there.pop("history"), here.pop("history"), strict=True):
        assert row.pop("impl") == expected.pop("impl")
        assert row == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-12)


def test_a_run_on_the_device_is_interrupted_and_resumed(cuda, tmp_path):
    config = dataclasses.replace(SMALL, device="cuda")
    train(config, out=str(tmp_path / "whole"), display=Display())
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "run"), display=Display(stop_before=4))
    resume(str(tmp_path / "run"), {}, display=Display())
    assert same(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


@pytest.fixture
def diverges(monkeypatch):
    """The loss of the 57th step is nan, and so is all that comes after it."""
    steps = iter(range(1, 1000))
    train_step = ScratchLearner.train_step

    def step(self, *args):
        loss, logits = train_step(self, *args)
        if next(steps) >= 57:
            loss = loss * torch.nan
            self.params = {name: param * torch.nan for name, param in self.params.items()}
        return loss, logits

    monkeypatch.setattr(ScratchLearner, "train_step", step)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_step_that_diverged_is_named(cuda, tmp_path, diverges, device):
    display = Display()
    with pytest.raises(InputError, match="training diverged: the loss is nan in step 57 of epoch 1"):
        train(dataclasses.replace(LONG, device=device), out=str(tmp_path / "run"), display=display)
    assert len(display.losses) == {"cpu": 56, "cuda": 99}[device]
    saved = checkpoints.load(tmp_path / "run" / "last.pt")  # of the last save before, whole
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())
    assert not (tmp_path / "run" / "model.pt").exists()


def test_a_run_that_diverged_before_the_epochs_end_is_not_evaluated(cuda, tmp_path, diverges, monkeypatch):
    monkeypatch.setattr(Trainer, "evaluate", lambda *args: pytest.fail("evaluated"))
    config = dataclasses.replace(LONG, device="cuda", limit=240)  # 60 steps: nobody has looked since the 50th
    with pytest.raises(InputError, match="step 57 of epoch 1"):
        train(config, out=str(tmp_path / "run"), display=Display())


def test_a_run_that_diverged_is_not_saved_when_it_is_interrupted(cuda, tmp_path, diverges):
    display = Display(stop_before=60)
    with pytest.raises(InputError, match="step 57 of epoch 1"):
        train(dataclasses.replace(LONG, device="cuda"), out=str(tmp_path / "run"), display=display)
    saved = checkpoints.load(tmp_path / "run" / "last.pt")  # of the last save before, whole
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())


def test_on_the_cpu_the_losses_are_looked_at_in_every_step(tmp_path):
    display = Display()
    train(dataclasses.replace(LONG, limit=48), out=str(tmp_path / "run"), display=display)
    assert len(set(display.losses)) == 12
    assert divergence.READ_EVERY == 50
