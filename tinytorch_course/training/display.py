"""What a person sees of a training run.

Results (the table of epochs, the summary) go to stdout, everything else to stderr. On a terminal a progress bar shows
how far the epoch is; into files and pipes there are plain lines only, one for each epoch, without control codes.
"""

import contextlib
import dataclasses
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from rich.console import Console
from rich.constrain import Constrain
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from tinytorch_course.own_networks import is_own

if TYPE_CHECKING:
    from typing_extensions import Self

    from tinytorch_course.training.config import TrainConfig
    from tinytorch_course.training.many import SeedRuns
    from tinytorch_course.training.progress import Result
    from tinytorch_course.training.setup import Setup

COLUMNS = (  # of the table of epochs: 70 characters, so that "best" still fits beside them in 80
    ("epoch", 7),
    ("train loss", 10),
    ("train acc", 9),
    ("val loss", 8),
    ("val acc", 8),
    ("rate", 8),
    ("time", 8),
)
SECONDS_BETWEEN_DRAWS = 0.1
IMPLEMENTATIONS = {"scratch": "from scratch", "torch": "in torch"}


class Display(Protocol):
    """What the training loop tells, in this order. Epochs count from 1; steps count those done."""

    def notice(self, sentence: str) -> None:
        """Something worth knowing, which is no error: which data were taken, what was turned down."""

    def start(self, setup: "Setup", parameter_count: int, start_epoch: int, run_folder: Path) -> None:
        """What is about to be trained; ``start_epoch`` is past the last epoch where only the test is left."""

    def epoch_start(self, epoch: int, start_step: int) -> None:
        """An epoch begins, after ``start_step`` of its steps when a resumed run stopped inside it."""

    def step(self, step: int, loss: float | None, accuracy: float | None, lr: float) -> None:
        """``step`` steps of this epoch are done; loss and accuracy are its means when last read, None before that."""

    def epoch_end(self, row: Mapping[str, Any]) -> None:
        """An epoch is done: its row of the history."""

    def finish(self, result: "Result") -> None:
        """The run is done."""


class QuietDisplay:
    """Shows nothing."""

    def _ignore(self, *what: Any, **more: Any) -> None:
        """Whatever it is told."""

    notice = start = epoch_start = step = epoch_end = finish = _ignore


QUIET = QuietDisplay()


def make_display(json: bool = False, name: str | None = None) -> "PlainDisplay":
    """The display that fits stderr: with a bar on a terminal that can move its cursor, otherwise plain.

    Args:
        json: keeps stdout free for the one document: the table goes to stderr too.
        name: of a run among several, which has no summary of its own. None: there is only this one.
    """
    table = sys.stderr if json else sys.stdout
    # Not rich's own is_terminal, which FORCE_COLOR turns on for pipes too. TERM=dumb is seen to by rich.
    return (TerminalDisplay if sys.stderr.isatty() else PlainDisplay)(table, sys.stderr, name)


