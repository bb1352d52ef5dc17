"""The diagnosis: which hypothesis gives what was got?

From the most specific to the most general: what is wrong with the form; the mistakes of the op; those of any op; the
places where it is wrong; and if nothing fits, the numbers alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from torch import Tensor

from tinytorch_course.checking.evidence import Entry, Evidence, Quantity, entry_errors, worst_entry
from tinytorch_course.checking.gradients import GradientCheck
from tinytorch_course.checking.ops import OPS
from tinytorch_course.diagnosis import (
    activation,
    convolution,
    generic,
    losses,
    movement,
    normalization,
    optimizers,
    places,
    pooling,
    structure,
)
from tinytorch_course.diagnosis.facts import fact, wrong_quantities
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, agree, function, predictions_of

FAMILIES = (activation, convolution, pooling, normalization, movement, losses, optimizers)
HANDY = 20_000  # entries: larger cases are looked at only if no smaller one is wrong
USE_FLOAT64 = (
    "this is float32's rounding and no mistake: in float64 the same code passes on the same inputs; use float64 to "
    "check gradients"
)
OVERFLOW = activation.OVERFLOW | losses.OVERFLOW


class Finding(NamedTuple):
    """One thing that is wrong."""

    key: str  # of the hypothesis, for programs
    what: str  # "dx", "dweight and dbias"
    sentence: str
    case: str  # that shows it best
    entry: Entry | None  # that shows it best
    part: str = ""  # "in 4 of 6 wrong cases", where it does not explain all

    def __str__(self) -> str:
        shown = f" (for example, in {self.case}, {self.entry})" if self.entry else f" (in {self.case})"
        return f"{self.what}: {self.sentence}{f', {self.part}' if self.part else ''}{shown}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with its whole text."""
        return {**self._asdict(), "entry": self.entry and asdict(self.entry), "text": str(self)}


def diagnose(checks: Sequence[GradientCheck]) -> list[Finding]:
    """What is wrong, the likeliest first; nothing if all is well.

    Args:
        checks: of one op, on as many cases as there are: the more shapes, the fewer mistakes look alike. Those that
            passed count too: what a mistake would have spoiled is evidence against it.
    """
    if all(check.ok for check in checks):
        return []
    only_rounding = [check for check in checks if not check.ok and check.in_double and check.in_double.ok]
    checks = [check if check.in_double is None else check.in_double for check in checks]
    if all(check.ok for check in checks):
        return [_of_problem(only_rounding[0], "rounding", USE_FLOAT64)]
    form = _of_form(checks)
    values = _of_values([check.evidence for check in checks])
    raised = [finding for finding in form if finding.key in ("again", "raised")]
    # Else nothing but a central difference disagrees, or forward gives another shape: there are no entries to compare.
    findings = [finding for finding in form if finding not in raised] + values + raised
    return findings or [_of_problem(next(check for check in checks if not check.ok))]


def _of_problem(check: GradientCheck, key: str = "", sentence: str = "", which: int = 0) -> Finding:
    """A problem of a check as a finding, in its own words or in others."""
    problem = check.problems[which]
    return Finding(key or problem.key, problem.what, sentence or problem.sentence, check.name, None)


def _of_form(checks: Sequence[GradientCheck]) -> list[Finding]:
    """Numbers, shapes and dtypes of the gradients, changed inputs, exceptions: one finding for each kind."""
    findings: dict[tuple[str, str], Finding] = {}
    for check in checks:
        for which, problem in enumerate(check.problems):
            explanation = structure.explain_problem(problem, check)
            if explanation is not None:
                findings.setdefault((problem.key, problem.what), _of_problem(check, *explanation, which))
    return _merged(findings.values())


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """What is said of several gradients in the same words is said once."""
    merged: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        said = merged.get((finding.key, finding.sentence))
        what = f"{said.what} and {finding.what}" if said else finding.what
        merged[finding.key, finding.sentence] = (said or finding)._replace(what=what)
    return list(merged.values())


# --- values ----------------------------------------------------------------------------------------------------------


def _of_values(evidences: list[Evidence]) -> list[Finding]:
    """Findings about numbers: forward's first, and last what is only not finite."""
    wrong = wrong_quantities(evidences)
    unexplained = [quantity for quantity in wrong if _ordinary(evidences, quantity)]
    not_finite = [_not_finite(evidences, quantity) for quantity in wrong if quantity not in unexplained]
    findings = []
    for hypothesis in _hypotheses(evidences):
        if not unexplained:
            break
        explained = _explained(hypothesis, evidences, unexplained)
        if explained:
            findings.append((explained[0], _finding(hypothesis, explained, evidences)))
            unexplained = [quantity for quantity in unexplained if quantity not in explained]
    # A wrong forward spoils the rest in ways that need no name of their own.
    spoiled = bool(_ordinary(evidences, "out"))
    left = [quantity for quantity in unexplained if quantity == "out" or not spoiled]
    findings += [(quantity, _unrecognised(evidences, quantity)) for quantity in left]
    findings.sort(key=lambda pair: isinstance(pair[0], int))
    return [finding for _, finding in findings] + not_finite


