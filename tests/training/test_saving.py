"""Runs whose disk fills, whose folder is deleted, which are killed: nothing is lost."""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from trials import SMALL, Display, final_state, same

from tinytorch_course.files import WriteFailed
from tinytorch_course.training import checkpoints, saving
from tinytorch_course.training.loop import Interrupted, resume, train
from tinytorch_course.training.runs import RunFolder
from tinytorch_course.training.saving import Saver

CONFIG = dataclasses.replace(SMALL, model="softmax", checkpoint_every=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, out=str(folder))
    return final_state(folder)


class Actor(Display):
    """Does something after the given step of the first epoch."""

    def __init__(self, step, act):
        super().__init__()
        self.when, self.act = step, act

    def maybe_stop(self, step):
        if self.epoch == 1 and step == self.when:
            self.act()


class Killed(BaseException):
    """In place of SIGKILL: nothing of ours catches it."""


def die(*_):
    raise Killed


# --- when ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(saving.time, "monotonic", lambda: Clock.now)
    return Clock


def test_by_default_no_more_than_thirty_seconds_of_training_are_lost(clock):
    saved = []
    saver = Saver(lambda: saved.append(clock.now), lambda _: None, None)
    for second in range(100):
        clock.now = float(second)
        saver.after_step()
    assert saved == [30.0, 60.0, 90.0]


def test_where_saving_is_slow_it_takes_no_more_than_a_hundredth(clock):
    saved = []

    def write():
        saved.append(clock.now)
        clock.now += 2.0

    saver = Saver(write, lambda _: None, None)
    while clock.now < 1000:
        clock.now += 1.0
        saver.after_step()
    assert [later - sooner for sooner, later in itertools.pairwise(saved)] == [202.0] * 4


def test_every_so_many_steps(tmp_path):
    """A run of three steps an epoch that dies in its fifth, saved after every second one."""
    config = dataclasses.replace(CONFIG, checkpoint_every=2)
    with pytest.raises(Killed):
        train(config, out=str(tmp_path / "run"), display=Display5())
    last = checkpoints.load(tmp_path / "run" / "last.pt")
    assert (last["epoch"], last["batch"]) == (1, 0)
    with pytest.raises(Killed):
        train(config, out=str(tmp_path / "other"), display=Actor(3, die))
    assert checkpoints.load(tmp_path / "other" / "last.pt")["batch"] == 2


class Display5(Display):
    def maybe_stop(self, step):
        if (self.epoch, step) == (2, 1):
            raise Killed


# --- killed -------------------------------------------------------------------------------------------------------


def test_the_last_line_of_the_history_is_not_lost(tmp_path, monkeypatch, whole):
    """Killed when ``last.pt`` says that all is done, and ``history.jsonl`` does not yet."""
    write, folder = RunFolder.write_history, tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_history", lambda run, rows: write(run, rows) if len(rows) < 2 else die())
        with pytest.raises(Killed):
            train(CONFIG, out=str(folder))
    assert len((folder / "history.jsonl").read_text().splitlines()) == 1
    resume(str(folder))
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert rows == checkpoints.load(folder / "last.pt")["history"]
    assert same(final_state(folder), whole)


def test_a_run_killed_before_its_first_save_begins_again(tmp_path, monkeypatch, whole):
    for again in (lambda folder: resume(folder), lambda folder: train(CONFIG, out=folder)):
        folder = tmp_path / "run"
        with monkeypatch.context() as patched:
            patched.setattr(checkpoints, "save", die)
            with pytest.raises(Killed):
                train(CONFIG, out=str(folder))
        assert not (folder / "last.pt").exists()
        again(str(folder))
        assert same(final_state(folder), whole)
        shutil.rmtree(folder)


def test_the_same_command_goes_on(tmp_path, whole):
    folder, display = tmp_path / "run", Display()
    with pytest.raises(Interrupted):
        train(CONFIG, out=str(folder), display=Display(stop_before=4))
    train(CONFIG, out=str(folder), display=display)
    assert len(display.losses) == 2
    assert same(final_state(folder), whole)


def test_a_result_that_the_run_has_outgrown_goes(tmp_path):
    folder = tmp_path / "run"
    train(CONFIG, out=str(folder))
    with pytest.raises(Killed):
        resume(str(folder), {"epochs": 4}, display=Actor4())
    assert not (folder / "result.json").exists()


