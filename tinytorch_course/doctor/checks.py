"""What ``tinytorch doctor`` looks at. Needs no torch: what does is asked in a process of its own.

So a torch that cannot be imported, a GPU that hangs and a processor that lacks an instruction are findings, and not
the end of the doctor.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import tinytorch_course

OK, NOTE, WRONG = "ok", "note", "wrong"
TOPICS = ("versions", "devices", "data", "space", "terminal")
DISTRIBUTION = "tinytorch-course"
EXTRAS = {"onnx": "tinytorch export --onnx", "tensorboard": "tinytorch train --tensorboard"}
SHOWN = ("torch", "torchvision")  # whose versions are shown by the process that imports them
PATIENCE = 180.0  # seconds for that process: importing torch and waking a GPU can take a minute
RUN_ROOM = 100 << 20  # bytes: a run's folder of the largest network here, with its optimizer's moments
DATA_ROOM = 300 << 20  # bytes: the largest set here, packed and unpacked
NARROWEST = 80  # columns, for which all tables are made


class Finding(NamedTuple):
    """One line of the doctor's report."""

    topic: str  # of TOPICS
    name: str
    state: str  # OK; NOTE: works without it; WRONG: something needed is broken
    text: str
    advice: str = ""  # what to do

    def to_dict(self) -> dict[str, str | None]:
        """For JSON."""
        return {**self._asdict(), "advice": self.advice or None}


def examine(out: TextIO) -> Iterator[Finding]:
    """Everything, one finding after the other, in the order of TOPICS. ``out``: where results are printed."""
    yield from look_at_versions()
    yield from ask_torch()
    yield from look_at_space()
    yield from look_at_terminal(out)


# --- versions --------------------------------------------------------------------------------------------------------