def _hypotheses(evidences: list[Evidence], general: bool = True) -> Iterable[Hypothesis]:
    """Those that apply, in order."""
    op = (evidences[0].op or "").removesuffix("_naive")
    if op in OPS:
        yield from (function(likely.key, (op,), likely.function, likely.sentence) for likely in OPS[op].mistakes)
    for family in FAMILIES:
        yield from (hypothesis for hypothesis in family.HYPOTHESES if op in hypothesis.ops)
    if not general:
        return
    others = [
        *generic.PLAIN,
        *generic.ignored_arguments(evidences),
        *generic.FORMULAS,
        places.KINK,
        *generic.PARTIAL,
        *places.PLACES,
    ]
    yield from (hypothesis for hypothesis in others if not hypothesis.ops or op in hypothesis.ops)


def _finite(evidence: Evidence, quantity: Quantity) -> bool:
    """Whether what was got is finite wherever the right value is, and a number wherever that is one."""
    got, right = evidence.got.get(quantity), evidence.right.get(quantity)
    if got is None or right is None or got.shape != right.shape:
        return True
    return not bool((got.isnan() & ~right.isnan() | got.isinf() & right.isfinite()).any())


def _ordinary(evidences: list[Evidence], quantity: Quantity) -> list[Evidence]:
    """Where the quantity is wrong, but it and out are finite; the smallest case first."""
    wrong = [e for e in evidences if quantity in e.wrong and _finite(e, quantity) and _finite(e, "out")]
    return sorted(_handy(wrong) or wrong, key=_size)


def _size(evidence: Evidence) -> int:
    return sum(x.numel() for x in evidence.inputs if isinstance(x, Tensor))


def _handy(evidences: list[Evidence]) -> list[Evidence]:
    return [evidence for evidence in evidences if _size(evidence) <= HANDY]


def _explained(hypothesis: Hypothesis, evidences: list[Evidence], quantities: list[Quantity]) -> list[Quantity]:
    """Those quantities for which the hypothesis predicts, in every case, what was got."""
    predicted: dict[int, Predictions] = {}

    def holds(evidence: Evidence, quantity: Quantity) -> bool:
        if id(evidence) not in predicted:
            predicted[id(evidence)] = predictions_of(hypothesis, evidence)
        return _fits(hypothesis, predicted[id(evidence)], evidence, quantity)

    def believed(quantity: Quantity) -> bool:
        if not all(holds(evidence, quantity) for evidence in _ordinary(evidences, quantity)):
            return False
        right = [e for e in evidences if quantity in e.got and quantity in e.right and quantity not in e.wrong]
        return hypothesis.partly or all(holds(evidence, quantity) for evidence in _handy(right))

    return [quantity for quantity in quantities if believed(quantity)]


def _fits(hypothesis: Hypothesis, predictions: Predictions, evidence: Evidence, quantity: Quantity) -> bool:
    got, right = evidence.got[quantity], evidence.right[quantity]
    predicted = predictions.get(quantity, right)
    if hypothesis.partly and got.shape == right.shape == predicted.shape:
        differs = entry_errors(got, right) > evidence.tolerance
        predicted = predicted.where(differs, right)
    return agree(got, predicted, evidence.tolerance)


# --- findings --------------------------------------------------------------------------------------------------------


def _finding(hypothesis: Hypothesis, quantities: list[Quantity], evidences: list[Evidence]) -> Finding:
    evidence = _ordinary(evidences, quantities[0])[0]
    what = " and ".join(evidence.label(quantity) for quantity in quantities)
    return Finding(hypothesis.key, what, hypothesis.sentence, evidence.case, _entry(evidence, quantities[0]))


def _entry(evidence: Evidence, quantity: Quantity) -> Entry | None:
    got, right = evidence.got[quantity], evidence.right[quantity]
    if got.shape != right.shape:
        return None
    _, entry = worst_entry(got, right)
    return replace(entry, place=evidence.place(entry.index)) if entry and evidence.place else entry


def _not_finite(evidences: list[Evidence], quantity: Quantity) -> Finding:
    evidence = next(e for e in evidences if quantity in e.wrong)
    advice = OVERFLOW.get((evidence.op or "").removesuffix("_naive"), "look for exp of large numbers, log(0) and 0 / 0")
    sentence = f"it is inf or nan where the right value is finite: {advice}"
    return Finding("not-finite", evidence.label(quantity), sentence, evidence.case, _entry(evidence, quantity))


def _unrecognised(evidences: list[Evidence], quantity: Quantity) -> Finding:
    """Nothing explains all cases: what explains most of them, and in how many; or what can be said for sure."""
    wrong = _ordinary(evidences, quantity)
    for hypothesis in _hypotheses(evidences, general=False):
        shown = [e for e in wrong if _fits(hypothesis, predictions_of(hypothesis, e), e, quantity)]
        if 2 * len(shown) > len(wrong):
            finding = _finding(hypothesis, [quantity], shown)  # beside an entry that it explains
            return finding._replace(part=f"in {len(shown)} of {len(wrong)} wrong cases")
    evidence = wrong[0]
    sentence = fact(evidences, quantity)
    return Finding("unrecognised", evidence.label(quantity), sentence, evidence.case, _entry(evidence, quantity))
