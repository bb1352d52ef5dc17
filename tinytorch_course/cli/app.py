"""The entry point: which commands there are, and how each of them ends.

A command ends with exit code 0 (done), 1 (a check failed, or tinytorch itself did), 2 (something typed or given cannot
be used) or 128 + the number of the signal that stopped it (130 for Ctrl-C). Whatever a person can put right is one
sentence on stderr; TINYTORCH_TRACEBACK=1 adds the traceback.
"""

import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tinytorch_course import __version__
from tinytorch_course.cli.bench import bench
from tinytorch_course.cli.card import card
from tinytorch_course.cli.check import check
from tinytorch_course.cli.compare import compare
from tinytorch_course.cli.data import data
from tinytorch_course.cli.doctor import doctor
from tinytorch_course.cli.evaluate import evaluate
from tinytorch_course.cli.exercise import exercise
from tinytorch_course.cli.export import export
from tinytorch_course.cli.lesson import lesson
from tinytorch_course.cli.models import models
from tinytorch_course.cli.options import GroupedHelp
from tinytorch_course.cli.predict import predict
from tinytorch_course.cli.report import report
from tinytorch_course.cli.runs import runs
from tinytorch_course.cli.summary import summary
from tinytorch_course.cli.train import train
from tinytorch_course.data_names import data_names
from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.models import MODELS
from tinytorch_course.training.config import IMPL_NAMES
from tinytorch_course.user_code import blame

# Typer's usage errors are click's; which package holds them (click, or a copy inside typer) depends on the version.
UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The group of all commands, which says what exists when a name does not."""

    def resolve_command(self, ctx, args):
        """The command of that name; InputError, with the nearest name, if there is none."""
        if args[0] not in self.commands and not ctx.resilient_parsing:  # resilient: a shell asks for completions
            *others, last = sorted(self.commands)
            names = [*self.commands, "--version", "--help"]
            hint = did_you_mean(args[0], names, f"the commands are {', '.join(others)} and {last}")
            raise InputError(f"there is no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    # Plain text: help needs no rich (half of its time), and no box characters that a console may lack.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
)
app.command(cls=GroupedHelp, short_help="Train a network, or go on with a run that stopped.")(train)
app.command(cls=GroupedHelp, short_help="Check hand-written gradients, ours or your own.")(check)
app.command(cls=GroupedHelp, short_help="Train both implementations side by side, and see where they part.")(compare)
app.command(cls=GroupedHelp, short_help="Score a trained network on images with labels.")(evaluate)
app.command(cls=GroupedHelp, short_help="Ask a trained network about pictures: photographs, scans, drawings.")(predict)
app.command(cls=GroupedHelp, short_help="Make one HTML file about one run or several.")(report)
app.command(cls=GroupedHelp, short_help="List the runs there are, the best first, and what differs.")(runs)
app.command(cls=GroupedHelp, short_help="Time both implementations, alternately.")(bench)
app.command(cls=GroupedHelp, short_help="List the networks there are.")(models)
app.add_typer(data, name="data", cls=Commands, short_help="List, fetch, show or verify the data sets.")
app.command(cls=GroupedHelp, short_help="Show a network's layers: sizes, parameters, FLOPs, memory.")(summary)
app.command(cls=GroupedHelp, short_help="Make a result card of a run, or check one.")(card)
app.command(cls=GroupedHelp, short_help="List the lessons, run one, or make it a notebook.")(lesson)
app.command(cls=GroupedHelp, short_help="List the exercises, write one to solve, or grade yours.")(exercise)
app.command(cls=GroupedHelp, short_help="Write a trained network as ONNX, torch.export or TorchScript.")(export)
app.command(cls=GroupedHelp, short_help="Look whether everything is here, and works.")(doctor)


def print_version(wanted: bool) -> None:
    """The answer to ``--version``."""
    if wanted:
        print(f"tinytorch {__version__}")
        raise typer.Exit


@app.callback()
def tinytorch(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """A hand-written twin of PyTorch: train the same network by gradients written by hand, or by autograd.

    Start with: tinytorch train --impl scratch
    """


def main() -> None:
    """Run what was typed, and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. Without a command: the help.

    Not ``app()``: typer would turn interruptions and closed pipes into codes of its own, and errors into panels.
    """
    spare_unprintable_characters()
    if "_TINYTORCH_COMPLETE" in os.environ:  # a shell asks what could be typed next
        app(prog_name="tinytorch")
    try:
        exit_code = invoke(list(args) or ["--help"])
        sys.stdout.flush()  # so that a pipe closed by its reader is noticed here, not while Python ends
        return exit_code
    except KeyboardInterrupt as stop:  # which may say what other signal it was
        return say("Interrupted.", 128 + (stop.args[0] if stop.args else signal.SIGINT))
    except BrokenPipeError:
        return leave_closed_pipe()
    except Exception as error:
        sentence = expected_sentence(error)
        if sentence is None or os.environ.get("TINYTORCH_TRACEBACK"):
            traceback.print_exception(error)
        if sentence is None:
            sentence = "this is a mistake in tinytorch-course, not yours; please report it with the lines above"
            return say(f"Error: {sentence}", 1)
        return say(f"Error: {sentence}", 2)


def invoke(args: list[str]) -> int:
    """Run the command that ``args`` begin with; returns its exit code."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("tinytorch", args) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def expected_sentence(error: Exception) -> str | None:
    """What a person can do about ``error``, as one sentence; None for one that only a fix of tinytorch would end."""
    if isinstance(error, UsageError):
        return usage_sentence(error)
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if (sentence := blame(error)) is not None:  # a network of the user's own
        return sentence
    # torch's own out-of-memory errors, told apart by name and words because importing torch here would cost seconds.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        return "the memory of the device is used up; a smaller --batch-size needs less"
    return None


def usage_sentence(error: Any) -> str:
    """Typer's usage error as one sentence: an unknown option, a missing value, a value of the wrong kind."""
    command = error.ctx.command_path if error.ctx else "tinytorch"
    sentence = error.format_message().rstrip(".")
    if hasattr(error, "possibilities"):
        names = [name for option in error.ctx.command.get_params(error.ctx) for name in option.opts]
        hint = did_you_mean(error.option_name, names, f"`{command} --help` lists them")
        return f"{command} has no option '{error.option_name}'{hint}"
    if (extra := re.search(r"unexpected extra argument\S* \(([^\s)]+)", sentence)) is not None:
        options = {"--data": data_names(), "--model": MODELS, "--impl": IMPL_NAMES}
        meant = [f"{option} {extra[1]}" for option, names in options.items() if extra[1] in names]
        return f"{sentence}; " + (f"did you mean {meant[0]}?" if meant else f"see `{command} --help`")
    return f"{sentence}; see `{command} --help`" if error.ctx else sentence


def say(sentence: str, exit_code: int) -> int:
    """Print one line on stderr, whatever newlines and control characters the sentence quotes."""
    line = "".join(letter if letter.isprintable() else " " for letter in sentence)
    line = " ".join(line.split())
    print(line if line.endswith((".", "?", "!")) else f"{line}.", file=sys.stderr)
    return exit_code


def spare_unprintable_characters() -> None:
    """What a console cannot show (Windows' cp1252), and file names that are no text, become '?' or '\\udcff'."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            utf = stream.encoding.lower().startswith("utf")
            stream.reconfigure(errors="backslashreplace" if utf else "replace")


def leave_closed_pipe() -> int:
    """Nobody reads stdout any more, as after ``| head``: end without complaint, and keep Python from complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())  # takes what is still buffered when Python ends
    return 128 + 13  # SIGPIPE, which Windows' signal module does not have
