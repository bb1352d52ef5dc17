"""The display, in this process and, where it matters what the streams are, in one of its own."""

import io
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.display import COLUMNS, PlainDisplay, duration, make_display

ESCAPE = "\x1b"
COLOR = re.compile(r"\x1b\[(?!0?m)[0-9;]*3[0-9][0-9;]*m")  # any code that sets a colour
STEPS, EPOCHS = 20, 3

RESULT = SimpleNamespace(
    run_folder="runs/one",
    impl="scratch",
    model="mlp",
    parameters=109386,
    epochs=EPOCHS,
    best_epoch=2,
    val_accuracy=0.985,
    test_accuracy=1.0,
    test_interval=(0.9894, 1.0),
    test_loss=0.0312,
    test_count=360,
    seconds=4.5,
    device="cpu",
    dtype="float32",
)


def row(epoch, **changes):
    values = {
        "epoch": epoch,
        "train_loss": 1.5 / epoch,
        "train_accuracy": 0.9,
        "val_loss": 0.25,
        "val_accuracy": 0.985,
        "lr": 1e-3,
        "seconds": 1.5,
        "best": epoch == 2,
    }
    return values | changes


def begin(display, start_epoch=1, run_folder="runs/one"):
    parts = (SimpleNamespace(labels=[0] * count) for count in (1200, 240, 360))
    dataset = SimpleNamespace(**dict(zip(("train", "val", "test"), parts, strict=True)), title="digits")
    config = TrainConfig(model="mlp", data="digits")
    setup = SimpleNamespace(config=config, dataset=dataset, steps_per_epoch=STEPS, epochs=EPOCHS)
    display.start(setup, 109386, start_epoch, run_folder)


def show_run(display):
    """What the training loop tells a display in the course of a run."""
    with display:
        display.notice("a notice")
        begin(display)
        for epoch in range(1, EPOCHS + 1):
            display.epoch_start(epoch, 0)
            for step in range(1, STEPS + 1):
                display.step(step, 1.5 / step, 0.9, 1e-3)
                if (epoch, step) == (2, 10):
                    print("a stray line")
                    print("a stray warning", file=sys.stderr)
            display.epoch_end(row(epoch))
        display.finish(RESULT)


if __name__ == "__main__":  # the processes that the tests below start
    show_run(make_display(json="--json" in sys.argv))
    sys.exit()


