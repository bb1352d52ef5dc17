"""What is said of a comparison, and, in a process of its own, what a terminal shows of it."""

import dataclasses
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from training.test_display import clean_environment, screen

from tinytorch_course.instruments.recording import Quantity
from tinytorch_course.lockstep.compare import ComparedStep, Comparison, Divergence, FinalScores, SeedComparison, SeedRun
from tinytorch_course.lockstep.display import (
    COLUMNS,
    WHY_FLOAT32_PARTS,
    PlainDisplay,
    findings,
    is_shown,
    make_display,
    seed_findings,
    table_row,
)
from tinytorch_course.lockstep.inject import find_injection
from tinytorch_course.lockstep.source import Source
from tinytorch_course.lockstep.timeline import Distance, Entry, Timeline
from tinytorch_course.training.config import TrainConfig

CONFIG = TrainConfig(model="mlp", data="digits").resolved()
SETUP = SimpleNamespace(config=CONFIG, steps=12, dataset=SimpleNamespace(title="digits"), device="cpu")
MEMORY = {"scratch": 30_000_000, "torch": 20_000_000}
WEIGHT = Quantity("gradient", "fc1.weight")


def row(step, error=1e-7):
    return ComparedStep(
        step,
        {"scratch": 2.5, "torch": 2.25},
        Distance(error, 1.0),
        Distance(0.0, 0.0),
        {"scratch": 0.03, "torch": 0.01},
    )


COMPARISON = Comparison(
    config=dataclasses.replace(CONFIG, dtype="float64"),
    device="cpu",
    tolerance=1e-9,
    injection=None,
    timeline=Timeline([{WEIGHT: Distance(1e-12, 5.0)}, {WEIGHT: Distance(1e-13, 5.0)}]),
    rows=[row(1), row(2)],
    divergence=None,
    memory=MEMORY,
    test=FinalScores({"scratch": 0.975, "torch": 0.97}, 3, 1000),
)
DIVERGENCE = Divergence(
    2, WEIGHT, Distance(0.25, 1e9), Entry((3, 17), 0.125, -1.0), Source("linear_backward", "/x/linear.py", 70, "dw = 1")
)


def show_run(display):
    with display:
        display.notice("a notice")
        display.start(SETUP, 109386, None)
        for step in range(1, 13):
            display.next_draw = 0.0  # so that every step is drawn
            display.row(row(step), last=step == 12)
        display.finish(COMPARISON, ["out/timeline.json"])


if __name__ == "__main__":  # the process that the test of the terminal starts
    show_run(make_display())
    sys.exit()


def text(lines):
    return "\n".join(line.plain for line in lines)


def test_columns_fit_a_terminal_of_80():
    assert len(" ".join(" " * width for _, width in COLUMNS)) == 79
    assert table_row(row(1)).plain == (
        "    1   2.5000   2.2500  2.5e-01   1.0e-07      equal       30.0     10.0   3.0"
    )


def test_steps_with_a_line_of_their_own():
    assert [step for step in range(1, 1000) if is_shown(step)] == [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500]


def plain_run():
    table, notes = io.StringIO(), io.StringIO()
    show_run(PlainDisplay(table, notes))
    return table.getvalue(), notes.getvalue()


def test_into_a_pipe_go_plain_lines():
    table, notes = plain_run()
    assert [line.split()[0] for line in table.splitlines()[1:7]] == ["1", "2", "3", "5", "10", "12"]
    assert "Note: a notice\n" in notes
    assert "Peak memory of a step" not in notes  # but once, below the table
    assert table.count("Peak memory of a step: 30.0 MB from scratch, 20.0 MB in torch (1.5 times).") == 1
    assert table.endswith("Saved: out/timeline.json\n")
    assert "\x1b" not in table + notes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_follows_every_step_and_is_left_with_the_lines_of_a_plain_run():
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdout=theirs,
        stderr=theirs,
        env=clean_environment()
        | {"TERM": "xterm-256color", "COLUMNS": "200", "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
    )
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:
        try:
            while data := terminal.read(4096):
                shown += data
        except OSError:  # Linux's way to say that the other end is closed
            pass
    assert process.wait(timeout=60) == 0
    shown = shown.decode()
    for step in (4, 6, 7, 8, 9, 11):
        assert f"   {step}   2.5000" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 3  # after 3, after 5 and after 10
    table, notes = plain_run()
    lines = [line.rstrip() for line in screen(shown.replace("\r\n", "\n"))]
    assert [line for line in lines if line] == [line for line in (notes + table).splitlines() if line]


