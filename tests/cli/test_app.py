import io
import os
import signal
import subprocess
import sys

import pytest

import tinytorch_course
from tinytorch_course.cli.app import main, run


def tinytorch(*args, **options):
    """Run the command in a process of its own; only where the test is about that, since it takes its time."""
    return subprocess.run(
        [sys.executable, "-m", "tinytorch_course", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **options,
    )


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"tinytorch {tinytorch_course.__version__}\n"


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(args, capsys):
    assert run(args) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "tinytorch train --impl scratch" in out
    words = " ".join(out.split())
    for line in (
        "train Train a network, or go on with a run that stopped.",
        "compare Train both implementations side by side, and see where they part.",
        "models List the networks there are.",
    ):
        assert line in words


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["frobnicate"], "there is no command 'frobnicate'; the commands are "),
        (["--versoin"], "tinytorch has no option '--versoin'; did you mean --version?"),
        (["train", "--epoch", "3"], "tinytorch train has no option '--epoch'; did you mean --epochs?"),
        (["train", "--gpu"], "tinytorch train has no option '--gpu'; did you mean --device cuda?"),
        (["models", "--gpu"], "tinytorch models has no option '--gpu'; `tinytorch models --help` lists them."),
        (["version"], "there is no command 'version'; did you mean --version?"),
        (["help"], "there is no command 'help'; did you mean --help?"),
        (["train", "--learning-rate", "1"], "has no option '--learning-rate'; did you mean --lr?"),
        (["compare", "--impl", "torch"], "has no option '--impl'; `tinytorch compare --help` lists them."),
        (["train", "mnist"], "Got unexpected extra argument(s) (mnist); did you mean --data mnist?"),
        (["train", "--init", "he"], "but it is 'he'; did you mean kaiming-normal?"),
        (["data", "show", "nope"], "Error: NAME must be one of auto, mnist"),
        (["train", "--xyz"], "tinytorch train has no option '--xyz'; `tinytorch train --help` lists them."),
        (["models", "--xyz"], "tinytorch models has no option '--xyz'"),
        (["train", "--epochs"], "'--epochs' requires an argument."),
        (["train", "mlp"], "unexpected extra argument"),
        (["train", "--json=yes"], "'--json' does not take a value."),
        (["train", "--impl", "keras"], "--impl must be one of scratch, torch, but it is 'keras'"),
        (["train", "--model", "mnist_cn"], "did you mean mnist_cnn?"),
        (["train", "--data", "imagenet"], "--data must be one of"),
        (["train", "--device", "tpu"], "--device must be one of"),
        (["train", "--dtype", "float16"], "but it is 'float16'; half precision is for training: --precision bfloat16."),
        (["train", "--loader", "disk"], "--loader must be one of"),
        (["train", "--optimizer", "lion"], "--optimizer must be one of"),
        (["train", "--schedule", "warm"], "--schedule must be one of"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, but it is 0."),
        (["train", "--epochs", "-1"], "--epochs must be at least 1, but it is -1."),
        (["train", "--epochs", "three"], "--epochs must be an integer, but it is 'three'."),
        (["train", "--epochs", "1.5"], "--epochs must be an integer, but it is '1.5'."),
        (["train", "--epochs", ""], "--epochs must be an integer, but it is ''."),
        (["train", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["train", "--batch-size", "-8"], "--batch-size must be at least 1"),
        (["train", "--val-size", "0"], "--val-size must be at least 1"),
        (["train", "--limit", "0"], "--limit must be at least 1"),
        (["train", "--seed", "-1"], "--seed must be at least 0"),
        (["train", "--lr", "0"], "--lr must be a finite number above 0"),
        (["train", "--lr=-0.1"], "--lr must be a finite number above 0"),
        (["train", "--lr", "nan"], "--lr must be a finite number above 0"),
        (["train", "--lr", "1e999"], "--lr must be a finite number above 0"),
        (["train", "--lr", "fast"], "--lr must be a number, but it is 'fast'."),
        (["train", "--momentum", "1"], "--momentum must be at least 0 and below 1"),
        (["train", "--weight-decay", "-1"], "--weight-decay must be a finite number of at least 0"),
        (["train", "--label-smoothing", "1"], "--label-smoothing must be at least 0 and below 1"),
        (["train", "--clip-norm", "0"], "--clip-norm must be a finite number above 0"),
        (["train", "--impl", "two\nlines \x1b[31m"], "--impl must be one of"),
        (["two\nlines \x1b[31m"], "there is no command 'two lines [31m'"),
        (["train", "--resume", "runs/one", "--out", "runs/two"], "--out does not go with --resume"),
    ],
)
def test_bad_input_is_one_sentence(args, words, capsys, loop):
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert err.endswith((".\n", "?\n"))
    assert words in err
    assert "\x1b" not in err
    assert not loop.calls