class Stream(Console):
    """rich's console, but a pipe that its reader has closed is not for it to exit on: the command line does that."""

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: let it end the run."""
        raise  # the BrokenPipeError that is being handled


class TwoStreams:
    """Results on one stream and notes on another. A context manager, so that no error leaves half a bar behind.

    rich decides about colors for each stream: NO_COLOR, FORCE_COLOR, pipes. Nothing is broken into lines where it could
    be read by a program.
    """

    def __init__(self, table: TextIO, notes: TextIO) -> None:
        self.table = Stream(file=table, highlight=False, soft_wrap=not table.isatty())
        self.notes = Stream(file=notes, highlight=False, soft_wrap=not notes.isatty())

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # of a terminal that has been closed
            self.clear()

    def notice(self, sentence: str) -> None:
        """One line beside the results, of something worth knowing which is no error."""
        self.notes.print(Text.assemble(("Note: ", "yellow"), sentence))

    def clear(self) -> None:
        """Take what is not there to stay off the terminal, so that a line can be printed in its place."""


class PlainDisplay(TwoStreams, Display):
    """One line for each epoch, and no control codes: for files, pipes and terminals that cannot move their cursor."""

    def __init__(self, table: TextIO, notes: TextIO, name: str | None = None) -> None:
        super().__init__(table, notes)
        self.table.soft_wrap = True  # table, paths and commands are not to be broken, whatever the width
        self.name = name

    def __enter__(self) -> "Self":
        if self.name is not None:
            self.table.print(Text(f"\n{self.name}", "bold"))
        return self

    def start(self, setup: "Setup", parameter_count: int, start_epoch: int, run_folder: Path) -> None:
        """Say what is trained on what."""
        self.config, self.epochs, self.steps_per_epoch = setup.config, setup.epochs, setup.steps_per_epoch
        config, dataset = setup.config, setup.dataset
        train, val, test = (len(split.labels) for split in (dataset.train, dataset.val, dataset.test))
        self.notes.print(
            Text.assemble(
                (config.model, "bold"),
                f" {IMPLEMENTATIONS[config.impl]}, {parameter_count:,} parameters, on {dataset.title}: "
                f"{train:,} images to train on, {val:,} to choose the best epoch, {test:,} to test it.",
            )
        )
        self.notes.print(Text.assemble(("Run folder: ", "dim"), str(run_folder)), soft_wrap=True)
        self.table_is_headed = False

    def epoch_start(self, epoch: int, start_step: int) -> None:
        """Head the table, where that has not been done; say where a run goes on."""
        if not self.table_is_headed:
            if epoch > 1 or start_step > 0:
                self.notes.print(
                    f"Resuming at step {start_step + 1} of {self.steps_per_epoch} in epoch {epoch} of {self.epochs}."
                )
            self.notes.print()
            self.table.print(Text(table_line([title for title, _ in COLUMNS]), "bold"))
            self.table_is_headed = True

    def step(self, step: int, loss: float | None, accuracy: float | None, lr: float) -> None:
        """Not shown: a line for each epoch is enough."""

    def epoch_end(self, row: Mapping[str, Any]) -> None:
        """One row of the table; the best epoch so far, by validation accuracy, is marked."""
        self.clear()
        cells = Text(table_line(epoch_cells(row, self.epochs)))
        if row["best"]:
            cells.append("  best", "bold green")
        self.table.print(cells)

    def finish(self, result: "Result") -> None:
        """The summary: what the network is worth, where it lies, and what could be typed next."""
        self.clear()
        if self.name is not None:
            return
        self.table.print()
        for name, value, remark in summary(result):
            value = f"{value:<10} " if remark else value
            self.table.print(Text.assemble((f"{name:<15}", "bold"), value, (remark, "dim")))
        self.table.print()
        for purpose, command in next_commands(result, self.config):
            self.table.print(Text.assemble((f"{purpose}:", "dim"), f"\n  {command}"))


class Bar(Progress):
    """rich's bar, ending before the edge: the ^C that a terminal shows must not go over into the next line."""

    def __init__(self, *columns: ProgressColumn, console: Console, **options: Any) -> None:
        self.own_console = console  # rich asks for the renderable before it has set its own
        super().__init__(*columns, console=console, **options)

    def get_renderable(self) -> Constrain:
        """No wider than the terminal, so that it can be drawn over."""
        return Constrain(super().get_renderable(), max(self.own_console.width - 3, 1))


