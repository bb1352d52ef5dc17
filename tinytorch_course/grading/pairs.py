"""A learner's code, whatever its form, as a pair: ``forward(*inputs, **keywords) -> (out, ..., cache)``, and
``backward(dout, cache) -> gradients``, in forward's order or in a dict by its arguments' names.

Taken are two functions; one that returns its pullback, or a loss with its gradients; a class whose object is the cache;
an autograd.Function; a module, whose gradients are autograd's. In NumPy too.
"""

import inspect
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from tinytorch_course.checking.cases import Op
from tinytorch_course.checking.gradients import Malformed, is_float
from tinytorch_course.errors import InputError

# What people call an op's parameters; compared without underscores, in lower case.
SYNONYMS = {
    "weight": "w kernel kernels filters filter gamma scale g gain bngain weights theta table wt",
    "bias": "b beta shift offset biases bnbias",
    "dim": "axis ax d",
    "padding": "pad p",
    "kernel_size": "k pool poolsize size ksize kernel window poolheight poolwidth poolh poolw f",
    "stride": "s step strides",
    "target": "y t labels targets ytrue label truth targ actual",
    "input": "x logits z pred p ypred yhat probs scores logp logprobs prediction predictions outputs inp",
    "x": "input inp a z inputs img image images prev aprev",
    "shortcut": "y b other skip residual",
    "p": "drop rate prob dropprob dropout dropoutratio ratio",
    "training": "train istraining trainflg trainflag mode",
    "negative_slope": "alpha slope leak a",
    "running_mean": "rm mean runningmu movingmean",
    "running_var": "rv var movingvar",
    "eps": "epsilon",
    "num_groups": "groups g",
    "output_size": "size out outsize",
    "normalized_shape": "shape",
}
NAMES = {name: (name.replace("_", ""), *others.split()) for name, others in SYNONYMS.items()}
CACHE = ("cache", "ctx", "saved", "memory", "memo", "context")
ARRAYS = (Tensor, numpy.ndarray)
NO_CACHE = object()  # forward returned its result alone
OPTIONS = re.compile("(params?|parameters|config|options|opts)$")  # arguments that are a dictionary of others
OUT = ("out", "output", "outputs", "loss", "y", "result")


class Pair(NamedTuple):
    """A forward and its backward."""

    name: str
    forward: Callable[..., tuple]
    backward: Callable[..., Any]
    signature: inspect.Signature  # of forward, as the learner wrote it
    code: Any = None  # what the learner wrote
    takes: frozenset[str] | None = None  # which of an op's parameters; None: all
    fixed: dict[str, Any] = {}  # noqa: RUF012 - keywords of the op that it takes for granted
    labels: tuple[str, ...] | None = None  # what it calls its arguments, in the op's order
    constant: tuple[int, ...] = ()  # positions of tensors whose gradient it does not give


class Memory(NamedTuple):
    """What backward may need, as cache: forward's own, its arguments by name, its result, the object it belongs to."""

    cache: Any
    arguments: dict[str, Any]
    out: Any = None
    made: Any = None


def pair_of(code: Any, backward: Callable | None = None, op: Op | None = None) -> Pair:
    """Whatever a learner has written; ``op`` says which tensors a class may hold."""
    if backward is not None:
        return pair_of_functions(_name(code), code, backward)
    owner = getattr(code, "__self__", None)  # of MyFunction.apply
    code = owner if isinstance(owner, type) and issubclass(owner, torch.autograd.Function) else code
    if isinstance(code, type) and issubclass(code, torch.autograd.Function):
        return pair_of_autograd(code)
    if isinstance(code, type) and hasattr(code, "backward"):
        return pair_of_class(code, op)
    if isinstance(code, torch.nn.Module):
        return pair_of_module(code)
    return _pair_of_one(code)


# --- functions --------------------------------------------------------------------------------------------------------


