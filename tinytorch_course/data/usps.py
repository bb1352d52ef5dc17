"""USPS in torchvision's layout: ``usps.bz2`` and ``usps.t.bz2`` in the data folder itself.

Source: Hull (1994), "A database for handwritten text recognition research", in LIBSVM's format.
"""

import os
from pathlib import Path

import torch

from tinytorch_course.data.download import Job
from tinytorch_course.data.files import Source
from tinytorch_course.data.splits import About, Split


class Usps(Source):
    """Two files, which torchvision reads packed."""

    outdated = "those that are there"

    def place(self, data_dir: Path) -> Path:
        """The data folder."""
        return data_dir

    def job(self) -> Job:
        """The files themselves."""
        return Job(self.about.title, "usps", tuple(self.checksums().items()), self.mirrors, self.archive_bytes)

    def checksums(self) -> dict[str, str]:
        """Those of torchvision."""
        from torchvision.datasets import USPS

        return {name: md5 for _, name, md5 in USPS.split_list.values()}

    def unpack(self, archives: Path, data_dir: Path) -> None:
        """Only moved."""
        for name in self.names():
            os.replace(archives / name, data_dir / name)

    def read(self, data_dir: Path) -> tuple[Split, Split]:
        """By torchvision, which does not look at checksums: images (N, 1, 16, 16)."""
        from torchvision.datasets import USPS

        self.refuse_damage(data_dir)
        parts = [USPS(data_dir, train=train) for train in (True, False)]
        pool, test = (Split(torch.from_numpy(part.data)[:, None], torch.tensor(part.targets)) for part in parts)
        return pool, test


SOURCES = {
    "usps": Usps(
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
