import dataclasses
import json
import math
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from prove import permissions_bind

from tinytorch_course.errors import InputError
from tinytorch_course.training import runs
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.runs import RunFolder

CONFIG = TrainConfig(model="mlp", impl="torch", optimizer="sgd", lr=0.1, epochs=3, data_dir="C:\\Daten\\Zürich")
HISTORY = [
    {"epoch": 1, "train_loss": 0.9, "val_loss": 0.6, "train_accuracy": 0.7, "val_accuracy": 0.8, "best": True},
    {"epoch": 2, "train_loss": 0.4, "val_loss": 0.5, "train_accuracy": 0.9, "val_accuracy": 0.9, "best": True},
    {"epoch": 3, "train_loss": 0.3, "val_loss": 0.6, "train_accuracy": 0.95, "val_accuracy": 0.85, "best": False},
]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def refuse(function, message):
    """Must be refused with one line."""
    with pytest.raises(InputError, match=message) as caught:
        function()
    assert "\n" not in str(caught.value)


@pytest.fixture
def run(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG) as folder:
        yield folder


@pytest.fixture
def stopped(tmp_path):
    """The path of a run that can be resumed."""
    with RunFolder.create(tmp_path / "stopped", CONFIG) as folder:
        folder.last_path.write_bytes(b"a checkpoint")
    return folder.path


# --- a new run --------------------------------------------------------------------------------------------------------


def test_a_new_run_holds_its_configuration(run):
    assert set(contents(run.path)) == {"config.toml", ".lock"}
    text = (run.path / "config.toml").read_text(encoding="utf-8")
    assert 'model = "mlp"' in text
    assert "clip_norm" not in text  # None
    assert runs.read_config(run.path / "config.toml") == CONFIG


def test_the_default_name_says_when_and_what(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.time, "strftime", lambda form: "20260102-030405")
    names = []
    for _ in range(3):
        with RunFolder.create(None, CONFIG) as folder:
            names.append(str(folder.path))
    first = os.path.join("runs", "20260102-030405-mlp-torch")
    assert names == [first, first + "-2", first + "-3"]
    assert all((tmp_path / name / "config.toml").exists() for name in names)


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty", CONFIG).close()
    assert (tmp_path / "empty" / "config.toml").exists()


def test_a_folder_that_was_only_locked_is_taken(tmp_path):
    """What a kill in the first instant of a run leaves behind."""
    (tmp_path / ".lock").write_text("123\n")
    (tmp_path / ".config.toml.tmp").write_text("half")
    RunFolder.create(tmp_path, CONFIG).close()


def test_a_folder_that_was_never_saved_into_is_taken(tmp_path):
    RunFolder.create(tmp_path, CONFIG).close()
    with RunFolder.create(tmp_path, dataclasses.replace(CONFIG, epochs=7)) as folder:
        assert runs.read_config(folder.path / "config.toml").epochs == 7
    with RunFolder.open(tmp_path) as folder:
        assert folder.config.epochs == 7


def test_somebodys_own_configuration_is_no_run(tmp_path):
    (tmp_path / "config.toml").write_text("epochs = 7")
    refuse(lambda: RunFolder.create(tmp_path, CONFIG), "is not empty, and it does not hold a run")
    assert (tmp_path / "config.toml").read_text() == "epochs = 7"


