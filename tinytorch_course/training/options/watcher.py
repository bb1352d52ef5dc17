"""What may look on while a run trains, and changes nothing: the log of gradients, TensorBoard."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Watcher:
    """Is told what happens, in order. What a watcher does not care for, it leaves to this class."""

    def step(self, epoch: int, batch: int, x: Tensor) -> None:
        """A step is coming (epoch and batch counted from 0), with the images ``x`` as the network will see them."""

    def gradients(self, grads: Mapping[str, Tensor]) -> None:
        """Its gradients, before they are clipped. They are the step's own: to keep one, copy it."""

    def epoch_end(self, row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """An epoch is done: its row of the history, and the network that was validated."""

    def save(self) -> None:
        """The run is about to be saved: what was told so far must survive its end."""

    def close(self) -> None:
        """The run ends, in whatever way."""
