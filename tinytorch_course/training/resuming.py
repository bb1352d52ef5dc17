"""``last.pt``: all that a run needs to go on, bit for bit as if it had not stopped."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinytorch_course.data_names import data_names, find_place
from tinytorch_course.errors import InputError
from tinytorch_course.scratch.tuned.products import PIECES
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig, flag, read_config
from tinytorch_course.training.environment import generator_states, set_generator_states, versions
from tinytorch_course.training.learners import Learner
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.options.averaging import Average
from tinytorch_course.training.progress import Progress, check_row
from tinytorch_course.training.runs import CONFIG, LAST, RESULT
from tinytorch_course.training.setup import Setup

FORMAT = 1
FIELDS = {  # with --ema there is an "average" too
    "format": int,
    "model": dict,
    "optimizer": dict,
    "generators": dict,
    "epoch": int,
    "batch": int,
    "metrics": dict,
    "seconds": float,
    "history": list,
    "versions": dict,
}
MAY_CHANGE = (
    "impl",
    "device",
    "data_dir",
    "epochs",
    "loader",
    "patience",
    "log_gradients",
    "tensorboard",
    "checkpoint_every",
    "detect_anomaly",
)


def save(path: Path, learner: Learner, average: Average | None, progress: Progress) -> None:
    """Write where a run stands."""
    state = {
        "format": FORMAT,
        "model": dict(learner.state_dict()),
        "optimizer": learner.optimizer_state(),
        "generators": generator_states(),
        "epoch": progress.epoch,
        "batch": progress.batch,
        "metrics": progress.metrics.state_dict(),
        "seconds": progress.seconds,
        "history": progress.history,
        "versions": versions(),
    }
    checkpoints.save(path, state if average is None else state | {"average": average.tensors})


def restore(
    path: Path, setup: Setup, learner: Learner, average: Average | None, notify: Callable[[str], None]
) -> Progress:
    """The inverse of :func:`save`: ``learner`` and ``average`` take over what was saved.

    Raises:
        InputError: if the file is damaged, or of another run.
    """
    saved = checkpoints.load(path)
    checkpoints.check_fields(saved, FIELDS if average is None else FIELDS | {"average": dict}, path)
    if saved["format"] != FORMAT:
        raise InputError(f"{path} has format {saved['format']}; this version reads format {FORMAT}")
    shapes = checkpoints.shapes_of(learner.state_dict())
    checkpoints.check_state_dict(saved["model"], shapes, path)
    if average is not None:
        checkpoints.check_state_dict(saved["average"], shapes, path)
        average.load(saved["average"])
    try:
        learner.load_state_dict(saved["model"])
        learner.load_optimizer_state(saved["optimizer"])
        set_generator_states(saved["generators"])
        metrics = Metrics(**saved["metrics"])
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        raise InputError(f"{path} does not fit this run: {error}") from error
    progress = Progress(saved["epoch"], saved["batch"], metrics, saved["seconds"], saved["history"])
    try:
        for epoch, row in enumerate(progress.history, 1):
            check_row(row, epoch)
    except ValueError as error:
        raise InputError(f"{path} is malformed: of row {epoch} of its history, {error}") from error
    if progress.epoch != len(progress.history) or progress.batch > setup.steps_per_epoch:
        raise InputError(f"{path} is malformed: its position does not fit its history")
    changed = _changed_versions(saved["versions"], versions(), setup.config)
    if changed:
        notify(f"The environment has changed, so this run does not go on bit for bit: {', '.join(changed)}.")
    return progress


def _changed_versions(then: Mapping[str, str], now: Mapping[str, str], config: TrainConfig) -> list[str]:
    """What may change the last bit of a result, and is not as it was when the run was saved."""
    plain = (config.impl, config.ops, config.precision) == ("scratch", "tuned", "float32") and not config.compile
    alike = {str(count) for count in range(1, PIECES + 1)} if plain else set()  # threads that compute the same bits
    return sorted(
        f"{name} was {was}, is {now.get(name)}"
        for name, was in then.items()
        if was != now.get(name) and not (name == "threads" and {was, now[name]} <= alike)
    )


def changed_config(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """The configuration with ``changes``.

    Raises:
        InputError: if one of them would make untrue what was done so far.
    """
    for name, value in changes.items():
        was = getattr(config, name)
        if name not in MAY_CHANGE and value != was:
            raise InputError(f"{flag(name)} cannot change when a run is resumed: it is {was} in this run, not {value}")
    changed = dataclasses.replace(config, **changes)
    changed.validate()
    return changed


def settled(config: TrainConfig) -> dict[str, Any]:
    """The settings that a run begun with ``config`` has: all but those that it was to choose itself."""
    fields = {field.name: getattr(config.resolved(), field.name) for field in dataclasses.fields(config)}
    if config.data not in data_names():
        fields["data"] = str(find_place(config.data))
    return {name: value for name, value in fields.items() if value != "auto" and (name, value) != ("epochs", None)}


def is_unfinished(folder: str, config: TrainConfig) -> bool:
    """Whether the folder holds the run that ``config`` begins, saved and not yet ended."""
    path = Path(folder)
    if not (path / LAST).is_file() or (path / RESULT).exists():
        return False
    try:
        begun = read_config(path / CONFIG)
    except InputError:
        return False
    return all(getattr(begun, name) == value for name, value in settled(config).items())
