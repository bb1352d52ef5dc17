"""The run folder: what one training leaves behind, and what resuming it needs.

    config.toml     the configuration
    data.json       what the network was trained on, as far as its use needs it
    history.jsonl   one JSON object a line, one line an epoch
    last.pt         everything that is needed to go on
    model.py, model.json    the network's code, where it is the user's own: see own_model.py
    model.pt        the parameters of the best epoch, a plain state dict; or model.safetensors
    result.json     the outcome
    loss.png        the curves
    .lock           the number of the process that trains here, or trained here last

Each file is written atomically, so that whenever a run is killed, all that is there is whole.
"""

import contextlib
import errno
import io
import json
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from tinytorch_course.errors import InputError
from tinytorch_course.files import NO_FOLLOW, WriteFailed, explain, refuse_links, write_atomically
from tinytorch_course.own_networks import short_name
from tinytorch_course.training.config import TrainConfig, read_config

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

CONFIG = "config.toml"
DATA = "data.json"
LAST = "last.pt"
MODELS = {"pt": "model.pt", "safetensors": "model.safetensors"}  # by --format
RESULT = "result.json"
LOCK = ".lock"
BEFORE_FIRST_SAVE = {CONFIG, DATA, "model.py", "model.json", LOCK}
WINDOWS_LOCK_OFFSET = 1 << 20  # Windows locks bytes against reading too, so lock one far behind the process number

# Okabe and Ito's blue and vermilion, which all kinds of colour vision tell apart; dashes and markers for print.
TRAIN_STYLE = {"color": "#0072B2", "linestyle": "-", "marker": "o"}
VALIDATION_STYLE = {"color": "#D55E00", "linestyle": "--", "marker": "s"}


class RunFolder:
    """A run folder that this process alone may train into, until :meth:`close` (``with`` does that) or its end."""

    def __init__(self, path: Path, config: TrainConfig, lock: int) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.path, self.config = path, config
        self._lock: int | None = lock
        self.last_path, self.model_path = path / LAST, path / MODELS[config.format]

    @classmethod
    def create(cls, path: str | os.PathLike | None, config: TrainConfig) -> "RunFolder":
        """A new run, in ``path`` or, if that is None, in ``runs/<date>-<time>-<model>-<impl>``.

        Raises:
            InputError: if ``path`` holds a run or anything else, or cannot be written. Nothing is left behind then.
        """
        if path is not None and not os.fspath(path).strip():
            raise InputError(f"--out must be the path of a folder, but it is {os.fspath(path)!r}")
        try:
            created = path is None or not Path(path).exists()
            path = _make_default(config) if path is None else Path(path)
            _refuse_occupied(path)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot use {path or 'runs'} as a run folder: {explain(error)}") from error
        lock = None
        try:
            lock = _lock(path)
            _refuse_occupied(path)  # another process may have been faster
            run = cls(path, config, lock)
            run.write_config(config)
        except InputError:
            if lock is not None:
                (path / LOCK).unlink(missing_ok=True)
                os.close(lock)
            if created:
                with contextlib.suppress(OSError):  # it is not empty, should another process use it
                    path.rmdir()
            raise
        return run

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunFolder":
        """A run that was started before, to be resumed. Its configuration is read and validated.

        Raises:
            InputError: if ``path`` is no run, cannot be resumed, or is being trained into by another process.
        """
        path = Path(path)
        try:
            names = {entry.name for entry in path.iterdir()}
        except FileNotFoundError as error:
            raise InputError(f"there is not a run folder {path}") from error
        except OSError as error:
            raise InputError(f"cannot read the run folder {path}: {error.strerror}") from error
        if CONFIG not in names:
            many = any(name.startswith("seed-") for name in names)
            hint = "; it holds runs of several seeds, so type the command with --seeds again" if many else ""
            raise InputError(f"{path} is not a run folder: it has no {CONFIG}{hint}")
        refuse_links(path)
        config = read_config(path / CONFIG)
        lock = _lock(path)
        _remove_temporaries(path)
        return cls(path, config, lock)

    def make_again(self) -> bool:
        """Make the folder again if somebody has deleted it; whether that was so.

        Raises:
            WriteFailed: if that fails.
        """
        if self.path.exists():
            return False
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise WriteFailed(f"cannot make {self.path} again, which was deleted: {explain(error)}") from error
        self.close()  # a lock on what is no longer there
        self._lock = _lock(self.path)
        self.write_config(self.config)
        return True

    def remove(self, name: str) -> None:
        """Remove a file that the run has outgrown, if it is there."""
        with contextlib.suppress(OSError):
            (self.path / name).unlink()

    def write_config(self, config: TrainConfig) -> None:
        """``config.toml``. A setting of None is left out, since TOML has no word for it."""
        self.config = config
        settings = {name: value for name, value in config.to_dict().items() if value is not None}
        write_atomically(self.path / CONFIG, tomli_w.dumps(settings).encode())

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """``history.jsonl``, whole: appending to it could double or tear a line when a run is killed and resumed."""
        path = self.path / "history.jsonl"
        write_atomically(path, b"".join(_to_json(epoch, path) + b"\n" for epoch in history))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """``data.json``, ``result.json``."""
        path = self.path / name
        write_atomically(path, _to_json(content, path, indent=2) + b"\n")

    def plot_curves(self, history: Sequence[Mapping[str, Any]]) -> None:
        """``loss.png``: loss and accuracy by epoch.

        Each entry of ``history`` has ``epoch`` (from 1), ``train_loss``, ``val_loss``, ``train_accuracy`` and
        ``val_accuracy`` (from 0 to 1), and ``best``: whether it was the best epoch until then. The last such was kept.
        """
        from matplotlib.figure import Figure  # not pyplot: no window system, and no state shared with the caller

        figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
        loss_axes, accuracy_axes = figure.subplots(1, 2)
        _draw(loss_axes, history, "loss", "Loss (mean of the samples)", scale=1)
        _draw(accuracy_axes, history, "accuracy", "Accuracy (%)", scale=100)
        figure.suptitle(f"{self.config.model} on {self.config.data}, {self.config.impl} implementation")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        write_atomically(self.path / "loss.png", buffer.getvalue())

    def close(self) -> None:
        """Let other processes train into this folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def usual_path(config: TrainConfig) -> Path:
    """Where a run goes that nobody has named a folder for."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{short_name(config.model)}-{config.impl}"


