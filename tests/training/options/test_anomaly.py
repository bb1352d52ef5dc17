"""The op that makes the first NaN is named: in the data, in the loss, in a gradient."""

import dataclasses

import pytest
import torch
from trials import SMALL, Display

from tinytorch_course.errors import InputError
from tinytorch_course.training import learners
from tinytorch_course.training.loop import train
from tinytorch_course.training.options.anomaly import AnomalyDetector

CONFIG = dataclasses.replace(SMALL, model="mlp-16", detect_anomaly=True)


def test_the_maker_is_named_and_not_who_hands_it_on():
    with AnomalyDetector() as detector:
        x = torch.tensor([1.0, 1e30])
        y = x * x  # infinity
        z = y - y  # NaN
        _ = (z + 1).sum()
    assert detector.nan.startswith("sub")
    assert detector.infinity.startswith("mul")
    assert "the first NaN came out of sub" in detector.finding


def test_constants_and_what_stays_finite_are_innocent():
    with AnomalyDetector() as detector:
        torch.full((2,), torch.inf)
        torch.nn.functional.max_pool2d(torch.zeros(1, 1, 4, 4), 2, padding=1)
        torch.zeros(3).masked_fill(torch.tensor([True, False, True]), 1.0)
    assert detector.finding == ""


def test_it_names_the_line_from_scratch(tmp_path):
    config = dataclasses.replace(CONFIG, optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(
        InputError, match=r"training diverged: the first NaN came out of \w+ \(scratch/.*\.py, line \d+"
    ):
        train(config, out=str(tmp_path / "run"))


def test_it_names_the_op_in_torch(tmp_path):
    config = dataclasses.replace(CONFIG, impl="torch", optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(InputError, match="training diverged: the first NaN came out of "):
        train(config, out=str(tmp_path / "run"))


@pytest.mark.parametrize("impl", learners.LEARNERS)
def test_a_nan_in_a_gradient(tmp_path, monkeypatch, impl):
    """Zeros divided by zero, on the way back."""

    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dout):
            return (dout * 0).div(0)

    if impl == "torch":
        from tinytorch_course.reference import losses

        make = losses.cross_entropy
        monkeypatch.setattr(losses, "cross_entropy", lambda **k: lambda logits, y: make(**k)(Bad.apply(logits), y))
    else:
        from tinytorch_course.scratch import losses

        make = losses.cross_entropy

        def bad(**options):
            loss = make(**options)
            return loss._replace(backward=lambda *args: (loss.backward(*args) * 0).div(0))

        monkeypatch.setattr(losses, "cross_entropy", bad)
    with pytest.raises(InputError, match="the first NaN came out of div"):
        train(dataclasses.replace(CONFIG, impl=impl), out=str(tmp_path / "run"))


@pytest.mark.parametrize("impl", learners.LEARNERS)
def test_looking_changes_nothing(tmp_path, impl):
    losses = []
    for detect in (True, False):
        display = Display()
        train(
            dataclasses.replace(CONFIG, impl=impl, detect_anomaly=detect),
            out=str(tmp_path / str(detect)),
            display=display,
        )
        losses.append(display.losses)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("impl", learners.LEARNERS)
def test_a_run_whose_loss_stays_finite_but_huge_is_called_diverged(tmp_path, impl):
    display = Display()
    train(
        dataclasses.replace(CONFIG, impl=impl, lr=1e6, detect_anomaly=False), out=str(tmp_path / "run"), display=display
    )
    assert sum(notice.startswith("Training has diverged: the loss of epoch 1 is ") for notice in display.notices) == 1
    display = Display()
    train(dataclasses.replace(CONFIG, impl=impl), out=str(tmp_path / "usual"), display=display)
    assert not any("diverged" in notice for notice in display.notices)
