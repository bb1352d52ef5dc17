"""A trained network asked about labelled images."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tinytorch_course import data
from tinytorch_course.errors import InputError
from tinytorch_course.evaluation.scores import Scores, score
from tinytorch_course.training.environment import compute_alike, find_device
from tinytorch_course.training.networks import Network, open_network
from tinytorch_course.training.runs import CONFIG

Prepare = Callable[[Network, Tensor], Tensor]


class Evaluation(NamedTuple):
    """How a network does on a data set."""

    network: Network
    data: str  # the set's name, as --data takes it
    title: str
    split: str  # "test", "val" or "all"
    scores: Scores

    def to_dict(self) -> dict:
        """Plain numbers, lists and dicts, for JSON."""
        return {
            "checkpoint": str(self.network.path),
            "model": self.network.model,
            "impl": self.network.impl,
            "device": str(self.network.device),
            "data": self.data,
            "split": self.split,
            "classes": list(self.network.classes),
        } | self.scores.to_dict()


def evaluate(
    checkpoint: str,
    *,
    data_name: str | None = None,
    split: str = "test",
    impl: str | None = None,
    model: str | None = None,
    trust: bool = False,
    data_dir: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    prepare: Prepare | None = None,
) -> Evaluation:
    """The scores of a checkpoint on a split of a data set.

    Args:
        checkpoint: a run folder or a file, see ``networks.open_network``.
        data_name: the set. None: the one that the network was trained on. Whichever it is, its images are normalised
            as those were that the network was trained on.
        split: "test" or "val"; the latter has as many images as in the run, if the set is the run's. "all" are all
            images of a set that the network was not trained on.
        impl: the implementation to use, whichever trained it. None: the run's.
        model: for a file that does not say which network it holds, and for one of the user's own.
        trust: whether the code that the run folder keeps of such a network may be run instead.
        data_dir: where data sets lie. None: where the run says.
        limit: take no more than so many images. None: all.
        device: "auto", "cpu", "cuda" or "cuda:N".
        prepare: brings images (N, C, H, W), uint8, to what the network knows. None: they are so already.

    Raises:
        InputError: if checkpoint or data cannot be had, or do not fit each other.
    """
    compute_alike()
    of_a_run = (Path(checkpoint) / CONFIG).is_file() or (Path(checkpoint).parent / CONFIG).is_file()
    network = open_network(
        checkpoint,
        model=model,
        trust=trust,
        impl=impl,
        data=None if of_a_run else data_name,
        data_dir=data_dir,
        device=str(find_device(device)),
    )
    return evaluate_network(network, data_name=data_name, split=split, data_dir=data_dir, limit=limit, prepare=prepare)


def evaluate_network(
    network: Network,
    *,
    data_name: str | None = None,
    split: str = "test",
    data_dir: str | None = None,
    limit: int | None = None,
    prepare: Prepare | None = None,
) -> Evaluation:
    """The scores of a network that is open already. See :func:`evaluate`."""
    name, config = data_name or network.data, network.config
    if name is None:
        raise InputError(f"{network.path} does not say which data it was trained on: name them with --data")
    dataset = data.sources.load(
        name,
        data_dir or (config.data_dir if config else None),
        val_size=config.val_size if config and name == network.data else None,
    )
    _check_classes(network, dataset)
    if split == "all" and name == network.data:
        raise InputError("--split all would score images that the network was trained on: name other data with --data")
    parts = (dataset.train, dataset.val, dataset.test) if split == "all" else (getattr(dataset, split),)
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    if limit is not None:
        images, labels = images[:limit], labels[:limit]
    if prepare is not None:
        images = prepare(network, images)
    scores = score(network.logits(images), labels, dataset.classes)
    return Evaluation(network, dataset.name, dataset.title, split, scores)


def _check_classes(network: Network, dataset: data.Dataset) -> None:
    ours, theirs = network.classes, tuple(dataset.classes)
    if len(ours) != len(theirs):
        raise InputError(
            f"{network.path} distinguishes {len(ours)} classes, but {dataset.title} has {len(theirs)}: "
            "choose another --data"
        )
    if ours != theirs and network.data is not None:
        other = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
        raise InputError(
            f"{network.path} was trained on other classes than those of {dataset.title}: {other[0]!r} where that has "
            f"{other[1]!r}: choose another --data"
        )
