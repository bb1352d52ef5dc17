"""Is a hand-written backward right? Compared with autograd, and with central differences, which trust nobody.

Both comparisons use a RANDOM cotangent. With all ones (``out.sum().backward()``) the gradients of softmax and batch
norm are zero whatever the formula, and wrong rules pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

STEP = 1e-6  # of the central difference: near float64's best, where truncation (h²) and rounding (ε/h) meet


@dataclass
class GradientCheck:
    """What :func:`check_gradient` found. Errors are ``max |got − expected| / (1 + |expected|)``, dimensionless.

    ``print(check)`` shows it; ``check.ok`` says whether all is well; ``check.require()`` raises if it is not.
    """

    name: str
    forward_error: float | None = None  # None: nothing to compare with
    gradient_errors: dict[int, float] = field(default_factory=dict)  # argument position -> error against autograd
    difference_errors: dict[int, float] = field(default_factory=dict)  # the same against the central difference
    problems: list[str] = field(default_factory=list)  # one sentence each

    @property
    def ok(self) -> bool:
        return not self.problems

    def require(self) -> None:
        """Raise ``AssertionError`` with the whole report if anything was wrong."""
        if self.problems:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"{self.name}: {'ok' if self.ok else 'WRONG'}"]
        if self.forward_error is not None:
            lines.append(f"  forward: error {self.forward_error:.1e}")
        for position in sorted(self.gradient_errors | self.difference_errors):
            against = [
                f"{label} {errors[position]:.1e}"
                for label, errors in (("autograd", self.gradient_errors), ("differences", self.difference_errors))
                if position in errors
            ]
            lines.append(f"  gradient of argument {position}: error against {', '.join(against)}")
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])


def check_gradient(
    forward: Callable[..., tuple],
    backward: Callable[[Tensor, Any], Any],
    inputs: tuple,
    *,
    kwargs: dict | None = None,
    twin: Callable[..., Tensor] | None = None,
    constant: tuple[int, ...] = (),
    differences: bool = True,
    tolerance: float = 1e-10,
    difference_tolerance: float = 1e-6,
    seed: int = 0,
    name: str | None = None,
) -> GradientCheck:
    """Check one forward/backward pair on one set of inputs.

    Args:
        forward: ``forward(*inputs, **kwargs) -> (out, ..., cache)``.
        backward: ``backward(dout, cache) -> gradients``, one per tensor argument in forward order (a bare tensor if
            there is one). None stands for an argument that was None.
        inputs: positional arguments. Floating-point tensors get a gradient, all else does not.
        kwargs: keyword arguments, for ``forward`` and ``twin`` alike.
        twin: torch's function with the same arguments; None leaves only the central difference. What it returns
            beside its first result (indices, running statistics) is compared with what ``forward`` returns between
            out and cache.
        constant: positions of tensors to which no gradient belongs (class weights, running statistics).
        differences: False where the inputs lie on a kink, where a difference measures the mean of two slopes.
        tolerance: for errors against the twin. float64 inputs are assumed.
        difference_tolerance: for errors against the central difference.
        seed: of the random cotangent and directions.

    Returns:
        A :class:`GradientCheck`.
    """
    kwargs = kwargs or {}
    check = GradientCheck(name or forward.__name__.removesuffix("_forward"))
    generator = torch.Generator().manual_seed(seed)
    arguments = {**{f"argument {position}": x for position, x in enumerate(inputs)}, **kwargs}
    before = {name: x.clone() for name, x in arguments.items() if isinstance(x, Tensor)}

    with torch.no_grad():
        out, *extras, cache = forward(*inputs, **kwargs)
        dout = _random_like(out, generator)
        dout_before = dout.clone()
        grads = backward(dout, cache)
    grads = grads if isinstance(grads, tuple) else (grads,)

    for name, old in before.items():
        if not _same(arguments[name], old):
            check.problems.append(f"{name} was changed in place")
    if not _same(dout, dout_before):
        check.problems.append("backward changed dout in place")

    slots = [i for i, x in enumerate(inputs) if i not in constant and (x is None or _is_float(x))]
    grads_by_position = _match_grads(check, grads, slots, inputs)
    if twin is not None:
        _compare_with_twin(check, twin, inputs, kwargs, (out, *_flat(extras)), dout, grads_by_position, tolerance)
    if differences and out.numel():
        _compare_with_differences(
            check,
            lambda args: forward(*args, **kwargs)[0],
            inputs,
            dout,
            grads_by_position,
            difference_tolerance,
            generator,
        )
    return check


def _match_grads(check: GradientCheck, grads: tuple, slots: list[int], inputs: tuple) -> dict[int, Tensor]:
    """Gradients by argument position, after checking their number, shapes and dtypes."""
    # An argument left at None (an absent bias) may have a None in the result, or nothing.
    tensors = [i for i in slots if isinstance(inputs[i], Tensor)]
    while len(grads) > len(slots) and grads[-1] is None:
        grads = grads[:-1]
    if len(grads) != len(slots):
        if len(grads) != len(tensors):
            check.problems.append(f"backward returned {len(grads)} gradients, but there are {len(tensors)} to return")
            return {}
        slots = tensors
    matched = {}
    for position, grad in zip(slots, grads, strict=True):
        x = inputs[position]
        if x is None:
            if grad is not None:
                check.problems.append(f"argument {position} is None, but it got a gradient")
        elif not isinstance(grad, Tensor):
            check.problems.append(f"the gradient of argument {position} is {type(grad).__name__}, not a tensor")
        elif grad.shape != x.shape:
            check.problems.append(
                f"the gradient of argument {position} has shape {tuple(grad.shape)}, its argument {tuple(x.shape)}"
            )
        elif grad.dtype != x.dtype or grad.device != x.device:
            check.problems.append(
                f"the gradient of argument {position} is {grad.dtype} on {grad.device}, "
                f"its argument {x.dtype} on {x.device}"
            )
        else:
            matched[position] = grad
    return matched


def _compare_with_twin(check, twin, inputs, kwargs, results, dout, grads, tolerance) -> None:
    positions = sorted(grads)

    def of_tensors(*tensors):
        args = list(inputs)
        for position, tensor in zip(positions, tensors, strict=True):
            args[position] = tensor
        out, *extras = _flat(twin(*args, **kwargs))
        return out, [extra for extra in extras if extra is not None]

    expected_out, vjp, expected_extras = torch.func.vjp(of_tensors, *(inputs[i] for i in positions), has_aux=True)
    expected_results = [expected_out, *expected_extras]
    results = [result for result in results if result is not None]
    if [(r.shape, r.dtype) for r in results] != [(e.shape, e.dtype) for e in expected_results]:
        check.problems.append(f"forward gives {_spell(results)}, but torch gives {_spell(expected_results)}")
        return
    check.forward_error = 0.0
    for number, (result, expected) in enumerate(zip(results, expected_results, strict=True)):
        error, worst = _error(result, expected)
        check.forward_error = max(check.forward_error, error)
        if not error <= tolerance:
            check.problems.append(f"forward's result {number} is wrong: {worst}")
    for position, expected in zip(positions, vjp(dout), strict=True):
        error, worst = _error(grads[position], expected)
        check.gradient_errors[position] = error
        if not error <= tolerance:
            check.problems.append(f"the gradient of argument {position} is not autograd's: {worst}")


def _compare_with_differences(check, run, inputs, dout, grads, tolerance, generator) -> None:
    """Along one random direction v per argument: ⟨dx, v⟩ against ⟨dout, (f(x + hv) − f(x − hv)) / 2h⟩."""
    for position, grad in grads.items():
        x = inputs[position]
        if x.numel() == 0:
            continue
        direction = _random_like(x, generator)
        direction = direction / direction.norm()

        def at(step, position=position, x=x, direction=direction):
            args = list(inputs)
            args[position] = x + step * direction
            with torch.no_grad():
                return run(args)

        slope = ((at(STEP) - at(-STEP)) / (2 * STEP) * dout).sum().item()
        claimed = (grad * direction).sum().item()
        error = abs(claimed - slope) / (1 + abs(slope))
        check.difference_errors[position] = error
        if not error <= tolerance:
            check.problems.append(
                f"the gradient of argument {position} along a random direction is {claimed:.9g}, "
                f"but the central difference measures {slope:.9g}"
            )


def _error(got: Tensor, expected: Tensor) -> tuple[float, str]:
    """The worst mixed error, and a sentence about the entry where it stands. Equal infinities and NaNs agree."""
    if got.numel() == 0:
        return 0.0, ""
    got, expected = got.to(torch.float64), expected.to(torch.float64)
    error = ((got - expected).abs() / (1 + expected.abs())).masked_fill(got == expected, 0)
    error = error.masked_fill(got.isnan() & expected.isnan(), 0).nan_to_num(nan=math.inf)
    worst = int(error.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(worst), error.shape)]
    values = got.flatten()[worst].item(), expected.flatten()[worst].item()
    return error.flatten()[worst].item(), f"at {index} it is {values[0]:.12g}, not {values[1]:.12g}"


def _random_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal, drawn on the CPU, so that one seed gives the same numbers on every device."""
    return torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)


def _flat(results: Any) -> tuple:
    """Tensors and Nones of a result, out of any tuples they are in."""
    if isinstance(results, (tuple, list)):
        return tuple(leaf for result in results for leaf in _flat(result))
    return (results,)


def _spell(tensors: list[Tensor]) -> str:
    return ", ".join(f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for tensor in tensors)


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