def test_main_exits_with_the_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tinytorch", "trian"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_expected_errors_hide_their_traceback_unless_asked(loop, capsys, monkeypatch):
    assert run(["train", "--epochs", "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("TINYTORCH_TRACEBACK", "1")
    assert run(["train", "--epochs", "0"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "runs/one/last.pt"), "No space left on device: runs/one/last.pt."),
        (PermissionError(13, "Permission denied", "runs"), "Permission denied: runs."),
        (MemoryError(), "the memory of the device is used up; a smaller --batch-size needs less."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "the memory of the device is used up; a smaller"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "the memory of the device is used up; a smaller"),
    ],
)
def test_a_full_machine_is_no_mistake_of_ours(loop, capsys, error, sentence):
    loop.error = error
    assert run(["train"]) == 2
    err = capsys.readouterr().err
    assert f"Error: {sentence}" in err
    assert "Traceback" not in err


def test_a_mistake_of_ours_shows_its_traceback_without_locals(loop, capsys):
    loop.error = ZeroDivisionError("a bug")
    assert run(["train", "--seed", "31415"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: a bug" in err
    assert "31415" not in err
    assert err.endswith("please report it with the lines above.\n")


def test_interrupted_before_the_training(monkeypatch, loop, capsys):
    loop.error = KeyboardInterrupt()
    assert run(["train"]) == 130
    assert capsys.readouterr().err.endswith("Interrupted.\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_says_how_to_go_on(loop, capsys, number, code):
    loop.error = loop.Interrupted("runs/with space", int(number))
    assert run(["train"]) == code
    err = capsys.readouterr().err
    assert err.endswith("Stopped and saved; go on with: tinytorch train --resume 'runs/with space'\n")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "code"), [(["--help"], 0), (["--version"], 0), (["train", "--help"], 0), (["train", "--epochs", "0"], 2)]
)
def test_nothing_heavy_is_imported(args, code):
    program = f"""
import sys
from tinytorch_course.cli import app
assert app.run({args!r}) == {code}
heavy = {{"torch", "torchvision", "numpy", "matplotlib", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def test_python_m_is_the_command():
    ended = tinytorch("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"tinytorch {tinytorch_course.__version__}\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe as another error")
@pytest.mark.parametrize("args", [["--version"], ["train", "--help"]], ids=["when flushed", "when written"])
def test_a_reader_that_leaves_ends_it_quietly(args):
    process = subprocess.Popen(
        [sys.executable, "-m", "tinytorch_course", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()  # as `| head -0` does
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_lacks_characters(encoding, loop, monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    loop.notice = "a folder named 数字 → taken"
    assert run(["train"]) == 0
    for stream in streams:
        stream.flush()
    table, notes = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    assert "97.22 %" in table
    assert "a folder named ?? ? taken" in notes


def test_help_on_windows_console():
    ended = tinytorch("train", "--help", env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert ended.returncode == 0, ended.stderr
    assert "--label-smoothing" in ended.stdout


def test_a_shell_can_complete_command_and_option():
    environment = {**os.environ, "_TINYTORCH_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    commands = tinytorch(env={**environment, "COMP_WORDS": "tinytorch tr"})
    assert commands.stdout.split() == ["train"], commands.stderr
    options = tinytorch(env={**environment, "COMP_WORDS": "tinytorch train --label", "COMP_CWORD": "2"})
    assert options.stdout.split() == ["--label-smoothing"], options.stderr
