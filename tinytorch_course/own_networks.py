"""Networks of the user's own: a function of ``L`` in a Python file, named FILE:NAME.

The function is run where somebody named the file, and nowhere else: not because a run folder's config.toml does.
Importable without torch, as far as the file is.
"""

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from tinytorch_course.errors import InputError, did_you_mean
from tinytorch_course.user_code import find_in, run_file, saying_where, shown

SIZES = {"num_classes": 10, "in_channels": 1, "image_size": 28}  # what a function of L may ask for as well; MNIST's
FORM = "FILE:NAME, such as my_net.py:net, for a function of L in a file of your own"

MODULES = "tinytorch_own_"  # what the modules are called that such files become


class Code(NamedTuple):
    """Where a network of one's own is written."""

    file: Path
    function: str
    text: str  # of the file, or of the function alone where there is none
    line: int  # where the function begins

    def __str__(self) -> str:
        return f"{shown(str(self.file))} line {self.line}, in {self.function}"

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def neighbours(self) -> dict[str, str]:
        """SHA-256 of the files in its folder that it imports, and they in turn, by their paths from there."""
        if not self.file.is_file():
            return {}
        file = self.file.resolve()
        finder = ModuleFinder([str(file.parent)], excludes=["tinytorch_course"])
        with contextlib.suppress(SyntaxError):  # of one that is imported only where it fits
            finder.run_script(str(file))  # which only reads it
        names = (getattr(module, "__file__", None) for module in finder.modules.values())
        files = {Path(name) for name in names if name} - {file}
        return {
            path.relative_to(file.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(files)
        }


def is_own(name: object) -> TypeGuard[str]:
    """Whether ``name`` is of the form FILE:NAME, or was meant to be."""
    return isinstance(name, str) and (":" in name or name.endswith(".py"))


def parse_own(name: str) -> tuple[Path, str]:
    """``my_net.py:net`` as the file and the function in it; neither is looked for.

    Raises:
        InputError: if it is not of that form.
    """
    file, _, function = name.rpartition(":")
    if not file.endswith(".py") or not function.isidentifier():
        raise InputError(f"'{name}' is not of the form {FORM}")
    return Path(file), function


def short_name(name: str) -> str:
    """What files and folders of a network are called: its name, or the function's where it is the user's own."""
    return name.rpartition(":")[2]


def load_own(name: str) -> tuple[Callable[..., Any], Code]:
    """The function that ``name``, FILE:NAME, stands for, made to take every keyword of ours; and where it is written.

    Raises:
        InputError: if there is no such function of L, or its file cannot be run.
    """
    file, function = parse_own(name)
    if not file.is_file():
        if file.is_dir():
            raise InputError(f"'{file}' is a folder, not a Python file")
        near = [str(other) for other in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise InputError(f"the file '{file}' does not exist{did_you_mean(str(file), near)}")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{file}' as Python: {getattr(error, 'strerror', None) or error}") from error
    found = find_in(_run_once(file.resolve(), text), function, shown(str(file)))
    return adapt(found, file), Code(file, function, text, _line_of(found))


@functools.lru_cache
def _run_once(file: Path, text: str):
    return run_file(file, f"{MODULES}{file.stem}_{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def _line_of(function: Callable[..., Any]) -> int:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_firstlineno if code else 1


def code_of(function: Callable[..., Any]) -> Code:
    """Where a function of L is written that was given as such, from Python."""
    if not getattr(function, "__name__", "network").isidentifier():
        raise InputError("a lambda has no name under which a run could find it again: write def net(L): ...")
    try:
        text = inspect.getsource(function)
        file = Path(inspect.getsourcefile(function) or "<python>.py")
        if file.suffix == ".py" and file.is_file():
            text = file.read_text(encoding="utf-8")
        else:  # a cell of IPython, a doctest
            file = Path("<python>.py")
    except (OSError, TypeError, UnicodeDecodeError):  # typed into an interpreter that keeps nothing
        file, text = Path("<python>.py"), ""
    return Code(file, getattr(function, "__name__", "network"), text, _line_of(function))


def adapt(function: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """``function(L)`` as ``build(L, num_classes=, in_channels=, image_size=)``, which hands on what it asks for.

    What goes wrong in it is an InputError that names the line.
    """
    where = f"{getattr(function, '__name__', 'it')} in {shown(str(file))}"
    if isinstance(function, type):
        raise InputError(f"{where} is a class, but a network is a function of L: def net(L): return L.sequential(...)")
    parameters = list(inspect.signature(function).parameters.values())
    any_keyword = any(one.kind is one.VAR_KEYWORD for one in parameters)
    asked = [name for name in SIZES if any_keyword or any(name == one.name for one in parameters)]
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if not positional or positional[0].name in SIZES:
        raise InputError(f"{where} takes no L: write def {getattr(function, '__name__', 'net')}(L, ...)")
    for one in parameters:
        required = one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        if one is not positional[0] and required and one.name not in SIZES:
            raise InputError(
                f"{where} asks for '{one.name}', which nobody gives: a network is a function of L and, where it wants "
                f"them, of {', '.join(SIZES)}"
            )

    @functools.wraps(function)
    def build(L: Any, **sizes: int) -> Any:
        with saying_where(file):
            return function(L, **{name: value for name, value in (SIZES | sizes).items() if name in asked})

    return build
