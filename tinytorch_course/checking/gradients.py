"""Is a hand-written backward right? Compared with autograd, and with central differences, which trust nobody.

Both comparisons use a RANDOM cotangent. With all ones (``out.sum().backward()``) the gradients of softmax and batch
norm are zero whatever the formula, and wrong rules pass.
"""

import functools
import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinytorch_course.checking.evidence import Evidence, Pullback, Quantity, Values, entry_errors, worst_entry
from tinytorch_course.seeds import derive_seed

STEP = 1e-6  # of the central difference: near float64's best, where truncation (h²) and rounding (ε/h) meet
STEPS = (STEP, STEP / 10, STEP * 10)  # one after the other, until one agrees
# Of errors against autograd, and against the central difference (which is taken in float64 even for float32).
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
DIFFERENCE_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
BESIDE = 1e-3  # how far from a kink it is looked at again, beside the size of the inputs
NUDGES = 10  # in float32 an error also passes if changing the inputs by so many roundings could have made it
LINE = 236  # characters that pytest shows of an object
MEASURABLE = 2000  # entries: for larger tensors, one difference an entry takes too long


class Malformed(TypeError):
    """What backward returned breaks the contract of its form: a finding, not a refusal."""


class Problem(NamedTuple):
    """One thing that is wrong, in a sentence."""

    key: str
    what: str  # "dweight"
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(repr=False)
class GradientCheck:
    """What :func:`check_gradient` found. Errors are ``max |got − expected| / (1 + |expected|)``, dimensionless.

    ``print(check)`` shows them as a table; ``check.ok`` says whether all is well; ``check.require()`` raises if it is
    not, for use in a test.
    """

    name: str
    evidence: Evidence = field(repr=False)  # what it saw, for the diagnosis
    forward_error: float | None = None  # None: nothing to compare with
    gradient_errors: dict[str, float] = field(default_factory=dict)  # "dweight" -> error against autograd
    difference_errors: dict[str, float] = field(default_factory=dict)  # the same against the central difference
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is worth knowing, but not wrong
    in_double: "GradientCheck | None" = field(default=None, repr=False)  # the same in float64, if float32 failed
    findings: list[Any] = field(default_factory=list)  # what a diagnosis made of it, if one was asked

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __bool__(self) -> bool:
        """As ``ok``, so that ``assert check_gradient(...)`` means what it says."""
        return self.ok

    def report(self, key: str, what: str, sentence: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(key, what, sentence))

    def require(self) -> None:
        """Raise ``AssertionError`` with the whole report if anything was wrong."""
        if self.problems:
            raise AssertionError(str(self))

    def __repr__(self) -> str:
        """One line: all that pytest has room for where ``assert check_gradient(...)`` fails."""
        said = [] if self.ok else ["WRONG", str((self.findings or self.problems)[0])]
        return f"<{self.name}: {'; '.join(said) or 'ok'}"[: LINE - 1] + ">"

    def __str__(self) -> str:
        labels = list(self.gradient_errors | self.difference_errors)
        width = max(map(len, ["out", *labels])) + 2
        lines = [f"{self.name}: {'ok' if self.ok else 'WRONG'}", f"  {'':<{width}}{'autograd':>10}{'differences':>13}"]
        if self.forward_error is not None:
            lines.append(f"  {'out':<{width}}{self.forward_error:>10.1e}{'':>13}")
        for label in labels:
            autograd, differences = (
                format(errors[label], ".1e") if label in errors else "-"
                for errors in (self.gradient_errors, self.difference_errors)
            )
            lines.append(f"  {label:<{width}}{autograd:>10}{differences:>13}")
        lines += [f"  {line}" for line in (*self.problems, *self.notes)]
        return "\n".join(lines + [f"  Diagnosis: {finding}" for finding in self.findings])


