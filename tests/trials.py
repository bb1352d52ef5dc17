"""Small whole runs for the tests of training: their settings, a display that listens, and what they leave behind."""

import os
import signal

import torch

from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.runs import MODELS

# Batch norm and dropout on, three batches an epoch.
SMALL = TrainConfig(model="mnist_cnn", data="digits", limit=24, batch_size=8, epochs=2, seed=3)


class Display:
    """Keeps what it is told, and sends a signal before a given step of the whole run, if asked."""

    def __init__(self, stop_before=None, number=signal.SIGINT):
        self.notices, self.rows, self.losses, self.rates = [], [], [], []
        self.stop_before, self.number = stop_before, number

    def notice(self, sentence):
        self.notices.append(sentence)

    def start(self, setup, parameter_count, start_epoch, run_folder):
        self.steps_per_epoch, self.parameter_count, self.dataset = setup.steps_per_epoch, parameter_count, setup.dataset

    def epoch_start(self, epoch, start_step):
        self.epoch = epoch
        self.maybe_stop(start_step)

    def step(self, step, loss, accuracy, lr):
        self.losses.append(loss)
        self.rates.append(lr)
        self.maybe_stop(step)

    def maybe_stop(self, step):
        if self.stop_before == (self.epoch - 1) * self.steps_per_epoch + step:
            os.kill(os.getpid(), self.number)

    def epoch_end(self, row):
        self.rows.append(row)

    def finish(self, result):
        self.result = result


def final_state(folder):
    """All that a run leaves behind but its clock times, as one flat dict."""
    last = checkpoints.load(folder / "last.pt")
    best = next(folder / name for name in MODELS.values() if (folder / name).exists())
    flat = {f"model {name}": tensor for name, tensor in last["model"].items()}
    for number, slot in last["optimizer"]["state"].items():
        flat |= {f"optimizer {number} {name}": value for name, value in slot.items()}
    flat |= {f"best {name}": tensor for name, tensor in checkpoints.load(best).items()}
    flat |= {f"average {name}": tensor for name, tensor in last.get("average", {}).items()}
    flat["position"] = (last["epoch"], last["batch"])
    flat["history"] = [{key: value for key, value in row.items() if key != "seconds"} for row in last["history"]]
    return flat


def same(a, b):
    assert a.keys() == b.keys()
    return all(
        torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key] for key, value in a.items()
    )
