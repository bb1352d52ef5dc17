"""The runs in a folder, the best first, and in which settings they differ."""

from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError
from tinytorch_course.report.gather import RESULT, read_history, read_result
from tinytorch_course.report.sources import CONFIG, HISTORY
from tinytorch_course.training.config import read_config


class Listed(NamedTuple):
    """One run."""

    folder: str
    test_accuracy: float | None  # None: the run has not ended
    val_accuracy: float | None  # the best so far; None: no epoch has ended
    epochs: int  # done
    differs: dict[str, Any]  # the settings in which the runs differ


def list_runs(folder: Path) -> tuple[list[Listed], list[str]]:
    """The runs that are in ``folder``, or in its folders, by test accuracy; and what could not be read, in sentences.

    Raises:
        InputError: if there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: name one that holds run folders")
    found, problems = [], []
    for config in sorted([*folder.glob(f"*/{CONFIG}"), *folder.glob(f"*/*/{CONFIG}")]):
        run = config.parent
        try:
            settings = read_config(config).resolved().to_dict()
            history = read_history(run / HISTORY) if (run / HISTORY).exists() else []
            result = read_result(run / RESULT) if (run / RESULT).exists() else None
        except InputError as error:
            problems.append(str(error))
            continue
        best = max((row["val_accuracy"] for row in history), default=None)
        accuracy = None if result is None else float(result["test_accuracy"])
        found.append(Listed(str(run), accuracy, best, len(history), settings))
    if not found:
        raise InputError(f"{folder} holds no run" + (f" that can be read: {problems[0]}" if problems else ""))
    names = [name for name in found[0].differs if len({repr(run.differs[name]) for run in found}) > 1]
    listed = [run._replace(differs={name: run.differs[name] for name in names}) for run in found]
    listed.sort(key=lambda run: (-(run.test_accuracy or -1), run.folder))
    return listed, problems