def check_gradient(
    forward: Callable[..., tuple],
    backward: Callable[[Tensor, Any], Any],
    inputs: tuple,
    *,
    kwargs: dict | None = None,
    op: str | None = None,
    twin: Callable[..., Tensor] | None = None,
    constant: tuple[int, ...] = (),
    names: tuple[str, ...] | None = None,
    differences: bool | Collection[int] = True,
    tolerance: float | None = None,
    difference_tolerance: float | None = None,
    seed: int = 0,
    name: str | None = None,
) -> GradientCheck:
    """Check one forward/backward pair on one set of inputs.

    Without ``twin`` there is nothing to compare with but the central difference, which is enough to tell right from
    wrong. (:func:`tinytorch_course.check_gradient` finds the twin itself, and says what is wrong.)

    Args:
        forward: ``forward(*inputs, **kwargs) -> (out, ..., cache)``.
        backward: ``backward(dout, cache) -> gradients``, one per tensor argument in forward order (a bare tensor if
            there is one). None stands for an argument that was None.
        inputs: positional arguments. Floating-point tensors get a gradient, all else does not. Use float64: in float32
            rounding hides small mistakes.
        kwargs: keyword arguments, for ``forward`` and ``twin`` alike.
        op: of ours ("conv2d") that this should equal, so that a diagnosis knows which mistakes to think of.
        twin: torch's function with the same arguments; None leaves only the central difference. What it returns
            beside its first result (indices, running statistics) is compared with what ``forward`` returns between
            out and cache.
        constant: positions of tensors to which no gradient belongs (class weights, running statistics).
        names: of the arguments; None: forward's own.
        differences: False where the inputs lie on a kink, where a difference measures the mean of two slopes; or the
            positions of the arguments to measure, where all of them would take too long.
        tolerance: for errors against the twin; None: what ``TOLERANCE`` says for the inputs' dtype.
        difference_tolerance: for errors against the central difference; None: ``DIFFERENCE_TOLERANCE``.
        seed: of the random cotangent and directions.
        name: of the check, for its report.

    Returns:
        A :class:`GradientCheck`.

    Raises:
        TypeError: if forward does not return (out, cache), or backward neither a tensor nor a tuple; or the inputs are
            no tuple of arguments with a tensor of floating-point numbers.
    """
    kwargs = kwargs or {}
    _require_inputs(forward, backward, inputs)
    again = functools.partial(
        check_gradient, forward, backward, op=op, twin=twin, constant=constant, names=names, seed=seed, name=name
    )
    dtype = next((x.dtype for x in inputs if is_float(x)), torch.float64)
    tolerance = tolerance or TOLERANCE.get(dtype, TOLERANCE[torch.float32])
    difference_tolerance = difference_tolerance or DIFFERENCE_TOLERANCE.get(dtype, DIFFERENCE_TOLERANCE[torch.float32])

    evidence = Evidence(
        op=op,
        case=name or op or _name(forward),
        inputs=copied(tuple(inputs)),
        kwargs={key: copied(value) for key, value in kwargs.items()},
        names=names or _argument_names(forward, inputs),
        tolerance=tolerance,
        twin=twin,
    )
    check = GradientCheck(evidence.case, evidence)
    generator = torch.Generator().manual_seed(derive_seed("cotangent", seed))  # not what the inputs are drawn from

    grads = _run(check, forward, backward, inputs, kwargs, generator)
    slots = [i for i, x in enumerate(inputs) if i not in constant and (x is None or is_float(x))]
    if not any(problem.key == "malformed" for problem in check.problems):
        _sort_gradients(check, grads, slots)
    if twin is not None:
        _compare_with_twin(check, twin, [i for i in slots if inputs[i] is not None])
    if differences is not False and evidence.dout.numel():
        measured = [i for i in _comparable(evidence) if differences is True or i in differences]
        _compare_with_differences(check, forward, measured, difference_tolerance, generator)
    if "out" in evidence.wrong:
        _forgive_what_follows_the_forward(check, difference_tolerance)
    if twin is None and not check.problems:
        unmeasured = {i: evidence.label(i) for i in _comparable(evidence) if evidence.inputs[i].numel()}
        unmeasured = {i: label for i, label in unmeasured.items() if label not in check.difference_errors}
        if unmeasured and differences is True:
            nearby = functools.partial(again, tolerance=tolerance, difference_tolerance=difference_tolerance)
            _check_beside_the_kink(check, forward, kwargs, unmeasured, seed, nearby)
        elif len(unmeasured) == len(_comparable(evidence)) > 0:
            check.report("unchecked", "backward", "nothing was checked, for want of a twin or of differences")

    if check.problems and dtype != torch.float64:
        double_kwargs = {key: _doubled(value) for key, value in kwargs.items()}
        check.in_double = again(_doubled(evidence.inputs), kwargs=double_kwargs, differences=differences)
    return check


