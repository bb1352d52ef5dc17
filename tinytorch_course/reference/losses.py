"""The losses of ``scratch.losses`` as modules of torch.nn: ``loss = cross_entropy(weight=weight)(input, target)``."""

from torch import Tensor, nn


def mse(*, reduction: str = "mean") -> nn.Module:
    """The mean square of ``input − target``."""
    return nn.MSELoss(reduction=reduction)


def l1(*, reduction: str = "mean") -> nn.Module:
    """The mean of ``|input − target|``."""
    return nn.L1Loss(reduction=reduction)


def binary_cross_entropy(*, weight: Tensor | None = None, reduction: str = "mean") -> nn.Module:
    """The cross-entropy of probabilities with targets, both from 0 to 1."""
    return nn.BCELoss(weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    *, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None
) -> nn.Module:
    """The cross-entropy of logits with targets from 0 to 1."""
    return nn.BCEWithLogitsLoss(weight=weight, reduction=reduction, pos_weight=pos_weight)


def nll(*, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> nn.Module:
    """The negative of the target's log-probability."""
    return nn.NLLLoss(weight=weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> nn.Module:
    """The cross-entropy of logits with classes or their probabilities."""
    return nn.CrossEntropyLoss(
        weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
