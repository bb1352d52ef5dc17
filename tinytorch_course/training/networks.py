"""A trained network, taken out of its file to be used: evaluated, asked about a picture, exported."""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.data.splits import Dataset, Split
from tinytorch_course.data_names import LARGEST_SIDE
from tinytorch_course.errors import InputError
from tinytorch_course.files import parse_json, read_bounded, refuse_links
from tinytorch_course.models import Model, find_model
from tinytorch_course.own_networks import is_own
from tinytorch_course.training import checkpoints, safe_tensors
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS, Learner, make_learner
from tinytorch_course.training.own_model import model_of_run
from tinytorch_course.training.runs import CONFIG, DATA, MODELS, read_config

BATCH = 128
NETWORK_NOTE, PICTURES_NOTE = "tinytorch-model", "tinytorch-data"  # in a file of weights that carries notes
MOST_CLASSES, MOST_CHANNELS, LONGEST_NAME = 10_000, 64, 4096  # of what is not a mistake or an attack
MNIST_SIZE, MNIST_MEAN, MNIST_STD = 28, (0.1307,), (0.3081,)  # for a bare state dict that nothing is known of


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What a network was trained on, as far as its use needs it. ``data.json`` holds it in a run folder."""

    name: str | None  # as --data takes it; None: unknown
    title: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]  # one per channel, of the training images / 255
    std: tuple[float, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> "Pictures":
        """Those of a data set."""
        _, channels, _, side = dataset.train.images.shape
        return cls(
            dataset.name, dataset.title, tuple(dataset.classes), channels, side, tuple(dataset.mean), tuple(dataset.std)
        )


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network in evaluation mode."""

    path: Path  # the file of its parameters
    run: Path | None  # the run folder that the file lies in
    model: str
    impl: str
    config: TrainConfig | None  # the run's
    pictures: Pictures
    learner: Learner
    device: torch.device

    @property
    def data(self) -> str | None:
        """What it was trained on, as --data takes it; None: unknown."""
        return self.pictures.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the logits."""
        return self.pictures.classes

    @property
    def channels(self) -> int:
        """Of its pictures: 1 or 3."""
        return self.pictures.channels

    @property
    def image_size(self) -> int:
        """Pixels along each side."""
        return self.pictures.image_size

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, from 0 to 1: what is subtracted."""
        return self.pictures.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel, from 0 to 1: what is divided by."""
        return self.pictures.std

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) as the network wants it: (images / 255 - mean) / std, on its device."""
        return next(self._batches(images, len(images)))

    def logits(self, images: Tensor) -> Tensor:
        """The network's answers to uint8 images (N, C, H, W): (N, classes), on the CPU.

        Raises:
            InputError: if they are none such, or not of the network's channels and size, or an answer is not finite.
        """
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.dim() != 4:
            got = f"{tuple(images.shape)}, {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
            raise InputError(f"images must be a uint8 tensor (N, C, H, W) of pixels from 0 to 255, but it is {got}")
        wanted = (self.channels, self.image_size, self.image_size)
        if tuple(images.shape[1:]) != wanted:
            raise InputError(
                f"{self.path} expects images of {_spell(wanted)}, but these are {_spell(images.shape[1:])}"
            )
        if not len(images):
            return torch.empty(0, len(self.classes))
        logits = torch.cat([self.learner.predict(x).cpu() for x in self._batches(images, BATCH)])
        if not logits.isfinite().all():
            raise InputError(f"{self.path} answers with NaN or infinity: its weights or its {DATA} are out of range")
        return logits

    def _batches(self, images: Tensor, size: int) -> Any:
        unlabelled = Split(images, torch.zeros(len(images), dtype=torch.int64))
        loader = MemoryLoader(unlabelled, self.mean, self.std, device=self.device, dtype=self.learner.dtype)
        return (x for x, _ in loader.batches(None, size))


@functools.cache  # says it once
def print_note(sentence: str) -> None:
    """One line on stderr."""
    print(f"Note: {sentence}", file=sys.stderr)


def open_network(
    checkpoint: str,
    *,
    model: str | Callable[..., Any] | Model | None = None,
    impl: str | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    device: str = "cpu",
    trust: bool = False,
    notify: Callable[[str], None] = print_note,
) -> Network:
    """The network in a run folder, in a run's ``model.pt``, or in any file that holds a state dict.

    Args:
        checkpoint: the folder or file.
        model: its name, or a function of L. None: what the run says; a file without a run needs it, and a run of a
            network of one's own unless ``trust``.
        impl: the implementation to use, whichever trained it. None: the run's, else scratch.
        data: what a file without a run was trained on. None: MNIST's statistics are taken, and classes are numbered.
        data_dir: where data sets lie, for a run of an older version, which did not note its data's statistics.
        device: "cpu", "cuda" or "cuda:N".
        trust: whether code that the run folder keeps may be run.
        notify: is told if ``model`` is not quite what the run was trained with.

    Raises:
        InputError: if there is no such file, it is no checkpoint, or one of another network (the keys are named).
    """
    path, run, tensors, notes = read_state_dict(checkpoint)
    config = read_config(run / CONFIG) if run else None
    if run is not None and config is not None:
        found = model_of_run(run, config.model, model, trust=trust, notify=notify)
    elif model is not None:
        found = find_model(model)
    elif NETWORK_NOTE in notes and not is_own(notes[NETWORK_NOTE]):  # whose code would be run unasked
        found = find_model(notes[NETWORK_NOTE])
    else:
        raise InputError(f"{path} does not say which network it holds: name it with --model")
    impl = impl or (config.impl if config else "scratch")
    if impl not in LEARNERS:
        raise InputError(f"impl must be {' or '.join(LEARNERS)}, but it is {impl!r}")
    if run and config and data is None:
        pictures = _pictures(run, config, data_dir)
    elif PICTURES_NOTE in notes and data is None:
        pictures = parse_pictures(notes[PICTURES_NOTE], path)
    else:
        pictures = _guess(tensors, data, data_dir, path)
    settings = dataclasses.replace(
        config or TrainConfig(),
        model=found.name,
        impl=impl,
        dtype=_dtype(tensors),
        freeze=None,  # this and the next two are for training
        compile=False,
        cuda_graph=False,
    )
    where = torch.device(device)
    learner = make_learner(
        settings,
        model=found,
        classes=len(pictures.classes),
        channels=pictures.channels,
        image_size=pictures.image_size,
        device=where,
    )
    checkpoints.check_state_dict(tensors, checkpoints.shapes_of(learner.state_dict()), path)
    learner.load_state_dict(tensors)
    return Network(path, run, found.name, impl, config, pictures, learner, where)