def run_on_terminal(*args, width=80, terminal_stdout=False, **environment):
    """A run whose stderr, and stdout if wanted, is a terminal: what went to stdout's pipe, and to the terminal."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    ours, theirs = os.openpty()
    shown = bytearray()

    def read():
        try:
            while data := os.read(ours, 4096):
                shown.extend(data)
        except OSError:  # Linux's way to say that the other end is closed
            pass

    process = subprocess.Popen(
        [sys.executable, __file__, *args],
        stdout=theirs if terminal_stdout else subprocess.PIPE,
        stderr=theirs,
        env=clean_environment() | {"TERM": "xterm-256color", "COLUMNS": str(width)} | environment,
    )
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    out = b"" if terminal_stdout else process.stdout.read()
    assert process.wait(timeout=60) == 0
    reader.join(timeout=60)
    os.close(ours)
    return out.decode(), shown.decode()


def run_in_pipes(*args, **environment):
    """A run whose stdout and stderr are pipes: what went through each."""
    run = subprocess.run(
        [sys.executable, __file__, *args],
        capture_output=True,
        env=clean_environment() | environment,
        timeout=60,
        check=True,
    )
    return run.stdout.decode(), run.stderr.decode()


def clean_environment():
    deciding = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")
    return {name: value for name, value in os.environ.items() if name not in deciding} | {"PYTHONIOENCODING": "utf-8"}


def table_rows(text):
    return [line for line in text.splitlines() if re.match(rf" +\d/{EPOCHS} ", line)]


def test_terminal_shows_a_bar_and_the_table_goes_to_stdout():
    out, shown = run_on_terminal()
    assert f"{STEPS}/{STEPS}  loss 0.0750  acc  90.0 %  rate 0.001" in shown
    assert "━" in shown
    assert "0:00 left" in shown
    assert len(table_rows(out)) == EPOCHS
    assert "a stray line" in out
    assert ESCAPE not in out  # it is a pipe
    assert table_rows(shown) == []


def screen(shown):
    """The lines on a terminal after it was sent ``shown``: as much of a terminal as the display makes use of."""
    lines, line = [""], 0
    for piece in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", shown):
        if piece == "\n":
            line += 1
            lines += [""] * (line == len(lines))
        elif piece == "\x1b[2K":
            lines[line] = ""
        elif piece == "\x1b[1A":
            line -= 1
        elif not piece.startswith(("\x1b", "\r")):
            lines[line] += piece
    return lines


def test_terminal_is_left_with_the_lines_of_a_plain_run():
    _, shown = run_on_terminal(width=200, terminal_stdout=True)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == EPOCHS  # the cursor hidden, and shown again
    assert "━" in shown
    lines = screen(shown)
    assert "a stray warning" in lines
    table, notes = plain_run()
    plain = notes + table + "a stray warning\n"
    assert sorted(line for line in lines if "stray line" not in line) == sorted([*plain.splitlines(), ""])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_bar_fits_the_terminal(width):
    _, shown = run_on_terminal(width=width)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    bars = [line for line in lines if "loss" in line]
    assert bars
    assert {len(line) for line in bars} == {width - 3}  # beside which ^C has room, without a new line
    assert all("━" in line and line.endswith(" left") for line in bars) == (width >= 80)


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}, {"TERM": "xterm-256color"}])
@pytest.mark.parametrize("args", [(), ("--json",)])
def test_pipes_get_plain_lines(environment, args):
    out, err = run_in_pipes(*args, **environment)
    assert ESCAPE not in out + err
    assert "\r" not in (out + err).replace(os.linesep, "\n")
    assert "━" not in out + err
    assert len(table_rows(out + err)) == EPOCHS
    assert len(table_rows(err if args else out)) == EPOCHS


def test_json_keeps_stdout_free():
    out, err = run_in_pipes("--json")
    assert out.strip() == "a stray line"  # which is not the display's
    assert "Test accuracy" in err


def test_dumb_terminal_gets_plain_lines():
    _, shown = run_on_terminal(terminal_stdout=True, TERM="dumb")
    assert ESCAPE not in shown
    assert "loss 0.0750" not in shown
    assert len(table_rows(shown)) == EPOCHS


def test_colors_follow_the_environment():
    assert COLOR.search(run_on_terminal(terminal_stdout=True)[1])
    assert not COLOR.search(run_on_terminal(terminal_stdout=True, NO_COLOR="1")[1])
    out, err = run_in_pipes(FORCE_COLOR="1")
    assert COLOR.search(out)
    assert "━" not in err  # colours were asked for, not a bar


def plain_run():
    table, notes = io.StringIO(), io.StringIO()
    show_run(PlainDisplay(table, notes))
    return table.getvalue(), notes.getvalue()


def test_long_paths_and_commands_stay_whole():
    table, notes = io.StringIO(), io.StringIO()
    folder = "/a/long/way/down" * 20
    display = PlainDisplay(table, notes)
    begin(display, run_folder=folder)
    display.finish(SimpleNamespace(**vars(RESULT) | {"run_folder": folder}))
    assert f"Run folder: {folder}\n" in notes.getvalue()
    assert f"Run folder     {folder}\n" in table.getvalue()
    assert f"  tinytorch train --resume {folder} --epochs 6\n" in table.getvalue()


def test_plain_run_word_for_word():
    table, notes = plain_run()
    assert notes == (
        "Note: a notice\n"
        "mlp from scratch, 109,386 parameters, on digits: 1,200 images to train on, 240 to choose the best epoch, "
        "360 to test it.\n"
        "Run folder: runs/one\n"
        "\n"
    )
    assert table == (
        "  epoch  train loss  train acc  val loss   val acc      rate      time\n"
        "    1/3      1.5000    90.00 %    0.2500   98.50 %     0.001     1.5 s\n"
        "    2/3      0.7500    90.00 %    0.2500   98.50 %     0.001     1.5 s  best\n"
        "    3/3      0.5000    90.00 %    0.2500   98.50 %     0.001     1.5 s\n"
        "\n"
        "Test accuracy  100.00 %   95 % interval 98.94 to 100.00 %, on 360 images\n"
        "Test loss      0.0312\n"
        "Best epoch     2 of 3     chosen by its validation accuracy, 98.50 %\n"
        "Parameters     109,386    mlp from scratch, float32 on cpu\n"
        "Time           4.5 s\n"
        "Run folder     runs/one\n"
        "\n"
        "To train longer:\n"
        "  tinytorch train --resume runs/one --epochs 6\n"
        "To compare:\n"
        "  tinytorch train --impl torch --model mlp --data digits\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"train_loss": 1e12, "val_loss": 1e-12},
        {"train_loss": 998.99999, "val_loss": 998.99999},
        {"train_loss": 999.99999, "val_loss": 999.99999},
        {"train_loss": float("nan"), "val_loss": float("inf")},
        {"train_accuracy": 1.0, "val_accuracy": 1.0},
        {"lr": 1.2345e-10, "seconds": 3600 * 99 + 59 * 60 + 59},
        {"lr": 0.000123456, "seconds": 99.949},
        {"lr": 12345.678, "seconds": 99.951},
    ],
)
def test_columns_keep_their_places(changes):
    table = io.StringIO()
    display = PlainDisplay(table, io.StringIO())
    begin(display)
    display.epoch_start(2, 0)
    display.epoch_end(row(2, **changes))
    header, line = table.getvalue().splitlines()
    assert len(line) == len(header) + len("  best") <= 80
    place = 0
    for _, width in COLUMNS:
        assert line[place : place + width].strip()
        place += width
        assert line[place : place + 2] == "  "
        place += 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (8.26, "8.3 s"),
        (99.94, "99.9 s"),
        (99.96, "1:40"),
        (245, "4:05"),
        (3599.7, "1:00:00"),
        (9067, "2:31:07"),
    ],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("epoch", "steps_done", "words"),
    [
        (1, 0, ""),
        (1, 5, "Resuming at step 6 of 20 in epoch 1 of 3.\n"),
        (2, 0, "Resuming at step 1 of 20 in epoch 2 of 3.\n"),
    ],
)
def test_a_resumed_run_says_once_where_it_goes_on(epoch, steps_done, words):
    table, notes = io.StringIO(), io.StringIO()
    display = PlainDisplay(table, notes)
    begin(display, start_epoch=epoch)
    display.epoch_start(epoch, steps_done)
    display.epoch_end(row(epoch))
    display.epoch_start(epoch + 1, 0)
    assert notes.getvalue().endswith(f"Run folder: runs/one\n{words}\n")
    assert len(table.getvalue().splitlines()) == 2  # one head, one row


def test_a_run_without_epochs_to_come_has_no_table():
    table = io.StringIO()
    display = PlainDisplay(table, io.StringIO())
    begin(display, start_epoch=EPOCHS + 1)
    display.finish(RESULT)
    assert table.getvalue().lstrip().startswith("Test accuracy")


def test_a_reader_that_leaves_is_reported_to_the_caller():
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    display = PlainDisplay(Closed(), io.StringIO())
    begin(display)
    with pytest.raises(BrokenPipeError):
        display.epoch_start(1, 0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A display with a bar, its clock (a list of one time), and what it drew."""
    from tinytorch_course.training import display as module

    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    notes = Terminal()
    display = module.TerminalDisplay(io.StringIO(), notes)
    begin(display)
    return display, clock, notes


