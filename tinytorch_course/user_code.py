"""Python files of the user's own: run as modules, and whatever goes wrong in them said in one sentence with its line.

Importable without torch.
"""

import contextlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from tinytorch_course.errors import InputError, did_you_mean

_run: set[str] = set()  # the files that were run in this process


def run_file(file: Path, name: str | None = None) -> ModuleType:
    """The file as a module called ``name`` (None: as the file is called).

    What it prints goes to stderr, and to what it asks of the command line there is no answer.

    Raises:
        InputError: if it cannot be read, or raises.
    """
    name = file.stem if name is None else name
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{shown(str(file))} is no Python file: its name must end in .py")
    if str(file.resolve().parent) not in sys.path:
        # Its neighbours, as if it were run; last, so that one of them called random.py does not replace Python's.
        sys.path.append(str(file.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _run.add(str(file))
    words, sys.argv = sys.argv, [str(file)]
    try:
        with saying_where(file), contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    finally:
        sys.argv = words
    return module


@contextlib.contextmanager
def saying_where(file: Path) -> Iterator[None]:
    """What is raised inside, SystemExit too, becomes an InputError that says at which line of the file it happened."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise InputError(spell_error(error, file)) from error


def spell_error(error: BaseException, file: Path) -> str:
    """The error in one sentence, with the last line of ``file`` or of a neighbour on its way."""
    message = " ".join(str(error).split()).rstrip(".") or "without a message"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(error.filename)} line {error.lineno}: {type(error).__name__}: {error.msg}"
    folder = file.resolve().parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == folder]
    if not frames:
        return f"{shown(str(file))}: {message}"
    if isinstance(error, SystemExit) and frames[0].name == "<module>":
        return (
            f"{shown(frames[0].filename)} line {frames[0].lineno}: it ends as a program does, but it is only imported "
            'here: put what it does under if __name__ == "__main__":'
        )
    where = f"{shown(frames[-1].filename)} line {frames[-1].lineno}"
    where += f", in {frames[-1].name}" if frames[-1].name != "<module>" else ""
    if isinstance(error, SystemExit):
        return f"{where}: it calls sys.exit({error.code!r}), but code that is used here must return"
    if isinstance(error, InputError):
        return f"{where}: {message}"
    torch = sys.modules.get("torch")
    needs_gpu = re.search("cuda|nvidia|gpu", message, re.IGNORECASE) and torch and not torch.cuda.is_available()
    hint = "; it asks for a GPU, and there is none here" if needs_gpu else ""
    if isinstance(error, AttributeError) and error.name is not None:
        hint = did_you_mean(error.name, [name for name in dir(error.obj) if not name.startswith("_")])
    return f"{where}: {type(error).__name__}: {message}{hint}"


def blame(error: BaseException) -> str | None:
    """The error in one sentence if a file that :func:`run_file` ran has a part in it; else None."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in _run:
            return spell_error(error, Path(frame.filename))
    return None


def find_in(module: ModuleType, name: str, shown_file: str) -> Callable:
    """What the module has under that name, which can be called.

    Raises:
        InputError: if there is no such thing, naming what is there.
    """
    if callable(getattr(module, name, None)):
        return getattr(module, name)
    what = "is no function or class" if hasattr(module, name) else "is not there"
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    has = f"it has {', '.join(own[:6])}{' ...' * (len(own) > 6)}" if own else "it has no functions"
    raise InputError(f"'{name}' {what} in {shown_file}{did_you_mean(name, own, has)}")


def shown(filename: str) -> str:
    """The path as seen from here if it lies below, else whole."""
    path = Path(filename)
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
