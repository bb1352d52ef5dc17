"""Code that is not ours, brought into the shape that the checks expect.

Cases are passed on as far as the code takes them: a convolution without ``groups`` is checked on those without groups.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from tinytorch_course.checking.case_tables import optimizers
from tinytorch_course.checking.case_tables.optimizers import OptimizerCase
from tinytorch_course.checking.cases import Case, Op, draw
from tinytorch_course.checking.gradients import GradientCheck, check_gradient
from tinytorch_course.checking.ops import check_fitted, find_op, raised
from tinytorch_course.checking.optimizers import FunctionFaced, OurFaced, Run, TorchFaced, check_optimizer
from tinytorch_course.checking.optimizers import is_plain as is_plain_run

DRAWS = 3  # of inputs of given shapes
LARGE = 20_000  # entries: loops written in Python would take minutes


class Pair(NamedTuple):
    """A forward and its backward."""

    name: str
    forward: Callable[..., tuple]
    backward: Callable[..., Any]
    signature: inspect.Signature  # of forward, as the learner wrote it
    fixed: dict[str, Any] = {}  # noqa: RUF012 - keywords of the op that it takes for granted
    labels: tuple[str, ...] | None = None  # what it calls its arguments, in the op's order
    constant: tuple[int, ...] = ()  # positions of tensors whose gradient it does not give


class PairChecks(NamedTuple):
    """What a pair did on the cases of an op."""

    plain: list[GradientCheck]  # these count
    beyond: list[GradientCheck]  # what torch takes as well, but few people write code for
    left_out: dict[str, int]  # why -> how many cases could not even be tried


def pair_of_functions(name: str, forward: Callable[..., tuple], backward: Callable[..., Any]) -> Pair:
    """Two functions as they are."""
    return Pair(name, forward, backward, inspect.signature(forward))


# --- torch.autograd.Function ------------------------------------------------------------------------------------------


class _Context(FunctionCtx):
    """What a Function's two halves share. (torch's own has ``saved_tensors`` only while autograd runs.)"""

    def __init__(self, inputs: tuple):
        self.needs_input_grad = tuple(isinstance(x, Tensor) and x.is_floating_point() for x in inputs)
        self.to_save: tuple = ()

    @property
    def saved_tensors(self) -> tuple:
        return self.to_save


def pair_of_autograd(function: type[torch.autograd.Function]) -> Pair:
    """A ``torch.autograd.Function`` as a pair; its context is the cache."""
    separate = function.setup_context is not torch.autograd.Function.setup_context
    parameters = list(inspect.signature(function.forward).parameters.values())
    signature = inspect.Signature(parameters if separate else parameters[1:])  # without ctx

    def forward(*args: Any, **kwargs: Any) -> tuple:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        inputs = bound.args  # autograd's apply takes no keywords
        context = _Context(inputs)
        if separate:
            out = function.forward(*inputs)
            function.setup_context(context, inputs, out)
        else:
            out = function.forward(context, *inputs)
        return (*out, context) if isinstance(out, tuple) else (out, context)

    def backward(dout: Tensor, context: _Context) -> tuple:
        grads = function.backward(context, dout)
        grads = grads if isinstance(grads, tuple) else (grads,)
        wanted = context.needs_input_grad
        if len(grads) != len(wanted):
            return grads
        # None stands for every argument that is no tensor; what is not None is kept, so that it is noticed.
        return tuple(g for g, needed in zip(grads, wanted, strict=True) if needed or g is not None)

    named: Any = forward
    named.__signature__ = signature  # from here on the checks have the arguments' names
    forward.__name__ = backward.__name__ = function.__name__
    return Pair(function.__name__, forward, backward, signature)


# --- which cases, with which arguments --------------------------------------------------------------------------------


def check_like(pair: Pair, op: str, *, spell: Callable[[Exception], str] | None = None, **options: Any) -> PairChecks:
    """Check ``pair`` on all cases of ``op`` that it takes.

    An exception on the first plain case is the caller's to handle: then the pair does not work at all. Those on later
    ones are failed cases, in the words of ``spell``.
    """
    outcome = PairChecks([], [], {})
    row = find_op(op)
    for case in row.cases:
        if sum(x.numel() for x in row.draw(case) if isinstance(x, Tensor)) > LARGE:
            continue
        fitted = fit(pair, case, op)
        if isinstance(fitted, str):
            _leave_out(outcome, fitted)
            continue
        plain = is_plain(case, row)
        try:
            check = check_fitted(
                fitted, pair.forward, pair.backward, constant=pair.constant, names=pair.labels, **options
            )
        except Exception as error:
            if not _runs_in_torch(row, fitted):
                continue
            if not outcome.plain:
                raise
            check = raised(str(case), op, error, spell)
        (outcome.plain if plain else outcome.beyond).append(check)
    return outcome


def check_shapes(
    pair: Pair, shapes: list[list[int]], op: str | None, *, twin: Callable[..., Tensor] | None = None, **options: Any
) -> PairChecks:
    """Check ``pair`` on standard-normal inputs of these shapes, beside ``op``, ``twin`` or differences alone."""
    first_seed = options.pop("seed", 0)
    checks = []
    for seed in range(first_seed, first_seed + DRAWS):
        note = f"draw {seed - first_seed + 1}"
        case = Case(tuple(tuple(shape) for shape in shapes), note=note, op=op or pair.name)
        if op is None:
            inputs = draw(case.inputs, seed=seed, **options)
            checks.append(check_gradient(pair.forward, pair.backward, inputs, twin=twin, seed=seed, name=str(case)))
            continue
        fitted = fit(pair, case, op)
        if isinstance(fitted, str):
            return PairChecks([], [], {fitted: DRAWS})
        checks.append(check_fitted(fitted, pair.forward, pair.backward, seed=seed, **options))
    return PairChecks(checks, [], {})


def check_optimizer_like(name: str, learners: Any, op: str, **options: Any) -> PairChecks:
    """Check a learner's optimizer on all cases of ours that it takes.

    Args:
        name: of it, for the reports.
        learners: a class like torch.optim's (made of parameters and keywords, with ``step``), or a class or function
            like ours (made of keywords, with ``init`` and ``update``).
        op: an optimizer's name, "sgd".

    Raises:
        TypeError: if it is a class like neither.
    """
    if isinstance(learners, type) and not hasattr(learners, "step") and not hasattr(learners, "update"):
        raise TypeError(f"{name} is no optimizer: it has neither step(), as torch's, nor init() and update(), as ours")
    start = starter(learners)
    outcome = PairChecks([], [], {})
    for case in optimizers.cases_of(op):
        strange = strange_keywords(learners, case)
        if is_plain_run(case) and strange:
            _leave_out(outcome, f"{name} has no argument {' and '.join(strange)}")
        elif is_plain_run(case):
            outcome.plain.append(check_optimizer(case, start, **options))
    return outcome


def starter(learners: Any) -> Callable[[OptimizerCase, dict[str, Tensor]], Run]:
    """What makes a learner's optimizer for a case."""
    face = TorchFaced if hasattr(learners, "step") else FunctionFaced if is_step(learners) else OurFaced
    return lambda case, params: face(learners, case, params)


