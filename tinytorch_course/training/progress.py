"""Where a run stands, what it came to, and what is raised when it was stopped."""

import dataclasses
from pathlib import Path
from typing import Any

from tinytorch_course.training.config import IMPL_NAMES
from tinytorch_course.training.metrics import Metrics, wilson_interval
from tinytorch_course.training.setup import Setup

LARGEST = 1e300  # of numbers that come from files: what is beyond overflows in the first sum
RANGES = (  # of a history's numbers
    ("train_loss", 0, LARGEST),
    ("train_accuracy", 0, 1),
    ("val_loss", 0, LARGEST),
    ("val_accuracy", 0, 1),
    ("lr", 0, LARGEST),
    ("seconds", 0, LARGEST),
)


class Interrupted(Exception):
    """A signal stopped the run, which is saved and can be resumed."""

    def __init__(self, run_folder: Path, signal_number: int):
        super().__init__(f"stopped by signal {signal_number}; saved in {run_folder}")
        self.run_folder, self.signal_number = run_folder, signal_number


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run came to."""

    run_folder: str
    impl: str
    model: str
    data: str
    parameters: int
    epochs: int
    best_epoch: int  # counted from 1; chosen on validation data
    val_accuracy: float  # of the best epoch
    test_accuracy: float
    test_interval: tuple[float, float]  # 95 %
    test_loss: float
    test_count: int
    seconds: float
    device: str
    dtype: str

    @classmethod
    def of(cls, folder: Path, setup: Setup, parameters: int, progress: "Progress", test: Metrics) -> "Result":
        """The result of a run that is done: ``test`` is what its best epoch's network is worth on the test data."""
        best = progress.best
        assert best is not None, "at least one epoch is done"
        return cls(
            run_folder=str(folder),
            impl=setup.config.impl,
            model=setup.config.model,
            data=setup.dataset.name,
            parameters=parameters,
            epochs=progress.epoch,
            best_epoch=best["epoch"],
            val_accuracy=best["val_accuracy"],
            test_accuracy=test.accuracy,
            test_interval=wilson_interval(int(test.correct), test.count),
            test_loss=test.loss,
            test_count=test.count,
            seconds=sum(row["seconds"] for row in progress.history),
            device=str(setup.device),
            dtype=setup.config.dtype,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def check_row(row: Any, epoch: int) -> None:
    """Whether ``row`` is the history's row of this epoch (from 1), with numbers that can be.

    Raises:
        ValueError: if it is not.
    """
    if not isinstance(row, dict):
        raise ValueError("it is no row of a history")
    if type(row.get("epoch")) is not int or row["epoch"] != epoch:
        raise ValueError("its epoch is another")
    for field, low, high in RANGES:
        if type(row.get(field)) not in (int, float) or not low <= row[field] <= high:  # False for NaN
            raise ValueError(f"its {field} cannot be")
    if not isinstance(row.get("best"), bool) or row.get("impl", "scratch") not in IMPL_NAMES:
        raise ValueError("its best or impl cannot be")


@dataclasses.dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the epoch under way
    metrics: Metrics = dataclasses.field(default_factory=Metrics)  # of the epoch under way
    seconds: float = 0.0  # spent in the epoch under way
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # a row for each epoch done

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of the best epoch so far; None before the first."""
        return next((row for row in reversed(self.history) if row["best"]), None)

    @property
    def epochs_since_best(self) -> int:
        """How many epochs have passed since."""
        return self.epoch - self.best["epoch"] if self.best else 0

    def end_epoch(self, validation: Metrics, *, seconds: float, lr: float, impl: str) -> dict[str, Any]:
        """The epoch under way is done: its row of the history, and the next one begins."""
        best = self.best
        # Of two equal accuracies, the one with the lower loss.
        merit = (validation.accuracy, -validation.loss)
        row = {
            "epoch": self.epoch + 1,
            "train_loss": self.metrics.loss,
            "train_accuracy": self.metrics.accuracy,
            "val_loss": validation.loss,
            "val_accuracy": validation.accuracy,
            "lr": lr,
            "seconds": seconds,
            "impl": impl,
            "best": best is None or merit > (best["val_accuracy"], -best["val_loss"]),
        }
        self.history.append(row)
        self.epoch, self.batch, self.seconds, self.metrics = self.epoch + 1, 0, 0.0, Metrics()
        return row
