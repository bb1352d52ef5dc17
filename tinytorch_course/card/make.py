"""A card from run folders: every figure is computed anew from the weights, and none is taken over from the run.

What the run itself has noted is compared with that, so that weights and notes that do not belong together make no card.
"""

import datetime
import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tinytorch_course import data
from tinytorch_course.card.compare import differences
from tinytorch_course.card.machine import describe_machine
from tinytorch_course.data.splits import Dataset, Split
from tinytorch_course.errors import InputError
from tinytorch_course.evaluation.scores import score
from tinytorch_course.own_networks import is_own
from tinytorch_course.report.gather import RESULT, Run, command, read_run
from tinytorch_course.report.sources import find_sources
from tinytorch_course.training.environment import compute_alike, find_device, versions
from tinytorch_course.training.many import Spread
from tinytorch_course.training.networks import Network, open_network

FORMAT = 1
# These may differ within one card.
OF_ONE_RUN = (
    "seed",
    "data_dir",
    "device",
    "loader",
    "log_gradients",
    "tensorboard",
    "format",
    "checkpoint_every",
    "detect_anomaly",
)
CHOICE = (
    "The epoch with the highest accuracy on the validation images was kept (of equal ones, that with the lower loss). "
    "The test images took no part in training or choosing."
)


class Contradiction(Exception):
    """A run whose notes say something else than its weights, in a sentence."""


