"""The sets by name: which module has each; and of those that are downloaded, where their files are, fetching them,
reading them, verifying them.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch_course.data import download, idx
from tinytorch_course.data.files import Check
from tinytorch_course.data.splits import Split
from tinytorch_course.data_names import DATA_SETS
from tinytorch_course.errors import InputError


def module_of(name: str) -> ModuleType | Any:
    """The module that has the set.

    A set that is downloaded stands in its ``SOURCES``, beside functions that know one layout of files: ``names``,
    ``find``, ``unpack``, ``read``, ``verify``. One that comes with another package has ``ABOUT``, ``LOCATION`` and
    ``read()``.
    """
    return importlib.import_module(DATA_SETS[name], "tinytorch_course.data")


def is_embedded(name: str) -> bool:
    """Whether the data set comes with the package."""
    return not hasattr(module_of(name), "SOURCES")


def source_of(name: str) -> Any:
    """Its ``about``, ``place(data_dir)`` and ``job()``."""
    return module_of(name).SOURCES[name]


def find(name: str, data_dir: Path) -> dict[str, Path]:
    """Which of its files are there, and where."""
    return module_of(name).find(source_of(name), data_dir)


def missing(name: str, data_dir: Path) -> list[str]:
    """The files that are not there."""
    present = find(name, data_dir)
    return [file for file in module_of(name).names(source_of(name)) if file not in present]


def fetch(
    name: str,
    data_dir: Path,
    *,
    mirror: str | None = None,
    patient: bool = False,
    notify: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Download a set and unpack it to where torchvision looks for it. For the arguments see ``download.fetched``.

    Raises:
        InputError: saying why each mirror failed, and what can be done.
    """
    source, module = source_of(name), module_of(name)
    title, place = source.about.title, source.place(data_dir)
    try:
        if module is idx and idx.unpack_kept(source, data_dir):
            return
        with download.fetched(source.job(), data_dir, mirror=mirror, patient=patient, notify=notify) as archives:
            module.unpack(source, archives, data_dir)
    except download.DownloadError as error:
        files = ", ".join(module.names(source))
        packed = " (or their .gz)" if module is idx else ""
        arrived = source.job().arrived(data_dir)
        kept = f"; {arrived / 1e6:.0f} MB of it are kept for the next time" if arrived else ""
        folder = place.relative_to(data_dir) if place != data_dir else "them"
        patience = "" if patient else f"try `tinytorch data fetch {name}`, which waits longer, "
        raise InputError(
            f"{title} is not in {place} and could not be downloaded ({error}){kept}: {patience}put {files}{packed} "
            f"there, or choose the folder that holds {folder} with --data-dir"
        ) from error
    except OSError as error:
        raise InputError(
            f"{title} is not in {place} and could not be downloaded to {data_dir} ({error.strerror or error}): "
            "choose a folder that can be written with --data-dir"
        ) from error


def read(name: str, data_dir: Path) -> tuple[Split, Split]:
    """The images that are not for testing, and those that are; downloaded first if none of the files is there.

    Damaged files are never replaced: they are not ours.
    """
    if not find(name, data_dir):
        fetch(name, data_dir)
    return module_of(name).read(source_of(name), data_dir)


def verify(name: str, data_dir: Path) -> list[Check]:
    """What can be said of each file that is there."""
    return module_of(name).verify(source_of(name), data_dir)
