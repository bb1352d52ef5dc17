"""Training that has diverged: a loss that is no number ends the run, one beyond all reason is said."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.training.options.anomaly import AnomalyDetector
from tinytorch_course.training.progress import Progress
from tinytorch_course.training.setup import Setup

DIVERGED = 20  # times the loss of a network that knows nothing
READ_EVERY = 50  # steps, where to read a loss Python has to wait for the device


class Losses:
    """The losses of the last steps, which nobody has read yet.

    Args:
        setup: the run.
        progress: where it stands.
        detector: what may know the op that made the first NaN; None: nobody looked.
        notify: is told, once, that training has diverged though the loss is finite.
    """

    def __init__(
        self, setup: Setup, progress: Progress, detector: AnomalyDetector | None, notify: Callable[[str], None]
    ) -> None:
        self.setup, self.progress, self.detector, self.notify = setup, progress, detector, notify
        self.unread: list[Tensor] = []
        self.every = 1 if setup.device.type == "cpu" else READ_EVERY
        self.has_diverged = False

    def add(self, loss: Tensor) -> bool:
        """Take in a step's loss; whether all have been read now."""
        self.unread.append(loss)
        due = len(self.unread) == self.every or self.progress.batch == self.setup.steps_per_epoch
        if due:
            self.read()
        return due

    def read(self) -> None:
        """Read them.

        Raises:
            InputError: after one that is not finite; nothing may be evaluated or saved then.
        """
        if not self.unread:
            return
        losses = self.progress.metrics.read(self.unread)
        self.unread.clear()
        for number, loss in enumerate(losses, self.progress.batch - len(losses) + 1):
            if not math.isfinite(loss):
                if self.detector is not None and self.detector.finding:
                    raise InputError(f"training diverged: {self.detector.finding}")
                raise InputError(
                    f"training diverged: the loss is {loss} in step {number} of epoch {self.progress.epoch + 1}; "
                    f"try a smaller --lr than {self.setup.config.lr:g}, or --clip-norm 1"
                )

    def judge(self, row: Mapping[str, Any]) -> None:
        """Say so if an epoch's loss is far beyond that of a network that knows nothing."""
        ignorant = math.log(len(self.setup.dataset.classes))
        if row["train_loss"] > DIVERGED * ignorant and not self.has_diverged:
            self.has_diverged = True
            self.notify(
                f"Training has diverged: the loss of epoch {row['epoch']} is {row['train_loss']:.3g}, and a network "
                f"that knows nothing has {ignorant:.2f}; try a smaller --lr than {self.setup.config.lr:g}."
            )