class Actor4(Display):
    def maybe_stop(self, step):
        if self.epoch == 4:
            raise Killed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_at_writes_and_at_random(tmp_path):
    """The short form of ``python tests/kills.py 200``, in a process of its own."""
    script = os.path.join(os.path.dirname(os.path.dirname(__file__)), "kills.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script, "12"], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


# --- writes that fail ---------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_tried_again(tmp_path, monkeypatch, whole):
    folder = tmp_path / "run"

    def fill():
        patched.setattr(os, "fsync", full)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:

        class Full(Actor):
            def epoch_start(self, epoch, start_step):
                super().epoch_start(epoch, start_step)
                if epoch == 2:
                    patched.undo()  # somebody made room

        display = Full(2, fill)
        train(CONFIG, out=str(folder), display=display)
    said = [notice for notice in display.notices if "aved" in notice or "aving" in notice]
    assert len(said) == 2
    assert "last.pt" in said[0]
    assert "the disk is full" in said[0]
    assert said[1].startswith("Saving works again")
    assert same(final_state(folder), whole)


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 2 MB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill_up(disk):
    with contextlib.suppress(OSError), open(disk / "ballast", "wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def test_a_real_disk_that_fills_up(small_disk, whole):
    """It is full for the rest of the run; what was saved before is whole, and with room again the run ends alike."""
    folder = small_disk / "run"
    display = Actor(2, lambda: fill_up(small_disk))
    with pytest.raises(WriteFailed, match="the disk is full"):
        train(CONFIG, out=str(folder), display=display)
    assert sum(notice.startswith("Not saved") for notice in display.notices) == 1
    assert checkpoints.load(folder / "last.pt")["batch"] == 1
    assert not list(folder.glob("*.tmp"))
    (small_disk / "ballast").unlink()
    resume(str(folder))
    assert same(final_state(folder), whole)


def test_a_real_disk_with_room_again(small_disk, whole):
    folder = small_disk / "run"

    class Cleaned(Actor):
        def epoch_start(self, epoch, start_step):
            super().epoch_start(epoch, start_step)
            if epoch == 2:
                (small_disk / "ballast").unlink()

    display = Cleaned(2, lambda: fill_up(small_disk))
    train(CONFIG, out=str(folder), display=display)
    assert any(notice.startswith("Saving works again") for notice in display.notices)
    assert same(final_state(folder), whole)


def test_the_run_ends_with_an_error_only_if_nothing_could_be_saved_at_its_end(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    display = Actor(2, lambda: monkeypatch.setattr(os, "fsync", full))
    with pytest.raises(WriteFailed, match="the disk is full"):
        train(CONFIG, out=str(tmp_path / "run"), display=display)
    assert len(display.rows) == 2  # all epochs were trained
    monkeypatch.undo()
    resume(str(tmp_path / "run"))


def test_a_limit_on_the_size_of_files(tmp_path, whole):
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    limits, folder = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "run"

    class Limited(Actor):
        def epoch_end(self, row):
            super().epoch_end(row)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    display = Limited(1, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1])))
    try:
        train(CONFIG, out=str(folder), display=display)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert any("the file would be larger than is allowed here" in notice for notice in display.notices)
    assert same(final_state(folder), whole)


def test_a_folder_that_is_deleted_is_made_again(tmp_path, whole):
    folder = tmp_path / "run"

    class Deleting(Display):
        def maybe_stop(self, step):
            if (self.epoch, step) in [(1, 2), (2, 1)]:
                shutil.rmtree(folder)

    display = Deleting()
    train(CONFIG, out=str(folder), display=display)
    assert sum("was deleted while the run went on" in notice for notice in display.notices) == 2
    assert same(final_state(folder), whole)
    names = {path.name for path in folder.iterdir()}
    assert names == {".lock", "config.toml", "data.json", "history.jsonl", "last.pt", "model.pt", "result.json"}
    resume(str(folder))


# --- stopped ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_closed_terminal_saves(tmp_path, whole):
    """The terminal is gone, and the display finds that out before the loop does."""

    class Gone(Display):
        def maybe_stop(self, step):
            if (self.epoch, step) == (1, 2):
                os.kill(os.getpid(), signal.SIGHUP)
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(Interrupted) as stopped:
        train(CONFIG, out=str(tmp_path / "run"), display=Gone())
    assert stopped.value.signal_number == signal.SIGHUP
    assert checkpoints.load(tmp_path / "run" / "last.pt")["batch"] == 2
    train(CONFIG, out=str(tmp_path / "run"))
    assert same(final_state(tmp_path / "run"), whole)


def test_a_closed_pipe_saves(tmp_path, whole):
    class Closed(Display):
        def epoch_end(self, row):
            raise BrokenPipeError

    config = dataclasses.replace(CONFIG, checkpoint_every=None)
    with pytest.raises(Interrupted) as stopped:
        train(config, out=str(tmp_path / "run"), display=Closed())
    assert stopped.value.signal_number == 13
    resume(str(tmp_path / "run"))
    assert same(final_state(tmp_path / "run"), whole)


# --- links --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".lock", ".last.pt.tmp", ".config.toml.tmp", ".report.html.tmp", "history.jsonl"])
def test_a_run_folder_overwrites_nothing_outside_of_it(tmp_path, name):
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    with pytest.raises(Interrupted):
        train(CONFIG, out=str(folder), display=Display(stop_before=2))
    (folder / name).unlink(missing_ok=True)
    os.symlink(victim, folder / name)
    for begin in (lambda: resume(str(folder)), lambda: train(CONFIG, out=str(folder))):
        with pytest.raises(checkpoints.InputError, match="is a symbolic link out of its folder, which is not followed"):
            begin()
    assert victim.read_text() == "precious"


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for number, link in enumerate((os.symlink, os.link)):
        folder = tmp_path / str(number)
        folder.mkdir()
        link(victim, folder / ".lock")
        with pytest.raises(checkpoints.InputError, match=r"symbolic link|is not a file of its own"):
            train(CONFIG, out=str(folder))
    assert victim.read_text() == "precious"
