"""The report on a GPU, with fast parts in place of the real ones; and that the real ones are commands that exist."""

import json
import os
import sys
import time

import pytest
import torch

from tinytorch_course.bench import gpu_report
from tinytorch_course.bench.gpu_report import MINUTES, Part, plan, run_part
from tinytorch_course.cli.app import run

LOUD = "import sys; print('so far'); print('all of it was bad', file=sys.stderr); sys.exit(3)"


def part(code, limit=60, tell=lambda out: (out.strip(), []), title="a part"):
    return Part(title, [sys.executable, "-c", code], limit, tell)


@pytest.fixture
def replaced(monkeypatch):
    """What the plan is, in place of the real one."""

    def replace(*parts):
        monkeypatch.setattr(gpu_report, "plan", lambda device, folder, quick: list(parts))

    return replace


def report(path, *words):
    return run(["bench", "--gpu-report", str(path), "--device", "cpu", "--quick", *words])


def test_a_part_that_succeeds():
    outcome = run_part(part("print('fine')"))
    assert (outcome.ok, outcome.summary) == (True, "fine")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (part(LOUD), "exit code 3: all of it was bad"),
        (part("print('1')", tell=json.loads), "its output could not be read (TypeError"),
        (part("print('no JSON')", tell=json.loads), "its output could not be read (JSONDecodeError"),
        (part("import os; os._exit(7)"), "exit code 7"),
        (Part("gone", ["/no/such/program"], 1, str), "it could not be started ("),
        (part("print('2 skipped in 1s')", tell=lambda out: gpu_report.tell_tests(out, some_must_pass=True)), "no test"),
    ],
)
def test_a_part_that_fails_says_why(command, words):
    outcome = run_part(command)
    assert not outcome.ok
    assert words in outcome.summary


def test_a_part_that_hangs_is_stopped_with_all_that_it_started(tmp_path):
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    began = time.monotonic()
    outcome = run_part(part(code, limit=1))
    assert time.monotonic() - began < 30
    assert (outcome.ok, outcome.summary) == (False, "stopped after 1 s")
    time.sleep(4)
    assert not (tmp_path / "late").exists()


def test_a_failing_part_is_in_the_report_and_the_others_are_run(tmp_path, replaced, capsys):
    replaced(part(LOUD, title="first"), part("print('a | b')", title="second"))
    assert report(tmp_path / "gpu.md") == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "| first | **failed**: exit code 3: all of it was bad |" in text
    assert "| second | a \\| b |" in text
    assert "2 of 2 parts were run, 1 of them failed" in text
    assert "FAILED: exit code 3" in capsys.readouterr().err


def test_a_rehearsal_says_that_it_is_one(tmp_path, replaced):
    replaced(part("print('fine')", tell=lambda out: (out.strip(), ["| a table |"])))
    assert report(tmp_path / "gpu.md") == 0
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("## A rehearsal on the CPU\n\n**No GPU was there")
    assert "`tinytorch bench --gpu-report FILE --quick --device cpu`" in text
    assert f"torch {torch.__version__}" in text
    assert text.endswith("\n| a table |\n")


def test_what_was_not_run_is_said(tmp_path, replaced, monkeypatch):
    def stopped(part):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_report, "run_part", stopped)
    replaced(part("", title="first"), part("", title="second"))
    with pytest.raises(KeyboardInterrupt):
        gpu_report.make_report(str(tmp_path / "gpu.md"), "cpu", quick=True, notify=print)
    text = (tmp_path / "gpu.md").read_text()
    assert "0 of 2 parts were run" in text
    assert text.count("**not run**") == 2


def test_a_report_on_a_gpu_names_it(tmp_path, replaced, monkeypatch):
    class Properties:
        name, total_memory = "Some GPU", 80e9

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    replaced(part("print('fine')"))
    assert run(["bench", "--gpu-report", str(tmp_path / "gpu.md")]) == 0
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("## On a GPU\n\nBy `tinytorch bench --gpu-report FILE` on 2")
    assert f"Some GPU (80 GB), CUDA {torch.version.cuda}" in text
    assert "rehearsal" not in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--gpu-report needs a GPU, but torch finds no CUDA device here: --device cpu --quick rehearses it"),
        (["--device", "auto"], "--gpu-report needs a GPU, but torch finds no CUDA device here"),
        (["--device", "cpu"], "--gpu-report is about a GPU; on the CPU it can only be rehearsed: --device cpu --quick"),
        (["--op", "relu", "--json"], "--gpu-report decides what is timed and how: leave out --op, --json"),
    ],
)
def test_refusals(tmp_path, capsys, monkeypatch, words, sentence):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(["bench", "--gpu-report", str(tmp_path / "gpu.md"), *words]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {sentence}")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(tmp_path, capsys, replaced):
    replaced(part("print('fine')"))
    (tmp_path / "gpu.md").write_text("mine")
    assert report(tmp_path / "gpu.md") == 2
    assert "would write over" in capsys.readouterr().err
    assert (tmp_path / "gpu.md").read_text() == "mine"


@pytest.mark.parametrize("quick", [True, False])
def test_the_plan_keeps_to_its_time_and_wants_everything(tmp_path, quick):
    parts = plan("cuda", tmp_path, quick=quick)
    assert sum(part.limit for part in parts) <= 60 * MINUTES
    commands = [" ".join(part.command) for part in parts]
    for wanted in ("pytest -q -m cuda", "--impl scratch", "--impl torch", "float64", "float32", "--compile"):
        assert sum(wanted in command for command in commands) == 1
    assert sum("--cuda-graph" in command for command in commands) == 2
    assert all("--device cuda --json" in command for command in commands[1:])
    assert ("--preset fast" in commands[-1]) == (not quick)
    assert not any("--cuda-graph" in " ".join(part.command) for part in plan("cpu", tmp_path, quick=True))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3, 5, 7])
def test_a_part_of_the_rehearsal_is_a_command_that_works(tmp_path, number, monkeypatch):
    """All kinds but the compiled step: from scratch, compared, timed, the time to 99 %."""
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    chosen = plan("cpu", tmp_path, quick=True)[number]
    outcome = run_part(chosen._replace(limit=300))
    assert outcome.ok, outcome.summary
    assert outcome.summary
