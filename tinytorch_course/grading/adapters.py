"""A learner's pair on the cases of an op, or on inputs of given shapes.

Cases are passed on as far as the code takes them: a convolution without ``groups`` is checked on those without groups.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor

from tinytorch_course.checking.cases import Case, Op, draw, on_grid, scaled
from tinytorch_course.checking.gradients import GradientCheck, check_gradient
from tinytorch_course.checking.ops import check_fitted, find_op, raised
from tinytorch_course.grading.forms import Own, fit, is_plain, understood
from tinytorch_course.grading.pairs import DoesNotFit, Pair

OF_MASKS = 1e-6  # tolerance where code makes its own mask of truth values, which torch divides in float32
LARGE = 20_000  # entries: loops written in Python would take minutes


class PairChecks(NamedTuple):
    """What a pair did on the cases of an op."""

    plain: list[GradientCheck]  # these count
    beyond: list[GradientCheck]  # what torch takes as well, but few people write code for
    left_out: dict[str, int]  # why -> how many cases could not even be tried

    def leave_out(self, reason: str) -> None:
        """One more case that could not be tried."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def check_like(pair: Pair, op: str, *, spell: Callable[[Exception], str] | None = None, **options: Any) -> PairChecks:
    """Check ``pair`` on all cases of ``op`` that it takes.

    An exception on the first plain case is the caller's to handle: then the pair does not work at all. Those on later
    ones are failed cases, in the words of ``spell``.
    """
    outcome, row = PairChecks([], [], {}), find_op(op)
    pair, _ = understood(pair, row)
    if "mask" in row.parameters and "mask" not in (pair.takes or "mask"):
        options |= {"tolerance": OF_MASKS}
    axes = []  # of the plain cases' first inputs
    for case in row.cases:
        inputs = [x for x in row.draw(case) if isinstance(x, Tensor)]
        if sum(x.numel() for x in inputs) > LARGE:
            continue
        fitted = fit(pair, case, row)
        if isinstance(fitted, str):
            outcome.leave_out(fitted)
            continue
        plain, usual = (is_plain(each, row, pair.takes) for each in (case, _of_numbers(case)))
        try:
            check = check_fitted(
                fitted, pair.forward, pair.backward, constant=pair.constant, names=pair.labels, **options
            )
        except DoesNotFit as refusal:
            if plain:
                outcome.leave_out(str(refusal))
            continue
        except Exception as error:
            if not _runs_in_torch(row, fitted):
                continue
            if pair.fixed:
                outcome.leave_out(f"{pair.name} raises {type(error).__name__} on sizes that it is not made for")
                continue
            if not outcome.plain:
                raise
            check = raised(str(case), op, error, spell)
        # Whose forward is right for a kernel of (2, 3) has to be right backward as well.
        only_gradients = all(one.key in ("value", "difference") and one.what != "out" for one in check.problems)
        plain = plain or (usual and only_gradients)
        (outcome.plain if plain else outcome.beyond).append(check)
        axes += [inputs[0].dim()] * plain
    return _of_its_axes(outcome, axes) if row.any_shape and "weight" in row.parameters else outcome


def _of_numbers(case: Case) -> Case:
    """The case with a number for each pair."""
    numbers = {key: value[0] if isinstance(value, tuple) and value else value for key, value in case.kwargs.items()}
    return case._replace(kwargs=numbers)


def _of_its_axes(outcome: PairChecks, axes: list[int]) -> PairChecks:
    """A normalization of (N, D) is not asked about more axes, if there it raises, or only leaves out a sum."""
    keys = [{problem.key for problem in check.problems} for check in outcome.plain]
    runs = [axis for axis, found in zip(axes, keys, strict=True) if "raised" not in found]
    usual = max(runs, key=runs.count, default=0)
    right = all(not found or "raised" in found for axis, found in zip(axes, keys, strict=True) if axis == usual)
    kept = []
    for axis, found, check in zip(axes, keys, outcome.plain, strict=True):
        if usual and (found == {"raised"} or (found == {"shape"} and right and axis != usual)):
            outcome.leave_out(f"it is made for inputs of {usual} axes, with weight and bias")
        else:
            kept.append(check)
    return outcome._replace(plain=kept)


