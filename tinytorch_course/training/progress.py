"""Where a run stands, what it came to, and what is raised when it was stopped."""

import dataclasses
from pathlib import Path
from typing import Any

from tinytorch_course.training.metrics import Metrics


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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


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
        return next((row for row in reversed(self.history) if row["best"]), None)

    @property
    def epochs_since_best(self) -> int:
        return self.epoch - self.best["epoch"] if self.best else 0
