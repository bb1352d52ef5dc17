"""What a person sees of a comparison.

The table and the findings go to stdout, notes to stderr. Not every step has its line: 1, 2, 3, 5, 10, 20, 30, 50, ...
and the last; on a terminal the line below the table follows every step.
"""

import sys
import time

from rich.live import Live
from rich.text import Text

from tinytorch_course.lockstep.compare import IMPLS, ComparedStep, Comparison, PairSetup, SeedComparison, SeedRun
from tinytorch_course.lockstep.inject import Injection
from tinytorch_course.lockstep.timeline import Distance, is_shown
from tinytorch_course.training.display import SECONDS_BETWEEN_DRAWS, TwoStreams, number, percent
from tinytorch_course.user_code import shown

COLUMNS = (  # 79 characters
    ("step", 5),
    ("scratch", 8),
    ("torch", 8),
    ("apart", 8),
    ("gradients", 9),
    ("parameters", 10),
    ("scratch ms", 10),
    ("torch ms", 8),
    ("ratio", 5),
)
WHY_FLOAT32_PARTS = (
    "In float32 every sum is rounded to seven digits, and the two add up in different orders: they differ from the "
    "first step on, and once a relu or a pooling window decides differently, each step makes it worse. Torch parts "
    "from itself in the same way when it is given another number of threads, so look at --dtype float64, or at "
    "--seeds 5, which compares the accuracies of several runs."
)


def make_display(json: bool = False) -> "PlainDisplay":
    """The display that fits stderr; ``json`` keeps stdout free for the one document."""
    table = sys.stderr if json else sys.stdout
    return (TerminalDisplay if sys.stderr.isatty() else PlainDisplay)(table, sys.stderr)


class PlainDisplay(TwoStreams):
    """Lines and nothing else: for files, pipes and terminals that cannot move their cursor."""

    def start(self, setup: PairSetup, parameter_count: int, injection: Injection | None) -> None:
        """Say what is about to be compared."""
        self._introduce(setup, parameter_count, f"{setup.steps:,} steps", injection)
        self.notes.print()
        self.table.print(Text(" ".join(f"{title:>{width}}" for title, width in COLUMNS), "bold"))

    def row(self, row: ComparedStep, *, last: bool) -> None:
        """A step is done."""
        if last or is_shown(row.step):
            self.clear()
            self.table.print(table_row(row))

    def finish(self, comparison: Comparison, files: list[str]) -> None:
        """What the comparison came to."""
        self.clear()
        self.table.print()
        for line in findings(comparison):
            self.table.print(line)
        self._say_saved(files)

    def start_seeds(self, setup: PairSetup, parameter_count: int, count: int, injection: Injection | None) -> None:
        """Say what is about to be compared."""
        self.count, self.steps = count, setup.steps
        self._introduce(setup, parameter_count, f"{count} seeds, {setup.steps:,} steps each", injection)
        self.notes.print()
        self.table.print(Text(f"{'seed':>6}  {'from scratch':>12}  {'torch':>10}  {'difference':>10}", "bold"))

    def seed_step(self, done: int, step: int) -> None:
        """``step`` steps are done from the seed after the first ``done``."""

    def seed_row(self, run: SeedRun) -> None:
        """Both have been trained from a seed."""
        self.clear()
        ours, twin = (percent(run.accuracies[impl]) for impl in ("scratch", "torch"))
        self.table.print(f"{run.seed:>6}  {ours:>12}  {twin:>10}  {signed_percent(run.difference):>10}")

    def finish_seeds(self, comparison: SeedComparison, files: list[str]) -> None:
        """What the comparison came to."""
        self.clear()
        self.table.print()
        for line in seed_findings(comparison):
            self.table.print(line)
        self._say_saved(files)

    def _introduce(self, setup: PairSetup, parameter_count: int, length: str, injection: Injection | None) -> None:
        config = setup.config
        self.notes.print(
            Text.assemble(
                (config.model, "bold"),
                f", {parameter_count:,} parameters, from scratch and in torch side by side: {length} with "
                f"{config.batch_size} images of {setup.dataset.title}, {config.dtype} on {setup.device}, "
                f"{config.optimizer}, {config.schedule} rate of {config.lr:g}.",
            )
        )
        if injection is not None:
            self.notes.print(Text.assemble(("Planted in the from-scratch path: ", "bold"), f"{injection.what}."))

    def _say_saved(self, files: list[str]) -> None:
        if files:
            self.table.print(Text.assemble(("Saved: ", "dim"), ", ".join(files)), soft_wrap=True)


