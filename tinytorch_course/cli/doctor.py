"""``tinytorch doctor``: is everything here that tinytorch needs, and does it work?"""

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from tinytorch_course.cli.options import LONGEST, option, print_json
from tinytorch_course.errors import InputError

if TYPE_CHECKING:
    from tinytorch_course.doctor.checks import Finding

NAME_WIDTH, TRAINING_WIDTH = 18, 24
FEWEST, MOST = 5, 1000  # steps to watch
STYLES = {"ok": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "bold red")}


def doctor(
    determinism: Annotated[
        bool,
        typer.Option(
            "--determinism", help="Train by 1, 2, 3, 4 and 8 threads instead, and compare the bits: a minute or two."
        ),
    ] = False,
    training: Annotated[
        str | None,
        option(
            "--training",
            "FILE:FUNCTION",
            "Watch a training loop of your own in plain PyTorch instead, for some steps, and say what is wrong with "
            "it; FILE alone is run as a script.",
        ),
    ] = None,
    steps: Annotated[int, option("--steps", "N", "With --training: optimizer steps to watch. (default: 20)")] = 20,
    timeout: Annotated[
        float, option("--timeout", "X", "With --training: seconds after which it is stopped. (default: 60)")
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
):
    """Look at versions, devices, data, free space and the terminal, and say what to do about what is wrong.

    Every device computes something, and the number is checked. Ends with exit code 1 if something needed is broken,
    with --determinism if training from scratch depends on the number of threads, or with --training if a mistake was
    found in your loop.
    """
    if training is not None:
        look_at_training(training, steps, timeout, json)
        return
    if determinism:
        look_at_determinism(json)
        return
    from tinytorch_course.doctor.checks import WRONG, examine

    if sys.stderr.isatty():
        print("Starting torch and trying the devices ...", file=sys.stderr)
    findings = []
    for finding in examine(sys.stdout):
        findings.append(finding)
        if not json:
            print_finding(finding)
    wrong = [finding for finding in findings if finding.state == WRONG]
    if json:
        print_json({"ok": not wrong, "findings": [one.to_dict() for one in findings]})
    else:
        print()
        print(f"{len(wrong)} of {len(findings)} WRONG." if wrong else "All that is needed is here, and works.")
    if wrong:
        raise typer.Exit(1)


def look_at_training(training: str, steps: int, timeout: float, json: bool) -> None:
    """Print what is wrong with a training loop of the user's own."""
    from tinytorch_course.doctor.training import watch_training

    if not FEWEST <= steps <= MOST:
        raise InputError(f"--steps must be from {FEWEST} to {MOST}, but it is {steps}")
    if not 0 < timeout <= LONGEST:
        raise InputError(f"--timeout must be above 0 and at most {LONGEST:g} seconds, but it is {timeout:g}")
    if sys.stderr.isatty():
        print(f"Watching {steps} steps of {training} ...", file=sys.stderr)
    report = watch_training(training, steps, timeout)
    if json:
        print_json(report.to_dict())
    else:
        course = f", loss {report.losses[0]:.4g} to {report.losses[-1]:.4g}" if report.losses else ""
        tests = f", {report.evaluated} forwards of an evaluation" if report.evaluated else ", no evaluation seen"
        watched = f"{report.steps} steps" if report.steps else f"{len(report.losses)} backward passes"
        print(f"{training}: {watched} watched{course}{tests}\n")
        for finding in report.findings:
            print_finding(finding, TRAINING_WIDTH)
        print(
            "" if report.findings else "Nothing wrong was seen. That is no proof: a rule knows only what it looks for."
        )
    if report.wrong:
        raise typer.Exit(1)


def print_finding(finding: "Finding", name_width: int = NAME_WIDTH) -> None:
    """One line, and one with what to do; on a terminal broken at its width, and in colour."""
    from rich.text import Text

    from tinytorch_course.training.display import Stream

    out = Stream(file=sys.stdout, highlight=False, soft_wrap=True)
    word, style = STYLES[finding.state]
    indent = " " * (name_width + 7)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = _fill(finding.text, indent, width)
    out.print(Text.assemble((f"{word:<6}", style), f"{finding.name:<{name_width}} {lines[0]}"))
    advice = _fill(f"-> {finding.advice}", indent, width) if finding.advice else []
    for line in (*lines[1:], *advice):
        out.print(Text(f"{indent}{line}"))


def _fill(text: str, indent: str, width: int | None) -> list[str]:
    """``text`` in lines that fit beside ``indent``; one whole line if there is no width to fit into."""
    if width is None:
        return [text]
    return textwrap.wrap(text, max(30, width - len(indent)), break_on_hyphens=False) or [""]


def look_at_determinism(json: bool) -> None:
    """Print a table, network by network, of what both implementations compute by several numbers of threads."""
    from tinytorch_course.doctor.determinism import THREADS, TRIALS, measure

    show = (lambda line: None) if json else print
    *fewer, most = THREADS
    show(f"Training on the CPU by {', '.join(map(str, fewer))} and {most} threads:\n")
    show(f"{'network':<12}{'batch':>6}{'steps':>7}  {'scratch':<28}torch")
    rows = []
    for trial in TRIALS:
        if sys.stderr.isatty():
            print(f"{trial.model} ...", end="\r", file=sys.stderr, flush=True)
        found = {impl: measure(impl, trial, THREADS) for impl in ("scratch", "torch")}
        texts = {
            impl: f"differs in {len(one.differ)} of {one.tensors} tensors" if one.differ else "same bits"
            for impl, one in found.items()
        }
        show(f"{trial.model:<12}{trial.batch_size:>6}{trial.steps:>7}  {texts['scratch']:<28}{texts['torch']}")
        rows.append({**trial._asdict(), **{impl: one._asdict() for impl, one in found.items()}})
    same = not any(row["scratch"]["differ"] for row in rows)
    if json:
        print_json({"ok": same, "threads": THREADS, "networks": rows})
    show("\nFrom scratch: " + ("the same bits for any of them." if same else "NOT the same bits for all of them."))
    if not same:
        raise typer.Exit(1)
