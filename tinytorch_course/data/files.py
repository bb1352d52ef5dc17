"""What every set of downloaded files needs: to be found, checked, moved into place, and spoken of."""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar, NamedTuple

from tinytorch_course.data.download import Job, file_digest
from tinytorch_course.data.splits import About, Split
from tinytorch_course.errors import InputError


class Check(NamedTuple):
    """What is known of one file."""

    path: Path
    whole: bool | None  # None: nothing says whether it is the original
    remark: str  # the end of a sentence that begins with the file's name


@dataclasses.dataclass(frozen=True)
class Source:
    """A set that is downloaded, to where torchvision looks for it. Each layout of files is a class of its own."""

    about: About
    mirrors: tuple[str, ...]  # URLs of folders that hold the archives, tried in turn
    archive_bytes: int  # of all archives together

    packed: ClassVar[str] = ""  # in which other form the files may lie there
    outdated: ClassVar[str] = "that folder"  # what to delete before files that are damaged are downloaded again

    def place(self, data_dir: Path) -> Path:
        """Where its files belong."""
        raise NotImplementedError

    def job(self) -> Job:
        """What to download. The checksums are those that torchvision knows."""
        raise NotImplementedError

    def checksums(self) -> dict[str, str]:
        """The MD5 of each file, by name, as torchvision knows it."""
        raise NotImplementedError

    def unpack(self, archives: Path, data_dir: Path) -> None:
        """Unpack fresh archives to where the files belong."""
        raise NotImplementedError

    def unpack_kept(self, data_dir: Path) -> bool:
        """Unpack them from what is there already, where there is such a thing; whether there was."""
        return False

    def read(self, data_dir: Path) -> tuple[Split, Split]:
        """The training file's images and the test file's, verified.

        Raises:
            InputError: naming everything that is wrong with the files. Nothing on disk is changed.
        """
        raise NotImplementedError

    def names(self) -> list[str]:
        """Its files."""
        return list(self.checksums())

    def find(self, data_dir: Path) -> dict[str, Path]:
        """Which of the files are there, and where, by name.

        Raises:
            InputError: if the folder cannot be looked into, or is no folder.
        """
        folder = self.place(data_dir)
        present = names_in(folder, self.about.title)
        return {name: folder / name for name in self.names() if name in present and (folder / name).is_file()}

    def missing(self, data_dir: Path) -> list[str]:
        """The files that are not there."""
        present = self.find(data_dir)
        return [name for name in self.names() if name not in present]

    def verify(self, data_dir: Path) -> list[Check]:
        """What can be said of each file that is there: it is compared with its checksum."""
        return [check_file(path, self.checksums()[name]) for name, path in self.find(data_dir).items()]

    def refuse_damage(self, data_dir: Path) -> None:
        """Raise InputError if a file is missing or has another checksum."""
        problems = [f"{name} is missing" for name in self.missing(data_dir)]
        problems += [f"{check.path.name} {check.remark}" for check in self.verify(data_dir) if not check.whole]
        self.refuse(problems, data_dir)

    def refuse(self, problems: list[str], data_dir: Path) -> None:
        """Raise InputError if there are problems with the files, naming them."""
        if problems:
            raise InputError(
                f"{self.about.title} in {self.place(data_dir)} cannot be used: {', '.join(problems)}; put the original "
                f"files there, or delete {self.outdated} and run again to download them"
            )


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


def check_file(path: Path, md5: str) -> Check:
    """A file beside its checksum."""
    whole = file_digest(path, "md5") == md5
    return Check(path, whole, "its MD5 is right" if whole else "has the wrong MD5")
