"""``--seeds``: the same training from several seeds, each in a run folder of its own, and how much it depends on them.

    FOLDER/seed-0    a run folder, see training.runs
    FOLDER/seed-1
    FOLDER/seeds.json

The same command again goes on where it stopped: what is done is only tested again.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.errors import InputError
from tinytorch_course.files import write_json
from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.display import QUIET, Display
from tinytorch_course.training.resuming import settled
from tinytorch_course.training.runs import LAST, usual_path

NAME = "seeds.json"


class Spread(NamedTuple):
    """One figure over several seeds."""

    mean: float
    deviation: float  # of the sample: n − 1 in the denominator
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least two values."""
        return cls(math.fsum(values) / len(values), statistics.stdev(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class SeedRuns:
    """Runs that differ in nothing but the seed, and what they came to."""

    folder: str
    seeds: tuple[int, ...]
    runs: tuple[loop.Result, ...]

    def spread(self, figure: str) -> Spread:
        """Of a field of their results, such as "test_accuracy"."""
        return Spread.of([getattr(run, figure) for run in self.runs])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "folder": self.folder,
            "seeds": list(self.seeds),
            **{figure: self.spread(figure)._asdict() for figure in ("test_accuracy", "test_loss", "val_accuracy")},
            "seconds": math.fsum(run.seconds for run in self.runs),
            "runs": [run.to_dict() for run in self.runs],
        }


def choose_folder(out: str | None, config: TrainConfig) -> Path:
    """The folder of all runs; nothing is written.

    Raises:
        InputError: if it holds anything else than runs of several seeds.
    """
    if out is None:
        path = usual_path(config)
        return path.with_name(f"{path.name}-seeds")
    if not out.strip():
        raise InputError(f"--out must be the path of a folder, but it is {out!r}")
    folder = Path(out)
    try:
        names = [entry.name for entry in folder.iterdir()] if folder.exists() else []
    except OSError as error:
        raise InputError(f"cannot use {folder} as the folder of several runs: {error.strerror}") from error
    others = [name for name in names if name != NAME and not name.startswith("seed-")]
    if others:
        raise InputError(
            f"{folder} holds {others[0]}, which does not belong to a run with --seeds: choose a new or empty folder"
        )
    return folder


def train_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    folder: Path,
    *,
    make_display: Callable[[str], AbstractContextManager[Display]] = lambda name: nullcontext(QUIET),
) -> SeedRuns:
    """Train once from each seed, one after the other.

    Args:
        config: of all runs but for the seed.
        seeds: at least two.
        folder: from :func:`choose_folder`. Runs that are in it go on where they stopped.
        make_display: makes the display of the run of that name.

    Raises:
        InputError, Interrupted: as ``loop.train``; what is done is kept.
    """
    results = []
    for number, seed in enumerate(seeds, start=1):
        each = dataclasses.replace(config, seed=seed)
        path = folder / f"seed-{seed}"
        with make_display(f"Seed {seed}, {number} of {len(seeds)}.") as display:
            if (path / LAST).exists():
                results.append(loop.resume(str(path), settled(each), display=display))
            else:
                results.append(loop.train(each, out=str(path), display=display))
    done = SeedRuns(str(folder), tuple(seeds), tuple(results))
    write_json(folder / NAME, done.to_dict())
    return done
