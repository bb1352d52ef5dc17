"""Mistakes that can be made in any op: signs, factors, sums, axes, a forgotten dout."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Quantity
from tinytorch_course.diagnosis.hypotheses import (
    Hypothesis,
    Predictions,
    agree,
    arguments,
    differentiated,
    whichever,
)
from tinytorch_course.diagnosis.windows import pair

ANY: tuple[str, ...] = ()  # op
FLOAT32_ERROR = 1e-5  # no entry rounded to float32 on the way is further off than this
SAMPLES = 64  # more than so many are not looked at one by one


def _floats(evidence: Evidence) -> list[Quantity]:
    return [quantity for quantity, right in evidence.right.items() if right.is_floating_point()]


def each(key: str, change: Callable[[Tensor], Tensor], sentence: str, partly: bool = False) -> Hypothesis:
    """Every quantity is its right value, changed."""
    return Hypothesis(key, ANY, lambda e: {q: change(e.right[q]) for q in _floats(e)}, sentence, partly)


def of_dout(key: str, change: Callable[[Tensor], Tensor], sentence: str, partly: bool = False) -> Hypothesis:
    """The gradients are right for another dout."""
    return Hypothesis(key, ANY, lambda e: _of_cotangent(e, change(e.dout)), sentence, partly)


def _of_cotangent(evidence: Evidence, dout: Tensor) -> Predictions:
    grads = evidence.vjp(dout) if evidence.vjp else {}
    return dict(zip(grads, grads.values(), strict=True))


# --- a sum that is divided, or not, by how many it has ---------------------------------------------------------------

# fmt: off
COUNTS: dict[str, Callable[[Evidence, Quantity], float]] = {  # of the case and the quantity
    "N, the size of the batch": lambda e, q: e.inputs[0].shape[0],
    "the number of entries of the first argument": lambda e, q: e.inputs[0].numel(),
    "the number of rows": lambda e, q: e.inputs[0].numel() / e.inputs[0].shape[-1],
    "C, the size of axis 1": lambda e, q: e.inputs[0].shape[1],
    "H times W, the pixels of the input": lambda e, q: e.inputs[0].shape[2:].numel(),
    "N times the pixels of the input": lambda e, q: e.inputs[0].numel() / e.inputs[0].shape[1],
    "the pixels of the output": lambda e, q: e.dout.shape[-2:].numel(),
    "N times the pixels of the output": lambda e, q: e.dout.numel() / e.dout.shape[-3],
    "the number of entries of out": lambda e, q: e.dout.numel(),
    "H, the rows of the image": lambda e, q: e.inputs[0].shape[-2],
    "W, the columns of the image": lambda e, q: e.inputs[0].shape[-1],
    "the pixels of the window": lambda e, q: _window(e),
    "the copies that broadcasting makes": lambda e, q: e.dout.numel() / e.inputs[int(q)].numel(),
}
# fmt: on


def _window(evidence: Evidence) -> int:
    given = arguments(evidence)
    height, width = pair(given["kernel_size"] if "kernel_size" in given else given["weight"].shape[2:])
    return height * width


def _scaled_by(count: Callable[[Evidence, Quantity], float], power: int) -> Callable[[Evidence], Predictions]:
    def predict(evidence: Evidence) -> Predictions:
        predictions: Predictions = {}
        for quantity in _floats(evidence):
            try:
                predictions[quantity] = evidence.right[quantity] * count(evidence, quantity) ** power
            except (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
                continue  # there is no such number here
        return predictions

    return predict


TOO_LARGE = "it is too large by the factor {}: a sum stands where a mean belongs, so divide by that number"
TOO_SMALL = "it is divided by {}, and should not be: a mean stands where a sum belongs"
DIVISORS = [
    Hypothesis(key, ANY, _scaled_by(count, power), sentence.format(name))
    for name, count in COUNTS.items()
    for key, power, sentence in (("missing-mean", 1, TOO_LARGE), ("extra-mean", -1, TOO_SMALL))
]


# --- single formulas -------------------------------------------------------------------------------------------------


def _rounded(evidence: Evidence) -> Predictions:
    """What was got, where it is right to the digits that float32 has."""
    return {q: evidence.got[q] for q in _floats(evidence) if _agrees(evidence, q, evidence.right[q], FLOAT32_ERROR)}


def _agrees(evidence: Evidence, quantity: Quantity, expected: Tensor, tolerance: float) -> bool:
    return agree(evidence.got.get(quantity), expected, tolerance)


def _flips() -> list[Hypothesis]:
    axes = [axes for count in (1, 2, 3) for axes in itertools.combinations(range(4), count)]
    of_right = [each("reversed", partial(torch.flip, dims=some), "") for some in axes]
    return of_right + [of_dout("reversed", partial(torch.flip, dims=(axis,)), "") for axis in range(4)]


def _keep(*index: Any) -> Callable[[Tensor], Tensor]:
    """All of dout but what ``index`` selects set to 0."""

    def kept(dout: Tensor) -> Tensor:
        mask = torch.zeros_like(dout)
        mask[index] = 1
        return dout * mask

    return kept


PARTS_OF_DOUT = {
    "the first sample": _keep(0),
    "the last sample": _keep(-1),
    "the first row": lambda dout: _keep(0)(dout.reshape(-1, dout.shape[-1])).view(dout.shape),
    "the last row": lambda dout: _keep(-1)(dout.reshape(-1, dout.shape[-1])).view(dout.shape),
    "the first output pixel": _keep(..., 0, 0),
    "the last output pixel": _keep(..., -1, -1),
    "the last output pixel of the last sample": _keep(-1, ..., -1, -1),
    "the last output channel": _keep(slice(None), -1),
}


def _last_samples(evidence: Evidence) -> Predictions:
    """The gradients that only the last few samples make: of every number of them, the one that fits what was got."""
    best: Predictions = {}
    if evidence.vjp is not None:
        for start in range(1, min(evidence.dout.shape[0], SAMPLES)):
            grads = _of_cotangent(evidence, _keep(slice(start, None))(evidence.dout))
            best |= {i: grad for i, grad in grads.items() if _agrees(evidence, i, grad, evidence.tolerance)}
    return best


def _passed_through(evidence: Evidence) -> Predictions:
    dout = evidence.dout
    return {i: dout for i in evidence.positions if evidence.inputs[i].shape == dout.shape}


# fmt: off
PLAIN = [
    Hypothesis("rounding", ANY, _rounded,
               "it is right to about seven digits, which is float32's rounding: somewhere the code computes in float32 "
               "(torch.zeros without dtype=, .float(), a numpy float32); use float64 throughout"),
    each("zeros", torch.zeros_like,
         "it is zero everywhere: is it never filled, overwritten, or its argument detached or unused?"),
    each("sign", torch.neg,
         "the sign is flipped: every entry is minus the right one; look at the order of a difference"),
    each("factor-2", lambda right: right / 2, "it is half of what it should be: a factor of 2 is missing"),
    each("factor-2", lambda right: right * 2, "it is twice what it should be: a factor of 2 is too much"),
]

FORMULAS = [
    *DIVISORS,
    of_dout("dout-ignored", torch.ones_like,
            "dout is not used: this is the gradient for a dout of ones; multiply by what comes from above (the chain "
            "rule)"),
    of_dout("dout-twice", torch.square, "dout is multiplied in twice"),
    Hypothesis("passed-through", ANY, _passed_through,
               "it is dout itself: the op's own derivative (its mask, its factor) is never multiplied in"),
    each("transposed", lambda right: right.mT.reshape(right.shape) if right.dim() > 1 else right, "it is transposed"),
    *(of_dout("missing-sum", part,
              f"only {name} counts: the gradients of all samples (and pixels) that share this argument must be added "
              "up; is there an = that should be +=, or an index that should be a sum?")
      for name, part in PARTS_OF_DOUT.items()),
    Hypothesis("missing-sum", ANY, _last_samples,
               "only the last few samples count: their gradients must be added to those before (+= for =)"),
    whichever("reversed", ANY, _flips(),
              "its entries are right but in reverse order along an axis: a flip too much"),
]

# Of some entries only: asked after everything that explains all of them.
PARTIAL = [
    each("zeros", torch.zeros_like, "it is zero at some entries where it should not be", partly=True),
    each("sign", torch.neg, "the sign is flipped at some entries", partly=True),
    of_dout("dout-ignored", torch.ones_like, "dout is not multiplied in at some entries", partly=True),
    each("factor-2", lambda right: right / 2, "some entries are half of what they should be", partly=True),
    each("factor-2", lambda right: right * 2, "some entries are twice what they should be", partly=True),
]
# fmt: on


# --- arguments that are not looked at --------------------------------------------------------------------------------


def ignored_arguments(evidences: list[Evidence]) -> list[Hypothesis]:
    """For each keyword and each optional or floating-point argument of the cases: that it is ignored."""
    keywords = sorted({name for evidence in evidences for name in evidence.kwargs})
    count = max(len(evidence.inputs) for evidence in evidences)
    names = max((evidence.names for evidence in evidences), key=len)
    without: list[tuple[str, str | int, str]] = [("ignored-keyword", name, f"{name} is ignored") for name in keywords]
    without += [("unused-argument", position, f"{names[position]} is not used") for position in range(1, count)]
    return [
        Hypothesis(key, ANY, partial(_without, which), f"{sentence}: this is what comes out without it")
        for key, which, sentence in without
    ]


def _without(which: str | int, evidence: Evidence) -> Predictions:
    """What comes out without the keyword of that name, or the argument at that position."""
    inputs, kwargs = list(evidence.inputs), dict(evidence.kwargs)
    if isinstance(which, str) and which in kwargs:
        del kwargs[which]
    elif isinstance(which, int) and which < len(inputs) and inputs[which] is not None:
        inputs[which] = None
    else:
        return {}
    if evidence.twin is None:
        return {}
    twin = partial(evidence.twin, **kwargs)

    def of_others(*args: Any) -> Tensor:
        try:
            result = twin(*args)
        except (AttributeError, TypeError) as error:
            raise ValueError("the op cannot do without this argument") from error
        return result[0] if isinstance(result, tuple) else result

    return differentiated(evidence, tuple(inputs), of_others)
