"""What can be said for sure of a wrong gradient, whatever its cause: where it is wrong, and what is right about it."""

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity, entry_errors
from tinytorch_course.checking.ops import OPS


def facts(evidences: Sequence[Evidence]) -> dict[str, str]:
    """Label -> a sentence, of each quantity that is wrong somewhere."""
    wrong = wrong_quantities(evidences)
    return {next(e for e in evidences if q in e.wrong).label(q): fact(evidences, q) for q in wrong}


def wrong_quantities(evidences: Sequence[Evidence]) -> list[Quantity]:
    """What is wrong somewhere: forward's results first."""
    return sorted({q for evidence in evidences for q in evidence.wrong}, key=lambda q: (isinstance(q, int), str(q)))


def fact(evidences: Sequence[Evidence], quantity: Quantity) -> str:
    """Where a quantity is wrong, and what is right about it."""
    known = [e for e in evidences if quantity in e.got and quantity in e.right and not _is_empty(e)]
    wrong = [e for e in known if quantity in e.wrong]
    if not wrong:
        return "it is wrong"
    parts = [_where(known, wrong, quantity)]
    shapes = [(e.got[quantity].shape, e.right[quantity].shape) for e in wrong]
    if all(got != right for got, right in shapes):
        got, right = shapes[0]
        turned = ", the right one transposed" if got == right[::-1] and got != right else ""
        return f"{parts[0]}; its shape is {tuple(got)} and should be {tuple(right)}{turned}"
    same = [e for e in wrong if e.got[quantity].shape == e.right[quantity].shape]
    finite = [e for e in same if bool(e.got[quantity].isfinite().all())]
    if not finite:
        return f"{parts[0]}; it is inf or nan"
    parts.append(_ratio(finite, quantity) or _other(finite, quantity) or _entries(finite[0], quantity))
    return "; ".join(part for part in parts if part)


def _is_empty(e: Evidence) -> bool:
    """Whether there are no numbers of which anything could be said."""
    return any(isinstance(x, Tensor) and x.numel() == 0 for x in e.inputs)


def _where(known: list[Evidence], wrong: list[Evidence], quantity: Quantity) -> str:
    """In which cases."""
    if len(wrong) == len(known):
        return f"it is wrong in all {len(known)} cases" if len(known) > 1 else "it is wrong"
    right = [e for e in known if quantity not in e.wrong]
    told = f"it is wrong in {len(wrong)} of {len(known)} cases"
    of_inputs = SHAPES.items() if all(any(isinstance(x, Tensor) for x in e.inputs) for e in known) else ()
    for what, has in (*_features(known), *of_inputs):
        if all(map(has, wrong)) and not any(map(has, right)):
            return f"{told}: only {what}"
        if not any(map(has, wrong)) and all(map(has, right)):
            return f"{told}: in all but those {what}"
    return told


def _features(evidences: list[Evidence]):
    """Keywords that are given otherwise than by default, and arguments that may be left out."""
    op = OPS.get(evidences[0].op or "")
    defaults = {name: p.default for name, p in op.parameters.items()} if op else {}
    for key in dict.fromkeys(key for e in evidences for key in e.kwargs):
        default = defaults.get(key, inspect.Parameter.empty)
        values = [e.kwargs[key] for e in evidences if key in e.kwargs]
        yield f"with {key}", lambda e, key=key, default=default: key in e.kwargs and not _equal(e.kwargs[key], default)
        if len({str(value) for value in values}) <= 6:
            for value in values:
                if not isinstance(value, Tensor):
                    yield (
                        f"with {key}={value!r}",
                        lambda e, key=key, value=value, default=default: _equal(e.kwargs.get(key, default), value),
                    )
    if any("stride" in e.kwargs for e in evidences):
        yield "where windows overlap", lambda e: _step(e) < _window(e)
        yield "where windows leave gaps", lambda e: _step(e) > _window(e)


def _window(e: Evidence) -> int:
    size = e.kwargs.get(
        "kernel_size", e.inputs[1].shape[-1] if len(e.inputs) > 1 and isinstance(e.inputs[1], Tensor) else 1
    )
    return size if isinstance(size, int) else max(size)


