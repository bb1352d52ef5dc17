"""A learner's pair beside an op: whose argument is whose, and in what form it wants them.

Names decide, then what they are short for, then their order; what is left open (NumPy or torch, weights as (in, out), a
keyword that is fixed) is tried on the op's first cases, and taken is what gives the op's results.
"""

import functools
import inspect
import itertools
import random
import sys
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from tinytorch_course.checking.cases import Case, Op
from tinytorch_course.checking.gradients import is_float
from tinytorch_course.errors import InputError
from tinytorch_course.grading.pairs import OPTIONS, Pair, matched, takes_tensor

# What code that does not take a keyword may have fixed, the likeliest first.
FIXED = {"dim": (-1, 1, 0), "start_dim": (1,), "kernel_size": (2, 3), "output_size": (1,), "training": (True,)}
LAYOUTS = ("out-in", "in-out")  # of a linear layer's weight
RUNS, EQUALS = 1e-6, 1e-3  # points for a forward that runs, and that gives the op's result; 1 with gradients
TRIED = 8  # of an op's cases


class Own(NamedTuple):
    """A function that is none of our ops, in the place of one: its parameters are the learner's own."""

    name: str
    parameters: dict[str, inspect.Parameter]
    inputs: tuple  # on which it is tried what is to be tried
    kwargs: dict[str, Any] = {}  # noqa: RUF012
    kind: str = "own"
    constant: tuple[int, ...] = ()


class Form(NamedTuple):
    """How a learner's arguments stand to the op's."""

    names: dict[str, str]  # the op's parameter -> the learner's, or a key of its dict of options
    fixed: dict[str, Any] = {}  # noqa: RUF012 - what the learner's code takes for granted
    numpy: bool = False
    turned: bool = False  # its weight is (in, out)
    keeps: bool = False  # its p is the probability to keep
    permuted: bool = False  # it is not the order that names suggest

    def words(self, name: str) -> list[str]:
        """What was assumed."""
        said = [f"{name} is taken to have {key}={value!r} fixed" for key, value in self.fixed.items()]
        said += ["its weight is taken to be (in, out), the transpose of torch's"] * self.turned
        return said + ["its p is taken to be the probability to keep"] * self.keeps


def understood(
    pair: Pair, op: Op | Own, args: list[str] | None = None, layout: str | None = None
) -> tuple[Pair, list[str]]:
    """The pair with the op's own arguments in its own order, and what had to be assumed for that.

    Args:
        pair: as the learner wrote it.
        op: what it should equal.
        args: the learner's names in the op's order, where they were told.
        layout: one of ``LAYOUTS``, where it was told.

    Raises:
        InputError: if it needs an argument that the op does not have.
    """
    if pair.takes is not None or any(p.kind is p.VAR_POSITIONAL for p in pair.signature.parameters.values()):
        return pair, []
    best, chosen, words = -1.0, pair, []
    forms = list(_forms(pair, op, args, layout))
    for form in forms:
        if len(forms) == 1:
            return _wrapped(pair, op, form), form.words(pair.name)
        if best > RUNS and form.permuted:
            break
        rank, wrapped = _ranked(_wrapped(pair, op, form), op)
        if rank > best:
            best, chosen, words = rank, wrapped, form.words(pair.name)
        if rank == 1:
            break
    return chosen, words


def _forms(pair: Pair, op: Op | Own, args: list[str] | None, layout: str | None) -> Iterator[Form]:
    """All that the signature allows, the likeliest first."""
    if isinstance(op, Own):
        yield from (Form({name: name for name in op.parameters}, numpy=arrays) for arrays in uses_numpy(pair.code))
        return
    parameters = list(pair.signature.parameters.values())
    if _options(pair):
        parameters += [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None) for key in _keys(pair)]
    names = dict(zip(op.parameters, args, strict=False)) if args else matched(parameters, op)
    _refuse(pair, op, names)
    missing = {key: values for key, values in FIXED.items() if key in op.parameters and key not in names}
    choices = [dict.fromkeys((op.parameters[key].default, *values)) for key, values in missing.items()]
    choices = [[value for value in values if value is not inspect.Parameter.empty] for values in choices]
    arrays = uses_numpy(pair.code)
    turned = (layout == LAYOUTS[1],) if layout else (False, True) if op.name == "linear" else (False,)
    keeps = (False, True) if op.name == "dropout" else (False,)
    tensors = [name for name in names if takes_tensor(op.parameters[name])]
    orders = [*itertools.permutations([names[name] for name in tensors])] if not args and len(tensors) < 4 else [()]
    for order in orders:
        for fixed in itertools.product(*choices):
            for rest in itertools.product(arrays, turned, keeps):
                others = dict(zip(tensors, order, strict=False))
                yield Form(names | others, dict(zip(missing, fixed, strict=True)), *rest, order != orders[0])


