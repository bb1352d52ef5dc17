"""What a run needs before it has a network: its settings with nothing left open, its data, its device.

Whatever is random is a function of (seed, epoch, batch), so that a run that stopped goes on bit for bit as if it had
not, and both implementations see the same batches and draw the same masks.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tinytorch_course import data
from tinytorch_course.data import Dataset, Split
from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model, find_model
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.environment import check_cuda_graph, compute_alike, find_device
from tinytorch_course.training.learners import Learner, Rates, make_learner, make_schedule
from tinytorch_course.training.memory import keep_freed_memory
from tinytorch_course.training.options.augmentation import Augment
from tinytorch_course.training.options.class_weights import class_weights
from tinytorch_course.training.options.tensorboard import require_tensorboard

EVALUATION_BATCH = 128  # a larger one would need temporaries so large that memory is paged in every time
LOADERS = {"memory": MemoryLoader, "stream": StreamLoader}


@dataclasses.dataclass
class Setup:
    """A run that is ready to begin. Use :meth:`of`."""

    config: TrainConfig
    model: Model
    dataset: Dataset
    device: torch.device

    @classmethod
    def of(cls, config: TrainConfig, notify: Callable[[str], None], model: Model | None = None) -> "Setup":
        """Read the data, find the device, and let both implementations compute alike.

        Args:
            config: the run.
            notify: is told what is worth knowing, such as which data were taken.
            model: the network. None: the one that ``config`` names.

        Raises:
            InputError: if data, device or augmentation cannot be used.
        """
        model = model or find_model(config.model)
        device = find_device(config.device)
        compute_alike(config.precision, device, config.dtype)
        if config.cuda_graph:
            check_cuda_graph(config, device)
        if config.tensorboard:
            require_tensorboard()
        keep_freed_memory()
        # Nothing here draws from torch's own generator, but what a learner adds may.
        torch.manual_seed(derive_seed("global", config.seed))
        dataset = data.sources.load(
            config.data, config.data_dir, val_size=config.val_size, limit=config.limit, notify=notify
        )
        # "auto" and "the default" are settled now, so that the run can be resumed wherever it is.
        epochs = config.epochs or dataset.default_epochs
        config = dataclasses.replace(config.resolved(), data=dataset.name, epochs=epochs)
        if config.overfit_batches is not None:
            dataset = _cut_training(dataset, config.overfit_batches, config.batch_size)
        return cls(config, model, dataset, device)

    def __post_init__(self) -> None:
        self.augment = Augment(self.config.augment, self.config.seed, self.dataset)
        self.steps_per_epoch = math.ceil(len(self.dataset.train.images) / self.config.batch_size)
        self.epochs = self.config.epochs or self.dataset.default_epochs

    def changed(self, **settings: Any) -> "Setup":
        """The same run with other settings."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **settings))

    def make_learner(self) -> Learner:
        """The network, as it is before the first step.

        Raises:
            InputError: if it cannot take these images or learn from these batches, or a setting does not suit it.
        """
        _, channels, _, side = self.dataset.train.images.shape
        learner = make_learner(
            self.config,
            model=self.model,
            classes=len(self.dataset.classes),
            channels=channels,
            image_size=side,
            device=self.device,
            class_weights=class_weights(self.config.class_weights, self.dataset),
        )
        count, size = len(self.dataset.train.images), self.config.batch_size
        if size > count:
            raise InputError(f"--batch-size is {size}, but there are only {count} images to train on")
        uses_batch_norm = any(name.endswith("running_mean") for name in learner.state_dict())
        if uses_batch_norm and 1 in (size, count % size):
            which = "makes batches of one image" if size == 1 else f"leaves a last batch of one image of {count:,}"
            raise InputError(
                f"--batch-size {size} {which}, which batch norm in {self.config.model} cannot learn from: "
                "an image would be normalised by itself alone; choose another size"
            )
        return learner

    def make_schedule(self) -> Callable[[int], Rates]:
        """The schedule over the whole run."""
        return make_schedule(self.config, self.steps_per_epoch, self.epochs)

    def masks(self, epoch: int, batch: int) -> torch.Generator:
        """What the dropout masks of a step are drawn from."""
        return torch.Generator().manual_seed(derive_seed("masks", self.config.seed, epoch, batch))

    def training_batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches (x, y) of an epoch from number ``start`` on, in their order, augmented."""
        order = epoch_order(len(self.dataset.train.images), self.config.seed, epoch)
        batches = self._loader(self.dataset.train).batches(order, self.config.batch_size, start=start)
        for batch, (x, y) in enumerate(batches, start):
            yield self.augment(x, epoch, batch), y

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """A split in file order, as it is."""
        return self._loader(split).batches(None, EVALUATION_BATCH)

    def _loader(self, split: Split) -> MemoryLoader | StreamLoader:
        kind, dtype = LOADERS[self.config.loader], getattr(torch, self.config.dtype)
        return kind(split, self.dataset.mean, self.dataset.std, device=self.device, dtype=dtype)


def _cut_training(dataset: Dataset, batches: int, batch_size: int) -> Dataset:
    """Only the first ``batches`` batches of training images, in file order."""
    count, wanted = len(dataset.train.labels), batches * batch_size
    if wanted > count:
        raise InputError(
            f"--overfit-batches is {batches}, but {batches} batches of {batch_size} are {wanted:,} images, and there "
            f"are only {count:,} to train on"
        )
    return dataset._replace(train=Split(*(tensor[:wanted] for tensor in dataset.train)))
