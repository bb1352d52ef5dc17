"""What can be said for sure of a wrong gradient, whatever its cause: where it is wrong, and what is right about it."""

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity, entry_errors
from tinytorch_course.checking.ops import OPS
from tinytorch_course.diagnosis.hypotheses import DOES_NOT_FIT
from tinytorch_course.diagnosis.windows import coverage


def facts(evidences: Sequence[Evidence]) -> dict[str, str]:
    """Label -> a sentence, of each quantity that is wrong somewhere."""
    wrong = wrong_quantities(evidences)
    return {next(e for e in evidences if q in e.wrong).label(q): fact(evidences, q) for q in wrong}


def wrong_quantities(evidences: Sequence[Evidence]) -> list[Quantity]:
    """What is wrong somewhere: forward's results first."""
    return sorted({q for evidence in evidences for q in evidence.wrong}, key=lambda q: (isinstance(q, int), str(q)))


def fact(evidences: Sequence[Evidence], quantity: Quantity) -> str:
    """Where a quantity is wrong, and what is right about it."""
    known, wrong = _known(evidences, quantity)
    if not wrong:
        return "it is wrong"
    parts = [_where(known, wrong, quantity)]
    shapes = [(e.got[quantity].shape, e.right[quantity].shape) for e in wrong]
    if all(got != right for got, right in shapes):
        got, right = shapes[0]
        turned = ", the right one transposed" if got == right[::-1] and got != right else ""
        return f"{parts[0]}; its shape is {tuple(got)} and should be {tuple(right)}{turned}"
    finite = _finite(wrong, quantity)
    if not finite:
        return f"{parts[0]}; it is inf or nan"
    said = simple(evidences, quantity)
    parts += [
        said[1] if said else _place(finite, quantity) or _signs(finite, quantity) or _entries(finite[0], quantity)
    ]
    return "; ".join(part for part in parts if part)


def simple(evidences: Sequence[Evidence], quantity: Quantity) -> tuple[str, str] | None:
    """The key and the words for what is the right one times a number, turned, or another's, in all wrong cases."""
    known, wrong = _known(evidences, quantity)
    finite = _finite(wrong, quantity)
    if not finite or len(finite) < len(wrong):
        return None
    return _ratio(finite, [e for e in known if quantity not in e.wrong], quantity) or _turned(finite, quantity)


def _known(evidences: Sequence[Evidence], quantity: Quantity) -> tuple[list[Evidence], list[Evidence]]:
    """The cases in which it is known, and those of them in which it is wrong."""
    known = [e for e in evidences if quantity in e.got and quantity in e.right and not _is_empty(e)]
    return known, [e for e in known if quantity in e.wrong]


def _finite(wrong: list[Evidence], quantity: Quantity) -> list[Evidence]:
    same = [e for e in wrong if e.got[quantity].shape == e.right[quantity].shape]
    return [e for e in same if bool(e.got[quantity].isfinite().all())]


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
    weight = e.inputs[1] if len(e.inputs) > 1 else None
    size = e.kwargs.get("kernel_size", weight.shape[-1] if isinstance(weight, Tensor) and weight.dim() else 1)
    return size if isinstance(size, int) else max(size)


def _step(e: Evidence) -> int:
    stride = e.kwargs.get("stride") or (_window(e) if "kernel_size" in e.kwargs else 1)
    return stride if isinstance(stride, int) else max(stride)


def _equal(one: object, other: object) -> bool:
    return one is other or (not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other)


def _first(e: Evidence) -> Tensor:
    for x in e.inputs:
        if isinstance(x, Tensor):
            return x
    raise ValueError("an optimizer's run has no inputs")


SHAPES = {
    "with a batch of 1": lambda e: _first(e).dim() > 0 and _first(e).shape[0] == 1,
    "with a batch of more than 1": lambda e: _first(e).dim() > 0 and _first(e).shape[0] > 1,
    "where values tie": lambda e: _first(e).unique().numel() < _first(e).numel(),
    "for large values": lambda e: bool(_first(e).abs().max() > 100),
}