def _refuse(pair: Pair, op: Op, names: dict[str, str]) -> None:
    """Say which argument is one too many, and how the nearest form is called."""
    for name in names.values() if not _options(pair) else ():
        if name not in pair.signature.parameters:
            raise InputError(
                f"--args: {pair.name} has no argument {name}; it has {', '.join(pair.signature.parameters)}"
            )
    for name, parameter in pair.signature.parameters.items():
        required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if required and name not in names.values() and not OPTIONS.search(name):
            raise InputError(
                f"{pair.name} needs an argument {name}, which {op.name} does not have; it takes "
                f"{', '.join(op.parameters)}: call yours the same, or say which is which, in this order, as in --args "
                f"{','.join(names.get(one, one) for one in list(op.parameters)[: len(pair.signature.parameters)])}"
            )


def _options(pair: Pair) -> str | None:
    """The argument that is a dictionary of others, as CS231n's conv_param."""
    return next(
        (p.name for p in pair.signature.parameters.values() if OPTIONS.search(p.name) and p.default in (None, p.empty)),
        None,
    )


def _keys(pair: Pair) -> list[str]:
    """What stands in quotation marks in the forward."""
    keys = [one for one in pair.code.__code__.co_consts if isinstance(one, str) and one.isidentifier()]
    return [one for one in keys if "mode" not in keys or one not in ("train", "test", "eval")]


# --- which form it is -------------------------------------------------------------------------------------------------


def _ranked(pair: Pair, op: Op | Own) -> tuple[float, Pair]:
    """1 if it gives the op's results and gradients on all first inputs, less if it does on some, or only runs."""
    score, count = 0.0, 0
    for inputs, kwargs in _first_inputs(pair, op):
        count += 1
        try:
            with torch.no_grad():
                out, *_, cache = pair.forward(*inputs, **kwargs)
                score += RUNS
                right = out if isinstance(op, Own) else op.twin(*inputs, **kwargs)
                right = right[0] if isinstance(right, tuple) else right
                if out.shape != right.shape or not torch.allclose(out, right, equal_nan=True):
                    continue
                score += EQUALS
                grads = pair.backward(torch.ones_like(out), cache)
        except Exception:
            continue
        score += 1 - EQUALS - RUNS
        slots = [x for i, x in enumerate(inputs) if is_float(x) and i not in op.constant]
        if op.kind == "loss" and len(grads) == 1 and len(slots) == 2:  # as most give it, the prediction's alone
            pair = pair._replace(constant=(1,))
    return round(score / max(count, 1), 9), pair


def _first_inputs(pair: Pair, op: Op | Own) -> Iterator[tuple[tuple, dict[str, Any]]]:
    if isinstance(op, Own):
        yield op.inputs, op.kwargs
        return
    fitted = (fit(pair, case, op) for case in op.cases if is_plain(case, op, pair.takes))
    for case in itertools.islice((case for case in fitted if isinstance(case, Case)), TRIED):
        yield op.draw(case), case.kwargs


def fit(pair: Pair, case: Case, op: Op) -> Case | str:
    """The case with the arguments that an understood pair takes; or why it takes none such."""
    if pair.takes is None:
        return case
    given = dict(zip(op.parameters, case.inputs, strict=False))
    names, kwargs = list(given), dict(case.kwargs)
    if "mask" in op.parameters and "mask" not in pair.takes:  # it draws its own: which one, is seen
        options = {key: value for key, value in kwargs.items() if key in pair.takes}
        if options.get("p") == 1:
            return "p=1, by which nothing is kept"
        kwargs |= {"mask": pair.forward(torch.ones_like(op.draw(case)[0]), **options)[0] != 0}
    if "ignore_index" in op.parameters and "ignore_index" not in pair.takes and _ignores(op, case):
        return f"{pair.name} has no argument ignore_index"
    strange = [key for key, value in (given | kwargs).items() if key not in pair.takes | {"mask"} | pair.fixed.keys()
               and value is not None and not says_nothing(op, key, value)]  # fmt: skip
    optional = [key for key in strange if op.kind != "loss" and key in given and op.parameters[key].default is None]
    if strange != optional:
        return f"{pair.name} has no argument {' and '.join(key for key in strange if key not in optional)}"
    given |= dict.fromkeys(optional)  # a layer without a bias
    given |= {key: value for key, value in pair.fixed.items() if key in given}
    kwargs = {key: value for key, value in kwargs.items() if key in pair.takes | {"mask"}}
    kwargs |= {key: value for key, value in pair.fixed.items() if key not in given}
    return case._replace(inputs=tuple(given[name] for name in names), kwargs=kwargs)


