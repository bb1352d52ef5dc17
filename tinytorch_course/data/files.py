"""What every set of downloaded files needs: to be checked, to be moved into place, and to be spoken of."""

import os
from pathlib import Path
from typing import NamedTuple

from tinytorch_course.data.download import file_digest
from tinytorch_course.errors import InputError


class Check(NamedTuple):
    """What is known of one file."""

    path: Path
    whole: bool | None  # None: nothing says whether it is the original
    remark: str  # the end of a sentence that begins with the file's name


def move(unpacked: Path, place: Path) -> None:
    """All files at once where possible: into a folder that is not there yet, or is empty."""
    try:
        os.replace(unpacked, place)
    except OSError:
        place.mkdir(exist_ok=True)
        for file in unpacked.iterdir():
            os.replace(file, place / file.name)


def unreadable(path: Path, error: OSError) -> InputError:
    """The error that says why a file cannot be read."""
    return InputError(
        f"{path} cannot be read ({error.strerror}): make it readable, or choose another folder with --data-dir"
    )


def find_in(folder: Path, names: list[str], title: str) -> dict[str, Path]:
    """Which of the files are in the folder.

    Raises:
        InputError: if it cannot be looked into, or is no folder.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(
            f"{folder} is a file, but a folder with {title} was expected there: "
            "move the file away, or choose another folder with --data-dir"
        )
    try:
        present = set(os.listdir(folder))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable(folder, error) from error
    return {name: folder / name for name in names if name in present and (folder / name).is_file()}


def check_md5(paths: dict[str, Path], checksums: dict[str, str]) -> list[Check]:
    """Each file beside its checksum; both by name."""
    whole = {name: file_digest(path, "md5") == checksums[name] for name, path in paths.items()}
    return [
        Check(path, whole[name], "its MD5 is right" if whole[name] else "has the wrong MD5")
        for name, path in paths.items()
    ]