def pair_of_functions(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Pair:
    """Two functions. Without a cache, backward is given forward's arguments and ``out`` by their names."""
    signature, behind = inspect.signature(forward), list(inspect.signature(backward).parameters)
    swapped = len(behind) == 2 and behind[0] in CACHE and behind[1] not in CACHE

    def run(*args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        arguments = signature.bind(*args, **kwargs).arguments
        if isinstance(result, (tuple, list)) and len(result) > 1:
            return (*result[:-1], Memory(result[-1], arguments, result[0]))
        if not set(behind[1:]) <= {*signature.parameters, *OUT}:
            return result  # neither a cache nor a backward that does without: see check_gradient
        return result, Memory(NO_CACHE, arguments, result)

    def back(dout: Any, memory: Memory) -> Any:
        known = dict.fromkeys(OUT, memory.out) | memory.arguments
        cached = memory.cache is not NO_CACHE
        if cached and len(behind) == 1 and not numpy.ndim(memory.out):
            return _scaled(backward(memory.cache), dout)  # d loss / d loss is taken to be 1
        if cached:
            given = (memory.cache, dout) if swapped else (dout, memory.cache)
            return _gradients(backward(*given[: len(behind)]), memory)
        if behind[0] not in known:
            return _gradients(backward(dout, *(known[name] for name in behind[1:])), memory)
        _lay(memory, dout)
        returned = backward(*(known[name] for name in behind))
        return _gradients(None, memory) if returned is None else _scaled(returned, dout)

    return Pair(name, run, back, signature, forward)


def _pair_of_one(function: Callable[..., Any]) -> Pair:
    """One function that returns its result with its pullback, or a loss with its gradients."""
    signature, name = inspect.signature(function), _name(function)

    def forward(*args: Any, **kwargs: Any) -> tuple:
        result = function(*args, **kwargs)
        if not isinstance(result, tuple) or not (callable(result[-1]) or isinstance(result[-1], (*ARRAYS, dict, list))):
            raise InputError(
                f"{name} has no {name}_backward beside it: name both, FILE:{name},BACKWARD, or let it return (out, "
                "pullback), or a loss with its gradients"
            )
        cache = result[1] if len(result) == 2 else result[1:]
        return result[0], Memory(cache, signature.bind(*args, **kwargs).arguments, result[0])

    def backward(dout: Any, memory: Memory) -> Any:
        if callable(memory.cache):
            return _gradients(memory.cache(dout), memory)
        return _gradients(_scaled(memory.cache, dout), memory)

    return Pair(name, forward, backward, signature, function)


def pair_of_module(module: torch.nn.Module) -> Pair:
    """A module: its parameters follow its inputs, and its gradients are autograd's, through its own Functions."""
    names = [name.replace(".", "_") for name, _ in module.named_parameters()]
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    takes = [p for p in inspect.signature(module.forward).parameters.values() if p.default is p.empty]
    signature = inspect.Signature([*takes, *(inspect.Parameter(name, keyword) for name in names)])

    def forward(**arguments: Any) -> tuple:
        with torch.enable_grad():
            leaves = {name: x.detach().clone().requires_grad_(is_float(x)) for name, x in arguments.items()}
            values = dict(zip(dict(module.named_parameters()), [leaves[name] for name in names], strict=True))
            out = torch.func.functional_call(module, values, tuple(leaves[p.name] for p in takes))
        return out.detach(), (out, [x for x in leaves.values() if is_float(x)])

    def backward(dout: Tensor, cache: tuple) -> tuple:
        out, leaves = cache
        return torch.autograd.grad(out, leaves, dout, retain_graph=True, allow_unused=True)

    return Pair(type(module).__name__, forward, backward, signature, module.forward)


# --- torch.autograd.Function ------------------------------------------------------------------------------------------


class _Context(FunctionCtx):
    """What a Function's two halves share. (torch's own has ``saved_tensors`` only while autograd runs.)"""

    def __init__(self, inputs: tuple):
        self.needs_input_grad = tuple(map(is_float, inputs))
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
        if len(grads) < len(wanted) or any(grad is not None for grad in grads[len(wanted) :]):
            raise Malformed(
                f"backward returned {len(grads)} gradients, but autograd asks for {len(wanted)}, one for each argument "
                f"of forward ({', '.join(signature.parameters)}), None for what is no tensor"
            )
        for name, grad, needed in zip(signature.parameters, grads, wanted, strict=False):
            if grad is not None and not needed:
                raise Malformed(f"backward returned a gradient for {name}, for which autograd asks for None")
        return tuple(grad for grad, needed in zip(grads, wanted, strict=False) if needed)

    return Pair(function.__name__, forward, backward, signature, function.forward)


# --- a class with both halves -----------------------------------------------------------------------------------------


def pair_of_class(learners: Any, op: Op | None = None) -> Pair:
    """A class with forward (or a call) and backward: an object of it is the cache.

    What it is made of, and the tensors that it holds, are arguments beside forward's.
    """
    call = learners.forward if hasattr(learners, "forward") else learners.__call__
    makes = _without_self(learners.__init__) if learners.__init__ is not object.__init__ else []
    takes = _without_self(call)
    held, sized = _held(learners, [*takes, *(p.replace(kind=p.KEYWORD_ONLY) for p in makes)], op)
    keyword = inspect.Parameter.KEYWORD_ONLY
    others = [p.replace(kind=keyword) for p in makes if p.name not in (*sized, *held)]
    signature = inspect.Signature([*takes, *others, *(inspect.Parameter(name, keyword) for name in held)])
    behind = _without_self(learners.backward)
    fitting: dict[
        tuple, list[tuple[int, ...]]
    ] = {}  # shape -> the sizes with which an object holds tensors of that shape

    def forward(*args: Any, **kwargs: Any) -> tuple:
        given = dict(zip(signature.parameters, args, strict=False)) | kwargs
        # Anew, so that no old .g or .grad hangs on them.
        arguments = {name: x.view_as(x) if isinstance(x, Tensor) else x for name, x in given.items()}
        values = {name: arguments[name] for name in held if arguments.get(name) is not None}
        options = {p.name: arguments[p.name] for p in others if p.name in arguments}
        options |= {p.name: len(values) == len(held) for p in makes if held and "bias" in p.name and p.default is True}
        made = _made(learners, sized, options, values, fitting)
        result = call(made, **{p.name: arguments[p.name] for p in takes if p.name in arguments})
        if result is None:
            result = next((vars(made)[name] for name in OUT if name in vars(made)), None)
        results = result if isinstance(result, tuple) else (result, None)
        return (*results[:-1], Memory(results[-1], arguments, results[0], made))

    def backward(dout: Any, memory: Memory) -> Any:
        for grad in _left(memory).values():
            grad[...] = 0  # what is summed up starts anew
        _lay(memory, dout)
        if not numpy.ndim(memory.out) and (not behind or behind[0].default is not inspect.Parameter.empty):
            _lay(memory, dout * 0 + 1)  # of a loss: d loss / d loss is taken to be 1
            return _scaled(_gradients(memory.made.backward(), memory), dout)
        known = memory.arguments | dict.fromkeys(CACHE, memory.cache)
        given = [dout, *(known.get(p.name) for p in behind[1:])]
        found, arrays = _gradients(memory.made.backward(*given[: len(behind)]), memory), _arrays(memory.made)
        for name in held if isinstance(found, dict) else ():
            if name in found and found[name].shape == arrays[name][name].shape:  # a bias that is a row
                found[name] = found[name].reshape(memory.arguments[name].shape)
        return found

    return Pair(learners.__name__, forward, backward, signature, call)


def _held(learners: Any, parameters: list[inspect.Parameter], op: Op | None) -> tuple[list[str], list[str]]:
    """What a learner calls the tensors of the op that an object holds, and the arguments that say their sizes."""
    if op is None:
        return [], []
    found = matched(parameters, op)
    sized = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    sized = [name for name in sized if name not in found.values()]
    given = dict(zip(op.parameters, op.draw(op.cases[0]), strict=False))
    missing = [tuple(x.shape) for name, x in given.items() if name not in found and isinstance(x, Tensor)]
    largest: tuple[int, ...] = max(missing, key=len, default=())
    for sizes in itertools.permutations(largest, len(sized)) if missing else ():
        arrays = _arrays(learners(**dict(zip(sized, sizes, strict=True))))
        names = matched([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in arrays], op)
        return [names[name] for name in op.parameters if name in names and name not in found], sized
    return [], []


def _made(learners: Any, sized: list[str], options: dict, values: dict[str, Any], fitting: dict) -> Any:
    """An object that holds these values: made with sizes that fit their shapes."""
    shapes: tuple[tuple[int, ...], ...] = tuple(tuple(value.shape) for value in values.values())
    largest: tuple[int, ...] = max(shapes, key=lambda shape: len(shape), default=())
    for sizes in fitting.get(shapes) or itertools.permutations(largest, len(sized)):
        made = learners(**dict(zip(sized, sizes, strict=True)), **options)
        places = _arrays(made)
        theirs = {name: tuple(places[name][name].shape) for name in values}
        if all(theirs[name] in (shape, (1, *shape)) for name, shape in zip(values, shapes, strict=True)):
            fitting[shapes] = [sizes]
            for name, value in values.items():
                places[name][name] = value if value.shape == theirs[name] else value.reshape(theirs[name])
            return made
    raise DoesNotFit(f"{learners.__name__} cannot be made with {', '.join(sized)} for tensors of {shapes}")


class DoesNotFit(TypeError):
    """A case that a learner's class cannot be made for."""


def _arrays(made: Any) -> dict[str, dict[str, Any]]:
    """The tensors of an object, each with the dict that holds it: its own, or one in it."""
    own = vars(made)
    holders = [own, *(value for value in own.values() if isinstance(value, dict))]
    return {name: holder for holder in holders for name, value in holder.items() if _is_array(value)}


def _without_self(function: Callable) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


# --- gradients, wherever they are -------------------------------------------------------------------------------------


def _gradients(returned: Any, memory: Memory) -> Any:
    """What backward returned, and what it left in its object or beside the tensors (``.g``, ``.grad``)."""
    if isinstance(returned, dict):
        found = {name: _of(name, returned, bare=True) for name in memory.arguments}
        return {name: grad for name, grad in found.items() if grad is not None} or returned
    several = isinstance(returned, (tuple, list)) and len(returned) > 1
    found = {} if several else _left(memory)
    first = next((name for name, x in memory.arguments.items() if name not in found and _is_array(x)), None)
    if not found:
        return returned
    found = {name: grad * 1 for name, grad in found.items()}  # a copy, for it may be summed up again
    if returned is not None and first is not None:
        found[first] = returned[0] if isinstance(returned, (tuple, list)) else returned
    return found


def _left(memory: Memory) -> dict[str, Any]:
    """Gradients by argument, where backward has not returned them."""
    spots: dict[str, Any] = {}
    for key, value in vars(memory.made).items() if memory.made is not None else ():
        grads = isinstance(value, dict) and "grad" in key
        spots |= {f"d{name}": grad for name, grad in value.items()} if grads else {key: value}
    found = {}
    for name, x in memory.arguments.items():
        for grad in (getattr(x, "grad", None), getattr(x, "g", None), _of(name, spots)):
            if _is_array(grad):
                found[name] = grad
    return found


def _of(name: str, spots: dict[str, Any], bare: bool = False) -> Any:
    """The gradient of an argument, by the name under which it stands: dx, grad_x, x_grad."""
    found = {_plain(str(key)): value for key, value in spots.items() if value is not None}
    own = _plain(name)
    for one in (own, *itertools.chain.from_iterable(group for group in NAMES.values() if own in group)):
        for spelled in (f"d{one}", f"grad{one}", f"{one}grad", f"delta{one}", *([one] if bare else [])):
            if spelled in found:
                return found[spelled]
    return None


def _scaled(grads: Any, dloss: Any) -> Any:
    """Gradients of a loss, of which d loss / d loss is taken to be 1."""
    if isinstance(grads, dict):
        return {key: grad * dloss for key, grad in grads.items()}
    if isinstance(grads, (tuple, list)):
        return tuple(grad if grad is None else grad * dloss for grad in grads)
    return grads * dloss


def _lay(memory: Memory, dout: Any) -> None:
    """Leave the upstream gradient where fast.ai's backward looks for it."""
    if isinstance(memory.out, Tensor):
        memory.out.g = dout  # type: ignore[attr-defined]


# --- names ------------------------------------------------------------------------------------------------------------


def matched(learners: Iterable[inspect.Parameter], op: Op) -> dict[str, str]:
    """The op's parameters -> the learner's: by name; by what the name is short for; what is left, in order."""
    free = {p.name: p for p in learners if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    found: dict[str, str] = {}
    wanted = {name: takes_tensor(parameter) for name, parameter in op.parameters.items()}
    for names in ({name: (_plain(name),) for name in wanted}, NAMES):
        for name, is_tensor in wanted.items():
            for spelled in () if name in found else names.get(name, ()):
                one = next((key for key in free if _plain(key) == spelled), None)
                if one is not None and not (is_tensor and isinstance(free[one].default, (bool, float, str))):
                    found[name] = free.pop(one).name
                    break
    required = [p.name for p in free.values() if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    required = [name for name in required if not OPTIONS.search(name)]
    return found | dict(zip([name for name in wanted if name not in found], required, strict=False))


def takes_tensor(parameter: inspect.Parameter) -> bool:
    """Whether a parameter of an op stands for a tensor, or for None in its place."""
    return parameter.annotation in (Tensor, Tensor | None, parameter.empty)


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _name(code: Any) -> str:
    return getattr(code, "__name__", type(code).__name__).removesuffix("_forward")


def _is_array(x: Any) -> bool:
    return isinstance(x, ARRAYS)