def is_step(learners: Any) -> bool:
    """Whether it is a function of a parameter and its gradient."""
    required = [p for p in inspect.signature(learners).parameters.values() if p.default is p.empty]
    return not isinstance(learners, type) and len(required) >= 2


def strange_keywords(learners: Any, case: OptimizerCase) -> list[str]:
    """Those of the case that a learner's optimizer does not take."""
    accepted = inspect.signature(learners).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    return [] if takes_all else [keyword for keyword in case.kwargs if keyword not in accepted]


def _leave_out(outcome: PairChecks, reason: str) -> None:
    outcome.left_out[reason] = outcome.left_out.get(reason, 0) + 1


def fit(pair: Pair, case: Case, op: str) -> Case | str:
    """The case with the arguments that the pair's forward takes; or why it takes none such."""
    row, names = find_op(op), list(pair.signature.parameters)
    inputs, kwargs = case.inputs, dict(case.kwargs) | pair.fixed
    if "ignore_index" in row.parameters and "ignore_index" not in names and _ignores(row, case):
        return f"{pair.name} has no argument ignore_index"
    kwargs = {key: value for key, value in kwargs.items() if key in names or not says_nothing(row, key, value)}
    while len(inputs) > 1 and _bias_is_left_out(row, names, len(inputs)):
        inputs = inputs[:-1]  # a layer without a bias
    while inputs and inputs[-1] is None and not _binds(pair.signature, inputs, kwargs):
        inputs = inputs[:-1]
    if not _binds(pair.signature, inputs, kwargs, partly=True):
        strange = [name for name in kwargs if name not in pair.signature.parameters]
        if strange:
            return f"{pair.name} has no argument {' and '.join(strange)}"
        return f"{pair.name} takes fewer tensors than {len(inputs)}"
    ours = row.parameters
    for place, (name, parameter) in enumerate(pair.signature.parameters.items()):
        bound = pair.signature.bind_partial(*inputs, **kwargs).arguments
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in bound or variable or parameter.default is not parameter.empty:
            continue
        if name in ours and ours[name].default is not parameter.empty:
            kwargs[name] = ours[name].default
        elif place == len(inputs) and place < len(ours) and list(ours.values())[place].default is None:
            inputs = (*inputs, None)  # as a bias under another name
        else:
            return f"{pair.name} needs an argument {name}, which {op} does not have"
    return case._replace(inputs=inputs, kwargs=kwargs)


