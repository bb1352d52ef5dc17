"""What is right, on inputs that tell things apart: probes that judge a changed program in well under a millisecond."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Quantity
from tinytorch_course.checking.gradients import copied, flat, is_float, measured_gradient, twin_results
from tinytorch_course.seeds import derive_seed

EXACT, MEASURED = 1e-9, 2e-5  # tolerances beside autograd and beside differences, relative above 1
MEASURABLE = 300  # entries of an input that are measured one by one
PRIMES = (5, 7, 11, 3, 13)


class Verdict(NamedTuple):
    """How a program did on one probe."""

    right: frozenset[Quantity]
    score: float  # of what is wrong: how near it comes, from 0 to 1 for each quantity

    def better_than(self, other: "Verdict") -> bool:
        """Whether it has all that the other has right, and is nearer in the rest."""
        return self.right >= other.right and (self.right > other.right or self.score > other.score + 1e-6)


NOTHING = Verdict(frozenset(), -1.0)


class _Wanted(NamedTuple):
    tensor: Tensor
    bound: Tensor


def wanted(tensor: Tensor, tolerance: float) -> _Wanted | None:
    """What is right, with the bounds of its errors; None where it is not finite."""
    if not bool(tensor.isfinite().all()):
        return None
    return _Wanted(tensor, tolerance * (1 + tensor.abs()))


def agrees(got: Any, right: _Wanted) -> bool:
    """Whether ``got`` is right, within the bounds."""
    if not isinstance(got, Tensor) or got.shape != right.tensor.shape or got.dtype != right.tensor.dtype:
        return False
    return bool(((got - right.tensor).abs() <= right.bound).all())


def nearness(got: Any, right: _Wanted) -> float:
    """The share of entries that are right, and the cosine between both."""
    if not isinstance(got, Tensor) or got.shape != right.tensor.shape or not got.numel():
        return -1.0
    hits = ((got - right.tensor).abs() <= right.bound).double().mean().item()
    a, b = got.double().flatten(), right.tensor.double().flatten()
    cosine = torch.dot(a, b).item() / (a.norm().item() * b.norm().item() + 1e-300)
    return hits + 0.5 * cosine if math.isfinite(cosine) else -1.0


class GradientProbe:
    """One set of inputs, one cotangent, and what should come out."""

    optional = False

    def __init__(
        self,
        name: str,
        pair: tuple[Callable, Callable],
        inputs: tuple,
        kwargs: dict[str, Any],
        dout: Tensor,
        right: dict[Quantity, Tensor],
        slots: list[int],
        tolerance: float = EXACT,
    ):
        self.name, self.inputs, self.kwargs, self.dout, self.slots = name, inputs, kwargs, dout, slots
        self.forward, self.backward = pair
        found = {quantity: wanted(tensor, tolerance) for quantity, tensor in right.items()}
        self.right = {quantity: one for quantity, one in found.items() if one is not None}
        self.quantities = frozenset(self.right)
        self._kept: tuple | None = None
        self._versions: list[tuple[Tensor, int]] = []

    def judge(self, *, rerun: bool, only_forward: bool = False, twice: bool = False) -> Verdict:
        """Run the program.

        Args:
            rerun: whether forward has to run again, because its code has changed.
            only_forward: whether what forward returns is all that is asked.
            twice: whether backward has to give the same a second time.
        """
        torch.default_generator.manual_seed(0)  # torch.manual_seed keeps a stack trace for each call
        verdicts = []
        with torch.no_grad():
            out, extras, cache = self._forward(rerun)
            got: dict[Quantity, Any] = {"out": out}
            got |= {f"result {number}": extra for number, extra in enumerate(extras, start=1)}
            try:
                for _ in range(2 if twice else 1):
                    dout = self.dout.clone()
                    grads = {} if only_forward else self._sorted(self.backward(dout, _shallow(cache)))
                    if twice and dout._version:
                        return NOTHING
                    verdicts.append(self._compared(got | grads, only_forward))
            finally:
                if any(x._version != version for x, version in self._versions):
                    self.forget()
        return min(verdicts, key=lambda verdict: len(verdict.right))

    def _compared(self, got: dict[Quantity, Any], only_forward: bool) -> Verdict:
        score, right = 0.0, set()
        for quantity, one in self.right.items():
            if only_forward and not isinstance(quantity, str):
                continue
            if agrees(got.get(quantity), one):
                right.add(quantity)
            else:
                score += nearness(got.get(quantity), one)
        return Verdict(frozenset(right), score)

    def _forward(self, rerun: bool) -> tuple:
        if rerun or self._kept is None:
            inputs, kwargs = copied(self.inputs), {key: copied(x) for key, x in self.kwargs.items()}
            out, *extras, cache = self.forward(*inputs, **kwargs)
            kept = (out, [extra for extra in flat(extras) if extra is not None], cache)
            if rerun:
                return kept
            self._kept = kept
            self._versions = [(x, x._version) for x in _tensors((cache, inputs))]
        return self._kept

    def forget(self) -> None:
        """Forward's results are kept from one candidate to the next; now they are no longer good."""
        self._kept, self._versions = None, []

    def _sorted(self, grads: Any) -> dict[Quantity, Any]:
        grads = tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)
        while len(grads) > len(self.slots) and grads[-1] is None:
            grads = grads[:-1]
        slots = self.slots
        if len(grads) != len(slots):
            slots = [slot for slot in slots if isinstance(self.inputs[slot], Tensor)]
        return dict(zip(slots, grads, strict=False)) if len(grads) == len(slots) else {}

    @property
    def size(self) -> int:
        """How many numbers go in."""
        return sum(x.numel() for x in self.inputs if isinstance(x, Tensor))


