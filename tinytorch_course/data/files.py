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


def check_folder(folder: Path, title: str) -> None:
    """Raise InputError if what should be a folder is none."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(
            f"{folder} is a file, but a folder with {title} was expected there: "
            "move the file away, or choose another folder with --data-dir"
        )


def names_in(folder: Path, title: str) -> set[str]:
    """The names in a folder, none if it is not there; InputError if it cannot be looked into, or is no folder."""
    check_folder(folder, title)
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise unreadable(folder, error) from error


def find_in(folder: Path, names: list[str], title: str) -> dict[str, Path]:
    """Which of the files are in the folder.

    Raises:
        InputError: if it cannot be looked into, or is no folder.
    """
    present = names_in(folder, title)
    return {name: folder / name for name in names if name in present and (folder / name).is_file()}


def unusable(title: str, place: Path, problems: list[str], those: str) -> InputError:
    """The error that says what is wrong with the files of a set; ``those``: what to delete to download them again."""
    return InputError(
        f"{title} in {place} cannot be used: {', '.join(problems)}; put the original files there, or delete {those} "
        "and run again to download them"
    )


def problems_of(names: list[str], checks: list[Check]) -> list[str]:
    """Which of the files are missing, and which are damaged."""
    there = [check.path.name for check in checks]
    return [f"{name} is missing" for name in names if name not in there] + [
        f"{check.path.name} {check.remark}" for check in checks if not check.whole
    ]


def check_md5(paths: dict[str, Path], checksums: dict[str, str]) -> list[Check]:
    """Each file beside its checksum; both by name."""
    return [check_file(path, checksums[name]) for name, path in paths.items()]


def check_file(path: Path, md5: str) -> Check:
    """A file beside its checksum."""
    whole = file_digest(path, "md5") == md5
    return Check(path, whole, "its MD5 is right" if whole else "has the wrong MD5")
