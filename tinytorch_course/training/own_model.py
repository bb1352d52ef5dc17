"""Networks of the user's own in a run folder: what is kept of them, and when their code is run.

    model.py      the file that the network was written in, as it was
    model.json    where it lay, the function's name, and the SHA-256 of model.py and of its neighbours that it imports

Code in a run folder is never run unasked, nor is a file that its config.toml names: a run folder may come from anybody.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinytorch_course.errors import InputError
from tinytorch_course.files import read_bounded, read_json, write_atomically, write_json
from tinytorch_course.models import Model, find_model
from tinytorch_course.own_networks import Code, is_own

CODE, ABOUT = "model.py", "model.json"


def keep_code(run: Path, code: Code) -> None:
    """Write both files."""
    about = {"file": str(code.file), "function": code.function, "sha256": code.digest, "neighbours": code.neighbours}
    write_atomically(run / CODE, code.text.encode("utf-8"))
    write_json(run / ABOUT, about)


def model_of_run(
    run: Path,
    name: str,
    given: str | Callable[..., Any] | Model | None = None,
    *,
    trust: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Model:
    """The network of a run.

    Args:
        run: its folder.
        name: what its configuration calls the network.
        given: the network that the user names, or a function of L; None: none.
        trust: whether the copy in the run folder may be run.
        notify: is told if ``given`` is another file than the run keeps. None: that is refused.

    Raises:
        InputError: if the network is the user's own, and neither given again nor to be trusted; or there is none.
    """
    if not is_own(name):
        return find_model(name if given is None else given)
    if isinstance(given, Model):
        return given
    if given is not None:
        model = find_model(given)
        kept = _read_about(run)
        sentence, remedy = "", "put it back as it was"
        if model.code is None or (model.code.digest, model.code.function) != (kept["sha256"], kept["function"]):
            sentence = f"{model.name} is not the code that {run} was trained with, which {run / CODE} keeps"
            remedy += ", or go on with the copy by --trust"
        elif changed := sorted(name for name, _ in model.code.neighbours.items() ^ kept["neighbours"].items()):
            sentence = f"{changed[0]}, which {model.name} imports, is not what {run} was trained with"
        if sentence and notify is None:
            raise InputError(f"{sentence}: {remedy}")
        if sentence and notify is not None:
            notify(f"{sentence}.")
        return model
    if not trust:
        raise InputError(
            f"{run} was trained with code of its own, {name}, and code that a run folder names or holds is not run "
            f"unasked, because it can do anything and may be anybody's: give --model {name} again, or --trust to run "
            f"{run / CODE}"
        )
    kept = _read_about(run)
    if kept["neighbours"]:
        raise InputError(
            f"{run / CODE} imports {', '.join(kept['neighbours'])}, of which the run keeps no copy: give --model {name}"
        )
    text = read_bounded(run / CODE)
    if hashlib.sha256(text).hexdigest() != kept["sha256"]:
        raise InputError(f"{run / CODE} has been changed since the run was trained: its SHA-256 is not {ABOUT}'s")
    return find_model(f"{run / CODE}:{kept['function']}")._replace(name=name)


def _read_about(run: Path) -> dict[str, Any]:
    path = run / ABOUT
    try:
        about = {"neighbours": {}} | read_json(path)  # which older versions did not note
        if not all(isinstance(text, str) for entry in about["neighbours"].items() for text in entry):
            raise TypeError
        if not all(isinstance(about[field], str) for field in ("file", "function", "sha256")):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is malformed: it does not say which code the run was trained with") from error
    return about
