"""What a run folder says of itself, read as far as it goes: a run that was stopped has no result yet."""

import csv
import dataclasses
import math
import shlex
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tinytorch_course.errors import InputError
from tinytorch_course.files import parse_json, read_bounded, read_json, refuse_links
from tinytorch_course.report.sources import CONFIG, HISTORY
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_schedule
from tinytorch_course.training.progress import LARGEST, check_row
from tinytorch_course.training.runs import LAST, read_config

RESULT, GRADIENTS = "result.json", "gradients.csv"
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path
    name: str  # among the runs of the report
    config: TrainConfig
    history: list[dict[str, Any]]  # a row for each epoch, at least one
    result: dict[str, Any] | None  # None: the run has not ended
    versions: dict[str, str]  # of what it was trained with; empty where nothing tells
    gradients: dict[str, list[tuple[int, float]]]  # (step, norm) by parameter; empty without --log-gradients
    notes: list[str]  # what could not be read, in sentences

    @property
    def data(self) -> str:
        """The name of its data; of a path the end."""
        return self.config.data.replace("\\", "/").rstrip("/").rpartition("/")[2]

    @property
    def best(self) -> dict[str, Any]:
        """The epoch that was kept."""
        return next((row for row in reversed(self.history) if row.get("best")), self.history[-1])

    @property
    def planned(self) -> int:
        """How many epochs the run was to have."""
        return self.config.epochs or self.history[-1]["epoch"]


def read_run(path: Path, name: str) -> Run:
    """Read a folder that holds a configuration and a history.

    Raises:
        InputError: if either is malformed. What else is malformed becomes a note.
    """
    notes: list[str] = []
    refuse_links(path)
    config = read_config(path / CONFIG)
    history = read_history(path / HISTORY)
    return Run(
        path,
        name,
        config,
        history,
        _or_note(read_result, path / RESULT, None, notes),
        _or_note(_read_versions, path / LAST, {}, notes),
        _or_note(read_gradients, path / GRADIENTS, {}, notes),
        notes,
    )


def command(config: TrainConfig) -> str:
    """``tinytorch train`` with every setting that differs from what it would be anyway."""
    others = dataclasses.replace(config, impl=TrainConfig.impl).words()  # all but the implementation, always said
    return shlex.join(["tinytorch", "train", "--impl", config.impl, *others])


def learning_rates(run: Run, training_images: int | None) -> list[tuple[float, float]]:
    """The learning rate by epoch: step by step where the schedule is known, else as noted at each epoch's end.

    A run that was resumed with other --epochs had two schedules; then what its history says does not fit, and is taken.
    """
    noted = [(row["epoch"], row["lr"]) for row in run.history]
    if training_images is None:
        return noted
    steps = math.ceil(training_images / run.config.batch_size)
    schedule = make_schedule(run.config, steps, run.planned)
    if any(not math.isclose(schedule(epoch * steps - 1)["lr"], lr, rel_tol=1e-6) for epoch, lr in noted):
        return noted
    every = max(1, steps * len(run.history) // 300)
    shown = [*range(0, steps * len(run.history) - 1, every), steps * len(run.history) - 1]
    return [((step + 1) / steps, schedule(step)["lr"]) for step in shown]


def read_gradients(path: Path) -> dict[str, list[tuple[int, float]]]:
    """What ``--log-gradients`` wrote: for each parameter its gradient's norm at the logged steps.

    Raises:
        InputError: if the file says something else.
    """
    norms: dict[str, list[tuple[int, float]]] = defaultdict(list)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                norms[row["name"]].append((int(row["step"]), float(row["norm"])))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is malformed: its columns are not epoch, step, name and norm") from error
    return dict(norms)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``history.jsonl``; InputError if one is none."""
    history: list[dict[str, Any]] = []
    try:
        for line in read_bounded(path).decode("utf-8").splitlines():
            row = parse_json(line)
            check_row(row, len(history) + 1)
            history.append(row)
    except ValueError as error:
        raise InputError(f"{path} is malformed: line {len(history) + 1} is not an epoch of a run") from error
    return history


def read_result(path: Path) -> dict[str, Any]:
    """What a ``result.json`` says; InputError if that is no result."""
    try:
        result = read_json(path)
        for field, highest in (("test_accuracy", 1), ("test_count", LARGEST), ("parameters", LARGEST)):
            if type(result[field]) not in (int, float) or not 0 <= result[field] <= highest:
                raise TypeError(field)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is malformed: it is not the result of a run") from error
    return result


def _read_versions(path: Path) -> dict[str, str]:
    saved = checkpoints.load(path)
    versions = saved.get("versions") if isinstance(saved, dict) else None
    return {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {}


def _or_note(read: Callable[[Path], Found], path: Path, default: Found, notes: list[str]) -> Found:
    """What ``read`` makes of the file; the default if there is none, or with a note if it is malformed."""
    if not path.exists():
        return default
    try:
        return read(path)
    except OSError as error:
        notes.append(f"cannot read {path}: {error.strerror}")
    except InputError as error:
        notes.append(str(error))
    return default