def notes_of(model: str, pictures: Pictures) -> dict[str, str]:
    """What a file of weights says of its network, so that it can be used without a run folder."""
    return {NETWORK_NOTE: model, PICTURES_NOTE: json.dumps(dataclasses.asdict(pictures))}


def read_state_dict(checkpoint: str) -> tuple[Path, Path | None, dict[str, Tensor], dict[str, str]]:
    """The tensors in a run folder, in a file of one, or in any file that holds a state dict.

    Returns:
        The file, the run folder that it lies in (None: in none), the tensors by name, and what the file notes of them.

    Raises:
        InputError: if there is no such file, or it holds something else.
    """
    path = Path(checkpoint)
    if path.is_dir():
        path = path / next((name for name in MODELS.values() if (path / name).is_file()), MODELS["pt"])
    run = path.parent if (path.parent / CONFIG).is_file() else None
    if Path(checkpoint).is_dir() and not path.exists():
        raise InputError(
            f"{checkpoint} has no {' or '.join(MODELS.values())}: "
            + ("its run has not finished its first epoch" if run else "it is not a run folder")
        )
    if run is not None:
        refuse_links(run)
    if safe_tensors.is_named(path):
        return path, run, *checkpoints.load_safe(path, require_digest=run is not None)
    tensors = checkpoints.load(path, require_digest=run is not None)
    if isinstance(tensors, dict) and isinstance(tensors.get("model"), dict):
        tensors = tensors["model"]  # last.pt, which holds more than the parameters
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path} does not hold a state dict, so it is not a saved network")
    return path, run, tensors, {}


def read_pictures(path: Path) -> Pictures:
    """What ``data.json`` says.

    Raises:
        InputError: if it cannot be read, or says something else.
    """
    return parse_pictures(read_bounded(path), path)


def parse_pictures(text: str | bytes, path: Path) -> Pictures:
    """What a file says of its pictures.

    Raises:
        InputError: if that is something else.
    """
    try:
        held = parse_json(text)
        for name in ("classes", "mean", "std"):
            held[name] = tuple(held[name])
        pictures = Pictures(**held)
        if not _makes_sense(pictures):
            raise ValueError
        return pictures
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is malformed: it does not describe a data set") from error


def _makes_sense(pictures: Pictures) -> bool:
    names = (*pictures.classes, pictures.title, *([] if pictures.name is None else [pictures.name]))
    return (
        0 < len(pictures.classes) <= MOST_CLASSES
        and all(isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable() for name in names)
        and all(type(size) is int for size in (pictures.channels, pictures.image_size))
        and 0 < pictures.channels <= MOST_CHANNELS
        and 0 < pictures.image_size <= LARGEST_SIDE
        and len(pictures.mean) == len(pictures.std) == pictures.channels
        and all(type(number) in (int, float) for number in (*pictures.mean, *pictures.std))
        # Of pixels from 0 to 1, with room to spare; False for NaN.
        and all(-100 <= number <= 100 for number in pictures.mean)
        and all(1e-6 <= number <= 100 for number in pictures.std)
    )


def _pictures(run: Path, config: TrainConfig, data_dir: str | None) -> Pictures:
    if (run / DATA).is_file():
        return read_pictures(run / DATA)
    return Pictures.of(data.sources.load(config.data, data_dir or config.data_dir))


def _guess(tensors: dict[str, Tensor], name: str | None, data_dir: str | None, path: Path) -> Pictures:
    """What a network was trained on, from its first and last weight and the name of the data, if that is known."""
    if name is not None:
        return Pictures.of(data.sources.load(name, data_dir))
    weights = [tensor for key, tensor in tensors.items() if key.endswith("weight") and tensor.dim() in (2, 4)]
    if not weights:
        raise InputError(f"{path} has no weights, so it is not a saved network")
    channels = weights[0].shape[1] if weights[0].dim() == 4 else max(1, weights[0].shape[1] // MNIST_SIZE**2)
    classes = tuple(str(number) for number in range(len(weights[-1])))
    return Pictures(None, "unknown", classes, channels, MNIST_SIZE, MNIST_MEAN * channels, MNIST_STD * channels)


def _dtype(tensors: dict[str, Tensor]) -> str:
    doubles = any(tensor.dtype == torch.float64 for tensor in tensors.values())
    return "float64" if doubles else "float32"


def _spell(shape: Any) -> str:
    return "x".join(str(number) for number in shape)
