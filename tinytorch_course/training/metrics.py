"""Loss and accuracy of an epoch, and how far an accuracy can be trusted."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Metrics:
    """Running sums over the samples of an epoch.

    They count samples, not batches: the mean of the batches' means gives each sample of a short last batch too much
    weight (0.1 % of the data can count for 1 %). On an accelerator the sums stay there, so that a step does not wait
    for the one before it; reading ``loss`` or ``accuracy`` waits.
    """

    loss_sum: float | Tensor = 0.0  # Σ of the loss over all samples, in float64
    correct: int | Tensor = 0  # how many were classified correctly
    count: int = 0  # how many samples

    def add(self, loss: Tensor, logits: Tensor, target: Tensor) -> None:
        """Add a batch: its mean loss (scalar), its logits (N, K) and its labels (N,)."""
        samples = len(target)
        self.loss_sum = self.loss_sum + loss.detach().double() * samples
        self.correct = self.correct + (logits.detach().argmax(dim=1) == target).sum()
        self.count += samples

    def read(self, losses: list[Tensor]) -> list[float]:
        """The sums so far, and ``losses`` (scalars of the same device), as plain numbers: Python waits once for all."""
        sums = torch.as_tensor(self.loss_sum), torch.as_tensor(self.correct)
        *numbers, self.loss_sum, correct = torch.stack([*losses, *sums]).tolist()
        self.correct = int(correct)
        return numbers

    @property
    def loss(self) -> float:
        """The mean loss of a sample."""
        return float(self.loss_sum) / self._counted()

    @property
    def accuracy(self) -> float:
        """The share of samples classified correctly, from 0 to 1."""
        return int(self.correct) / self._counted()

    def state_dict(self) -> dict[str, float | int]:
        """The sums as plain numbers: ``Metrics(**state)`` goes on where these stopped, bit for bit."""
        return {"loss_sum": float(self.loss_sum), "correct": int(self.correct), "count": self.count}

    def _counted(self) -> int:
        if self.count == 0:
            raise ValueError("no sample has been added yet, so there is no mean")
        return self.count


Z = 1.959963984540054  # standard deviations of the normal distribution, within which are 95 %


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """Where the true accuracy lies, given ``correct`` of ``count`` test samples: a 95 % interval.

    With p = correct / count, n = count and z = 1.96, the interval is
    ``(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)``: all true accuracies under which a result as far off as p
    is within z standard deviations. Unlike p ± z √(p(1 − p)/n) it never leaves [0, 1], and it keeps a width when every
    sample was right.

    Args:
        correct: how many samples were classified correctly, from 0 to ``count``.
        count: how many samples there were, at least 1.

    Returns:
        (low, high), each from 0 to 1.

    Raises:
        ValueError: if the counts are impossible.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if count < 1 or not 0 <= correct <= count:
        raise ValueError(f"correct must be from 0 to count, and count at least 1, but they are {correct} and {count}")
    share = correct / count
    center = share + Z * Z / (2 * count)
    half_width = Z * math.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    scale = 1 + Z * Z / count
    # With none or all right, one end is 0 or 1 exactly, which rounding would miss by a hair.
    low = 0.0 if correct == 0 else (center - half_width) / scale
    high = 1.0 if correct == count else (center + half_width) / scale
    return low, high
