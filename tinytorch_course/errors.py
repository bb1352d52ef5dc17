"""The errors a person is meant to read: one sentence naming the value, what was expected and what to do."""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(Exception):
    """Something the user gave cannot be used. The command line prints the sentence and exits with code 2."""


def did_you_mean(value: object, names: Iterable[str], otherwise: str = "") -> str:
    """The end of a sentence about a name that does not exist: the nearest of those that do, else ``otherwise``."""
    near = difflib.get_close_matches(value.lower(), list(names), n=1) if isinstance(value, str) else []
    end = f"did you mean {near[0]}?" if near else otherwise
    return f"; {end}" if end else ""


def naming_arguments(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For what is called from Python: its refusals say ``val_size`` where the command line's say ``--val-size``.

    Args:
        names: of arguments, besides those in the function's own signature.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        arguments = {
            name.strip("_").replace("_", "-"): name for name in (*inspect.signature(function).parameters, *names)
        }

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except InputError as error:
                error.args = (re.sub("--([a-z-]*[a-z])", lambda flag: arguments.get(flag[1], flag[0]), str(error)),)
                raise

        return called

    return decorate
