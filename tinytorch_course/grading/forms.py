"""The forms in which people write an op, brought into the one that the checks expect.

Checked is ``forward(*inputs, **keywords) -> (out, ..., cache)`` and ``backward(dout, cache) -> gradients``, with the
op's own names in its own order. Accepted as well: other names and orders, keywords left out or fixed, gradients in a
list or a dict, ``out`` alone with the cache in an object or in backward's arguments, NumPy, weights as (in, out), a
loss's backward without an upstream gradient, a class with both methods.
"""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.cases import Op
from tinytorch_course.grading.adapters import Pair, says_nothing

ALIASES = {
    "weight": ("w", "W", "kernel", "filters", "gamma", "scale", "g", "weights", "theta"),
    "bias": ("b", "beta", "shift", "offset"),
    "dim": ("axis", "ax", "d"),
    "padding": ("pad", "p"),
    "kernel_size": ("k", "pool", "pool_size", "size", "ksize", "kernel", "window"),
    "stride": ("s", "step", "strides"),
    "target": ("y", "t", "labels", "targets", "y_true", "label", "target", "truth"),
    "input": ("x", "logits", "z", "pred", "p", "y_pred", "y_hat", "probs", "scores", "logp", "log_probs", "prediction"),
    "x": ("input", "inp", "X", "a", "z", "inputs"),
    "shortcut": ("y", "b", "other", "skip", "residual"),
    "p": ("drop", "rate", "prob", "drop_prob", "dropout"),
    "training": ("train", "is_training"),
    "negative_slope": ("alpha", "slope", "leak", "a"),
    "running_mean": ("rm", "mean", "running_mu"),
    "running_var": ("rv", "var"),
    "eps": ("epsilon",),
}
# What code that does not take a keyword may have fixed, the likeliest first.
FIXED = {"dim": (-1, 1, 0), "start_dim": (1,), "kernel_size": (2, 3), "output_size": (1,), "training": (True,)}


class Form(NamedTuple):
    """How a learner's arguments stand to the op's."""

    names: dict[str, str]  # the op's parameter -> the learner's
    fixed: dict[str, Any] = {}  # noqa: RUF012 - what the learner's code takes for granted
    turned: bool = False  # its weight is (in, out)
    numpy: bool = False


class Saved(NamedTuple):
    """The cache of a forward that returns its result alone: what it was called with, by the learner's names."""

    arguments: dict[str, Any]
    out: Any


def understood(pair: Pair, op: Op) -> tuple[Pair, list[str]]:
    """The pair as the checks expect it, and what had to be assumed for that; as it is, if it needs nothing."""
    names = _matched(list(pair.signature.parameters.values()), op)
    in_order = [name for name in op.parameters if name in names]
    as_ours = [names[name] for name in in_order] == list(pair.signature.parameters)[: len(in_order)]
    forms = _forms(pair, op, names)
    if forms[0].fixed or not as_ours or not _runs(pair, op, forms[0]):
        form = next((form for form in forms if _agrees(pair, op, form)), None)
        form = form or (forms[0] if not as_ours else None)
        if form is not None:
            pair = _wrapped(pair, op, form)
            return _without_target(pair, op), _words(pair.name, form)
    elif any(names[name] != name for name in in_order) or _returns_otherwise(pair, op):
        pair = _wrapped(pair, op, forms[0])
    return _without_target(pair, op), []


def _words(name: str, form: Form) -> list[str]:
    said = [f"{name} is taken to have {key}={value!r} fixed" for key, value in form.fixed.items()]
    if form.turned:
        said.append("its weight is taken to be (in, out), the transpose of torch's")
    return said


def _forms(pair: Pair, op: Op, names: dict[str, str]) -> list[Form]:
    """All that the signature allows, the likeliest first."""
    forms = [Form(names), Form(names, numpy=True)]
    if any(p.kind is p.VAR_KEYWORD for p in pair.signature.parameters.values()):
        return forms
    for key, values in FIXED.items():
        default = op.parameters[key].default if key in op.parameters else inspect.Parameter.empty
        if key in op.parameters and key not in names:
            choices = [value for value in (default, *values) if value is not inspect.Parameter.empty]
            forms = [form._replace(fixed=form.fixed | {key: value}) for value in choices for form in forms]
    if op.name == "linear":
        forms += [form._replace(turned=True) for form in forms]
    return forms