def test_occupied_folders_are_refused_and_left_alone(tmp_path, stopped):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("do not touch")
    before = contents(tmp_path)
    for path, message in [
        (stopped, "already holds a run: continue it with --resume"),
        (other, "is not empty, and it does not hold a run: choose a new or empty folder"),
        (other / "thesis.tex", "what should be its folder is a file"),
        (other / "thesis.tex" / "run", "what should be its folder is a file"),
    ]:
        refuse(lambda path=path: RunFolder.create(path, CONFIG), message)
    assert contents(tmp_path) == before
    assert sorted(os.listdir(other)) == ["thesis.tex"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_is_refused():
    refuse(lambda: RunFolder.create("/dev/null/run", CONFIG), r"cannot use /dev/null/run as a run folder")
    refuse(lambda: RunFolder.create("/dev/null", CONFIG), r"cannot use /dev/null as a run folder")


def test_a_name_too_long_is_refused(tmp_path):
    refuse(lambda: RunFolder.create(tmp_path / ("x" * 5000), CONFIG), "cannot use .* as a run folder")


def test_a_file_named_runs_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("not a folder")
    refuse(
        lambda: RunFolder.create(None, CONFIG), "cannot use runs as a run folder: what should be its folder is a file"
    )
    assert os.listdir(tmp_path) == ["runs"]


@pytest.mark.skipif(not permissions_bind(), reason="permissions do not bind this user")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        refuse(lambda: RunFolder.create(tmp_path, CONFIG), "permission denied; choose a folder that you may write to")
        refuse(lambda: RunFolder.create(tmp_path / "run", CONFIG), "permission denied; choose a folder")
    finally:
        tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("existed", [False, True])
def test_a_run_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch, existed):
    def full(path, data):
        raise InputError("the disk is full")

    path = tmp_path / "run"
    if existed:
        path.mkdir()
    monkeypatch.setattr(runs, "write_atomically", full)
    refuse(lambda: RunFolder.create(path, CONFIG), "the disk is full")
    assert path.exists() == existed
    assert contents(tmp_path) == {}


# --- an old run -------------------------------------------------------------------------------------------------------


def test_a_stopped_run_is_opened_with_its_configuration(stopped):
    with RunFolder.open(stopped) as folder:
        assert folder.config == CONFIG
        assert folder.path == stopped


def test_opening_clears_what_a_kill_left(stopped):
    (stopped / ".model.pt.tmp").write_bytes(b"half")
    with RunFolder.open(stopped):
        assert set(contents(stopped)) == {"config.toml", "last.pt", ".lock"}


def test_what_is_no_run_is_named(tmp_path, stopped):
    (tmp_path / "empty").mkdir()
    several = tmp_path / "several"
    (several / "seed-0").mkdir(parents=True)
    for path, message in [
        (tmp_path / "missing", "there is not a run folder"),
        (stopped / "last.pt", "cannot read the run folder .*: Not a directory"),
        (tmp_path / "empty", "is not a run folder: it has no config.toml"),
        (several, "is not a run folder: it has no config.toml; it holds runs of several seeds, so type the command"),
    ]:
        refuse(lambda path=path: RunFolder.open(path), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model = ", r"config\.toml is not valid TOML"),
        (b"\xff\xfe", r"config\.toml is not valid TOML"),
        (b"modell = 'mlp'", r"config\.toml cannot be used: .* no setting 'modell'; did you mean model\?"),
        (b"batch_size = 0", r"config\.toml cannot be used: --batch-size must be at least 1, but it is 0"),
        (b"lr = nan", r"config\.toml cannot be used: --lr must be a finite number above 0, but it is nan"),
        (b"[model]\nname = 1", r"config\.toml cannot be used: there is no network"),
    ],
)
def test_a_damaged_configuration_is_named(stopped, content, message):
    (stopped / "config.toml").write_bytes(content)
    refuse(lambda: RunFolder.open(stopped), message)


def test_the_configuration_can_be_replaced(stopped):
    """As by ``--resume RUN --epochs 6``."""
    longer = TrainConfig(epochs=6)
    with RunFolder.open(stopped) as folder:
        folder.write_config(longer)
        assert folder.config == longer
    with RunFolder.open(stopped) as folder:
        assert folder.config == longer


# --- what is written --------------------------------------------------------------------------------------------------


