"""How far two implementations of one training are apart: tensor by tensor, step by step."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.instruments.recording import KINDS, Quantity

# Below this a tensor's size no longer counts: a gradient that is 0 but for rounding (1e-17 here, -3e-18 there) would
# otherwise be told as 100 % wrong.
SMALLEST_SCALE = 1e-6
# So many units in the last place still read as rounding; more of them say less than the relative error does.
MOST_ULPS = 1000

# Both gradients of a layer are made in one go, so they are told in one row of order.
_RANK = {kind: rank for rank, kind in enumerate(KINDS)} | {"gradient": list(KINDS).index("output gradient")}


class Distance(NamedTuple):
    """How far one tensor of ours is from torch's.

    Both numbers are taken at the scale of torch's largest entry: entry by entry, one that is 0 but for rounding would
    drown all others.
    """

    error: float  # max |ours − torch's| / max |torch's|; infinite where only one of them is NaN
    ulps: float  # the same difference in units of the last place

    def __str__(self) -> str:
        if self.error == 0:
            return "equal"
        return f"{math.ceil(self.ulps)} ulp" if self.ulps <= MOST_ULPS else f"{self.error:.1e}"


def distance(ours: Tensor, twin: Tensor) -> Distance:
    """How far ``ours`` is from ``twin``: 0 if they are equal bit for bit (but for the sign of a zero).

    Equal infinities agree, and so do NaNs.
    """
    if ours.shape != twin.shape:
        return Distance(math.inf, math.inf)
    if not twin.is_floating_point():
        ours, twin = ours.double(), twin.double()
    if twin.numel() == 0:
        return Distance(0.0, 0.0)
    worst, scale = (ours - twin).abs().amax().item(), twin.abs().amax().item()
    if not math.isfinite(worst) or not math.isfinite(scale):
        worst = _differences(ours, twin).amax().item()
        scale = twin.nan_to_num(0, 0, 0).abs().amax().item()
    if worst == 0:
        return Distance(0.0, 0.0)
    spacing = math.ldexp(torch.finfo(twin.dtype).eps, math.frexp(scale)[1] - 1) if scale else 0.0
    return Distance(worst / max(scale, SMALLEST_SCALE), worst / spacing if spacing else math.inf)


class Entry(NamedTuple):
    """One number of a tensor, in both implementations."""

    place: tuple[int, ...]  # the index
    ours: float
    twin: float


def worst_entry(ours: Tensor, twin: Tensor) -> Entry:
    """The entry in which the two tensors, of one shape, differ most."""
    worst = int(_differences(ours.double(), twin.double()).argmax())
    place = tuple(int(index) for index in torch.unravel_index(torch.tensor(worst), ours.shape))
    return Entry(place, ours.reshape(-1)[worst].item(), twin.reshape(-1)[worst].item())


def _differences(ours: Tensor, twin: Tensor) -> Tensor:
    """|ours − torch's|, but 0 between equal infinities and between NaNs, and infinite where only one is NaN."""
    agree = (ours == twin) | (ours.isnan() & twin.isnan())
    return (ours - twin).abs().masked_fill(agree, 0).nan_to_num(nan=math.inf, posinf=math.inf)


@dataclass
class Timeline:
    """The distances of every step, counted from 1."""

    steps: list[dict[Quantity, Distance]] = field(default_factory=list)

    def quantities(self) -> list[Quantity]:
        """All that was compared, in the order of computation."""
        seen = dict.fromkeys(quantity for step in self.steps for quantity in step)
        return sorted(seen, key=lambda quantity: _RANK[quantity.kind])  # a stable sort: in a kind, as it was computed

    def largest(self, kinds: Iterable[str] = KINDS) -> tuple[int, Quantity, Distance] | None:
        """The step, the quantity and the distance of the largest error among ``kinds``; None without any."""
        kinds = set(kinds)
        found = (
            (number, quantity, each)
            for number, step in enumerate(self.steps, 1)
            for quantity, each in step.items()
            if quantity.kind in kinds
        )
        return max(found, key=lambda entry: entry[2].error, default=None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``relative_error[step][tensor]`` and ``ulp``, null where a step did not compute the tensor."""
        tensors = self.quantities()

        def rows(read: Callable[[Distance], Any]) -> list[list[Any]]:
            return [[read(step[each]) if each in step else None for each in tensors] for step in self.steps]

        return {
            "tensors": [quantity._asdict() for quantity in tensors],
            "steps": list(range(1, len(self.steps) + 1)),
            "relative_error": rows(lambda each: spell(each.error)),
            "ulp": rows(lambda each: math.ceil(each.ulps) if each.ulps < math.inf else "inf"),
        }


def largest_error(distances: Mapping[Quantity, Distance], kind: str) -> Distance:
    """The largest distance of one kind in one step; 0 if there is none of that kind."""
    found = (each for quantity, each in distances.items() if quantity.kind == kind)
    return max(found, key=lambda each: each.error, default=Distance(0.0, 0.0))


def spell(number: float) -> float | str:
    """A number as JSON can hold it: infinity and NaN, which it has no words for, as "inf" and "nan"."""
    return number if math.isfinite(number) else str(number)