def is_plain(case: Case, op: Op, takes: Collection[str] | None = None) -> bool:
    """Whether everybody's code for ``op`` should manage the case: batched, not empty, numbers for arguments.

    The kinds of inputs of the op's first case are the usual ones. An addition that takes no alpha is one of equal
    shapes.
    """
    first = op.cases[0]
    pairs = [key for key, value in case.kwargs.items() if isinstance(value, (tuple, list))]
    if any(not isinstance(first.kwargs.get(key), (tuple, list)) for key in pairs):
        return False
    if isinstance(case.kwargs.get("padding"), str):
        return False
    if any(getattr(spec, "label", "").startswith("noncontiguous") for spec in case.inputs):
        return False
    inputs, usual = op.draw(case), op.draw(first)
    if not all(x.numel() and x.isfinite().all() for x in inputs if is_float(x)):
        return False
    if not op.any_shape and [_kind(x) for x in inputs] != [_kind(x) for x in usual]:
        return False
    equal = len(usual) == 2 and usual[0].shape == usual[1].shape
    if (not op.any_shape or "alpha" not in (takes or "alpha")) and equal and inputs[0].shape != inputs[1].shape:
        return False
    out = op.twin(*inputs, **case.kwargs)
    out = out[0] if isinstance(out, tuple) else out
    return bool(out.isfinite().all())


def _kind(x: Any) -> tuple:
    return (x.dim(), x.dtype) if isinstance(x, Tensor) else (type(x),)


def says_nothing(op: Op, key: str, value: Any) -> bool:
    """Whether the keyword says only what the op does anyway. (With ignore_index there are labels to ignore.)"""
    if key == "ignore_index" or isinstance(value, Tensor):
        return False
    if key == "normalized_shape":
        return len(value) == 1  # the last axis
    default = op.parameters[key].default if key in op.parameters else inspect.Parameter.empty
    return value is default or value == default


def _ignores(op: Op, case: Case) -> bool:
    """Whether some labels are to be ignored."""
    ignored = case.kwargs.get("ignore_index", op.parameters["ignore_index"].default)
    return any(isinstance(x, Tensor) and not is_float(x) and bool((x == ignored).any()) for x in op.draw(case))


# --- the form, put on -------------------------------------------------------------------------------------------------


def _wrapped(pair: Pair, op: Op | Own, form: Form) -> Pair:
    """A pair with the op's own names and order."""
    learners, options = pair.signature.parameters, _options(pair)
    order = [name for theirs in learners for name, one in form.names.items() if one == theirs]  # the learner's

    def forward(*inputs: Any, **kwargs: Any) -> Any:
        given = dict(zip(op.parameters, inputs, strict=False)) | kwargs
        if len(inputs) > len(op.parameters):
            raise TypeError(f"{pair.name}() takes {len(op.parameters)} inputs, but {len(inputs)} were given")
        arguments: dict[str, Any] = {}
        for name, theirs in form.names.items():
            required = theirs not in learners or learners[theirs].default is inspect.Parameter.empty
            value = given.get(name, op.parameters[name].default)
            if required or given.get(name) is not None:
                arguments[theirs] = _spelled(name, theirs, value, form)
        if options:
            keys = {theirs: arguments.pop(theirs) for theirs in [*arguments] if theirs not in learners}
            arguments[options] = _dict_of_options(keys, _keys(pair), form)
        if "mask" in op.parameters and "mask" not in form.names:
            seed_all()
        result = pair.forward(**arguments)
        if not isinstance(result, tuple) or len(result) < 2:
            return result
        dtype = next((x.dtype for x in inputs if is_float(x)), torch.float64)
        *results, cache = result
        if len(results) == 1 and given.get("running_mean") is not None and "running_mean" in form.names:
            results += [arguments[form.names[name]] for name in ("running_mean", "running_var")]  # updated in place
        return (*(as_tensor(one, dtype) for one in results), (cache, given, dtype))

    def backward(dout: Tensor, cache: tuple) -> Any:
        saved, given, dtype = cache
        grads = pair.backward(dout.numpy().copy() if form.numpy else dout, saved)
        return _in_order(grads, form, given, op, order, dtype)

    forward.__name__, backward.__name__ = pair.name, getattr(pair.backward, "__name__", "backward")
    labels = tuple(form.names.get(name, name) for name in op.parameters)
    return pair._replace(
        forward=forward, backward=backward, takes=frozenset(form.names), fixed=form.fixed, labels=labels
    )


