"""``--log-gradients``: how long each parameter's gradient is in the course of a run, in ``gradients.csv``.

Its columns are epoch and step (both counted from 1, steps over the whole run), the parameter's name, and the norm of
its gradient (the root of the sum of squares) before it is clipped. About 50 steps of an epoch are logged.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.files import write_atomically
from tinytorch_course.training.options.watcher import Watcher

NAME = "gradients.csv"
COLUMNS = ("epoch", "step", "name", "norm")
STEPS_AN_EPOCH = 50


class GradientLog(Watcher):
    """The norms of a run so far.

    Args:
        folder: the run folder.
        steps_per_epoch: of the run.
        done: steps that were done when the run went on; what the file says of later ones is forgotten.

    Raises:
        InputError: if there is such a file already that cannot be read.
    """

    def __init__(self, folder: Path, steps_per_epoch: int, done: int):
        self.path, self.steps_per_epoch = folder / NAME, steps_per_epoch
        self.every = -(-steps_per_epoch // STEPS_AN_EPOCH)
        self.rows = [row for row in _read(self.path) if int(row[1]) <= done]

    def step(self, epoch: int, batch: int, x: Tensor) -> None:
        """A step begins."""
        self.epoch, self.batch = epoch, batch

    def gradients(self, grads: Mapping[str, Tensor]) -> None:
        """Keep the norms of every gradient, at every so many steps."""
        if self.batch % self.every:
            return
        step = self.epoch * self.steps_per_epoch + self.batch + 1
        norms = torch.stack([torch.linalg.vector_norm(grad, dtype=torch.float64) for grad in grads.values()])
        for name, norm in zip(grads, norms.tolist(), strict=True):  # tolist waits for the device: once, not for each
            self.rows.append([str(self.epoch + 1), str(step), name, repr(norm)])

    def save(self) -> None:
        """Write the file anew."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_atomically(self.path, text.getvalue().encode())


def _read(path: Path) -> list[list[str]]:
    """The rows of the file; none if there is no file."""
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) or not row[1].isdigit() for row in rows):
            raise ValueError
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} was not written by --log-gradients; move it away to go on without it") from error
    return rows
