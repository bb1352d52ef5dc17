"""USPS in torchvision's layout: ``usps.bz2`` and ``usps.t.bz2`` in the data folder itself.

Source: Hull (1994), "A database for handwritten text recognition research", in LIBSVM's format.
"""

import os
from pathlib import Path
from typing import NamedTuple

import torch

from tinytorch_course.data.download import Job
from tinytorch_course.data.files import Check, check_md5, find_in, problems_of, unusable
from tinytorch_course.data.splits import About, Split


class Source(NamedTuple):
    """Where the set comes from, and how large it is."""

    about: About
    mirrors: tuple[str, ...]
    archive_bytes: int

    def place(self, data_dir: Path) -> Path:
        """Where its files belong."""
        return data_dir

    def job(self) -> Job:
        """What to download. The checksums are those that torchvision knows."""
        return Job(self.about.title, "usps", tuple(_checksums().items()), self.mirrors, self.archive_bytes)


SOURCES = {
    "usps": Source(
        about=About(
            title="USPS",
            classes=tuple("0123456789"),
            default_epochs=10,
            val_size=800,
            shape=(1, 16, 16),
            train_size=7291,
            test_size=2007,
            made_of="digits of postal codes on envelopes, 16x16; its test digits are hard, for people too",
        ),
        mirrors=("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass",),
        archive_bytes=8_411_109,
    )
}


def names(source: Source) -> list[str]:
    """Its files."""
    return list(_checksums())


def find(source: Source, data_dir: Path) -> dict[str, Path]:
    """Where the files are, by name."""
    return find_in(source.place(data_dir), names(source), source.about.title)


def unpack(source: Source, archives: Path, data_dir: Path) -> None:
    """torchvision reads them packed."""
    for name in names(source):
        os.replace(archives / name, data_dir / name)


def read(source: Source, data_dir: Path) -> tuple[Split, Split]:
    """The training file's images and the test file's, verified.

    Raises:
        InputError: naming everything that is wrong with the files.
    """
    from torchvision.datasets import USPS

    if problems := problems_of(names(source), verify(source, data_dir)):
        raise unusable(source.about.title, source.place(data_dir), problems, "those that are there")
    parts = [USPS(data_dir, train=train) for train in (True, False)]
    pool, test = (Split(torch.from_numpy(part.data)[:, None], torch.tensor(part.targets)) for part in parts)
    return pool, test  # images (N, 1, 16, 16)


def verify(source: Source, data_dir: Path) -> list[Check]:
    """Each file that is there, beside its checksum."""
    return check_md5(find(source, data_dir), _checksums())


def _checksums() -> dict[str, str]:
    from torchvision.datasets import USPS

    return {name: md5 for _, name, md5 in USPS.split_list.values()}