def _runs_in_torch(op: Op, case: Case) -> bool:
    """Whether the case makes sense with the keywords that were fixed."""
    try:
        op.twin(*op.draw(case), **case.kwargs)
    except Exception:
        return False
    return True


# --- shapes -----------------------------------------------------------------------------------------------------------


def draws(shapes: list[list[int]]) -> Iterator[tuple[str, tuple]]:
    """Inputs that tell things apart: what they are, and what is drawn. Those of the first two draws must be taken."""
    usual = [tuple(shape) for shape in shapes]
    yield "", tuple(usual)
    yield "once more", tuple(usual)
    yield "of scale 5", tuple(scaled(5.0, *shape) for shape in usual)
    yield "of scale 0.01", tuple(scaled(0.01, *shape) for shape in usual)
    yield "all negative", tuple(scaled(0.5, *shape, shift=-3.0) for shape in usual)
    yield "all positive", tuple(scaled(0.5, *shape, shift=3.0) for shape in usual)
    yield "small integers, with ties and zeros", tuple(on_grid(*shape) for shape in usual)
    for size in dict.fromkeys(size for shape in usual for size in shape if size > 1):
        short = tuple(tuple(one // size if one % size == 0 else one for one in shape) for shape in usual)
        yield f"with 1 for {size}", short


def _broadcast(check: GradientCheck) -> list[Tensor]:
    """Inputs whose gradient came out larger than they are."""
    evidence = check.evidence
    grads = {i: grad for i, grad in evidence.got.items() if isinstance(i, int)}
    return [evidence.inputs[i] for i, grad in grads.items() if grad.numel() > evidence.inputs[i].numel()]


def check_shapes(
    pair: Pair, shapes: list[list[int]], op: str | None, *, twin: Callable[..., Tensor] | None = None, **options: Any
) -> PairChecks:
    """Check ``pair`` on inputs of these shapes, beside ``op``, ``twin`` or differences alone.

    What cannot be told (a shape that it does not take, a domain that it does not have) is left out, with the reason.
    """
    outcome, seed = PairChecks([], [], {}), options.pop("seed", 0)
    if op is None:
        pair, _ = understood(pair, Own(pair.name, dict(pair.signature.parameters), draw(tuple(map(tuple, shapes)))))
    for number, (note, inputs) in enumerate(draws(shapes)):
        case = Case(inputs, note=note, op=op or pair.name)
        try:
            if op is not None:
                fitted = fit(pair, case, find_op(op))
                if isinstance(fitted, str):
                    return PairChecks([], [], {fitted: 1})
                constant = {"constant": pair.constant, "names": pair.labels}
                check = check_fitted(fitted, pair.forward, pair.backward, seed=seed + number, **constant, **options)
            else:
                drawn = draw(case.inputs, seed=seed + number, **options)
                check = check_gradient(
                    pair.forward, pair.backward, drawn, twin=twin, seed=seed, names=pair.labels, name=str(case)
                )
        except Exception as error:
            if number < 2:
                raise
            outcome.leave_out(f"inputs {note}: it raises {type(error).__name__}")
            continue
        out = check.evidence.got["out"]
        if number > 1 and not out.isfinite().all():
            outcome.leave_out(f"inputs {note}: forward is not finite there")
        elif number > 1 and any(problem.key == "unchecked" for problem in check.problems):
            outcome.leave_out(f"inputs {note}: {check.problems[0]}")
        elif number > 1 and _broadcast(check):
            outcome.leave_out(f"inputs {note}: it broadcasts them")
        else:
            outcome.plain.append(check)
    return outcome
