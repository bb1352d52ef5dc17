"""The diagnosis: what is wrong with the form; which mistake gives the numbers that were got; what is sure of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from torch import Tensor

from tinytorch_course.checking.evidence import Entry, Evidence, Quantity, worst_entry
from tinytorch_course.checking.gradients import GradientCheck
from tinytorch_course.checking.ops import OPS
from tinytorch_course.diagnosis import generic, structure, windows
from tinytorch_course.diagnosis.conventions import KINK, KINKED, at_kink
from tinytorch_course.diagnosis.facts import fact, simple, wrong_quantities
from tinytorch_course.diagnosis.hypotheses import Hypothesis, Predictions, agree, function, predictions_of

HANDY = 20_000  # entries: larger cases are looked at only if no smaller one is wrong
USE_FLOAT64 = (
    "this is float32's rounding and no mistake: in float64 the same code passes on the same inputs; use float64 to "
    "check gradients"
)
LARGEST = "subtract the largest entry of each row first, which changes nothing in the quotient"
OVERFLOW = {
    "softmax": f"exp overflows: {LARGEST}",
    "log_softmax": "exp overflows, or a probability underflows to 0 and its logarithm is -inf: subtract the largest "
    "entry of each row first, and never take the logarithm of a softmax",
    "cross_entropy": "exp overflows, or 0 times inf is nan: subtract the largest logit first, never take the logarithm "
    "of a softmax, and choose with torch.where what counts",
    "cross_entropy_long": f"exp overflows: {LARGEST}",
    "gelu": "a power or exp overflows: write it with tanh, erf or exp of negative numbers only",
    "sigmoid": "exp overflows: e to a positive number only where its inverse is taken, 1 / (1 + exp(-x))",
    "tanh": "exp overflows, and inf / inf is nan: use torch.tanh",
    "binary_cross_entropy": "log(0) is -inf, and 0 / 0 nan: torch bounds the logarithm at -100, and p (1 - p) at 1e-12",
    "binary_cross_entropy_with_logits": "exp overflows: use max(x, 0) + log1p(exp(-|x|)) for log(1 + exp(x)), and take "
    "exp of negative numbers only",
    "nll_loss": "0 times inf, or 0 / 0, is nan: choose with torch.where what counts, instead of multiplying by 0",
}


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
    merged: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = finding.key, finding.sentence, finding.part
        said = merged.get(key)
        what = f"{said.what} and {finding.what}" if said else finding.what
        merged[key] = (said or finding)._replace(what=what)
    return list(merged.values())


# --- values ----------------------------------------------------------------------------------------------------------


def _of_values(evidences: list[Evidence]) -> list[Finding]:
    """Findings about numbers: forward's first, and last what is only not finite."""
    wrong = wrong_quantities(evidences)
    ordinary = [quantity for quantity in wrong if _ordinary(evidences, quantity)]
    predicted: dict[tuple[int, int], Predictions] = {}
    hypotheses = _Hypotheses(evidences)
    # A wrong forward spoils the rest in ways that need no name of their own, but for a name that explains both.
    findings: list[Finding] = []
    for quantity in ordinary:
        finding = _explained(hypotheses, evidences, quantity, predicted)
        if quantity == "out" or "out" not in ordinary or finding.key == findings[0].key != "unrecognised":
            findings.append(finding)
    not_finite = [_not_finite(evidences, quantity) for quantity in wrong if quantity not in ordinary]
    return _merged(findings) + not_finite


class _Hypotheses:
    """Those that apply, in order: before and after what the numbers themselves say."""

    def __init__(self, evidences: list[Evidence]):
        op = (evidences[0].op or "").removesuffix("_naive")
        likely = OPS[op].mistakes if op in OPS else ()
        self.of_op = [function(one.key, (op,), one.function, one.sentence) for one in likely]
        self.of_op += [one for one in windows.HYPOTHESES if op in one.ops]
        self.of_any = [*generic.ignored_arguments(evidences), *generic.FORMULAS, *generic.other_ops(evidences[0])]


def _explained(
    hypotheses: _Hypotheses,
    evidences: list[Evidence],
    quantity: Quantity,
    predicted: dict[tuple[int, int], Predictions],
) -> Finding:
    """What explains a quantity in every case; or what explains most of them, and in how many; or what is sure."""
    wrong = _ordinary(evidences, quantity)

    def holds(hypothesis: Hypothesis, evidence: Evidence) -> bool:
        key = id(hypothesis), id(evidence)
        if key not in predicted:
            predicted[key] = predictions_of(hypothesis, evidence)
        got, right = evidence.got[quantity], evidence.right[quantity]
        return agree(got, predicted[key].get(quantity, right), evidence.tolerance)

    right = [e for e in _handy(evidences) if quantity in e.got and quantity in e.right and quantity not in e.wrong]

    def first(among: list[Hypothesis]) -> Finding | None:
        for hypothesis in among:
            if all(holds(hypothesis, evidence) for evidence in (*wrong, *right)):
                return _finding(hypothesis.key, hypothesis.sentence, wrong[0], quantity)
        return None

    said = simple(evidences, quantity)
    found = (
        first([generic.ROUNDED])
        or first(hypotheses.of_op)
        or (said and _finding(*said, wrong[0], quantity))
        or first(hypotheses.of_any)
    )
    if found:
        return found
    if wrong[0].op in KINKED and all(at_kink(evidence, quantity) for evidence in wrong):
        return _finding("kink", KINK, wrong[0], quantity)
    for hypothesis in hypotheses.of_op:
        shown = [evidence for evidence in wrong if holds(hypothesis, evidence)]
        if 2 * len(shown) > len(wrong):  # beside an entry that it explains
            finding = _finding(hypothesis.key, hypothesis.sentence, shown[0], quantity)
            return finding._replace(part=f"in {len(shown)} of {len(wrong)} wrong cases")
    return _finding("unrecognised", fact(evidences, quantity), wrong[0], quantity)


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


# --- findings --------------------------------------------------------------------------------------------------------


def _finding(key: str, sentence: str, evidence: Evidence, quantity: Quantity) -> Finding:
    return Finding(key, evidence.label(quantity), sentence, evidence.case, _entry(evidence, quantity))


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
    return _finding("not-finite", sentence, evidence, quantity)
