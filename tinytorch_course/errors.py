"""The errors a person is meant to read: one sentence naming the value, what was expected and what to do."""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


OTHERWISE_CALLED = {  # what people type who know it from elsewhere -> what it is called here
    "learning-rate": "--lr",
    "batch": "--batch-size",
    "output": "--out",
    "dataset": "--data",
    "network": "--model",
    "gpu": "--device cuda",
    "cuda": "--device cuda",
    "workers": "--loader",
    "he": "kaiming-normal",
    "kaiming": "kaiming-normal",
    "glorot": "xavier-uniform",
    "test": "evaluate",
    "verify": "check",
    "gradcheck": "check",
}


class InputError(Exception):
    """Something the user gave cannot be used. The command line prints the sentence and exits with code 2."""


def did_you_mean(value: object, names: Iterable[str], otherwise: str = "") -> str:
    """The end of a sentence about a name that does not exist: the nearest of those that do, else ``otherwise``."""
    near = find_near(value, names)
    end = f"did you mean {near}?" if near else otherwise
    return f"; {end}" if end else ""


def find_near(value: object, names: Iterable[str]) -> str | None:
    """What is called so elsewhere, or the nearest of the names, dashes apart; None if none is near."""
    if not isinstance(value, str):
        return None
    bare = {name.lstrip("-"): name for name in names}
    asked = value.lower().lstrip("-")
    known = OTHERWISE_CALLED.get(asked)
    if known is not None and known.split()[0] in bare.values():  # an option of this command, a name of this list
        return known
    return next((bare[name] for name in difflib.get_close_matches(asked, bare, n=1)), None)


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
