"""A learner's own code, checked in a process of its own.

So a hang, a crash, a flood of output or ``sys.exit`` in it cannot hurt: all that comes back is one file of results.
This half starts the process and waits; ``child.py`` is what runs in it. Needs no torch.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import tinytorch_course
from tinytorch_course.checking.rows import Answer, Row
from tinytorch_course.errors import InputError

KEPT = 500  # characters of what the code prints
GRACE = 6.0  # times its budget is what a search may take on the clock: the machine may have other work
START = 120.0  # seconds for Python and torch to start, which are not the learner's fault

Progress = Callable[[float, int], None]


@dataclass
class Request:
    """What to check, and how."""

    path: str  # of a Python file
    names: list[str]  # in it: forward and backward, or one that has both
    like: str | None = None  # the op or optimizer of ours that it should equal
    shapes: list[list[int]] | None = None  # of the inputs, where there is no such op, or other shapes are wanted
    twin: str | None = None  # a Python file whose forward of the same name is right; with shapes
    args: list[str] | None = None  # the learner's names in the op's order
    layout: str | None = None  # of a linear layer's weight: out-in, in-out; None: as fits
    dtype: str = "float64"
    device: str = "cpu"
    seed: int = 0
    explain: bool = False
    strict: bool = False  # whether another convention than torch's is wrong, at a kink
    budget: float = 0.0  # seconds for the search for a repair; 0: none


def parse_code(code: str) -> tuple[str, list[str]]:
    """``my_ops.py:my_forward,my_backward`` as the file and the names in it.

    Raises:
        InputError: if it is not of that form, or there is no such file.
    """
    path, colon, names = code.rpartition(":")
    if not colon or not path or not names.strip():
        raise InputError(
            f"'{code}' is not of the form FILE:NAME, such as my_ops.py:my_conv_forward,my_conv_backward or "
            "my_ops.py:MyReLU"
        )
    if not Path(path).is_file():
        what = "is a folder, not a Python file" if Path(path).is_dir() else "does not exist"
        raise InputError(f"the file '{path}' {what}")
    listed = [name.strip() for name in names.split(",")]
    if len(listed) > 2 or not all(name.isidentifier() for name in listed):
        raise InputError(f"'{names}' must be one name, or two with a comma between them: the forward and the backward")
    return path, listed


def parse_shapes(text: str) -> list[list[int]]:
    """``4x3,3x5`` as [[4, 3], [3, 5]].

    Raises:
        InputError: if it is not of that form.
    """
    shapes = [part.strip().lower().split("x") for part in text.split(",")]
    if not all(size.isdecimal() and int(size) > 0 for shape in shapes for size in shape):
        raise InputError(
            f"--shapes must be sizes joined by x, one shape for each tensor, such as 4x3,3x5, not '{text}'"
        )
    return [[int(size) for size in shape] for shape in shapes]


def check_own_code(request: Request, timeout: float, progress: Progress = lambda part, tried: None) -> Answer:
    """Run the checks in a process of their own.

    Args:
        request: what to check.
        timeout: seconds that the code may take to be checked; a repair has its own budget on top.
        progress: is told the part of that budget that is spent, and how many candidates were tried.

    Raises:
        InputError: if the code cannot be checked: it raises, hangs, crashes, returns something that is no gradient.
    """
    answer, output = run_child("tinytorch_course.grading.child", request, timeout, progress)
    row = Row.from_dict(answer["row"])
    with_repair(row, answer.get("repair"))
    return Answer(row, output.kept, output.length)


def run_child(
    module: str, request: Any, timeout: float, progress: Progress = lambda part, tried: None
) -> "tuple[dict[str, Any], _Output]":
    """Run ``module.main()`` in a process of its own; its answer, and what it printed.

    Args:
        module: what is imported there. Its ``main`` finds the request as JSON in the first argument, and leaves its
            answer by :func:`leave` in the folder in the second, where a file "stage" says that it is ready.
        request: a dataclass with ``path`` and ``budget``.
        timeout: seconds that it may take, from when it is ready.
        progress: as for :func:`check_own_code`.

    Raises:
        InputError: if it hangs or crashes, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="tinytorch-") as folder:
        process = _start(module, request, folder)
        output = _Output(process.stdout)
        try:
            _wait(process, Path(folder), timeout, request, progress)
        finally:
            _end(process)
        output.finish()
        answer = _read(Path(folder) / "answer")
        if answer is None:
            raise InputError(_ended_early(process.returncode, Path(folder), request))
    return accepted(answer), output


