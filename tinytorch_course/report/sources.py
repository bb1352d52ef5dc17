"""Which folders a report is about: runs of ``tinytorch train``, comparisons of ``tinytorch compare --out``.

A folder of ``tinytorch train --seeds`` stands for the runs in it.

Importable without torch, so that a mistyped folder is told at once.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tinytorch_course.errors import InputError

CONFIG, HISTORY = "config.toml", "history.jsonl"
TIMELINE, SEEDS = "timeline.json", "seeds.json"


class Sources(NamedTuple):
    """The folders by what they hold, each in the order in which it was named."""

    runs: list[Path]
    timelines: list[Path]  # of comparisons step by step
    seeds: list[Path]  # of comparisons over seeds

    def names(self) -> dict[Path, str]:
        """A short name for each folder: its own, or as much of its path as tells it from the others."""
        folders = [*dict.fromkeys([*self.runs, *self.timelines, *self.seeds])]
        names = {}
        for folder in folders:
            parts = folder.resolve().parts
            for count in range(1, len(parts) + 1):
                ending = parts[-count:]
                if sum(other.resolve().parts[-count:] == ending for other in folders) == 1:
                    break
            names[folder] = "/".join(ending)
        return names


def find_sources(paths: Sequence[str | os.PathLike]) -> Sources:
    """Sort the folders by what they hold. One that is named twice counts once.

    Raises:
        InputError: naming the first folder that there is nothing to report on, and why.
    """
    found = Sources([], [], [])
    seen = set()
    for path in _each_seed(map(Path, paths)):
        held = _names_in(path)
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        if CONFIG in held:
            if not _has_history(path):
                raise InputError(f"{path} has nothing to report yet: its run has not finished its first epoch")
            found.runs.append(path)
        if TIMELINE in held:
            found.timelines.append(path)
        if SEEDS in held:
            found.seeds.append(path)
        if not {CONFIG, TIMELINE, SEEDS} & held:
            raise InputError(_why_foreign(path, held))
    return found


def runs_of_seeds(path: Path) -> list[Path]:
    """The runs in a folder of ``tinytorch train --seeds``, as far as they have something to report; else none."""
    try:
        begun = [run.parent for run in path.glob(f"seed-*/{CONFIG}") if run.parent.name[5:].isdecimal()]
    except OSError:
        return []
    begun.sort(key=lambda run: int(run.name[5:]))
    return [run for run in begun if _has_history(run)] or begun


def _each_seed(paths: Iterable[Path]) -> Iterator[Path]:
    """The folders, but of several seeds each one's own."""
    for path in paths:
        yield from runs_of_seeds(path) or [path]


def _has_history(run: Path) -> bool:
    return (run / HISTORY).is_file() and (run / HISTORY).stat().st_size > 0


def _names_in(path: Path) -> set[str]:
    try:
        return {entry.name for entry in path.iterdir()}
    except FileNotFoundError as error:
        raise InputError(f"there is no folder {path}") from error
    except NotADirectoryError as error:
        raise InputError(f"{path} is a file: name the run folder that contains it") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _why_foreign(path: Path, held: set[str]) -> str:
    if not held:
        return f"{path} is empty, so there is no run in it to report on"
    inner = sorted(name for name in held if (path / name / CONFIG).is_file())
    if inner:
        return f"{path} is not a run folder but holds {len(inner)}: name them, such as {path / inner[0]}"
    return (
        f"{path} is not a run folder: it holds neither the {CONFIG} of `tinytorch train` nor the {TIMELINE} "
        "of `tinytorch compare --out`"
    )
