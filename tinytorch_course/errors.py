"""The errors a person is meant to read: one sentence naming the value, what was expected and what to do."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave cannot be used. The command line prints the sentence and exits with code 2."""


def did_you_mean(value: object, names: Iterable[str], otherwise: str = "") -> str:
    """The end of a sentence about a name that does not exist: the nearest of those that do, else ``otherwise``."""
    near = difflib.get_close_matches(value.lower(), list(names), n=1) if isinstance(value, str) else []
    end = f"did you mean {near[0]}?" if near else otherwise
    return f"; {end}" if end else ""