CONSTANTS = {
    0.0: ("zeros", "it is zero everywhere: is it never filled, overwritten, or its argument detached or unused?"),
    -1.0: ("sign", "the sign is flipped: every entry is minus the right one; look at the order of a difference"),
    0.5: ("factor-2", "it is half of what it should be: a factor of 2 is missing"),
    2.0: ("factor-2", "it is twice what it should be: a factor of 2 is too much"),
}


def _ratio(wrong: list[Evidence], fine: list[Evidence], quantity: Quantity) -> tuple[str, str] | None:
    """A constant factor in each case: its value, and what that is of the sizes, also where all is ``fine``."""
    ratios = []
    for e in wrong:
        got, right = e.got[quantity].double(), e.right[quantity].double()
        if not e.got[quantity].is_floating_point() or not right.abs().max() > 0:
            return None
        ratio = (got.flatten() @ right.flatten()) / (right.flatten() @ right.flatten())
        if entry_errors(got, ratio * right).max() > e.tolerance:
            return None
        ratios.append(ratio.item())
    value = ratios[0] if max(ratios) - min(ratios) < 1e-9 else None
    said = next((words for one, words in CONSTANTS.items() if value is not None and abs(value - one) < 1e-9), None)
    if said and not fine:
        return said
    flipped = -1.0 if all(ratio < 0 for ratio in ratios) and not fine else 1.0
    also = "the sign is flipped, and " if flipped < 0 else ""
    for what, sizes in _sizes([*wrong, *fine]):
        pairs = list(zip([flipped * ratio for ratio in ratios] + [1.0] * len(fine), sizes, strict=True))
        if all(abs(r - n) < 1e-9 * abs(r) for r, n in pairs):
            rule = "a sum stands where a mean belongs, so divide by that number"
            return "missing-mean", f"{also}it is too large by the factor {what}: {rule}"
        if all(n and abs(r - 1 / n) < 1e-9 * abs(r) for r, n in pairs):
            return "extra-mean", f"{also}it is divided by {what}, and should not be: a mean stands where a sum belongs"
    if said or value is not None:
        return said or ("factor", f"it is {value:.6g} times what is right")
    return "factor", f"in each case it is a constant times what is right: {ratios[0]:.6g} in {wrong[0].case}"