def _require_inputs(forward: Any, backward: Any, inputs: Any) -> None:
    for half, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise TypeError(f"{half} must be a function, but it is {function!r:.60}")
    if not isinstance(inputs, (tuple, list)):
        raise TypeError(f"inputs must be a tuple of forward's arguments, such as (x,), not a {type(inputs).__name__}")
    if not any(map(is_float, inputs)):
        kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in inputs) or "nothing"
        raise TypeError(f"inputs must hold a floating-point tensor, whose gradient can be checked, not {kinds}")


def _run(check: GradientCheck, forward, backward, inputs: tuple, kwargs: dict, generator: torch.Generator) -> tuple:
    """Run both halves, keep what came out, and see that nothing was changed in place. Returns the gradients."""
    evidence = check.evidence
    with torch.no_grad():
        results = forward(*inputs, **kwargs)
        if not (isinstance(results, tuple) and len(results) >= 2 and is_float(results[0])):
            raise TypeError(f"{_name(forward)} must return (out, cache), but it returned {_spell_result(results)}")
        out, *extras, cache = results
        evidence.got["out"] = out.clone()
        extras = [extra for extra in flat(extras) if extra is not None]
        evidence.got |= {f"result {number}": extra for number, extra in enumerate(extras, start=1)}
        evidence.dout = dout = _random_like(out, generator)
        given = dout.clone()
        try:
            grads = backward(given, cache)
        except Malformed as error:
            check.report("malformed", "backward", str(error))
            return ()
        _ask_again(check, backward, grads, cache)
    returned, grads = grads, tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)
    if not all(grad is None or isinstance(grad, Tensor) for grad in grads):
        raise TypeError(
            f"{_name(backward)} must return a tensor or a tuple of tensors, but it returned {_spell_result(returned)}"
        )

    arguments = {**dict(zip(evidence.names, inputs, strict=False)), **kwargs}
    before = {**dict(zip(evidence.names, evidence.inputs, strict=False)), **evidence.kwargs}
    for name, old in before.items():
        if isinstance(old, Tensor) and not _same(arguments[name], old):
            check.report("in-place", name, f"{name} was changed in place")
    if not _same(given, dout):
        check.report("in-place", "dout", "backward changed dout in place")
    return grads


def _ask_again(check: GradientCheck, backward: Callable, grads: Any, cache: Any) -> None:
    """A second backward gives the same, or else the first has changed what forward saved. (It may refuse to run.)"""
    first = copied(tuple(flat(grads)))
    try:
        second = flat(backward(check.evidence.dout.clone(), cache))
    except Exception:
        return
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if isinstance(a, Tensor) and isinstance(b, Tensor)]
    other = any(a.shape != b.shape or not torch.allclose(a, b, equal_nan=True) for a, b in pairs)
    if other or len(first) != len(second):
        sentence = "a second call of backward gives other gradients: the first changed what forward saved, in place"
        check.report("again", "backward", sentence)


def _sort_gradients(check: GradientCheck, grads: tuple, slots: list[int]) -> None:
    """Gradients by argument position, after checking their number, shapes and dtypes."""
    evidence = check.evidence
    inputs = evidence.inputs
    # An argument left at None (an absent bias) may have a None in the result, or nothing.
    tensors = [i for i in slots if isinstance(inputs[i], Tensor)]
    while len(grads) > len(slots) and grads[-1] is None:
        grads = grads[:-1]
    if len(grads) != len(slots):
        if len(grads) != len(tensors):
            wanted = ", ".join(evidence.label(i) for i in tensors)
            sentence = f"backward returned {len(grads)} gradients, but there are {len(tensors)} to return: {wanted}"
            check.report("count", "backward", sentence)
            return
        slots = tensors
    for position, grad in zip(slots, grads, strict=True):
        x, label = inputs[position], evidence.label(position)
        if x is None:
            if grad is not None:
                check.report("count", label, f"{evidence.names[position]} is None, but it got a gradient")
            continue
        if grad is None:
            check.report("no-gradient", label, f"{label} is None, not a tensor")
            continue
        evidence.got[position] = grad
        if grad.shape != x.shape:
            sentence = f"{label} has shape {tuple(grad.shape)}, its argument {tuple(x.shape)}"
            check.report("shape", label, sentence)
        elif grad.dtype != x.dtype or grad.device != x.device:
            sentence = f"{label} is {grad.dtype} on {grad.device}, its argument {x.dtype} on {x.device}"
            check.report("dtype", label, sentence)


