import dataclasses
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tinytorch_course.training.config import TrainConfig


@dataclasses.dataclass
class Result:
    """What a training run came to, as the training loop reports it."""

    run_folder: str = "runs/one"
    impl: str = "scratch"
    model: str = "mnist_cnn"
    parameters: int = 421834
    epochs: int = 2
    best_epoch: int = 1
    val_accuracy: float = 0.975
    test_accuracy: float = 0.9722
    test_interval: tuple[float, float] = (0.95, 0.985)
    test_loss: float = 0.0712
    test_count: int = 360
    seconds: float = 12.3
    device: str = "cpu"
    dtype: str = "float32"

    def to_dict(self):
        return dataclasses.asdict(self)


class Interrupted(KeyboardInterrupt):
    def __init__(self, run_folder, signal_number):
        self.run_folder, self.signal_number = run_folder, signal_number


class FakeLoop(ModuleType):
    """In place of the training loop, so that no test of the command line waits for torch. ``calls`` is what it got."""

    Interrupted = Interrupted

    def __init__(self):
        super().__init__("tinytorch_course.training.loop")
        self.calls, self.error, self.notice = [], None, None

    def train(self, config, *, out, display):
        self.calls.append(("train", config, out))
        return self.show(config, display)

    def resume(self, run, changes, *, display, trust=False):
        self.calls.append(("resume", run, changes))
        return self.show(TrainConfig(**changes), display)

    def show(self, config, display):
        split = SimpleNamespace(labels=[0] * 360)
        dataset = SimpleNamespace(title="handwritten digits", train=split, val=split, test=split)
        setup = SimpleNamespace(config=config.resolved(), dataset=dataset, steps_per_epoch=3, epochs=2)
        display.start(setup, 421834, 1, "runs/one")
        if self.notice:
            display.notice(self.notice)
        for epoch in (1, 2):
            display.epoch_start(epoch, 0)
            for step in (1, 2, 3):
                display.step(step, 0.5, 0.9, 1e-3)
            if self.error:
                raise self.error
            display.epoch_end(
                {
                    "epoch": epoch,
                    "train_loss": 0.5,
                    "train_accuracy": 0.9,
                    "val_loss": 0.25,
                    "val_accuracy": 0.975,
                    "lr": 1e-3,
                    "seconds": 6.1,
                    "best": epoch == 1,
                }
            )
        result = Result(impl=config.impl)
        display.finish(result)
        return result


@pytest.fixture
def same_process(monkeypatch, tmp_path_factory):
    """A learner's code is checked in this process; to start one of its own takes two seconds."""
    from tinytorch_course.grading import child, own_code

    def run_child(module, request, timeout, progress):
        answer = child.answer_to(request, tmp_path_factory.mktemp("checked"))
        return own_code.accepted(answer), SimpleNamespace(kept="", length=0)

    monkeypatch.setattr(own_code, "run_child", run_child)


@pytest.fixture
def loop(monkeypatch):
    """The loop that ``tinytorch train`` calls during this test."""
    import tinytorch_course.training as room

    fake = FakeLoop()
    monkeypatch.setitem(sys.modules, "tinytorch_course.training.loop", fake)
    monkeypatch.setattr(room, "loop", fake, raising=False)
    return fake
