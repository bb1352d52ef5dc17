"""The sets whose files have MNIST's format, IDX: what they are called, where they come from, and their checksums."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tinytorch_course.data.download import Job
from tinytorch_course.data.splits import About


class IdxFile(NamedTuple):
    """One file of a set."""

    name: str
    size: int  # bytes, unpacked
    sha256: str | None  # of the unpacked file; None: nobody has published it

    @property
    def archive(self) -> str:
        """Its name, packed."""
        return f"{self.name}.gz"

    @property
    def holds(self) -> str:
        """ "images" or "labels"."""
        return "images" if "images" in self.name else "labels"


class Source(NamedTuple):
    """A dataset of four IDX files, in torchvision's layout: ``<data folder>/<folder>/raw/<name>``, or .gz."""

    about: About
    folder: str  # torchvision's class of this name knows the archives' md5
    mirrors: tuple[str, ...]  # base URLs, tried in turn
    archive_bytes: int  # of all archives together
    files: tuple[IdxFile, ...]  # training images and labels, test images and labels
    zipped: str | None = None  # the one archive that all .gz files come in, if they do
    transposed: bool = False  # whether rows and columns of the images are exchanged in the files
    first_label: int = 0
    balanced: bool = False  # whether each file is known to have as many labels of every class

    def place(self, data_dir: Path) -> Path:
        """Where its files belong."""
        return data_dir / self.folder / "raw"

    def job(self) -> Job:
        """What to download. The checksums are those that torchvision knows."""
        import torchvision

        theirs = getattr(torchvision.datasets, self.folder)
        archives = ((self.zipped, theirs.md5),) if self.zipped else tuple(theirs.resources)
        return Job(self.about.title, self.folder, archives, self.mirrors, self.archive_bytes)


def _idx_files(*parts: tuple[str, int], sha256: Sequence[str | None] = (None,) * 4) -> tuple[IdxFile, ...]:
    """The four files of a set of 28 x 28 images, by name and number of images of its two parts."""
    sizes = [
        (f"{name}-{kind}-ubyte", head + each * count)
        for name, count in parts
        for kind, head, each in (("images-idx3", 16, 784), ("labels-idx1", 8, 1))
    ]
    return tuple(IdxFile(name, size, digest) for (name, size), digest in zip(sizes, sha256, strict=True))


MNIST = Source(
    about=About(
        title="MNIST",
        classes=tuple("0123456789"),
        default_epochs=3,
        val_size=5000,
        made_of="handwritten digits of NIST's forms, by some 250 people, and by others in the test file",
    ),
    folder="MNIST",
    # yann.lecun.com, where MNIST comes from, has answered 403 for years.
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    archive_bytes=11_594_722,
    files=_idx_files(
        ("train", 60_000),
        ("t10k", 10_000),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)

FASHION_MNIST = Source(
    about=About(
        title="Fashion-MNIST",
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        default_epochs=10,
        val_size=5000,
        flips=True,
        made_of="an online shop's pictures of clothes, shoes and bags",
    ),
    folder="FashionMNIST",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ),
    archive_bytes=30_878_645,
    files=_idx_files(
        ("train", 60_000),
        ("t10k", 10_000),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
)


KMNIST = Source(
    about=About(
        title="KMNIST",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        default_epochs=5,
        val_size=5000,
        made_of="ten hiragana out of old Japanese books, in the cursive hand of their time",
    ),
    folder="KMNIST",
    mirrors=("https://storage.googleapis.com/kuzushiji-mnist", "http://codh.rois.ac.jp/kmnist/dataset/kmnist"),
    archive_bytes=21_240_888,
    files=_idx_files(("train", 60_000), ("t10k", 10_000)),
    balanced=True,
)


def _emnist(split: str, classes: str, train: int, test: int, made_of: str, first_label: int = 0) -> Source:
    """One of EMNIST's splits (Cohen et al. 2017, https://arxiv.org/abs/1702.05373).

    Its files hold every image with rows and columns exchanged, as the Matlab of their makers wrote them, and the labels
    of the letters begin at 1: read here, images stand upright and labels begin at 0. Validation is the end of the
    training file, as long as the test file, as its makers laid it out.
    """
    return Source(
        about=About(
            title=f"EMNIST {split}",
            classes=tuple(classes),
            default_epochs=3,
            val_size=test,
            train_size=train,
            test_size=test,
            made_of=made_of,
        ),
        folder="EMNIST",
        # One archive for all splits, of 562 MB. It is kept, as torchvision keeps it.
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"),
        archive_bytes=561_753_746,
        files=_idx_files((f"emnist-{split}-train", train), (f"emnist-{split}-test", test)),
        zipped="gzip.zip",
        transposed=True,
        first_label=first_label,
    )


SOURCES = {
    "mnist": MNIST,
    "fashion-mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "emnist-letters": _emnist(
        "letters",
        string.ascii_uppercase,
        124_800,
        20_800,
        "handwritten letters of NIST's forms, upper and lower case in one class",
        first_label=1,
    ),
    "emnist-balanced": _emnist(
        "balanced",
        string.digits + string.ascii_uppercase + "abdefghnqrt",
        112_800,
        18_800,
        "handwritten digits and letters of NIST's forms, equally many of each; lower case where it looks different",
    ),
    "emnist-digits": _emnist("digits", string.digits, 240_000, 40_000, "handwritten digits of NIST's forms"),
}