class TerminalDisplay(PlainDisplay):
    """The same, and below the table a line that follows every step."""

    live: Live | None = None
    next_draw = 0.0

    def row(self, row: ComparedStep, *, last: bool) -> None:
        """A step is done: its line is printed if it has one, else shown."""
        super().row(row, last=last)
        if not last and not is_shown(row.step):
            self._show(table_row(row))

    def seed_step(self, done: int, step: int) -> None:
        """Show how far it is."""
        self._show(Text(f"seed {done + 1} of {self.count}: step {step:,} of {self.steps:,}", "dim"))

    def clear(self) -> None:
        """Take the line that follows off the terminal."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _show(self, line: Text) -> None:
        now = time.monotonic()
        if now < self.next_draw:
            return
        self.next_draw = now + SECONDS_BETWEEN_DRAWS
        if self.live is None:
            self.live = Live(console=self.notes, transient=True, auto_refresh=False, redirect_stdout=False)
            self.live.start()
        self.live.update(line, refresh=True)


def table_row(row: ComparedStep) -> Text:
    """A step as a line of the table."""
    ours, twin = row.losses["scratch"], row.losses["torch"]
    milliseconds = {impl: 1000 * seconds for impl, seconds in row.seconds.items()}
    cells = [
        (str(row.step), ""),
        (number(ours), ""),
        (number(twin), ""),
        (apart(abs(ours - twin)), ""),
        *((apart(each.error), color(each)) for each in (row.gradients, row.parameters)),
        (f"{milliseconds['scratch']:.1f}", ""),
        (f"{milliseconds['torch']:.1f}", ""),
        (f"{milliseconds['scratch'] / milliseconds['torch']:.1f}", ""),
    ]
    padded = (Text(f"{cell:>{width}}", style) for (cell, style), (_, width) in zip(cells, COLUMNS, strict=True))
    return Text(" ").join(padded)


def apart(error: float) -> str:
    """An error in few digits."""
    return "equal" if error == 0 else f"{error:.1e}"


def color(distance: Distance) -> str:
    """Green for rounding, yellow for much of it, red beyond."""
    return "green" if distance.ulps < 1e4 else "yellow" if distance.ulps < 1e7 else "red"


def findings(comparison: Comparison) -> list[Text]:
    """The last word on a comparison, line by line."""
    lines = divergence_lines(comparison) or agreement_lines(comparison)
    if (ties := comparison.ties()).differ:
        lines.append(f"Ties, where only rounding decides: {ties}.")
    if handed_over := comparison.handed_over():
        lines.append(
            f"In {handed_over:,} step{'s' if handed_over > 1 else ''} the two took different steps from gradients that "
            "agree, because the optimizer divides by gradients that are nothing but rounding; from torch's own "
            "gradients ours takes torch's step, and it went on from there."
        )
    ours, twin = (1000 * comparison.seconds()[impl] for impl in IMPLS)
    lines.append(
        f"Time of a step (median): {ours:.1f} ms from scratch, {twin:.1f} ms in torch ({ours / twin:.1f} times)."
    )
    lines += memory_lines(comparison.memory)
    if comparison.config.dtype == "float32" and comparison.injection is None and comparison.divergence is None:
        lines.append(WHY_FLOAT32_PARTS)
    return [Text.assemble(line) for line in lines]


def agreement_lines(comparison: Comparison) -> list[str | Text]:
    """How near the two stayed, and how good they were on the test images."""
    lines: list[str | Text] = []
    if largest := comparison.timeline.largest():
        step, quantity, distance = largest
        near = f"the largest relative error is {apart(distance.error)}, in {quantity}, step {step}."
        steps = f"{len(comparison.rows):,} steps"
        within = f"over {steps}, every tensor is within {comparison.tolerance or 0:g} of torch's; {near}"
        same = Text.assemble(("Same: ", "bold green"), within)
        lines.append(f"Over {steps}, {near}" if comparison.tolerance is None else same)
    if test := comparison.test:
        lines.append(
            f"Test accuracy: {percent(test.accuracies['scratch'])} from scratch, "
            f"{percent(test.accuracies['torch'])} in torch; {test.different:,} of {test.count:,} predictions differ."
        )
    return lines


def divergence_lines(comparison: Comparison) -> list[str | Text]:
    """The first tensor out of tolerance, and where it was made; nothing without one."""
    if comparison.divergence is None:
        return []
    step, quantity, distance, entry, source = comparison.divergence
    index = f" at {list(entry.place)}" if entry.place else ""
    if comparison.tolerance is None:
        verdict, by = (
            "is not torch's",
            f", nor is that rounding: the relative error of this one step is {distance.error:.2g}",
        )
    else:
        verdict = "is out of tolerance"
        by = f", by a relative error of {distance.error:.2g} (allowed: {comparison.tolerance:g})"
    lines: list[str | Text] = [
        Text.assemble((f"Step {step}: {quantity} {verdict}", "bold red"), f"{by}. Worst{index}:"),
        f"  from scratch  {entry.ours:.17g}",
        f"  torch         {entry.twin:.17g}",
        Text.assemble("Made by ", (source.function, "bold"), f", {shown(source.file)}:{source.line}"),
        f"  {source.text}",
    ]
    if comparison.injection is not None:
        lines.append(f"The planted mistake was {comparison.injection.name}: {comparison.injection.what}.")
    return lines


def seed_findings(comparison: SeedComparison) -> list[Text]:
    """The last word on a comparison of accuracies, line by line."""
    lines = [
        Text(
            f"{name:<12}  mean {percent(comparison.mean(impl))}, "
            f"standard deviation {100 * comparison.deviation(impl):.2f} points"
        )
        for impl, name in (("scratch", "from scratch"), ("torch", "torch"))
    ]
    difference, error = comparison.difference, comparison.standard_error
    lines.append(
        Text(f"{'difference':<12}  {signed_percent(difference)[:-2]} ± {100 * error:.2f} points (standard error)")
    )
    if error == 0:
        verdict = f"Every seed gave {'both the same accuracy' if difference == 0 else 'the same difference'}."
    elif abs(difference) <= 3 * error:
        verdict = (
            f"That is {abs(difference) / error:.1f} times its standard error, "
            f"which chance alone may explain with {len(comparison.runs)} seeds."
        )
    else:
        verdict = (
            f"That is {abs(difference) / error:.1f} times its standard error, "
            "more than chance alone would explain: the two do not train alike."
        )
    lines.append(Text(verdict))
    return lines


def memory_lines(memory: dict[str, int | None]) -> list[str]:
    """One line, if both are known."""
    ours, twin = memory["scratch"], memory["torch"]
    if ours is None or twin is None:
        return []
    both = f"{ours / 1e6:.1f} MB from scratch, {twin / 1e6:.1f} MB in torch ({ours / twin:.1f} times)"
    return [f"Peak memory of a step: {both}."]


def signed_percent(share: float) -> str:
    """In percent, with its sign."""
    return f"{100 * share:+.2f} %"
