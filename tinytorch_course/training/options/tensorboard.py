"""``--tensorboard``: a run's curves, images and histograms for TensorBoard, in the folder ``tensorboard`` of the run.

Everything is given at its epoch, counted from 1: train/loss and val/accuracy and their kind, the first images as the
network sees them (augmented), and how parameters and their gradients (of the epoch's last step) are distributed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.data.splits import Dataset
from tinytorch_course.errors import InputError
from tinytorch_course.training.options.watcher import Watcher

NAME = "tensorboard"
IMAGES = 32
SCALARS = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "train/rate": "lr",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
}


def require_tensorboard() -> Any:
    """TensorBoard's writer.

    Raises:
        InputError: if the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "--tensorboard needs the package tensorboard, which is not installed: "
            "pip install 'tinytorch-course[tensorboard]'"
        ) from error
    return SummaryWriter


class Board(Watcher):
    """Writes for TensorBoard.

    Args:
        folder: the run folder.
        dataset: the run's; its mean and deviation make images of what the network sees.
        steps_per_epoch: of the run.
        done: epochs that were done when the run went on; what was written of later ones does not count.
    """

    def __init__(self, folder: Path, dataset: Dataset, steps_per_epoch: int, done: int):
        self.writer = require_tensorboard()(str(folder / NAME), purge_step=done + 1)
        self.mean, self.std = (torch.tensor(numbers)[:, None, None] for numbers in (dataset.mean, dataset.std))
        self.steps_per_epoch = steps_per_epoch
        self.last: dict[str, Tensor] = {}  # gradients of an epoch's last step

    def step(self, epoch: int, batch: int, x: Tensor) -> None:
        """A step begins; the first one's pictures are shown."""
        self.batch = batch
        if (epoch, batch) == (0, 0):
            images = x[:IMAGES].detach().float().cpu() * self.std + self.mean
            self.writer.add_images("train/images", images.clamp(0, 1), 1)

    def gradients(self, grads: Mapping[str, Tensor]) -> None:
        """Keep those of an epoch's last step."""
        if self.batch == self.steps_per_epoch - 1:
            self.last = {name: grad.detach().cpu().clone() for name, grad in grads.items()}

    def epoch_end(self, row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write the epoch's numbers, and histograms of parameters and gradients."""
        for tag, name in SCALARS.items():
            self.writer.add_scalar(tag, row[name], row["epoch"])
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                self.writer.add_histogram(f"parameters/{name}", tensor.detach().cpu(), row["epoch"])
        for name, grad in self.last.items():
            self.writer.add_histogram(f"gradients/{name}", grad, row["epoch"])

    def save(self) -> None:
        """Write what is held back."""
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()