def _ignores(op: Op, case: Case) -> bool:
    """Whether some labels are to be ignored."""
    ignored = case.kwargs.get("ignore_index", op.parameters["ignore_index"].default)
    return any(
        isinstance(x, Tensor) and not x.is_floating_point() and bool((x == ignored).any()) for x in op.draw(case)
    )


def _runs_in_torch(op: Op, case: Case) -> bool:
    """Whether the case makes sense with the keywords that were fixed."""
    try:
        op.twin(*op.draw(case), **case.kwargs)
    except Exception:
        return False
    return True


def says_nothing(op: Op, key: str, value: Any) -> bool:
    """Whether the keyword says only what the op does anyway. (With ignore_index there are labels to ignore.)"""
    if key == "ignore_index":
        return False
    default = op.parameters[key].default if key in op.parameters else inspect.Parameter.empty
    return not isinstance(value, Tensor) and (value is default or value == default)


def _bias_is_left_out(op: Op, names: list[str], count: int) -> bool:
    last = list(op.parameters.values())[count - 1]
    return last.name == "bias" and last.default is None and len(names) < count and "bias" not in names


def _binds(signature: inspect.Signature, inputs: tuple, kwargs: dict, partly: bool = False) -> bool:
    try:
        (signature.bind_partial if partly else signature.bind)(*inputs, **kwargs)
    except TypeError:
        return False
    return True


def is_plain(case: Case, op: Op) -> bool:
    """Whether everybody's code for ``op`` should manage the case: batched, not empty, numbers for arguments.

    The kinds of inputs of the op's first case are the usual ones.
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
    if not all(x.numel() and x.isfinite().all() for x in inputs if isinstance(x, Tensor) and x.is_floating_point()):
        return False
    if not op.any_shape:
        if [_kind(x) for x in inputs] != [_kind(x) for x in usual]:
            return False
        if len(usual) == 2 and usual[0].shape == usual[1].shape and inputs[0].shape != inputs[1].shape:
            return False
    out = op.twin(*inputs, **case.kwargs)
    out = out[0] if isinstance(out, tuple) else out
    return bool(out.isfinite().all())


def _kind(x: Any) -> tuple:
    return (x.dim(), x.dtype) if isinstance(x, Tensor) else (type(x),)