def _step(e: Evidence) -> int:
    stride = e.kwargs.get("stride") or (_window(e) if "kernel_size" in e.kwargs else 1)
    return stride if isinstance(stride, int) else max(stride)


def _equal(one: object, other: object) -> bool:
    return one is other or (not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other)


def _first(e: Evidence) -> Tensor:
    return next(x for x in e.inputs if isinstance(x, Tensor))


SHAPES = {
    "with a batch of 1": lambda e: _first(e).dim() > 0 and _first(e).shape[0] == 1,
    "with a batch of more than 1": lambda e: _first(e).dim() > 0 and _first(e).shape[0] > 1,
    "where values tie": lambda e: _first(e).unique().numel() < _first(e).numel(),
    "for large values": lambda e: bool(_first(e).abs().max() > 100),
}


def _ratio(evidences: list[Evidence], quantity: Quantity) -> str:
    """A constant factor, in all cases: its value, and what that is of the sizes."""
    ratios = []
    for e in evidences:
        got, right = e.got[quantity].double(), e.right[quantity].double()
        if not right.abs().max() > 0:
            return ""
        ratio = (got.flatten() @ right.flatten()) / (right.flatten() @ right.flatten())
        if entry_errors(got, ratio * right).max() > e.tolerance:
            return ""
        ratios.append(ratio.item())
    if all(abs(ratio) < 1e-12 for ratio in ratios):
        return "it is 0"
    if max(ratios) - min(ratios) < 1e-9:
        value = ratios[0]
        return "it is right but for its sign" if abs(value + 1) < 1e-9 else f"it is {value:.6g} times what is right"
    for what, size in _sizes(evidences):
        for words, power in (("times", 1), ("divided by", -1)):
            if all(abs(r - float(n) ** power) < 1e-9 * abs(r) for r, n in zip(ratios, size, strict=True)):
                return f"it is what is right, {words} {what} (here {ratios[0]:.6g} times)"
    return f"in each case it is a constant times what is right: {ratios[0]:.6g} in {evidences[0].case}"


def _sizes(evidences: list[Evidence]):
    yield "the batch size", [_first(e).shape[0] if _first(e).dim() else 1 for e in evidences]
    yield "the number of entries", [_first(e).numel() for e in evidences]
    yield "the number of columns", [_first(e).shape[1] if _first(e).dim() > 1 else 1 for e in evidences]
    yield "the size of the window", [_window(e) ** 2 for e in evidences]
    yield "the number of outputs", [e.dout.numel() or 1 for e in evidences]
    yield "the number of entries of a channel", [_first(e).numel() // (_first(e).shape[1] if _first(e).dim() > 1 else 1)
                                                 for e in evidences]  # fmt: skip


def _other(evidences: list[Evidence], quantity: Quantity) -> str:
    """Whether it is what another gradient should be, or the right one turned."""
    for other in evidences[0].positions:
        if other != quantity and all(_agree(e, e.got[quantity], e.right.get(other)) for e in evidences):
            return f"it is what {evidences[0].label(other)} should be"
    dims = {e.right[quantity].dim() for e in evidences}
    if dims == {2} and all(_agree(e, e.got[quantity].T, e.right[quantity]) for e in evidences):
        return "it is the right one transposed"
    if all(_agree(e, e.got[quantity].sign(), e.right[quantity].sign()) for e in evidences):
        return "all signs are right, the sizes are not"
    if all(_agree(e, e.got[quantity].abs(), e.right[quantity].abs()) for e in evidences):
        return "it is right but for some signs"
    return ""


def _agree(e: Evidence, one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and bool(entry_errors(one, other).max() <= e.tolerance)


def _entries(e: Evidence, quantity: Quantity) -> str:
    errors = entry_errors(e.got[quantity], e.right[quantity])
    good = int((errors <= e.tolerance).sum())
    zero = (e.got[quantity] == 0) & (errors > e.tolerance)
    if good and torch.equal(zero, errors > e.tolerance):
        return f"in {e.case}, {good} of {errors.numel()} entries are right, and the others are 0"
    return f"in {e.case}, {errors.numel() - good} of {errors.numel()} entries are wrong"