def drawn(notes):
    return re.findall(r"(\d+)/20  loss", notes.getvalue())


def test_bar_is_drawn_ten_times_a_second_and_when_full(terminal):
    display, clock, notes = terminal
    display.epoch_start(1, 0)
    for step in range(1, STEPS + 1):
        clock[0] += 0.03
        display.step(step, 0.5, 0.9, 1e-3)
    display.clear()
    assert list(dict.fromkeys(drawn(notes))) == ["0", "1", "5", "9", "13", "17", "20"]


def test_time_left_counts_all_epochs_to_come(terminal):
    display, clock, notes = terminal
    display.epoch_start(2, 10)  # resumed in the middle
    clock[0] += 2.0
    display.step(11, 0.5, 0.9, 1e-3)  # 9 steps of this epoch and 20 of the third, at 2 s each
    display.clear()
    assert " 0:58 left" in notes.getvalue()


def test_an_error_takes_the_bar_away(terminal):
    display, _, notes = terminal

    def fail():
        with display:
            display.epoch_start(1, 0)
            display.step(1, 0.5, 0.9, 1e-3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert display.bar is None
    assert notes.getvalue().rindex("\x1b[?25h") > notes.getvalue().rindex("loss 0.5000")  # the cursor is back


def test_a_notice_during_an_epoch_stays_above_the_bar(terminal):
    display, _, notes = terminal
    display.epoch_start(1, 0)
    display.step(1, 0.5, 0.9, 1e-3)
    display.notice("something happened")
    display.clear()
    assert "Note: something happened\n" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", notes.getvalue())
