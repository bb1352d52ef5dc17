"""What a check came to, in plain numbers and words: for the table, for JSON, and across processes. Needs no torch."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

Curve = list[dict[str, float | None]]  # of each step ("step") the errors ("float64", "float32")


@dataclass
class Row:
    """What came out for one op, loss, layer, optimizer, schedule or network, or for a learner's own code.

    Errors are the worst over its cases, None where there is nothing to compare. ``max |got − expected| / (1 +
    |expected|)``, dimensionless.
    """

    kind: str
    name: str
    cases: int
    failed: int = 0
    forward_error: float | None = None
    gradient_error: float | None = None  # against autograd, for a random cotangent
    difference_error: float | None = None  # against central differences
    quantities: dict[str, dict[str, float | None]] = field(default_factory=dict)  # "dx" -> the same for it alone
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diagnosis: list[dict[str, Any]] = field(default_factory=list)  # findings, the likeliest first
    facts: dict[str, str] = field(default_factory=dict)  # of each wrong quantity, what can be said for sure
    repair: dict[str, Any] | None = None  # the smallest edit that makes it right, of a learner's own code
    explanation: dict[str, Any] | None = None  # of the right formula, and where it stands
    step_curve: Curve | None = None  # error of a central difference for each step

    @property
    def ok(self) -> bool:
        """Whether no case failed."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinities: an error that is not finite is None there, and one of the problems."""
        return {"ok": self.ok, **_finite(asdict(self))}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Row":
        """The row of which :meth:`to_dict` made this."""
        return cls(**{key: value for key, value in values.items() if key != "ok"})


class Answer(NamedTuple):
    """What came of a learner's code."""

    row: Row
    printed: str  # the beginning of what the code printed
    printed_length: int  # in characters, of all of it


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