def look_at_versions() -> Iterator[Finding]:
    """Python, ours, and whatever of our requirements is absent or too old."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("versions", "Python", OK, f"{platform.python_version()} on {system} ({sys.executable})")
    yield Finding("versions", DISTRIBUTION, OK, f"{tinytorch_course.__version__} in {_package_folder()}")
    for name, least in read_requirements():
        found = _installed_version(name)
        if found is None:
            yield Finding("versions", name, WRONG, "not installed", f"pip install '{name}>={least}'")
        elif _as_numbers(found) < _as_numbers(least):
            text, advice = f"{found}, but at least {least} is needed", f"pip install --upgrade '{name}>={least}'"
            yield Finding("versions", name, WRONG, text, advice)
    for extra, names in read_extras().items():
        missing = [name for name in names if _installed_version(name) is None]
        if missing:
            text = f"{', '.join(missing)} not installed, and needed only for {EXTRAS[extra]}"
            yield Finding("versions", f"extra {extra}", NOTE, text, f"pip install '{DISTRIBUTION}[{extra}]'")
        else:
            yield Finding("versions", f"extra {extra}", OK, f"installed, for {EXTRAS[extra]}")


def read_extras() -> dict[str, list[str]]:
    """What the extras that a person may want consist of."""
    found: dict[str, list[str]] = {}
    for line in _requirement_lines():
        match = re.match(r"([\w.-]+).*; *extra *== *[\"'](\w+)[\"']$", line)
        if match and match[2] in EXTRAS:
            found.setdefault(match[2], []).append(match[1])
    return found


def read_requirements() -> list[tuple[str, str]]:
    """What our own installation says it needs: (name, least version). Empty where we are not installed."""
    found = [re.match(r"([\w.-]+) *>= *([\d.]+) *$", line) for line in _requirement_lines()]  # those without condition
    return [(match[1], match[2]) for match in found if match]


def _requirement_lines() -> list[str]:
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _as_numbers(version: str) -> tuple[int, ...]:
    """ "2.10.1+cpu" as (2, 10, 1)."""
    return tuple(int(part) for part in re.split(r"[^\d.]", version)[0].split(".") if part)


def _package_folder() -> Path:
    return Path(tinytorch_course.__file__).parent


# --- what needs torch ------------------------------------------------------------------------------------------------


def ask_torch(command: list[str] | None = None, patience: float = PATIENCE) -> Iterator[Finding]:
    """torch, the devices and the data, from a process of its own; how it ended if it did not get to its end."""
    command = command or [sys.executable, "-c", "from tinytorch_course.doctor.probe import main; main()"]
    paths = [str(_package_folder().parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, env=environment, check=False)
        code = done.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output, how = late.stdout or b"", f"did not end within {patience:g} seconds"
    topic, name, finished = "devices", "torch", False
    for line in output.decode("utf-8", errors="replace").splitlines():
        kind, _, content = line.partition(" ")
        if kind == "STAGE":
            topic, name = json.loads(content)
        elif kind == "FINDING":
            yield Finding(**json.loads(content))
        finished = finished or kind == "END"
    if not finished:
        advice = (
            "install torch and torchvision again, together, as pytorch.org says for this machine; for a GPU also look "
            "at its driver (nvidia-smi), or use --device cpu"
        )
        yield Finding(topic, name, WRONG, f"the process that tried it {how}", advice)


# --- space -----------------------------------------------------------------------------------------------------------


def look_at_space() -> Iterator[Finding]:
    """Where runs are written by default. (The data folder's space is looked at with the data.)"""
    yield space_of(Path("runs"), "run folder", RUN_ROOM, needed=True, option="--out")


def space_of(folder: Path, name: str, room: int, *, needed: bool, option: str) -> Finding:
    """Whether ``folder``, which need not exist yet, can be written and has ``room`` bytes left."""
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    bad = WRONG if needed else NOTE
    if not there.is_dir():
        return Finding(
            "space", name, bad, f"{there} is a file", f"move it away, or choose another folder with {option}"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("space", name, bad, f"{there} cannot be written", f"choose another folder with {option}")
    free = shutil.disk_usage(there).free
    text = f"{free / 1e9:,.1f} GB free for {folder}"
    if free < room:
        advice = f"make room ({room / 1e6:,.0f} MB are enough), or choose a folder on another disk with {option}"
        return Finding("space", name, bad, text, advice)
    return Finding("space", name, OK, text)


# --- terminal --------------------------------------------------------------------------------------------------------


def look_at_terminal(out: TextIO) -> Iterator[Finding]:
    """What results may look like here: colour, the characters of formulas, the width."""
    if not out.isatty():
        yield Finding("terminal", "stdout", OK, "a file or a pipe: plain lines, without colour or control codes")
    else:
        yield _colour()
        columns = shutil.get_terminal_size().columns
        narrow = columns < NARROWEST
        advice = f"widen it to {NARROWEST}: narrower ones break the lines of tables" if narrow else ""
        yield Finding("terminal", "width", NOTE if narrow else OK, f"{columns} columns", advice)
    encoding = out.encoding or "unknown"
    try:
        "·×−≤█".encode(encoding)
    except (LookupError, UnicodeEncodeError):
        advice = "set PYTHONUTF8=1, and in Windows use Windows Terminal (or chcp 65001)"
        yield Finding("terminal", "characters", NOTE, f"{encoding}: some symbols in formulas are shown as ?", advice)
    else:
        yield Finding("terminal", "characters", OK, f"{encoding}: every symbol in formulas can be shown")


def _colour() -> Finding:
    if os.environ.get("NO_COLOR"):
        return Finding("terminal", "colour", OK, "off, as NO_COLOR asks")
    if os.environ.get("TERM", "") in ("dumb", "unknown"):
        text = f"off: TERM is {os.environ['TERM']}, a terminal without a cursor that moves"
        return Finding("terminal", "colour", NOTE, text, "set TERM=xterm-256color if yours can do more")
    return Finding("terminal", "colour", OK, "on")
