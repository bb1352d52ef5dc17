"""What ``import tinytorch_course as tt`` gives besides modules: functions that take names, numbers and tensors."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinytorch_course import reference
from tinytorch_course.errors import did_you_mean, naming_arguments
from tinytorch_course.evaluation.evaluate import Evaluation, evaluate_network
from tinytorch_course.lockstep import compare as lockstep
from tinytorch_course.lockstep.settings import DEFAULT_STEPS, DEFAULT_TOLERANCE, check_settings
from tinytorch_course.models import Model, find_model
from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.display import QUIET, Display
from tinytorch_course.training.environment import compute_alike, find_device
from tinytorch_course.training.learners import ScratchLearner, TorchLearner
from tinytorch_course.training.networks import Network, open_network
from tinytorch_course.training.progress import Result

SETTINGS = [field.name for field in dataclasses.fields(TrainConfig)]
NetworkName = str | Callable[..., Any]  # as --model takes it, or a function of L itself


@naming_arguments(*SETTINGS)
def train(
    model: NetworkName = TrainConfig.model, *, out: str | None = None, display: Display = QUIET, **settings: Any
) -> Result:
    """Train a network, choose its best epoch on validation images, and test it once.

    Args:
        model: one of ``tt.models.MODELS``, "FILE:NAME", or a function of L.
        out: the run folder to write; None: a new one in ``runs/``.
        display: is told what happens (see ``training.display``); without one nothing is shown.
        settings: those of ``tinytorch train``: ``impl``, ``data``, ``epochs``, ``lr``, ``seed``, ...

    Returns:
        What it came to: ``run_folder``, ``test_accuracy``, ``test_interval``, ``best_epoch``, ...

    Raises:
        InputError: if something cannot be used; nothing is written then.
        TypeError: for a setting that does not exist.
    """
    found, config = _configure("train", model, settings)
    return loop.train(config, out=out, display=display, model=found)


@naming_arguments(*SETTINGS)
def compare(
    model: NetworkName = TrainConfig.model,
    *,
    steps: int | None = None,
    tolerance: float | None = None,
    display: Any = lockstep.QUIET,
    **settings: Any,
) -> lockstep.Comparison:
    """Train both implementations side by side, up to the first tensor in which they differ.

    Args:
        model: one of ``tt.models.MODELS``, "FILE:NAME", or a function of L.
        steps: how many. None: 100, or ``epochs`` if that is among the settings.
        tolerance: the largest relative error allowed. None: 1e-9 in float64, in float32 any that rounding can come to.
        display: is told what happens (see ``lockstep.display``); without one nothing is shown.
        settings: those of ``tinytorch compare``: ``data``, ``dtype``, ``batch_size``, ``seed``, ...

    Returns:
        Each step's errors, and ``divergence``: the first tensor out of tolerance, or None.

    Raises:
        InputError: if something cannot be used. TypeError: for a setting that does not exist.
    """
    found, config = _configure("compare", model, settings)
    config.validate()
    check_settings(steps, config.epochs, tolerance)
    if steps is None and config.epochs is None:
        steps = DEFAULT_STEPS
    if tolerance is None:
        tolerance = DEFAULT_TOLERANCE[config.dtype]
    return lockstep.compare(config, steps=steps, tolerance=tolerance, display=display, model=found)


@naming_arguments(*SETTINGS)
def load_run(
    path: str, *, model: NetworkName | None = None, trust: bool = False, impl: str | None = None, device: str = "cpu"
) -> "TrainedRun":
    """The network in a run folder, or in a file of weights, ready to be used.

    Args:
        path: the folder or file.
        model: the network, where the file does not say it, and where it is one of your own: code that a run folder
            holds is not run unasked.
        trust: whether the copy of such code that the run folder keeps may be run instead.
        impl: "scratch" or "torch", whichever trained it. None: the run's.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: if there is no such run, or it cannot be used.
    """
    compute_alike()
    return TrainedRun(
        open_network(path, model=model, trust=trust, impl=impl, device=str(find_device(device)), notify=QUIET.notice)
    )


class Normalisation(NamedTuple):
    """What was done to the pixels before the network saw them: ``(pixels / 255 - mean) / std``."""

    mean: tuple[float, ...]  # one per channel
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W), as the network wants it: float32 of that shape."""
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in self)
        return (images / 255 - mean) / std


class TrainedRun:
    """A trained network, in evaluation mode. Made by :func:`load_run`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __repr__(self) -> str:
        kind = {"scratch": "from scratch", "torch": "in torch"}[self._network.impl]
        return f"TrainedRun({self._network.model} {kind}, {self._network.path}, {len(self.classes)} classes)"

    @property
    def config(self) -> TrainConfig | None:
        """The settings of its training; None for a file of weights without a run."""
        return self._network.config

    @property
    def classes(self) -> tuple[str, ...]:
        """What its answers stand for, by place."""
        return self._network.classes

    @property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of the training images, which its input is normalised with."""
        return Normalisation(tuple(self._network.mean), tuple(self._network.std))

    def state_dict(self) -> dict[str, Tensor]:
        """Its parameters and running statistics: what model.pt holds."""
        return dict(self._network.learner.state_dict())

    @naming_arguments(*SETTINGS)
    def logits(self, images: Tensor) -> Tensor:
        """Its answers to images, uint8 (N, C, H, W): float (N, classes), before any softmax.

        Raises:
            InputError: if they are none such.
        """
        return self._network.logits(images)

    def predict(self, images: Tensor) -> Tensor:
        """The likeliest class of each image, uint8 (N, C, H, W): int64 (N,), places in ``classes``."""
        return self.logits(images).argmax(dim=1)

    @naming_arguments(*SETTINGS)
    def evaluate(self, data: str | None = None, *, split: str = "test", limit: int | None = None) -> Evaluation:
        """Its scores on labelled images: ``.scores.accuracy``, ``.interval``, ``.loss``, and more.

        Args:
            data: a data set's name or path. None: the one it was trained on.
            split: "test" or "val".
            limit: no more than so many images. None: all.

        Raises:
            InputError: if there are no such data, or they have other classes.
        """
        return evaluate_network(self._network, data_name=data, split=split, limit=limit)

    def to_torch(self) -> nn.Module:
        """The network as an ``nn.Module`` of its own: weights loaded, evaluation mode, for normalised input."""
        learner = self._network.learner
        if isinstance(learner, TorchLearner):
            return copy.deepcopy(learner.net).eval()
        assert isinstance(learner, ScratchLearner)
        module: nn.Module = learner.build(reference.layers)
        module.load_state_dict(learner.state_dict())
        return module.to(learner.dtype).eval()


def _configure(function: str, model: NetworkName, settings: dict[str, Any]) -> tuple[Model, TrainConfig]:
    """The network, and the run's configuration."""
    for name in settings:
        if name not in SETTINGS:
            raise TypeError(f"{function}() has no setting '{name}'{did_you_mean(name, SETTINGS)}")
    found = find_model(model)
    return found, TrainConfig(model=found.name, **settings)