class TerminalDisplay(PlainDisplay):
    """The same, and below the table a bar that shows how far the running epoch is."""

    def __init__(self, table: TextIO, notes: TextIO, name: str | None = None) -> None:
        super().__init__(table, notes, name)
        self.bar: Progress | None = None
        self.began: float | None = None  # with steps_done: how long one step takes, validation included
        self.steps_done = 0

    def epoch_start(self, epoch: int, start_step: int) -> None:
        """Begin the epoch's bar."""
        super().epoch_start(epoch, start_step)
        # No thread redraws the bar. Stray warnings on stderr are printed above it; stdout is left alone, being a file
        # perhaps.
        self.bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=self.notes,
            transient=True,
            auto_refresh=False,
            expand=True,
            redirect_stdout=False,
        )
        name = f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"
        self.task = self.bar.add_task(
            name,
            total=self.steps_per_epoch,
            completed=start_step,
            numbers=self.numbers(start_step, "-", "-", "-", "-"),
        )
        self.bar.start()
        if self.began is None:
            self.began = time.monotonic()
        self.epoch, self.next_draw = epoch, 0.0

    def step(self, step: int, loss: float | None, accuracy: float | None, lr: float) -> None:
        """Move the bar, a few times a second."""
        self.steps_done += 1
        now = time.monotonic()
        if self.bar is None or self.began is None or (now < self.next_draw and step < self.steps_per_epoch):
            return
        self.next_draw = now + SECONDS_BETWEEN_DRAWS
        steps_to_come = (self.epochs - self.epoch + 1) * self.steps_per_epoch - step
        left = (now - self.began) / self.steps_done * steps_to_come
        means = ("-", "-") if loss is None or accuracy is None else (number(loss), percent(accuracy, 1))
        numbers = self.numbers(step, *means, f"{lr:.2g}", clock(left))
        self.bar.update(self.task, completed=step, numbers=numbers, refresh=True)

    def numbers(self, step: int, loss: str, accuracy: str, lr: str, left: str) -> str:
        """What stands beside the bar, always equally long, so that the bar keeps its length."""
        steps = f"{step:>{len(str(self.steps_per_epoch))}}/{self.steps_per_epoch}"
        return f"{steps}  loss {loss:<6}  acc {accuracy:>7}  rate {lr:<7}  {left:>5} left"

    def clear(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def table_line(cells: list[str]) -> str:
    """Cells in the columns of the table of epochs, to the right."""
    return "  ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def epoch_cells(row: Mapping[str, Any], epochs: int) -> list[str]:
    """One epoch in the order of :data:`COLUMNS`."""
    return [
        f"{row['epoch']}/{epochs}",
        number(row["train_loss"]),
        percent(row["train_accuracy"]),
        number(row["val_loss"]),
        percent(row["val_accuracy"]),
        f"{row['lr']:.3g}",
        duration(row["seconds"]),
    ]


def summary(result: "Result") -> list[tuple[str, str, str]]:
    """What a run came to: name, value and remark of each line."""
    low, high = (f"{100 * bound:.2f}" for bound in result.test_interval)
    return [
        (
            "Test accuracy",
            percent(result.test_accuracy),
            f"95 % interval {low} to {high} %, on {result.test_count:,} images",
        ),
        ("Test loss", number(result.test_loss), ""),
        (
            "Best epoch",
            f"{result.best_epoch} of {result.epochs}",
            f"chosen by its validation accuracy, {percent(result.val_accuracy)}",
        ),
        (
            "Parameters",
            f"{result.parameters:,}",
            f"{result.model} {IMPLEMENTATIONS[result.impl]}, {result.dtype} on {result.device}",
        ),
        ("Time", duration(result.seconds), ""),
        ("Run folder", str(result.run_folder), ""),
    ]


def print_seed_runs(done: "SeedRuns", table: TextIO) -> None:
    """A line for each seed, and the mean and standard deviation of all."""
    console = Stream(file=table, highlight=False, soft_wrap=True)
    console.print()
    console.print(Text(f"{'seed':>6}  {'test acc':>9}  {'val acc':>9}  {'test loss':>9}  {'best epoch':>10}", "bold"))
    for seed, run in zip(done.seeds, done.runs, strict=True):
        cells = (percent(run.test_accuracy), percent(run.val_accuracy), number(run.test_loss))
        console.print(f"{seed:>6}  {cells[0]:>9}  {cells[1]:>9}  {cells[2]:>9}  {run.best_epoch:>10}")
    accuracy, loss = done.spread("test_accuracy"), done.spread("test_loss")
    console.print()
    for name, value, remark in (
        ("Test accuracy", percent(accuracy.mean), f"± {100 * accuracy.deviation:.2f} % (deviation of a single run)"),
        ("Test loss", number(loss.mean), f"± {number(loss.deviation)}"),
        ("Run folders", done.folder, ""),
    ):
        value = f"{value:<10} " if remark else value
        console.print(Text.assemble((f"{name:<15}", "bold"), value, (remark, "dim")))


def next_commands(result: "Result", config: "TrainConfig") -> list[tuple[str, str]]:
    """What could be typed after a run: to train on, and to train the other implementation on the same terms."""
    longer = ["tinytorch", "train", "--resume", str(result.run_folder)]
    if is_own(result.model):
        longer += ["--model", result.model]
    if config.patience is not None and result.epochs < (config.epochs or 0):  # it was stopped early
        longer += ["--patience", str(2 * config.patience)]
    else:
        longer += ["--epochs", str(2 * result.epochs)]
    other = "torch" if config.impl == "scratch" else "scratch"
    # All but the implementation, and what is for one alone.
    settings = dataclasses.replace(config, impl=type(config).impl, cuda_graph=False).words()
    compare = ["tinytorch", "train", "--impl", other, *settings]
    return [("To train longer", shlex.join(longer)), ("To compare", shlex.join(compare))]


def number(value: float) -> str:
    """A loss: four decimals while it fits its column, a power of ten beyond."""
    return f"{value:.4f}" if value < 999 else f"{value:.2e}"


def percent(share: float, digits: int = 2) -> str:
    """A share as "98.76 %"."""
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """Seconds as "8.3 s", "4:05" or "2:31:07"."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Seconds as "0:08", "4:05" or "2:31:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
