import dataclasses
import sys
from typing import ClassVar

import pytest
import torch
from trials import SMALL, Display, final_state, same

from tinytorch_course.errors import InputError
from tinytorch_course.training.learners import LEARNERS
from tinytorch_course.training.loop import Interrupted, resume, train

CONFIG = dataclasses.replace(SMALL, model="mlp-16", tensorboard=True)


def events(folder):
    """What TensorBoard itself reads."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard here")
    everything = {"scalars": 0, "images": 0, "histograms": 0}
    accumulator = reader.EventAccumulator(str(folder / "tensorboard"), size_guidance=everything)
    accumulator.Reload()
    return accumulator


def scalars(folder, tag):
    return {event.step: event.value for event in events(folder).Scalars(tag)}


@pytest.mark.parametrize("impl", LEARNERS)
def test_tensorboard_reads_curves_images_and_histograms(tmp_path, impl):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    display = Display()
    config = dataclasses.replace(CONFIG, impl=impl, clip_norm=0.1, ema=0.9)
    train(config, out=str(tmp_path), display=display)
    for tag, name in (("train/loss", "train_loss"), ("val/accuracy", "val_accuracy"), ("train/rate", "lr")):
        assert scalars(tmp_path, tag) == pytest.approx({row["epoch"]: row[name] for row in display.rows})
    tags = events(tmp_path).Tags()
    names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert set(tags["histograms"]) == {f"{kind}/{name}" for kind in ("parameters", "gradients") for name in names}
    assert tags["images"] == ["train/images"]
    assert [event.step for event in events(tmp_path).Histograms("gradients/fc1.weight")] == [1, 2]


def test_a_resumed_run_has_each_epoch_once(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    train(CONFIG, out=str(tmp_path / "whole"), display=Display())
    with pytest.raises(Interrupted):
        train(CONFIG, out=str(tmp_path / "run"), display=Display(stop_before=4))
    resume(str(tmp_path / "run"), {}, display=Display())
    assert scalars(tmp_path / "run", "val/loss") == scalars(tmp_path / "whole", "val/loss")


def test_being_watched_changes_nothing(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    for watched in (False, True):
        config = dataclasses.replace(CONFIG, tensorboard=watched, log_gradients=watched)
        train(config, out=str(tmp_path / str(watched)), display=Display())
    assert same(final_state(tmp_path / "False"), final_state(tmp_path / "True"))


class Writer:
    """In place of TensorBoard's, so that what it is told can be seen also where it is not installed."""

    made: ClassVar[list] = []

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.told, self.ended = folder, purge_step, [], []
        self.made.append(self)

    def add_scalar(self, tag, value, step):
        self.told.append((tag, step, value))

    def add_images(self, tag, images, step):
        self.told.append((tag, step, images))

    def add_histogram(self, tag, tensor, step):
        self.told.append((tag, step, tensor))

    def flush(self):
        self.ended.append("flush")

    def close(self):
        self.ended.append("close")


@pytest.fixture
def writers(monkeypatch):
    monkeypatch.setattr(Writer, "made", [])
    monkeypatch.setattr("tinytorch_course.training.options.tensorboard.require_tensorboard", lambda: Writer)
    monkeypatch.setattr("tinytorch_course.training.setup.require_tensorboard", lambda: Writer)
    return Writer.made


def test_what_is_written(tmp_path, writers):
    display = Display()
    train(CONFIG, out=str(tmp_path), display=display)
    (writer,) = writers
    assert (writer.folder, writer.purge_step) == (str(tmp_path / "tensorboard"), 1)
    (images,) = [value for tag, _, value in writer.told if tag == "train/images"]
    assert images.shape == (8, 1, 28, 28)
    assert images.min() == 0  # the background
    assert images.max() > 0.9
    told = {(tag, step): value for tag, step, value in writer.told}
    for row in display.rows:
        assert told["train/accuracy", row["epoch"]] == row["train_accuracy"]
        assert told["val/loss", row["epoch"]] == row["val_loss"]
    assert not torch.equal(told["parameters/fc1.weight", 1], told["parameters/fc1.weight", 2])
    assert told["gradients/fc1.weight", 2].shape == (16, 784)
    assert writer.ended[-1] == "close"
    assert "flush" in writer.ended


def test_the_writer_is_closed_also_when_a_run_is_stopped(tmp_path, writers):
    with pytest.raises(Interrupted):
        train(CONFIG, out=str(tmp_path), display=Display(stop_before=4))
    assert writers[0].ended[-2:] == ["flush", "close"]
    resume(str(tmp_path), {}, display=Display())
    assert writers[1].purge_step == 2


def test_without_the_package_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    message = (
        r"--tensorboard needs the package tensorboard, which is not installed: pip install 'tinytorch-course\[tens"
    )
    with pytest.raises(InputError, match=message):
        train(CONFIG, out=str(tmp_path / "run"), display=Display())
    assert list(tmp_path.iterdir()) == []