def _comparable(evidence: Evidence) -> list[int]:
    """Positions whose gradient has its argument's shape and dtype."""
    return [
        position
        for position, grad in evidence.got.items()
        if isinstance(position, int)
        and (grad.shape, grad.dtype, grad.device)
        == (evidence.inputs[position].shape, evidence.inputs[position].dtype, evidence.inputs[position].device)
    ]


def _compare_with_twin(check: GradientCheck, twin: Callable[..., Any], positions: list[int]) -> None:
    """What forward and backward gave against what torch and autograd give."""
    evidence = check.evidence

    def changed_twin_results(change: Callable[[Any], Any]) -> tuple[Values, Pullback]:
        kwargs = {key: change(value) for key, value in evidence.kwargs.items()}
        return twin_results(twin, change(evidence.inputs), kwargs, positions)

    expected, vjp = changed_twin_results(_doubled)
    evidence.right |= expected
    results = {quantity: tensor for quantity, tensor in evidence.got.items() if isinstance(quantity, str)}
    same_kinds = {k: (t.shape, t.dtype.is_floating_point) for k, t in results.items()} == {
        k: (t.shape, t.dtype.is_floating_point) for k, t in expected.items()
    }
    if not same_kinds or results["out"].dtype != evidence.dout.dtype:
        evidence.wrong.add("out")
        sentence = f"forward gives {_spell(results.values())}, but torch gives {_spell(expected.values())}"
        check.report("forward-shape", "out", sentence)
        return
    evidence.vjp = vjp
    evidence.right |= vjp(evidence.dout)

    comparable: list[Quantity] = [*results, *_comparable(evidence)]
    nudged: Values = {}
    for quantity in comparable:
        label = evidence.label(quantity)
        error, entry = worst_entry(evidence.got[quantity], evidence.right[quantity])
        if isinstance(quantity, str):
            check.forward_error = max(check.forward_error or 0.0, error)
        else:
            check.gradient_errors[label] = error
        if error <= evidence.tolerance:
            continue
        if evidence.dout.dtype != torch.float64:
            if not nudged:
                nudged_out, nudged_vjp = changed_twin_results(_nudge(evidence.dout.dtype))
                nudged = nudged_out | nudged_vjp(evidence.dout)
            if error <= NUDGES * worst_entry(nudged[quantity], evidence.right[quantity])[0]:
                continue
        evidence.wrong.add(quantity)
        whose = "torch's" if isinstance(quantity, str) else "autograd's"
        check.report("value", label, f"{label} is not {whose}: {entry}")


def twin_results(
    twin: Callable[..., Any], inputs: tuple, kwargs: dict[str, Any], positions: list[int]
) -> tuple[Values, Pullback]:
    """What the twin gives, and its gradients at ``positions`` as a function of the cotangent."""

    def of_tensors(*tensors):
        args = list(inputs)
        for position, tensor in zip(positions, tensors, strict=True):
            args[position] = tensor
        out, *extras = flat(twin(*args, **kwargs))
        return out, [extra for extra in extras if extra is not None]

    both: Any = torch.func.vjp(of_tensors, *(inputs[i] for i in positions), has_aux=True)  # its type leaves out the aux
    out, vjp, extras = both
    results: Values = {"out": out, **{f"result {number}": extra for number, extra in enumerate(extras, start=1)}}
    return results, lambda dout: dict(zip(positions, vjp(dout.to(out.dtype)), strict=True))


