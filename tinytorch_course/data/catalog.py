"""The sets by name: which module has each; and fetching and reading those that are downloaded."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch_course.data import download
from tinytorch_course.data.files import Source
from tinytorch_course.data.splits import Split
from tinytorch_course.data_names import DATA_SETS
from tinytorch_course.errors import InputError


def module_of(name: str) -> ModuleType | Any:
    """The module that has the set: a :class:`files.Source` in its ``SOURCES`` if it is downloaded.

    One that comes with another package has ``ABOUT``, ``LOCATION`` and ``read()``.
    """
    return importlib.import_module(DATA_SETS[name], "tinytorch_course.data")


def is_embedded(name: str) -> bool:
    """Whether the data set comes with the package."""
    return not hasattr(module_of(name), "SOURCES")


def source_of(name: str) -> Source:
    """What is known of a set that is downloaded."""
    return module_of(name).SOURCES[name]


def missing(name: str, data_dir: Path) -> list[str]:
    """The files that are not there."""
    return source_of(name).missing(data_dir)


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
    source = source_of(name)
    title, place = source.about.title, source.place(data_dir)
    try:
        if source.unpack_kept(data_dir):
            return
        with download.fetched(source.job(), data_dir, mirror=mirror, patient=patient, notify=notify) as archives:
            source.unpack(archives, data_dir)
    except download.DownloadError as error:
        files = ", ".join(source.names()) + source.packed
        arrived = source.job().arrived(data_dir)
        kept = f"; {arrived / 1e6:.0f} MB of it are kept for the next time" if arrived else ""
        folder = place.relative_to(data_dir) if place != data_dir else "them"
        patience = "" if patient else f"try `tinytorch data fetch {name}`, which waits longer, "
        raise InputError(
            f"{title} is not in {place} and could not be downloaded ({error}){kept}: {patience}put {files} "
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
    source = source_of(name)
    if not source.find(data_dir):
        fetch(name, data_dir)
    return source.read(data_dir)