def accepted(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, if it is no refusal.

    Raises:
        InputError: if it is.
    """
    if "refused" in answer:
        repair = answer.get("repair")
        raise InputError(answer["refused"] + (f"; {repair['text']}" if repair else ""))
    if "broken" in answer:
        raise RuntimeError(f"the check itself failed:\n{answer['broken']}")
    return answer


def leave(answer: dict[str, Any], folder: Path) -> None:
    """The child's side: leave the answer, whole or not at all."""
    temporary = folder / "unfinished"
    temporary.write_text(json.dumps(answer), encoding="utf-8")
    os.replace(temporary, folder / "answer")


def answer_and_end(work: Callable[[Any, Path], dict[str, Any]], request: Any, folder: Path) -> NoReturn:
    """The child's side, to its end: leave what ``work`` answers, or that it refused, or where it broke."""
    try:
        answer = work(request, folder)
    except InputError as refusal:
        answer = {"refused": str(refusal)}
    except BaseException:
        answer = {"broken": traceback.format_exc()}
    with contextlib.suppress(Exception):  # the code may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    leave(answer, folder)
    os._exit(0)  # workers and threads that the code has started need not end


def with_repair(row: Row, repair: dict[str, Any] | None) -> None:
    """The repair, if there is one, comes before what else was found, and takes the place of what says less."""
    if repair:
        row.repair = repair
        row.diagnosis = [_finding(row, repair), *(one for one in row.diagnosis if _stands_beside(one, repair))]


def _finding(row: Row, repair: dict[str, Any]) -> dict[str, Any]:
    """The repair as the first finding, with the wrong entry of what the diagnosis would have said first."""
    first: dict[str, Any] = next(iter(row.diagnosis), {})
    shows = {key: first.get(key) for key in ("case", "entry")} | {"part": ""}
    return {"key": "repair", "what": repair["what"], "sentence": repair["text"], **shows,
            "text": f"{repair['what']}: {repair['text']}"}  # fmt: skip


def _stands_beside(finding: dict[str, Any], repair: dict[str, Any]) -> bool:
    """Whether a finding has more to say than the repair: it puts it in words, or is about something else."""
    if finding["key"] in ("not-finite", "in-place", "raised"):
        return True
    explains = not finding["part"] and finding["key"] != "unrecognised"
    return explains and (finding["entry"] is not None or not repair["complete"])


def _start(module: str, request: Any, folder: str) -> subprocess.Popen:
    package = str(Path(tinytorch_course.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",  # a file of the learner's called random.py is not to replace Python's
        "PYTHONIOENCODING": "utf-8",
    }
    command = f"from {module} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, json.dumps(asdict(request)), folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=os.name == "posix",  # so that what it starts can be ended with it
    )


def _wait(process: subprocess.Popen, folder: Path, timeout: float, request: Any, progress: Progress) -> None:
    """Wait for the end; the code's time begins when the process says that it is ready, a repair's after the check."""
    deadline = time.monotonic() + START
    ready = answered = False
    while process.poll() is None:
        if not ready and (folder / "stage").exists():
            ready, deadline = True, time.monotonic() + timeout
        if not answered and (folder / "answer").exists():
            answered, deadline = True, time.monotonic() + GRACE * (request.budget + 1)
        if answered and (told := _read(folder / "progress")):
            progress(*told)
        if time.monotonic() > deadline:
            if answered:
                return
            stage = _stage(folder)
            raise InputError(
                f"{request.path} did not end within {timeout:g} seconds ({stage}); --timeout gives it more"
                if ready
                else f"Python and torch did not start within {START:g} seconds"
            )
        time.sleep(0.02)


def _end(process: subprocess.Popen) -> None:
    """End the process, and on POSIX all that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


class _Output:
    """Reads what a process prints, all of it, so that it is never held up, and keeps the beginning."""

    def __init__(self, stream: Any):
        self.kept, self.length = "", 0
        self.stream = stream
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while block := self.stream.read1(65536):
            text = block.decode("utf-8", errors="replace")
            self.kept += text[: max(0, KEPT - len(self.kept))]
            self.length += len(text)

    def finish(self) -> None:
        self.thread.join(timeout=5)


def _stage(folder: Path) -> str:
    try:
        return (folder / "stage").read_text(encoding="utf-8") or "starting"
    except OSError:
        return "starting"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _ended_early(code: int, folder: Path, request: Any) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended Python itself, with exit code {code}"
    return f"{request.path} {how} ({_stage(folder)})"