def _spelled(name: str, theirs: str, value: Any, form: Form) -> Any:
    """A value as the learner's code wants it."""
    if theirs == "mode":
        return "train" if value else "test"
    if name == "p" and form.keeps:
        return 1 - value
    if not isinstance(value, Tensor):
        return value
    value = value.T if name == "weight" and form.turned else value
    value = value.clone() if name.startswith("running") else value
    return value.detach().numpy().copy() if form.numpy else value


def _dict_of_options(given: dict[str, Any], keys: list[str], form: Form) -> dict[str, Any]:
    found = dict(given)
    for key in keys:
        if key.startswith("pool") and "kernel_size" in form.names:
            found[key] = given[form.names["kernel_size"]]
    if found.get(form.names.get("stride", "")) is None and "stride" in form.names:
        found[form.names["stride"]] = given.get(form.names.get("kernel_size", ""), 1)
    return {"mode": "train"} | found if "mode" in keys else found


def _in_order(grads: Any, form: Form, given: dict[str, Any], op: Op | Own, order: list[str], dtype: torch.dtype) -> Any:
    """The gradients in the op's order, whatever holds them."""
    places = list(op.parameters)
    tensors = [name for name in order if isinstance(given.get(name), Tensor)]
    asked = [name for name in order if given.get(name, 0) is None or name in tensors]
    learned = [name for name in asked if places.index(name) not in op.constant]
    wanted = [name for name in learned if is_float(given[name])]
    if isinstance(grads, dict):
        found = {name: grads[theirs] for name, theirs in form.names.items() if theirs in grads}
        if not found:
            return grads
    else:
        listed = list(grads) if isinstance(grads, (tuple, list)) else [grads]
        names = next((one for one in (wanted, learned, tensors, asked) if len(one) == len(listed)), None)
        if names is None and not (op.kind == "loss" and len(listed) == 1):
            return tuple(as_tensor(one, dtype) for one in listed)
        found = dict(zip(names or ["input"], listed, strict=False))
    found = {name: as_tensor(grad, dtype) for name, grad in found.items()}
    if form.turned and isinstance(weight := found.get("weight"), Tensor) and weight.dim() == 2:
        found["weight"] = weight.T
    ordered = [name for name in places if name in found and name in tensors]
    return tuple(found[name] for name in ordered if name in wanted or found[name] is not None)


def as_tensor(value: Any, dtype: torch.dtype = torch.float64) -> Any:
    """What NumPy and Python give as a tensor; all else as it is."""
    if isinstance(value, float):
        return torch.tensor(value, dtype=dtype)
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return torch.as_tensor(numpy.ascontiguousarray(value)).reshape(value.shape)
    return value


def uses_numpy(code: Any) -> tuple[bool, ...]:
    """Which of torch (False) and NumPy (True) code may want, by what its file has imported."""
    if isinstance(code, functools.partial):
        code = code.func
    code = getattr(code, "__func__", code)
    known = getattr(code, "__globals__", None) or vars(sys.modules.get(getattr(code, "__module__", ""), object))
    modules = {one.__name__ for one in known.values() if inspect.ismodule(one)}
    modules |= set(getattr(getattr(code, "__code__", None), "co_names", ()))  # imported inside
    return (False,) if "numpy" not in modules else (False, True) if "torch" in modules else (True,)


def seed_all() -> None:
    """The same random numbers each time, whoever draws them."""
    torch.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)