def _nudge(dtype: torch.dtype) -> Callable[[Any], Any]:
    """Changes inputs by one rounding: no code can know what is right any better, for inputs are rounded too."""
    eps = torch.finfo(dtype).eps

    def nudged(x):
        if isinstance(x, tuple):
            return tuple(nudged(one) for one in x)
        x = _doubled(x)
        # Equal numbers stay equal, so that ties do; and none leaves [0, 1].
        return x * (1 - eps * torch.sin(12345 * x).abs()) if is_float(x) else x

    return nudged


def _compare_with_differences(check: GradientCheck, forward, positions, tolerance: float, generator) -> None:
    """Along one random direction v per argument: ⟨dx, v⟩ against ⟨dout, (f(x + hv) − f(x − hv)) / 2h⟩."""
    evidence = check.evidence
    kwargs, dout = {key: _doubled(value) for key, value in evidence.kwargs.items()}, _doubled(evidence.dout)

    def run(args):
        with torch.no_grad():
            return forward(*copied(tuple(args)), **kwargs)[0].to(torch.float64)

    for position in positions:
        x, label = _doubled(evidence.inputs[position]), evidence.label(position)
        if x.numel() == 0:
            continue
        tries = []
        for step in STEPS:  # a kink that lies within one step of one direction does not lie within all
            direction = _random_like(x, generator)
            direction = direction / direction.norm()
            slope = _slope(run, _doubled(evidence.inputs), position, direction, dout, step)
            tries.append(_Try((_doubled(evidence.got[position]) * direction).sum().item(), slope))
            if tries[-1].error <= tolerance + slope.noise or position in evidence.wrong:
                break
        best = min(tries, key=lambda one: one.error)
        check.difference_errors[label] = best.error
        if best.error <= tolerance + best.slope.noise or position in evidence.wrong:
            continue
        if best.slope.kink:
            check.notes.append(f"{label}: there is a kink here, where a difference measures two slopes at once")
            del check.difference_errors[label]
            continue
        check.report(
            "difference",
            label,
            f"{label} along a random direction is {best.claimed:.9g}, "
            f"but the central difference measures {best.slope.mean:.9g}",
        )
    if evidence.twin is None and any(problem.key == "difference" for problem in check.problems):
        _measure_every_entry(evidence, run)


def _check_beside_the_kink(
    check: GradientCheck, forward, kwargs: dict, unmeasured: dict[int, str], seed: int, again: Callable
) -> None:
    """Where no difference can be measured, and no twin knows better, the inputs are moved a little."""
    evidence, labels = check.evidence, ", ".join(unmeasured.values())
    with torch.no_grad():
        out = forward(*copied(evidence.inputs), **kwargs)[0]
    if not _same(out, evidence.got["out"]):
        why = "forward gives another output each time; let it take its random numbers as an argument"
        check.report("unchecked", labels, f"{labels} cannot be checked: {why}")
        return
    generator = torch.Generator().manual_seed(derive_seed("beside a kink", seed))

    def moved(x: Any) -> Any:
        return x + BESIDE * (x.abs().mean() + BESIDE) * _random_like(x, generator) if is_float(x) else copied(x)

    nearby = again(tuple(map(moved, evidence.inputs)), kwargs=kwargs, differences=list(unmeasured))
    check.difference_errors |= nearby.difference_errors
    check.problems += [problem for problem in nearby.problems if problem.key != "unchecked"]
    for label in unmeasured.values():
        if not check.problems and label not in nearby.difference_errors:
            check.report("unchecked", label, f"{label} could not be checked: forward has a kink wherever it was tried")


class _Slope(NamedTuple):
    mean: float  # of the slopes to the left and to the right
    noise: float  # its rounding error, in the units of the checks' errors
    kink: bool  # whether left and right differ


class _Try(NamedTuple):
    claimed: float  # by the gradient that is checked
    slope: _Slope

    @property
    def error(self) -> float:
        error = abs(self.claimed - self.slope.mean) / (1 + abs(self.slope.mean))
        return math.inf if math.isnan(error) else error


