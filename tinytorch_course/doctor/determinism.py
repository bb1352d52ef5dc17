"""Whether training gives the same bits for any number of threads on this machine: from scratch, and torch's own.

Random pictures, so that no data are needed. Compared are each step's loss, and after the last step parameters, running
statistics, the optimizer's state, their moving average, and loss and logits in evaluation.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_learner
from tinytorch_course.training.options.averaging import Average

THREADS = (1, 2, 3, 4, 8)
ODD_BATCH = 37  # the last one: a size that nothing divides


class Trial(NamedTuple):
    """What is trained."""

    model: str
    batch_size: int
    steps: int
    optimizer: str
    image_size: int = 28


TRIALS = (
    Trial("softmax", 128, 10, "sgd"),
    Trial("mlp", 128, 20, "adam"),
    Trial("lenet5", 128, 5, "adamw"),
    Trial("mnist_cnn", 128, 4, "adam"),
    Trial("mini_cnn", 128, 4, "sgd"),
    Trial("fast_cnn", 128, 5, "rmsprop"),
    Trial("tiny_vgg", 128, 4, "adam"),
    Trial("resnet18", 16, 2, "sgd", image_size=14),
)


class Sameness(NamedTuple):
    """What a trial found."""

    tensors: int  # that were compared
    differ: list[str]  # those that are not the same bits for all numbers of threads


def measure(impl: str, trial: Trial, threads: tuple[int, ...] = THREADS) -> Sameness:
    """Train the same by each number of ``threads``, and compare the bits of all that comes out."""
    first, *others = (train(impl, trial, count) for count in threads)
    differ = [name for name, tensor in first.items() if not all(same_bits(tensor, other[name]) for other in others)]
    return Sameness(len(first), differ)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same bits; unlike ``torch.equal``, NaN equals itself, and 0 does not equal −0."""
    return a.numpy().tobytes() == b.numpy().tobytes()


def train(impl: str, trial: Trial, threads: int) -> dict[str, Tensor]:
    """All that some steps compute by ``threads`` threads, by name."""
    generator = torch.Generator().manual_seed(0)
    with using(threads):
        config = TrainConfig(
            impl=impl, model=trial.model, optimizer=trial.optimizer, clip_norm=0.5, label_smoothing=0.1
        ).resolved()
        learner = make_learner(config, image_size=trial.image_size, class_weights=torch.linspace(0.5, 2, 10))
        average = Average(0.999, learner.state_dict())
        computed = {}
        for step in range(1, trial.steps + 1):
            count = trial.batch_size if step < trial.steps else ODD_BATCH
            x = torch.randn(count, 1, trial.image_size, trial.image_size, generator=generator)
            y = torch.randint(10, (count,), generator=generator)
            computed[f"loss of step {step}"], _ = learner.train_step(x, y, generator, {"lr": config.lr or 0.0})
            average.update(learner.state_dict(), step)
        for count in (1, ODD_BATCH):
            loss, logits = learner.evaluate(x[:count], y[:count])
            computed |= {f"evaluation of {count}: loss": loss, f"evaluation of {count}: logits": logits}
        state = {"network": learner.state_dict(), "optimizer": learner.optimizer_state(), "average": average.tensors}
        computed |= dict(_tensors_of(state))
        return {name: tensor.detach().clone() for name, tensor in computed.items()}


@contextlib.contextmanager
def using(threads: int) -> Iterator[None]:
    """For the time of the ``with``, torch computes by so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensors_of(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts, by its path."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors_of(inner, f"{name} {key}".strip())
