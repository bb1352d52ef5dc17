"""``tinytorch doctor --training``: a training loop of the user's own, watched for some steps in a process of its own.

The first half starts that process and needs no torch; ``main`` is what runs in it.
"""

import inspect
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch_course.doctor.checks import NOTE, WRONG, Finding
from tinytorch_course.errors import InputError
from tinytorch_course.grading.own_code import answer_and_end, run_child
from tinytorch_course.user_code import find_in, run_file, spell_error

LONG = 400  # characters of an error that are shown
MEMORY = 16 * 2**30  # bytes that the loop may take
PATIENT = 0.8  # part of the time after which enough is seen
HINTS = {  # what an error's message has in it: what it is called, and what to do
    "same device": ("devices", "move the model and every batch to one device: model.to(device), x.to(device)"),
    "Torch not compiled with CUDA": ("devices", "device = 'cuda' if torch.cuda.is_available() else 'cpu'"),
    "Found no NVIDIA driver": ("devices", "device = 'cuda' if torch.cuda.is_available() else 'cpu'"),
    "out of bounds": ("labels-out-of-range", "labels must run from 0 to the number of outputs − 1"),
    "does not require grad": (
        "graph-cut",
        "look for .detach(), .data, .item(), no_grad or requires_grad=False on its way",
    ),
    "a second time": ("graph-used-twice", "compute a new loss for each backward, and detach what is carried over"),
    "more than 1 value per channel": ("batch-norm-of-one", "batch norm needs more than one sample: drop_last=True"),
    "empty parameter list": ("no-parameters", "layers in a plain list are not registered: use nn.ModuleList"),
    "between 0 and 1": ("probabilities-out-of-range", "this loss needs a sigmoid before it, or its form with_logits"),
}


@dataclass
class Request:
    """What to watch."""

    path: str  # of a Python file
    function: str | None  # in it; None: the file itself is the script
    steps: int = 20
    seconds: float = 48.0
    budget: float = 0.0


@dataclass
class Report:
    """What was seen of a training loop."""

    steps: int
    losses: list[float]  # of each backward
    evaluated: int  # forwards of an evaluation
    findings: list[Finding]
    printed: str  # the beginning of what the loop prints

    @property
    def wrong(self) -> list[Finding]:
        """The accusations."""
        return [finding for finding in self.findings if finding.state == WRONG]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which knows no NaN."""
        losses = [loss if math.isfinite(loss) else None for loss in self.losses]
        findings = [finding.to_dict() for finding in self.findings]
        return {"ok": not self.wrong, "steps": self.steps, "losses": losses, "evaluated": self.evaluated,
                "findings": findings}  # fmt: skip


def parse_training(code: str) -> tuple[str, str | None]:
    """``my_train.py:train`` or ``my_train.py`` as the file and the function in it.

    Raises:
        InputError: if it is not of that form, or there is no such file.
    """
    path, colon, function = code.rpartition(":")
    path, name = (path, function) if colon and not code.endswith(".py") else (code, None)
    if not path.endswith(".py") or (name is not None and not name.isidentifier()):
        raise InputError(
            f"'{code}' is not of the form FILE:FUNCTION, such as my_train.py:train, nor a script, my_train.py"
        )
    if not Path(path).is_file():
        raise InputError(f"the file '{path}' {'is a folder' if Path(path).is_dir() else 'does not exist'}")
    return path, name


def watch_training(code: str, steps: int = 20, timeout: float = 60.0) -> Report:
    """Run a training loop for some steps, and say what is wrong with it.

    Raises:
        InputError: if it cannot be run, hangs, or does no training.
    """
    path, function = parse_training(code)
    request = Request(path, function, steps, PATIENT * timeout)
    answer, output = run_child("tinytorch_course.doctor.training", request, timeout)
    findings = [Finding(**one) for one in answer.pop("findings")]
    return Report(findings=findings, printed=output.kept, **answer)


# --- in the process of its own ---------------------------------------------------------------------------------------


def main() -> None:
    """Watch what the request in the first argument names, and leave the answer in the folder in the second."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiled code shows nothing
    answer_and_end(_watched, Request(**json.loads(sys.argv[1])), Path(sys.argv[2]))


def _watched(request: Request, folder: Path) -> dict[str, Any]:
    import torch._dynamo  # noqa: F401  the first optimizer imports it, which is not the learner's time

    from tinytorch_course.doctor.faults import diagnose_training
    from tinytorch_course.doctor.watch import Enough, Watch
    from tinytorch_course.repair.sandbox import limited_memory

    file = Path(request.path).resolve()
    watch, error = Watch(file.parent, request.steps, request.seconds), None
    (folder / "stage").write_text("it was training", encoding="utf-8")
    sys.argv = [str(file)]
    with limited_memory(MEMORY):
        try:
            with watch.watching():
                _run(request, file)
        except Enough:
            pass
        except (Exception, SystemExit) as raised:
            error = raised
    if isinstance(error, InputError) and error.__cause__ is None:
        raise error
    findings = [*_of_error(error, file), *diagnose_training(watch)]
    if watch.failures:
        text = f"{len(watch.failures)} looks at the loop failed, so something may be missed: {watch.failures[0][:200]}"
        findings.append(Finding("training", "look-failed", NOTE, text, "please report it"))
    losses = [event.data.value for event in watch.of("backward") if event.data.value is not None]
    if error is not None and not watch.backwards and not watch.roots and findings[0].name == "raised":
        raise InputError(_short(spell_error(error, file)))
    if error is None and not watch.backwards and not watch.steps:
        raise InputError(f"{request.path}: no backward pass was seen, so there is no training to watch")
    evaluated = [event for event in watch.of("forward") if not event.data.trained and event.data.metric]
    return {"steps": watch.steps, "losses": losses, "evaluated": len(evaluated),
            "findings": [finding._asdict() for finding in findings]}  # fmt: skip


def _run(request: Request, file: Path) -> None:
    module = run_file(file, "__main__" if request.function is None else None)
    if request.function is None:
        return
    function = find_in(module, request.function, request.path)
    needed = [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]
    if any(one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in needed):
        raise InputError(
            f"{request.function} in {request.path} asks for '{needed[0].name}': name one without arguments"
        )
    function()


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]} ..."


def _of_error(error: BaseException | None, file: Path) -> Iterator[Finding]:
    """What the loop raised, as a finding."""
    if error is None:
        return
    original = error.__cause__ if isinstance(error, InputError) and error.__cause__ is not None else error
    text = _short(spell_error(original, file))
    name, advice = next((hint for part, hint in HINTS.items() if part in str(original)), ("raised", "mend this first"))
    yield Finding("training", name, WRONG, text, advice)