def _make_default(config: TrainConfig) -> Path:
    """A new folder ``runs/<date>-<time>-<model>-<impl>``, with -2, -3, ... where that is taken."""
    first = usual_path(config)
    path, number = first, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not path.exists():  # "runs" itself is a file
                raise
        number += 1
        path = first.with_name(f"{first.name}-{number}")


def _refuse_occupied(path: Path) -> None:
    """Raise InputError unless the folder is empty, or holds what a run that was never saved has left there."""
    try:
        names = {entry.name for entry in path.iterdir() if not _is_temporary(entry)}
    except FileNotFoundError:
        return
    refuse_links(path)
    if LAST in names:
        raise InputError(f"{path} already holds a run: continue it with --resume {path}, or choose another folder")
    if names and not (LOCK in names and names <= BEFORE_FIRST_SAVE):
        raise InputError(f"{path} is not empty, and it does not hold a run: choose a new or empty folder")


def _is_temporary(path: Path) -> bool:
    """Whether it is what a write that was killed has left."""
    return path.name.startswith(".") and path.name.endswith(".tmp") and not path.is_dir()


def _remove_temporaries(folder: Path) -> None:
    for path in folder.iterdir():
        if _is_temporary(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _lock(folder: Path) -> int:
    """Lock ``folder`` for this process: the descriptor of the locked file, whose closing unlocks it.

    The lock is the operating system's, on a file that holds the process number. It ends with the process, however
    that ends, so a lock is never stale; a file's mere existence would outlive a killed process, and its number may by
    then be another's.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        raise InputError(f"cannot write {path}: {explain(error)}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # writing into it would write into something else
        os.close(descriptor)
        raise InputError(f"{path} is not a file of its own; remove it")
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, WINDOWS_LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise InputError(
                f"{folder} is in use: process {owner} is training into it; wait until it has finished, or "
                "choose another folder"
            ) from error
        raise InputError(f"cannot lock {path}: {explain(error)}") from error
    return descriptor


def _to_json(value: Mapping[str, Any], path: Path, indent: int | None = None) -> bytes:
    try:
        return json.dumps(value, indent=indent, allow_nan=False).encode()
    except ValueError as error:  # JSON has no NaN
        raise InputError(
            f"refused to write {path}: a number in it is NaN or infinite, so training has diverged; try a smaller --lr"
        ) from error


def _draw(axes: Any, history: Sequence[Mapping[str, Any]], quantity: str, label: str, *, scale: float) -> None:
    """One panel: ``quantity`` of the training and the validation data by epoch."""
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    for part, legend, style in (("train", "training", TRAIN_STYLE), ("val", "validation", VALIDATION_STYLE)):
        axes.plot(epochs, [scale * row[f"{part}_{quantity}"] for row in history], label=legend, markersize=4, **style)
    for kept in [row["epoch"] for row in history if row["best"]][-1:]:
        axes.axvline(kept, color="0.4", linestyle=":", label="kept epoch", zorder=0)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()
