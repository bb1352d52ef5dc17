"""``--ema``: the network that is validated, kept and tested is a running average of the one that is trained."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from tinytorch_course.training.learners import Learner

WARM_UP = 10  # in the first steps the average must forget where it began


class Average:
    """The exponential moving average of a network's tensors: ``a ← d a + (1 − d) θ`` after each step.

    ``d`` is ``min(decay, (1 + step) / (10 + step))``, so that the random start is soon forgotten, also in a short run.
    The running statistics of batch norm are averaged like parameters: each belongs to weights that are averaged with
    it. Counters are copied. That is ``torch.optim.swa_utils.AveragedModel`` with ``use_buffers=True``, but for the d of
    the first steps.

    Args:
        decay: from 0 (the last step alone) to below 1; 0.999 averages about the last 1,000 steps.
        tensors: the network's ``state_dict()``, where the average begins.

    Source: Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging"; the d of the first steps
    is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float, tensors: dict[str, Tensor]):
        self.decay = decay
        self.tensors = copied(tensors)

    @torch.no_grad()
    def update(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take in the network as it is after ``step`` (counted from 1)."""
        decay = min(self.decay, (1 + step) / (WARM_UP + step))
        for name, average in self.tensors.items():
            if average.is_floating_point():
                average.lerp_(tensors[name], 1 - decay)
            else:
                average.copy_(tensors[name])

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from an average that was saved."""
        self.tensors = {name: tensors[name].to(own.device, own.dtype) for name, own in self.tensors.items()}


@contextlib.contextmanager
def holding(learner: Learner, tensors: dict[str, Tensor]) -> Iterator[None]:
    """For the time of the ``with``, ``learner`` holds ``tensors`` in place of its own."""
    own = copied(learner.state_dict())
    learner.load_state_dict(tensors)
    try:
        yield
    finally:
        learner.load_state_dict(own)


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers, which no step changes."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
