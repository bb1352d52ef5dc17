"""What there is of each set: for lists, and to be verified."""

from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.data import catalog
from tinytorch_course.data.files import Check
from tinytorch_course.data.splits import About
from tinytorch_course.data_names import DATA_SETS
from tinytorch_course.errors import InputError

STATES = {
    "embedded": "built in",
    "present": "here",
    "incomplete": "in part",
    "absent": "not here",
    "unusable": "unusable",
}


class Status(NamedTuple):
    """One set, and whether its files are there."""

    name: str
    about: About
    state: str  # a key of STATES
    location: str  # where the files are, or would be
    missing: tuple[str, ...] = ()
    download_bytes: int = 0  # to fetch it
    arrived_bytes: int = 0  # of which an earlier download has left these
    problem: str = ""  # if the place cannot be used

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        about = self.about._asdict()
        del about["val_size"], about["default_epochs"]
        return {"name": self.name, **about, **{key: value for key, value in self._asdict().items() if key != "about"}}


def about_of(name: str) -> About:
    """What is known of a data set without its files."""
    return catalog.module_of(name).ABOUT if catalog.is_embedded(name) else catalog.source_of(name).about


def status_of(name: str, data_dir: Path) -> Status:
    """Of a set that has a name."""
    if catalog.is_embedded(name):
        return Status(name, about_of(name), "embedded", catalog.module_of(name).LOCATION)
    source = catalog.source_of(name)
    location = str(source.place(data_dir))
    try:
        missing = tuple(source.missing(data_dir))
        state = "incomplete" if source.find(data_dir) else "absent"
    except InputError as error:
        return Status(name, source.about, "unusable", location, problem=str(error))
    if not missing:
        return Status(name, source.about, "present", location)
    return Status(name, source.about, state, location, missing, source.archive_bytes, source.job().arrived(data_dir))


def all_statuses(data_dir: Path) -> list[Status]:
    """Of all sets, in the order of their names."""
    return [status_of(name, data_dir) for name in DATA_SETS]


def verify(name: str, data_dir: Path) -> list[Check]:
    """What can be said of each file of a set; a file that should be there and is not counts as damage.

    Raises:
        InputError: if none of them is there, or its folder cannot be used.
    """
    status = status_of(name, data_dir)
    if status.state == "unusable":
        raise InputError(status.problem)
    if status.state == "absent":
        raise InputError(
            f"{status.about.title} is not in {status.location}: `tinytorch data fetch {name}` downloads it, "
            "or choose the folder that holds it with --data-dir"
        )
    checks = catalog.source_of(name).verify(data_dir)
    return checks + [Check(Path(status.location) / missing, False, "is missing") for missing in status.missing]