def _slope(run: Callable, inputs: tuple, position: int, direction: Tensor, dout: Tensor, step: float) -> _Slope:
    """The slope of ⟨dout, f⟩ along ``direction``, by differences."""

    def at(step):
        args = list(inputs)
        args[position] = args[position] + step * direction
        return run(args) * dout

    before, here, after = at(-step), run(inputs) * dout, at(step)
    left, right = ((here - before) / step).sum().item(), ((after - here) / step).sum().item()
    mean = ((after - before) / (2 * step)).sum().item()
    noise = 4 * torch.finfo(torch.float64).eps * here.norm().item() / step / (1 + abs(mean))
    return _Slope(mean, noise, abs(right - left) > math.sqrt(step) * (1 + abs(mean)) + noise)


def _measure_every_entry(evidence: Evidence, run: Callable) -> None:
    """Where nobody knows the right gradients, measure them, so that the diagnosis has something to compare with."""
    positions = [i for i in _comparable(evidence) if evidence.inputs[i].numel() <= MEASURABLE]
    inputs = _doubled(evidence.inputs)

    def measured(dout: Tensor) -> Values:
        return {position: measured_gradient(run, inputs, position, _doubled(dout)) for position in positions}

    evidence.vjp, evidence.tolerance = measured, 10 * DIFFERENCE_TOLERANCE[torch.float64]
    evidence.right |= measured(evidence.dout)
    evidence.wrong |= {
        i for i in positions if entry_errors(evidence.got[i], evidence.right[i]).max() > evidence.tolerance
    }


def measured_gradient(run: Callable, inputs: tuple, position: int, dout: Tensor) -> Tensor:
    """The gradient of ``run`` at ``position``, one central difference an entry."""
    x = inputs[position]
    slopes = []
    for entry in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=x.dtype, device=x.device)
        step[entry] = STEP
        args = list(inputs)
        ends = []
        for sign in (1, -1):
            args[position] = x + sign * step.view(x.shape)
            ends.append((run(args) * dout).sum())
        slopes.append((ends[0] - ends[1]) / (2 * STEP))
    return torch.stack(slopes).view(x.shape)


def _forgive_what_follows_the_forward(check: GradientCheck, tolerance: float) -> None:
    """Where forward computes something else, a gradient that is right for that is not the mistake."""
    evidence = check.evidence
    for position in _comparable(evidence):
        label = evidence.label(position)
        if position in evidence.wrong and check.difference_errors.get(label, math.inf) <= tolerance:
            evidence.wrong.discard(position)
            check.problems = [problem for problem in check.problems if problem.what != label]
            check.notes.append(f"{label} is right for this forward (the differences agree): the forward is the mistake")


def _argument_names(forward: Callable, inputs: tuple) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (*names[: len(inputs)], *(f"argument {i}" for i in range(len(names), len(inputs))))


def _random_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal, drawn on the CPU, so that one seed gives the same numbers on every device."""
    return torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)


def copied(x: Any) -> Any:
    """A copy, if it is a tensor or a tuple in which there are some."""
    if isinstance(x, tuple):
        return tuple(copied(one) for one in x)
    return x.clone() if isinstance(x, Tensor) else x


def _doubled(x: Any) -> Any:
    """A copy, in float64 what is floating point."""
    if isinstance(x, tuple):
        return tuple(_doubled(one) for one in x)
    return x.to(torch.float64, copy=True) if is_float(x) else copied(x)


def flat(results: Any) -> tuple:
    """Tensors and Nones of a result, out of any tuples they are in."""
    if isinstance(results, (tuple, list)):
        return tuple(leaf for result in results for leaf in flat(result))
    return (results,)


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__).removesuffix("_forward")


def _spell(tensors) -> str:
    return ", ".join(f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for tensor in tensors)


def _spell_result(result: Any) -> str:
    if isinstance(result, Tensor):
        return f"a tensor ({_spell([result])})"
    if isinstance(result, tuple):
        return f"({_spell_result(result[0])}, ...)" if result else "()"
    return f"a {type(result).__name__}" if result is not None else "None"


def is_float(x: Any) -> bool:
    """Whether it is a tensor that may have a gradient."""
    return isinstance(x, Tensor) and x.is_floating_point()


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
