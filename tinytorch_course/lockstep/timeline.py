"""How far two implementations of one training are apart: tensor by tensor, step by step."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.instruments.recording import KINDS, Quantity, Tensors

# Below this a tensor's size no longer counts: a gradient that is 0 but for rounding (1e-17 here, -3e-18 there) would
# otherwise be told as 100 % wrong.
SMALLEST_SCALE = 1e-6
# So many units in the last place still read as rounding; more of them say less than the relative error does.
MOST_ULPS = 1000

# What no rounding of one step in float32 can do to a tensor as a whole; and the size, beside the largest of its kind,
# below which a tensor may be nothing but rounding.
BEYOND_ROUNDING, NOTHING_BUT_ROUNDING = 1e-2, 1e-3

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


def beyond_rounding(ours: Tensors, twin: Tensors, before: Mapping[str, Tensor]) -> Quantity | None:
    """The first tensor of a step that differs from torch's by more than float32's rounding; None if there is none.

    For a step that both took from the same numbers. Tensors count as a whole (the root of their mean square), so that
    a tie broken otherwise does not, and parameters by how far they moved from ``before``.
    """
    steps = {
        quantity: tensor.double() - (before[quantity.name].double() if quantity.kind == "parameter" else 0)
        for quantity, tensor in twin.items()
    }
    largest: dict[str, float] = {}
    for quantity, step in steps.items():
        largest[_sort_of(quantity)] = max(_size(step), largest.get(_sort_of(quantity), 0.0))
    for quantity in Timeline([dict.fromkeys(ours, Distance(0.0, 0.0))]).quantities():
        mine, theirs = ours[quantity].double(), twin[quantity].double()
        limit = BEYOND_ROUNDING * max(_size(steps[quantity]), NOTHING_BUT_ROUNDING * largest[_sort_of(quantity)])
        if quantity.kind == "output gradient":  # which is elsewhere where a layer of one's own breaks ties otherwise
            limit *= 10
        if quantity.kind == "parameter":  # which is rounded itself, however small the step
            limit += 16 * torch.finfo(torch.float32).eps * _size(theirs)
        if not theirs.isfinite().all():  # torch is lost itself, and its next loss says so
            return None
        if mine.shape != theirs.shape or not _size(_differences(mine, theirs)) <= limit:
            return quantity
    return None


def _size(tensor: Tensor) -> float:
    """The root of the mean square, which does not overflow before its result does."""
    largest = tensor.abs().max().item() if tensor.numel() else 0.0
    return largest * (tensor / largest).square().mean().sqrt().item() if largest > 0 else largest


def _sort_of(quantity: Quantity) -> str:
    """Quantities that may be measured beside each other: "gradient", "exp_avg", "lr"."""
    return quantity.name.partition(" of ")[0] if quantity.kind in ("moment", "rate") else quantity.kind


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


def is_shown(step: int) -> bool:
    """Whether a step, from 1, has a line of its own: 1, 2, 3, 5 and their multiples by powers of ten."""
    digits = str(step)
    return digits[0] in "1235" and set(digits[1:]) <= {"0"}
