"""What ``--data`` takes: the name of a set, or a path. Importable without torch, for the command line."""

import os
from pathlib import Path
from typing import NamedTuple

from tinytorch_course.errors import InputError, did_you_mean

DATA_SETS = {  # name -> the module that has it, as import statements spell it inside of tinytorch_course.data
    "mnist": ".idx_sets",
    "fashion-mnist": ".idx_sets",
    "kmnist": ".idx_sets",
    "emnist-letters": ".idx_sets",
    "emnist-balanced": ".idx_sets",
    "emnist-digits": ".idx_sets",
    "cifar10": ".cifar",
    "usps": ".usps",
    "digits": ".digits",
    "letters": ".letters",
}
CHOICES = {  # of the classes of a set of characters, after a colon: photos.npz:letters
    "letters": "the letters, upper and lower case in one class",
    "digits": "the digits",
    "upper": "the capital letters",
    "lower": "the small letters",
    "merged": "digits and letters, upper and lower case in one class",
}
LARGEST_SIDE = 512  # pixels


def data_names() -> list[str]:
    """Every name that ``--data`` takes."""
    return ["auto", *DATA_SETS]


class Place(NamedTuple):
    """A data set of the user's own: a folder of images or an .npz file, and what is asked of it."""

    path: Path
    choice: str | None = None  # a key of CHOICES
    size: int | None = None  # the side, in pixels, to bring the images to

    def __str__(self) -> str:
        wishes = [str(wish) for wish in (self.choice, self.size) if wish is not None]
        return str(self.path) + (":" + ",".join(wishes) if wishes else "")


def check_data_name(name: object) -> None:
    """Refuse what can be neither the name of a set nor a path. Whether anything is there, is another question.

    Raises:
        InputError: naming what there is.
    """
    if name not in data_names() and not (isinstance(name, str) and _looks_like_path(name)):
        find_place(name)


def find_place(name: object) -> Place:
    """The folder or file that ``name`` means: a path, and after a colon what is wanted of it, as in ``photos:64``.

    Raises:
        InputError: if it looks like no path, or if nothing is there.
    """
    if not isinstance(name, str) or not name.strip():
        raise _unknown(name)
    path, wishes = Path(os.path.expanduser(name)), ""
    if not path.exists() and ":" in name[2:]:  # the colon of C:\ is none of ours
        before, _, wishes = name.rpartition(":")
        path = Path(os.path.expanduser(before))
    if not path.exists():
        if _looks_like_path(name):
            raise InputError(f"--data is '{name}', but there is no file or folder {path}")
        raise _unknown(name)
    choice = size = None
    for wish in filter(None, wishes.split(",")):
        if wish in CHOICES:
            choice = wish
        elif wish.isdecimal() and 8 <= int(wish) <= LARGEST_SIDE:
            size = int(wish)
        else:
            raise InputError(
                f"--data is '{name}', but after the colon there may only be {', '.join(CHOICES)}, "
                f"or a size in pixels from 8 to {LARGEST_SIDE}"
            )
    return Place(path.resolve(), choice, size)


def _looks_like_path(name: str) -> bool:
    return ".npz" in name or "/" in name or os.sep in name


def _unknown(name: object) -> InputError:
    return InputError(
        f"--data must be one of {', '.join(data_names())}, or the path of a folder of images or of an .npz file, "
        f"but it is {name!r}{did_you_mean(name, data_names())}"
    )
