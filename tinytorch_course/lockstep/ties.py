"""Ties: places where two answers are right, and rounding decides which one is given.

Over a constant background two pixels of a pooling window are equal in real arithmetic, and either may come out larger
by a unit in the last place; relu and leaky relu have the same at 0. Whoever rounds otherwise decides otherwise, and
then the two gradients differ entry by entry, although both are right.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Numbers so many units in the last place of the tensor's largest apart are equal but for rounding: the sums behind them
# have some hundred summands.
ULPS = 32


class Ties(NamedTuple):
    """What rounding decides in a step."""

    windows: int = 0  # of max pooling, whose two largest values are equal but for rounding
    other_winner: int = 0  # of all windows, those in which the two implementations chose another place
    zeros: int = 0  # inputs of relu and leaky relu that are 0 but for rounding
    other_side: int = 0  # of all inputs, those that one implementation has above 0 and the other has not

    @property
    def differ(self) -> bool:
        """Whether any was broken differently."""
        return self.other_winner + self.other_side > 0

    def __str__(self) -> str:
        """What is to be said of those that were broken differently."""
        parts = []
        if self.other_winner:
            ties, windows = _count(self.windows, "tie"), _count(self.other_winner, "window")
            parts.append(f"{ties} of max pooling, broken differently in {windows}")
        if self.other_side:
            zeros, places = _count(self.zeros, "zero"), _count(self.other_side, "place")
            parts.append(f"{zeros} of relu, on another side in {places}")
        return f"{'; '.join(parts)}: both are right"

    def plus(self, other: "Ties") -> "Ties":
        """Both added up."""
        return Ties(*(mine + yours for mine, yours in zip(self, other, strict=True)))


def find_ties(modules: dict[str, nn.Module], ours: dict[str, Tensor], twins: dict[str, Tensor]) -> Ties:
    """The ties of a step, and those that were broken differently.

    Args:
        modules: the layers with a kink, by name.
        ours: what entered each of them, from scratch.
        twins: the same in torch.
    """
    found = Ties()
    for name, module in modules.items():
        if isinstance(module, nn.MaxPool2d):
            differ = int((_winners(module, ours[name]) != _winners(module, twins[name])).sum())
            found = found.plus(Ties(_tied_windows(module, twins[name]) if differ else 0, differ))
        else:
            differ = int(((ours[name] > 0) != (twins[name] > 0)).sum())
            found = found.plus(Ties(0, 0, _tied_zeros(twins[name]) if differ else 0, differ))
    return found


def _winners(pool: nn.MaxPool2d, x: Tensor) -> Tensor:
    return F.max_pool2d(x, **_options(pool), return_indices=True)[1]


def _tied_windows(pool: nn.MaxPool2d, x: Tensor) -> int:
    """How many windows have two largest values that are equal but for rounding. (Zeros are equal on every machine.)"""
    count = F.max_pool2d(torch.zeros_like(x[:1, :1]), **_options(pool)).shape[-2:]
    kernel, stride, padding, dilation = map(_pair, (pool.kernel_size, pool.stride, pool.padding, pool.dilation))
    taps = x
    for axis, (k, s, p, d, size, n) in enumerate(
        zip(kernel, stride, padding, dilation, x.shape[-2:], count, strict=True)
    ):
        over = max(0, (n - 1) * s + d * (k - 1) + 1 - size - p)  # how far the last window reaches over the edge
        taps = F.pad(taps.transpose(2 + axis, -1), (p, over), value=-torch.inf).transpose(2 + axis, -1)
        taps = taps.unfold(2 + axis, d * (k - 1) + 1, s)[..., ::d]
    if kernel == (1, 1):
        return 0
    first, second = taps.flatten(4).topk(2).values.unbind(-1)
    return int(((first - second <= _rounding(x)) & (first != 0)).sum())


def _tied_zeros(x: Tensor) -> int:
    return int(((x.abs() <= _rounding(x)) & (x != 0)).sum())


def _rounding(x: Tensor) -> float:
    return ULPS * torch.finfo(x.dtype).eps * x.abs().max().item()


def _options(pool: nn.MaxPool2d) -> dict[str, Any]:
    return {name: getattr(pool, name) for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")}


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"