def _matched(learners: list[inspect.Parameter], op: Op) -> dict[str, str]:
    """By name; then by what the name is short for; what is left, in order."""
    named = [p.name for p in learners if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    found = {name: name for name in op.parameters if name in named}
    for name in op.parameters:
        if name not in found:
            free = [one for one in ALIASES.get(name, ()) if one in named and one not in found.values()]
            if free:
                found[name] = free[0]
    required = [p.name for p in learners if p.default is p.empty and p.name in named and p.name not in found.values()]
    for name in op.parameters:
        if name not in found and required:
            found[name] = required.pop(0)
    return {name: found[name] for name in op.parameters if name in found}


def _first_results(pair: Pair, op: Op, form: Form) -> Iterator[tuple[Any, Any, Any, tuple]]:
    """What comes of the first cases: the wrapped pair's result, the right one, the pair, the inputs."""
    wrapped = _wrapped(pair, op, form)
    for case in op.cases[:12]:
        kwargs = {
            key: value for key, value in case.kwargs.items() if key in form.names or not says_nothing(op, key, value)
        }
        kwargs |= form.fixed
        if not all(key in form.names or key in form.fixed for key in kwargs):
            continue
        inputs = op.draw(case)
        while len(inputs) > 1 and list(op.parameters)[len(inputs) - 1] not in wrapped.signature.parameters:
            inputs = inputs[:-1]
        try:
            with torch.no_grad():
                yield wrapped.forward(*inputs, **kwargs), op.twin(*inputs, **kwargs), wrapped, inputs
        except Exception:
            continue


def _runs(pair: Pair, op: Op, form: Form) -> bool:
    return next(_first_results(pair, op, form), None) is not None


def _agrees(pair: Pair, op: Op, form: Form) -> bool:
    """Whether forward gives what the op gives, on a case that has more than one entry."""
    for (out, *_), right, _, _ in _first_results(pair, op, form):
        right = right[0] if isinstance(right, tuple) else right
        if isinstance(out, Tensor) and out.shape == right.shape and torch.allclose(out.double(), right.double()):
            return True
    return False


def _returns_otherwise(pair: Pair, op: Op) -> bool:
    """Whether forward or backward return something else than tensors in a tuple."""
    form = Form(_matched(list(pair.signature.parameters.values()), op))
    for _, _, _, inputs in _first_results(pair, op, form):
        try:
            with torch.no_grad():
                result = pair.forward(*inputs)
                if not (isinstance(result, tuple) and len(result) > 1 and isinstance(result[0], Tensor)):
                    return True
                grads = pair.backward(torch.ones_like(result[0]), result[-1])
        except Exception:
            return len(inspect.signature(pair.backward).parameters) == 1
        grads = grads if isinstance(grads, (tuple, list)) else (grads,)
        return not all(grad is None or isinstance(grad, Tensor) for grad in grads)
    return False


def _wrapped(pair: Pair, op: Op, form: Form) -> Pair:
    """A pair with the op's own names and order."""
    learners = pair.signature.parameters
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([
        inspect.Parameter(name, keyword, default=form.fixed.get(name, learners[form.names[name]].default
                                                                 if name in form.names else None))
        for name in op.parameters if name in form.names or name in form.fixed
    ], __validate_parameters__=False)  # fmt: skip
    parameters = list(inspect.signature(pair.backward).parameters)

    def forward(*args: Any, **kwargs: Any) -> tuple:
        bound = signature.bind(*args, **kwargs).arguments
        arguments = {form.names[key]: value for key, value in bound.items() if key in form.names}
        if form.turned:
            arguments[form.names["weight"]] = arguments[form.names["weight"]].T
        if form.numpy:
            arguments = {key: _as_numpy(value) for key, value in arguments.items()}
        leading = [arguments[name] for name in itertools.takewhile(lambda name: name in arguments, learners)]
        rest = {name: value for name, value in arguments.items() if name not in list(learners)[: len(leading)]}
        result = pair.forward(*leading, **rest)
        if isinstance(result, tuple) and len(result) > 1:
            return (*map(_as_tensor, result[:-1]), result[-1])
        if not set(parameters[1:]) <= {*arguments, "out"}:
            return result  # neither a cache nor a backward that does without: see check_gradient
        return _as_tensor(result), Saved(arguments, result)

    def backward(dout: Tensor, cache: Any) -> Any:
        given = _as_numpy(dout) if form.numpy else dout
        if isinstance(cache, Saved):
            known = cache.arguments | {"out": cache.out}
            grads = pair.backward(given, *(known[name] for name in parameters[1:]))
        elif len(parameters) == 1 and op.kind == "loss":
            grads = _scaled(pair.backward(cache), given)  # d loss / d loss is taken to be 1
        else:
            grads = pair.backward(given, cache)
        return _in_order(grads, form, signature, list(learners))

    labels = tuple(form.names.get(name, name) for name in op.parameters)
    forward.__name__, backward.__name__ = pair.name, getattr(pair.backward, "__name__", "backward")
    return pair._replace(forward=forward, backward=backward, signature=signature, fixed=form.fixed, labels=labels)


def _scaled(grads: Any, dloss: Any) -> Any:
    if isinstance(grads, (tuple, list)):
        return tuple(grad if grad is None else grad * dloss for grad in grads)
    return {key: grad * dloss for key, grad in grads.items()} if isinstance(grads, dict) else grads * dloss


def _in_order(grads: Any, form: Form, signature: inspect.Signature, learners: list[str]) -> Any:
    """The gradients in the op's order, whatever holds them."""
    places = {theirs: ours for ours, theirs in form.names.items()}
    ordered = [name for name in learners if name in places]
    if isinstance(grads, dict):
        short = {re.sub("^(grad_|d_|d)", "", str(key)): value for key, value in grads.items()}
        whole = {str(key): value for key, value in grads.items()} | short
        grads = [whole[name] for name in ordered if name in whole]
    if not isinstance(grads, (tuple, list)):
        return _as_tensor(grads)
    found = [_as_tensor(grad) for grad in grads]
    named = dict(zip(ordered, found, strict=False))
    if form.turned and isinstance(weight := named.get(form.names["weight"]), Tensor) and weight.dim() == 2:
        named[form.names["weight"]] = weight.T
    if len(named) != len(found):
        return tuple(found)
    return tuple(named[form.names[name]] for name in signature.parameters if form.names.get(name) in named)


def _without_target(pair: Pair, op: Op) -> Pair:
    """Whether a loss gives the prediction's gradient alone, as most do: then the target's is not asked for."""
    if op.kind != "loss" or pair.signature.parameters.keys() < {"target"}:
        return pair
    for case in op.cases[:6]:
        fitted = [value for value in op.draw(case) if value is not None]
        if len(fitted) < 2 or not all(isinstance(x, Tensor) and x.is_floating_point() for x in fitted[:2]):
            continue
        try:
            with torch.no_grad():
                out, *_, cache = pair.forward(*fitted[:2])
                grads = pair.backward(torch.ones_like(out), cache)
        except Exception:
            continue
        alone = isinstance(grads, Tensor) or (isinstance(grads, (tuple, list)) and len(grads) == 1)
        return pair._replace(constant=(1,)) if alone else pair
    return pair


def _as_numpy(value: Any) -> Any:
    return value.detach().numpy().copy() if isinstance(value, Tensor) else value


def _as_tensor(value: Any) -> Any:
    """What NumPy and Python give as a tensor; all else as it is."""
    if isinstance(value, (Tensor, tuple)) or value is None:
        return value
    return torch.as_tensor(value) if hasattr(value, "__array__") or isinstance(value, float) else value


# --- a class with both halves ---


def pair_of_class(learners: Any) -> Pair:
    """A class with the methods forward and backward: an object of it is the cache."""
    makes = _parameters(learners.__init__) if "__init__" in vars(learners) else []
    takes = _parameters(learners.forward)
    signature = inspect.Signature([*takes, *(p.replace(kind=p.KEYWORD_ONLY) for p in makes)])
    of_making = {parameter.name for parameter in makes}

    def forward(*args: Any, **kwargs: Any) -> tuple:
        made = learners(**{key: value for key, value in kwargs.items() if key in of_making})
        result = made.forward(*args, **{key: value for key, value in kwargs.items() if key not in of_making})
        if isinstance(result, tuple):
            return (*result[:-1], (made, result[-1]))
        return result, (made, None)

    def backward(dout: Tensor, cache: tuple) -> Any:
        made, saved = cache
        takes_cache = len(inspect.signature(made.backward).parameters) > 1
        return made.backward(dout, saved) if takes_cache else made.backward(dout)

    forward.__name__ = backward.__name__ = learners.__name__
    return Pair(learners.__name__, forward, backward, signature)


def _parameters(function: Callable) -> list[inspect.Parameter]:
    """Without self."""
    return list(inspect.signature(function).parameters.values())[1:]
