"""A folder for results."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tinytorch_course.errors import InputError
from tinytorch_course.files import explain


@contextlib.contextmanager
def new_folder(path: str | os.PathLike | None, flag: str = "--out") -> Iterator[Path | None]:
    """A folder that holds nothing yet, made if need be; it goes again if what it is for fails before it holds anything.

    Args:
        path: where. None: no folder is wanted.
        flag: what names it on the command line.

    Raises:
        InputError: if something is there already, or it cannot be made or written to.
    """
    if path is None:
        yield None
        return
    path, made = Path(path), []
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path} already exists and is not an empty folder: choose a new one for {flag}")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(made)
        raise InputError(f"cannot use {path} as the folder for results: {explain(error)}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{path} cannot be written to: choose another folder for {flag}")
    try:
        yield path
    except BaseException:
        _remove(made)
        raise


def _remove(folders: list[Path]) -> None:
    """Remove the folders, innermost first, that are there and empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()