def _shallow(cache: Any) -> Any:
    return type(cache)(cache) if type(cache) in (dict, list) else cache


def _tensors(thing: Any, depth: int = 7) -> list[Tensor]:
    if isinstance(thing, Tensor):
        return [thing]
    if depth and isinstance(thing, (tuple, list)):
        return [tensor for one in thing for tensor in _tensors(one, depth - 1)]
    if depth and isinstance(thing, dict):
        return _tensors(tuple(thing.values()), depth - 1)
    if depth and hasattr(thing, "__dict__") and not callable(thing):
        return _tensors(tuple(vars(thing).values()), depth - 1)
    return []


# --- how they are made ---


def gradient_probe(
    name: str,
    pair: tuple[Callable, Callable],
    inputs: tuple,
    kwargs: dict[str, Any],
    twin: Callable[..., Any] | None,
    *,
    constant: tuple[int, ...] = (),
    seed: int = 0,
) -> GradientProbe | None:
    """A probe whose truth is the twin's, or else that of the learner's own forward; None if there is none."""
    slots = [i for i, x in enumerate(inputs) if i not in constant and (x is None or is_float(x))]
    positions = [i for i in slots if inputs[i] is not None]
    generator = torch.Generator().manual_seed(derive_seed("probe", seed))
    if twin is not None:
        results, vjp = twin_results(twin, inputs, kwargs, positions)
        dout = torch.randn(results["out"].shape, dtype=results["out"].dtype, generator=generator)
        return GradientProbe(name, pair, inputs, kwargs, dout, results | vjp(dout), slots)
    try:
        with torch.no_grad():
            out = pair[0](*copied(inputs), **kwargs)[0].clone()
    except Exception:
        return None
    dout = torch.randn(out.shape, dtype=out.dtype, generator=generator)
    right: dict[Quantity, Tensor] | None = _through_own_forward(pair[0], inputs, kwargs, positions, dout)
    tolerance = EXACT
    if right is None or not _agrees_with_differences(pair[0], inputs, kwargs, right, dout, generator):
        if any(inputs[i].numel() > MEASURABLE for i in positions):
            return None

        def run(args: tuple) -> Tensor:
            with torch.no_grad():
                return pair[0](*copied(args), **kwargs)[0]

        right = {i: measured_gradient(run, inputs, i, dout) for i in positions}
        tolerance = MEASURED
    return GradientProbe(name, pair, inputs, kwargs, dout, {"out": out, **right}, slots, tolerance)