def _sizes(evidences: list[Evidence]) -> Iterator[tuple[str, list[int]]]:
    """Numbers that one may divide by, or forget to, in each case."""
    if not all(any(isinstance(x, Tensor) for x in e.inputs) for e in evidences):
        return  # an optimizer's run
    xs = [_first(e) for e in evidences]
    columns = [x.shape[1] if x.dim() > 1 else x.numel() for x in xs]
    yield "N, the size of the batch", [x.shape[0] if x.dim() else 1 for x in xs]
    yield "the number of entries of the first argument", [x.numel() for x in xs]
    yield "the number of entries of out", [e.dout.numel() or 1 for e in evidences]
    yield "C, the size of axis 1", columns
    yield "N times the pixels of the input", [x.numel() // n for x, n in zip(xs, columns, strict=True)]
    yield "H times W, the pixels of the input", [x.shape[2:].numel() for x in xs]
    yield "the pixels of the window", [_window(e) ** 2 for e in evidences]
    yield "the side of the window", [_window(e) for e in evidences]
    yield "the pixels of the output", [e.dout.shape[-2:].numel() for e in evidences]
    yield "the number of rows", [x.numel() // (x.shape[-1] if x.dim() else 1) for x in xs]


def _turned(evidences: list[Evidence], quantity: Quantity) -> tuple[str, str] | None:
    """Whether it is what another gradient should be, or the right one turned."""
    for other in evidences[0].positions:
        if other != quantity and all(_agree(e, e.got[quantity], e.right.get(other)) for e in evidences):
            return "swapped", f"it is what {evidences[0].label(other)} should be"
    if min(e.right[quantity].dim() for e in evidences) > 1:
        if all(_agree(e, e.got[quantity].mT.reshape(e.right[quantity].shape), e.right[quantity]) for e in evidences):
            return "transposed", "it is transposed"
        for axes in ((-1,), (-2,), (-2, -1), (0,), (1,)):
            if all(_agree(e, e.got[quantity].flip(axes), e.right[quantity]) for e in evidences):
                which = "both axes" if len(axes) > 1 else "an axis"
                return "reversed", f"its entries are right but in reverse order along {which}: a flip too much"
    return None


def _signs(evidences: list[Evidence], quantity: Quantity) -> str:
    if all(_agree(e, e.got[quantity].sign(), e.right[quantity].sign()) for e in evidences):
        return "all signs are right, the sizes are not"
    if all(_agree(e, e.got[quantity].abs(), e.right[quantity].abs()) for e in evidences):
        return "it is right but for some signs"
    return ""


def _place(evidences: list[Evidence], quantity: Quantity) -> str:
    """In one kind of place only. That names no formula, but it says where to look."""
    for where, region in PLACES:
        try:
            masks = [region(e).expand(e.right[quantity].shape) for e in evidences]
        except DOES_NOT_FIT:
            continue
        errors = [entry_errors(e.got[quantity], e.right[quantity]) > e.tolerance for e in evidences]
        outside = any(bool((error & ~mask).any()) for error, mask in zip(errors, masks, strict=True))
        if not outside and not all(bool(mask.all()) for mask in masks):
            return f"it is wrong only {where}"
    return ""


def _sample(index: int) -> Callable[[Evidence], Tensor]:
    def region(e: Evidence) -> Tensor:
        mask = torch.zeros_like(_first(e), dtype=torch.bool)
        mask[index] = True
        return mask

    return region


def _edge(e: Evidence) -> Tensor:
    if "kernel_size" not in e.kwargs and not (e.op or "").startswith("conv"):
        raise ValueError("this is no image")
    deep = e.kwargs.get("padding", 1) or 1
    deep = deep if isinstance(deep, int) else max(deep)
    mask = torch.ones(_first(e).shape[-2:], dtype=torch.bool)
    mask[deep:-deep, deep:-deep] = False
    return mask


def _target(e: Evidence) -> Tensor:
    """The entries of the right classes."""
    logits, target = e.inputs[:2]
    axis = min(1, logits.dim() - 1)
    if target.is_floating_point() or target.dim() != logits.dim() - 1:
        raise ValueError("these are no classes")
    classes = torch.arange(logits.shape[axis]).view(-1, *[1] * (logits.dim() - axis - 1))
    return classes == target.long().unsqueeze(axis)


PLACES: list[tuple[str, Callable[[Evidence], Tensor]]] = [
    ("at pixels that several windows cover: what they give to one pixel must be added up (+= for =)",
     lambda e: coverage(e) > 1),
    ("at the edge of the image: look at the padding", _edge),
    ("at the right classes: look at what is subtracted or picked there", _target),
    ("at the other classes, and right at the right ones: look at the softmax's own part", lambda e: ~_target(e)),
    ("in the first sample", _sample(0)),
    ("in the last sample", _sample(-1)),
    ("where the first argument is negative", lambda e: _first(e) < 0),
    ("where the first argument is positive", lambda e: _first(e) > 0),
]  # fmt: skip


def _agree(e: Evidence, one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and bool(entry_errors(one, other).max() <= e.tolerance)


def _entries(e: Evidence, quantity: Quantity) -> str:
    errors = entry_errors(e.got[quantity], e.right[quantity])
    good = int((errors <= e.tolerance).sum())
    zero = (e.got[quantity] == 0) & (errors > e.tolerance)
    if good and torch.equal(zero, errors > e.tolerance):
        return f"in {e.case}, {good} of {errors.numel()} entries are right, and the others are 0"
    return f"in {e.case}, {errors.numel() - good} of {errors.numel()} entries are wrong"
