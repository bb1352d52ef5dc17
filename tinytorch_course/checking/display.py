"""What a person sees of ``tinytorch check``: tables and findings on stdout, progress and notes on stderr."""

import math
import sys
from typing import TYPE_CHECKING, Any

from rich.status import Status
from rich.table import Table
from rich.text import Text

from tinytorch_course.checking.rows import Answer, Curve, Row
from tinytorch_course.training.display import TwoStreams
from tinytorch_course.user_code import shown

if TYPE_CHECKING:
    from typing_extensions import Self

NAME_WIDTH = 33  # of the longest name, binary_cross_entropy_with_logits
BAR = 30  # characters that stand for an error of 1


class Display(TwoStreams):
    """Prints to the streams that fit; ``json`` keeps stdout free for the one document."""

    def __init__(self, json: bool = False):
        table = sys.stderr if json else sys.stdout
        super().__init__(table, sys.stderr)
        self.status: Status | None = None

    def __enter__(self) -> "Self":
        if sys.stderr.isatty():
            self.status = self.notes.status("Starting ...")
            self.status.start()
        return self

    def clear(self) -> None:
        """Take the line that follows away."""
        if self.status is not None:
            self.status.stop()

    def working_on(self, name: str, number: int, count: int) -> None:
        """Say what is being checked, where somebody watches."""
        if self.status is not None:
            self.status.update(f"Checking {name} ({number} of {count}) ...")

    # --- everything of ours ------------------------------------------------------------------------------------------

    def group(self, title: str, rows: list[Row]) -> None:
        """The table of one kind."""
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, collapse_padding=True
        )
        table.add_column("name", min_width=NAME_WIDTH, no_wrap=True)
        for heading, width in (("cases", 5), ("forward", 8), ("autograd", 8), ("differences", 11)):
            table.add_column(heading, min_width=width, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for row in rows:
            errors = (row.forward_error, row.gradient_error, row.difference_error)
            table.add_row(row.name, str(row.cases), *map(_number, errors), _verdict(row))
        self.table.print(table)
        self.table.print()

    def details(self, row: Row, *, explained: bool) -> None:
        """What is wrong with a row, and the right formula."""
        if not row.ok:
            self.table.print(Text.assemble((f"{row.kind} {row.name}", "bold red"), f": {_failed(row)}"))
            for note in row.notes:
                self.table.print(Text(f"  {note}"))
            self._findings(row)
        elif explained:
            self.table.print(Text(f"{row.kind} {row.name}", "bold"))
        if row.explanation is not None:
            self._explanation(row.explanation, formula=explained)
        if row.step_curve is not None:
            self._curve(row.step_curve)
        self.table.print()

    def summary(self, rows: list[Row], seconds: float, tolerances: str) -> None:
        """The last line: whether all is well, and how long it took."""
        wrong = [row for row in rows if not row.ok]
        cases = sum(row.cases for row in rows)
        verdict = ("all ok", "bold green") if not wrong else (f"{len(wrong)} of {len(rows)} WRONG", "bold red")
        self.table.print(Text.assemble(verdict, f": {cases:,} cases of {len(rows)} in {seconds:.1f} s; {tolerances}"))

    def listing(self, groups: dict[str, list[tuple[str, str]]]) -> None:
        """What there is to check: names, and how an op's forward is called."""
        for title, entries in groups.items():
            self.table.print(Text(title, "bold"))
            for name, signature in entries:
                self.table.print(Text(f"  {name}{signature}"))
            self.table.print()

    # --- a learner's own code ----------------------------------------------------------------------------------------

    def repairing(self, part: float, tried: int) -> None:
        """How far the search for a repair is."""
        if self.status is not None:
            done = round(part * BAR)
            bar = "#" * done + "." * (BAR - done)
            self.status.update(
                f"Searching for the edit that makes it right [{bar}] {tried:,} tried".replace("[", "\\[")
            )

    def own_code(
        self, outcome: Answer, *, explained: bool, hint: int | None = None, fix: bool = False, place: bool = True
    ) -> None:
        """Everything that came of it.

        Args:
            outcome: what came of it.
            explained: with the right formula.
            hint: only as much as that.
            fix: the repair as a diff.
            place: also where the right one stands, if it is wrong.
        """
        row = outcome.row
        if outcome.printed:
            cut = " ..." if outcome.printed_length > len(outcome.printed) else ""
            self.notes.print(Text(f"It printed {outcome.printed_length:,} characters:", "yellow"))
            self.notes.print(Text(outcome.printed.rstrip() + cut, "dim"))
        like = f" like {row.explanation['like']}" if row.explanation else ""
        self.table.print(Text.assemble((row.name, "bold"), f"{like}: {row.cases} case{'s' * (row.cases != 1)}"))
        self._quantities(row)
        for note in row.notes:
            self.notice(note)
        if row.ok:
            self.table.print(Text("ok", "bold green"))
        else:
            self.table.print(Text.assemble(("WRONG", "bold red"), f": {_failed(row)}"))
            if hint is None:
                self._findings(row)
            else:
                self._hints(row, hint)
        if fix and row.repair is not None:
            self.table.print(Text(f"\n{row.repair['diff']}\n"))
        elif fix and not row.ok:
            self.notice("no edit was found, so there is no diff")
        if row.explanation is not None and (explained or (not row.ok and hint is None and place)):
            self._explanation(row.explanation, formula=explained)
        if row.step_curve is not None:
            self._curve(row.step_curve)

    def _quantities(self, row: Row) -> None:
        table = Table(box=None, pad_edge=False)
        table.add_column("error of", min_width=12)
        for heading in ("autograd", "differences"):
            table.add_column(heading, min_width=11, justify="right")
        if row.forward_error is not None:
            table.add_row("out", _number(row.forward_error), "")
        for label, errors in row.quantities.items():
            table.add_row(label, _number(errors["autograd"]), _number(errors["differences"]))
        self.table.print(table)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _findings(self, row: Row) -> None:
        for finding in row.diagnosis:
            self.table.print(Text.assemble("  ", (finding["what"], "bold"), f": {finding['sentence']}"))
            for line in _evidence(finding):
                self.table.print(Text(f"    {line}", "dim"))

    def _hints(self, row: Row, level: int) -> None:
        """A ladder: what is wrong; where; what kind of change; the edit."""
        for what, sentence in row.facts.items():
            self.table.print(Text.assemble("  ", (what, "bold"), f": {sentence}"))
        if row.repair is not None and level > 1:
            for sentence in row.repair["hints"][: level - 1]:
                self.table.print(Text(f"  {sentence}"))
        elif level > 1:
            self.table.print(Text("  there is no further hint: no small edit was found that makes it right"))

    def _explanation(self, explanation: dict[str, Any], *, formula: bool) -> None:
        where = f"{shown(explanation['file'])}:{explanation['line']}"
        self.table.print(Text(f"  The right one: {where} ({explanation['function']})"))
        if formula:
            for paragraph in explanation["formula"]:
                self.table.print(Text(f"    {paragraph}"))

    def _curve(self, curve: Curve) -> None:
        """A bar's length says how large the error is, on a logarithmic scale."""
        self.table.print(
            Text("  The error of a central difference depends on its step h (the shorter the bar, the better):")
        )
        best = {dtype: min(curve, key=lambda point: _size(point[dtype]))["step"] for dtype in ("float64", "float32")}
        self.table.print(Text(f"    {'h':<8}{'float64':<9}{'':<{BAR // 2 + 2}}float32"))
        for point in curve:
            halves = (f"{_number(point[dtype]):<9}{_bar(point[dtype]):<{BAR // 2 + 2}}" for dtype in best)
            marks = [dtype for dtype, step in best.items() if step == point["step"]]
            mark = f"<- best in {' and '.join(marks)}" if marks else ""
            self.table.print(Text(f"    {point['step']:<8.0e}{''.join(halves)}{mark}".rstrip()))


def _evidence(finding: dict[str, Any]) -> list[str]:
    """Where it shows: the part of cases, the entry, the case."""
    lines = [finding["part"]] if finding["part"] else []
    entry = finding["entry"]
    if entry is not None:
        where = entry["place"] or (f"at {entry['index']}" if entry["index"] else "it")
        values = (_value(entry["got"]), _value(entry["expected"]))
        lines.append(f"{where}: {values[0]}, but right is {values[1]}")
    return [*lines, f"in {finding['case']}"]


def _value(number: float | None) -> str:
    return "not finite" if number is None else f"{number:.9g}"


def _number(error: float | None) -> str:
    return "" if error is None else "0" if error == 0 else f"{error:.1e}"


def _size(error: float | None) -> float:
    return math.inf if error is None else error


def _bar(error: float | None) -> str:
    """From 1e-15 (nothing) to 1 and above."""
    digits = 15 + math.log10(max(_size(error), 1e-15)) if math.isfinite(_size(error)) else 15
    return "#" * round(min(digits, 15) / 15 * BAR / 2)


def _verdict(row: Row) -> Text:
    return Text("ok", "green") if row.ok else Text("WRONG", "bold red")


def _failed(row: Row) -> str:
    return f"{row.failed} of {row.cases} case{'s' * (row.cases != 1)} failed"