def _through_own_forward(forward, inputs, kwargs, positions, dout) -> dict[Quantity, Tensor] | None:
    leaves = [x.detach().clone().requires_grad_(i in positions) if isinstance(x, Tensor) else x
              for i, x in enumerate(inputs)]  # fmt: skip
    try:
        with torch.enable_grad():
            out = forward(*leaves, **kwargs)[0]
            grads = torch.autograd.grad(out, [leaves[i] for i in positions], dout, allow_unused=True)
    except Exception:
        return None
    return {
        i: torch.zeros_like(inputs[i]) if grad is None else grad.detach()
        for i, grad in zip(positions, grads, strict=True)
    }


def _agrees_with_differences(forward, inputs, kwargs, right, dout, generator) -> bool:
    """Autograd sees only what forward does in torch; a detach in it, or NumPy, would go unnoticed."""
    for position, grad in right.items():
        direction = torch.randn(inputs[position].shape, dtype=torch.float64, generator=generator)
        ends = []
        for step in (1e-6, -1e-6):
            args = list(copied(inputs))
            args[position] = args[position] + step * direction
            with torch.no_grad():
                ends.append((forward(*args, **kwargs)[0] * dout).sum().item())
        slope, claimed = (ends[0] - ends[1]) / 2e-6, (grad * direction).sum().item()
        if not abs(slope - claimed) <= 1e-4 * (1 + abs(slope)):
            return False
    return True


def other_shapes(shapes: list[list[int]]) -> list[list[list[int]]]:
    """The shapes with other sizes: distinct primes first; then one size alone, with its multiples in proportion."""
    sizes = sorted({size for shape in shapes for size in shape if size > 1})
    renamings = []
    for shift in range(2):
        primes = PRIMES[shift:] + PRIMES[:shift]
        if len(sizes) <= len(primes):
            renamings.append(dict(zip(sizes, primes, strict=False)))
    for size in sizes:
        alone = size + 1
        renamings.append({size: alone})
        renamings.append({other: other // size * alone for other in sizes if other % size == 0})
        renamings.append({other: other // size * (size + 3) for other in sizes if other % size == 0})
    found: list[list[list[int]]] = []
    for renaming in renamings:
        renamed = [[renaming.get(size, size) for size in shape] for shape in shapes]
        if renamed not in found and renamed != shapes:
            found.append(renamed)
    places = [(i, axis) for i, shape in enumerate(shapes) for axis, size in enumerate(shape) if size > 1]
    if len(sizes) < len({axis for _, axis in places}):  # axes of one length, which other shapes may tell apart
        for i, axis in places[:6]:
            alone = [list(shape) for shape in shapes]
            alone[i][axis] += 4
            found.append(alone)
    return found


class RunProbe:
    """A run of several steps, of which all that comes out is compared: an optimizer's parameters."""

    quantities: frozenset[Quantity] = frozenset({"out"})
    optional = False

    def __init__(self, name: str, run: Callable[[], Iterator[Tensor]], right: list[Tensor], tolerance: float = EXACT):
        self.name, self.run = name, run
        self.right = [wanted(tensor, tolerance) for tensor in right]
        self.size = sum(tensor.numel() for tensor in right)

    def forget(self) -> None:
        """Nothing is kept."""

    def judge(self, *, rerun: bool, only_forward: bool = False, twice: bool = False) -> Verdict:
        """Run it from the start, up to the first step that is wrong."""
        with torch.no_grad():
            for step, (got, one) in enumerate(zip(self.run(), self.right, strict=True)):
                if one is not None and not agrees(got, one):
                    return Verdict(frozenset(), step + nearness(got, one))
        return Verdict(self.quantities, 0.0)