def test_agreement():
    said = text(findings(COMPARISON))
    assert said.startswith(
        "Same: over 2 steps, every tensor is within 1e-09 of torch's; "
        "the largest relative error is 1.0e-12, in the gradient of fc1.weight, step 1.\n"
        "Test accuracy: 97.50 % from scratch, 97.00 % in torch; 3 of 1,000 predictions differ.\n"
        "Time of a step (median): 30.0 ms from scratch, 10.0 ms in torch (3.0 times).\n"
    )
    assert WHY_FLOAT32_PARTS not in said


def test_float32_without_a_tolerance():
    single = dataclasses.replace(COMPARISON, config=CONFIG, tolerance=None)
    assert text(findings(single)).startswith("Over 2 steps, the largest relative error is 1.0e-12, in the gradient of")
    assert text(findings(single)).endswith(WHY_FLOAT32_PARTS)
    assert len([sentence for sentence in WHY_FLOAT32_PARTS.split(". ") if sentence]) == 2
    planted = dataclasses.replace(single, injection=find_injection("uphill"))
    assert WHY_FLOAT32_PARTS not in text(findings(planted))  # there the reason is another


def test_disagreement():
    parted = dataclasses.replace(COMPARISON, divergence=DIVERGENCE, test=None, injection=find_injection("linear-sign"))
    assert text(findings(parted)).startswith(
        "Step 2: the gradient of fc1.weight is out of tolerance, by a relative error of 0.25 (allowed: 1e-09). "
        "Worst at [3, 17]:\n"
        "  from scratch  0.125\n"
        "  torch         -1\n"
        "Made by linear_backward, /x/linear.py:70\n"
        "  dw = 1\n"
        "The planted mistake was linear-sign: the gradient of a linear weight has the wrong sign.\n"
    )


def test_memory_that_was_not_measured_is_left_out():
    unmeasured = dataclasses.replace(COMPARISON, memory={"scratch": None, "torch": None})
    assert "memory" not in text(findings(unmeasured))


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(0.9, 0.9), (0.8, 0.8), (0.7, 0.7)], "Every seed gave both the same accuracy."),
        ([(0.75, 0.5), (0.75, 0.5), (0.5, 0.25)], "Every seed gave the same difference."),
        ([(0.91, 0.9), (0.8, 0.82), (0.73, 0.7)], "which chance alone may explain with 3 seeds."),
        ([(0.5, 0.9), (0.4, 0.82), (0.3, 0.7)], "more than chance alone would explain: the two do not train alike."),
    ],
)
def test_the_verdict_over_seeds(pairs, verdict):
    runs = [SeedRun(seed, {"scratch": ours, "torch": twin}) for seed, (ours, twin) in enumerate(pairs)]
    assert text(seed_findings(SeedComparison(CONFIG, "cpu", None, 10, 100, runs))).endswith(verdict)


def test_accuracies_over_seeds():
    runs = [SeedRun(seed, {"scratch": 0.9 + seed / 100, "torch": 0.9}) for seed in range(3)]
    assert text(seed_findings(SeedComparison(CONFIG, "cpu", None, 10, 100, runs))).startswith(
        "from scratch  mean 91.00 %, standard deviation 1.00 points\n"
        "torch         mean 90.00 %, standard deviation 0.00 points\n"
        "difference    +1.00 ± 0.58 points (standard error)\n"
        "That is 1.7 times its standard error, "
    )