def test_history_is_one_line_an_epoch_however_often_it_is_written(run):
    for epochs in (1, 2, 2, 3):
        run.write_history(HISTORY[:epochs])
        lines = (run.path / "history.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == HISTORY[:epochs]


def test_result(run):
    run.write_json("result.json", {"test_accuracy": 0.99, "test_interval": (0.98, 0.995)})
    assert json.loads((run.path / "result.json").read_text()) == {"test_accuracy": 0.99, "test_interval": [0.98, 0.995]}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_json_is_never_written_with_nan(run, bad):
    run.write_history(HISTORY[:1])
    before = contents(run.path)
    refuse(lambda: run.write_history([*HISTORY[:1], {"epoch": 2, "val_loss": bad}]), "training has diverged")
    refuse(lambda: run.write_json("result.json", {"test_loss": bad}), "training has diverged")
    assert contents(run.path) == before


def test_the_curves_are_a_picture(run, curves):
    run.plot_curves(HISTORY)
    picture = (run.path / "loss.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", picture[16:24]) == (1200, 480)


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_curves_show_the_history(run, curves, monkeypatch, epochs):
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    run.plot_curves(HISTORY[:epochs])
    loss, accuracy = ({line.get_label(): line for line in axes.lines} for axes in figures[0].axes)
    assert list(loss["training"].get_xdata()) == [1, 2, 3][:epochs]
    assert list(loss["training"].get_ydata()) == [0.9, 0.4, 0.3][:epochs]
    assert list(loss["validation"].get_ydata()) == [0.6, 0.5, 0.6][:epochs]
    assert list(accuracy["training"].get_ydata()) == pytest.approx([70, 90, 95][:epochs])
    assert list(accuracy["validation"].get_ydata()) == pytest.approx([80, 90, 85][:epochs])
    for axes, name in zip(figures[0].axes, ("Loss (mean of the samples)", "Accuracy (%)"), strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", name)
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation", "kept epoch"]
        assert axes.lines[-1].get_xdata()[0] == min(epochs, 2)
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_the_curves_need_no_display(run, curves, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing what talks to window systems would fail
    run.plot_curves(HISTORY)
    assert (run.path / "loss.png").exists()


# --- one training at a time -------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from tinytorch_course.training.runs import RunFolder
run = RunFolder.open(sys.argv[1])
print("locked", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_one_is_gone(stopped):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(stopped)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        refuse(
            lambda: RunFolder.open(stopped),
            rf"stopped is in use: process {holder.pid} is training into it; wait until it has finished",
        )
        (stopped / "last.pt").unlink()
        (stopped / "config.toml").unlink()
        refuse(lambda: RunFolder.create(stopped, CONFIG), rf"is in use: process {holder.pid} ")
        assert set(contents(stopped)) == {".lock"}
    finally:
        if hasattr(signal, "SIGKILL"):
            holder.send_signal(signal.SIGKILL)
        else:
            holder.kill()
        holder.wait()
        holder.stdout.close()
    RunFolder.create(stopped, CONFIG).close()  # a killed process leaves its file, but not its lock
    assert (stopped / ".lock").read_text() == f"{os.getpid()}\n"


def test_the_number_of_a_process_that_lives_is_no_lock(stopped):
    """In a container the same few process numbers come up again and again."""
    (stopped / ".lock").write_text(f"{os.getppid()}\n")
    RunFolder.open(stopped).close()


def test_closing_ends_the_lock(stopped):
    first = RunFolder.open(stopped)
    refuse(lambda: RunFolder.open(stopped), f"process {os.getpid()} is training into it")
    first.close()
    first.close()  # again does no harm
    RunFolder.open(stopped).close()


def test_an_error_ends_the_lock(stopped):
    with pytest.raises(ZeroDivisionError), RunFolder.open(stopped):
        raise ZeroDivisionError
    RunFolder.open(stopped).close()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows locks in another way")

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    refuse(lambda: RunFolder.create(tmp_path / "run", CONFIG), r"cannot lock .*\.lock: Operation not supported")