def make_card(
    folders: Sequence[str],
    base: Path,
    *,
    data_dir: str | None = None,
    device: str = "auto",
    model: str | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """The card of one run, or of several that differ in their seeds alone.

    Args:
        folders: run folders, or folders of `tinytorch train --seeds`.
        base: the folder that the card will lie in; the runs are named from there.
        data_dir: where data sets lie. None: where the run says.
        device: on which to compute: "auto", "cpu", "cuda" or "cuda:N".
        model: the network of runs that were trained with one of the user's own, FILE:NAME.
        trust: whether the code that the run folders keep of such a network may be run instead.

    Raises:
        InputError: if a folder is no run that has ended, or they do not belong together.
        Contradiction: if a run's notes do not fit its weights.
    """
    where = find_device(device)
    compute_alike()
    runs = sorted((_read(path) for path in find_sources(folders).runs), key=lambda run: run.config.seed)
    if not runs:
        raise InputError(f"{folders[0]} is a comparison, and a card is about runs of `tinytorch train`")
    _refuse_strangers(runs)
    config = runs[0].config
    dataset = data.sources.load(config.data, data_dir or config.data_dir, val_size=config.val_size, limit=config.limit)
    own = model if is_own(config.model) else None
    networks = [
        open_network(str(run.path), data_dir=data_dir, device=str(where), model=own, trust=trust) for run in runs
    ]
    entries = [_entry(run, network, dataset, base) for run, network in zip(runs, networks, strict=True)]
    settings = {name: value for name, value in config.resolved().to_dict().items() if value is not None}
    return {
        "tinytorch_card": FORMAT,
        "model": config.model,
        "impl": config.impl,
        "parameters": networks[0].learner.parameter_count(),
        "data": _describe_data(dataset),
        "choice": CHOICE,
        "settings": {name: value for name, value in settings.items() if name not in OF_ONE_RUN},
        "runs": entries,
        "over_seeds": _over_seeds(entries),
        "evaluated": {
            "date": datetime.date.today().isoformat(),
            "machine": describe_machine(where),
            "versions": versions(),
        },
    }


def _read(path: Path) -> Run:
    run = read_run(path, path.name)
    if problem := next((note for note in run.notes if RESULT in note), None):
        raise InputError(problem)
    if run.result is None:
        raise InputError(
            f"{path} has no result yet: its run was stopped; `tinytorch train --resume {path}` finishes it"
        )
    if run.config.overfit_batches is not None:
        raise InputError(f"{path} was trained with --overfit-batches, which says nothing about other pictures")
    return run


def _refuse_strangers(runs: list[Run]) -> None:
    """Raise unless the runs differ in their seeds alone."""
    first, *others = runs
    for run in others:
        ours, theirs = first.config.resolved().to_dict(), run.config.resolved().to_dict()
        for name in ours:
            if name not in OF_ONE_RUN and ours[name] != theirs[name]:
                raise InputError(
                    f"{run.path} was trained differently from {first.path}: {name} is {theirs[name]}, not {ours[name]}"
                    "; a card describes one way of training, from several seeds"
                )
    for run, following in itertools.pairwise(runs):  # sorted by their seeds
        if run.config.seed == following.config.seed:
            raise InputError(f"{run.path} and {following.path} have the same seed, {run.config.seed}")


def _entry(run: Run, network: Network, dataset: Dataset, base: Path) -> dict[str, Any]:
    """One run's part of the card."""
    result = run.result or {}
    entry = {
        "folder": Path(os.path.relpath(run.path, base)).as_posix(),
        "seed": run.config.seed,
        "command": command(run.config),
        "epochs": run.history[-1]["epoch"],
        "best_epoch": run.best["epoch"],
        "weights_sha256": hashlib.sha256(network.path.read_bytes()).hexdigest(),
        "val": _figures(network, dataset.val),
        "test": _figures(network, dataset.test),
        "seconds": round(sum(row["seconds"] for row in run.history), 1),
        "trained_with": {"device": result.get("device"), "dtype": run.config.dtype, **run.versions},
    }
    _refuse_contradiction(run, result, entry)
    return entry


def _figures(network: Network, split: Split) -> dict[str, Any]:
    scores = score(network.logits(split.images), split.labels, network.classes)
    return {
        "accuracy": scores.accuracy,
        "interval": list(scores.interval),
        "count": scores.count,
        "loss": scores.loss,
        "macro_f1": scores.macro.f1,
    }


def _refuse_contradiction(run: Run, result: dict[str, Any], entry: dict[str, Any]) -> None:
    """Raise if the history chose another epoch than the best, or the run noted other figures than its weights give."""
    best = max(run.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    if best["epoch"] != run.best["epoch"]:
        raise Contradiction(
            f"{run.path} kept epoch {run.best['epoch']}, but epoch {best['epoch']} was better on the validation images"
        )
    if run.config.precision != "float32":
        return  # noted in another precision than this card's float32
    noted = {
        "val": {"accuracy": run.best["val_accuracy"], "loss": run.best["val_loss"]},
        "test": {"accuracy": result["test_accuracy"], "loss": result.get("test_loss")},
    }
    found = {part: {name: entry[part][name] for name in figures} for part, figures in noted.items()}
    for figure, says, gives in differences(noted, found):
        raise Contradiction(f"{run.path} noted {figure} {says}, but its weights give {gives}")


def _describe_data(dataset: Dataset) -> dict[str, Any]:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {
        "name": dataset.name,
        "title": dataset.title,
        "classes": list(dataset.classes),
        **{
            name: {"images": len(split.labels), "sha256": _digest(split.images, split.labels)}
            for name, split in splits.items()
        },
        "test_images_seen_in_training": _shared(dataset.test.images, (dataset.train.images, dataset.val.images)),
    }


def _shared(one: Tensor, others: Sequence[Tensor]) -> int:
    """How many images of ``one`` stand among the ``others`` too, pixel for pixel."""
    known = {image.numpy().tobytes() for images in others for image in images}
    return sum(image.numpy().tobytes() in known for image in one)


def _digest(*tensors: Tensor) -> str:
    """SHA-256 of shapes and numbers."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _over_seeds(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Mean and deviation of the figures; None for a single run."""
    if len(entries) < 2:
        return None
    figures = {
        f"{part}_{name}": Spread.of([entry[part][name] for entry in entries])._asdict()
        for part in ("val", "test")
        for name in ("accuracy", "loss")
    }
    return {"seeds": [entry["seed"] for entry in entries], **figures}
