"""The files of MNIST and its like: which they are, whether they are whole, and reading them with torchvision.

torchvision checks its downloads' checksums once, and reads whatever it finds afterwards: noise, labels of another file,
half as many labels as images. So the four files are verified here at every load (SHA-256, 30 ms for MNIST), and what
is wrong with them is said.
"""

import gzip
import hashlib
import os
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tinytorch_course.data.splits import About, Split
from tinytorch_course.errors import InputError


class IdxFile(NamedTuple):
    name: str
    size: int  # bytes, unpacked
    sha256: str  # of the unpacked file

    @property
    def archive(self) -> str:
        return f"{self.name}.gz"

    @property
    def holds(self) -> str:
        return "images" if "images" in self.name else "labels"


class Source(NamedTuple):
    """A dataset of four IDX files, in torchvision's layout: ``<data folder>/<folder>/raw/<name>``, or .gz."""

    about: About
    folder: str  # torchvision's class of this name knows the archives' md5
    mirrors: tuple[str, ...]  # base URLs, tried in turn
    archive_bytes: int  # of the four .gz together
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]  # training images and labels, test images and labels

    def raw(self, data_dir: Path) -> Path:
        return data_dir / self.folder / "raw"


MNIST = Source(
    about=About(title="MNIST", classes=tuple("0123456789"), default_epochs=3, val_size=5000),
    folder="MNIST",
    # yann.lecun.com, where MNIST comes from, has answered 403 for years.
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    archive_bytes=11_594_722,
    files=(
        IdxFile(
            "train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        IdxFile("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        IdxFile(
            "t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        IdxFile("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
)

FASHION_MNIST = Source(
    about=About(
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        default_epochs=10,
        val_size=5000,
        flips=True,
    ),
    folder="FashionMNIST",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ),
    archive_bytes=30_878_645,
    files=(
        IdxFile(
            "train-images-idx3-ubyte", 47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        IdxFile("train-labels-idx1-ubyte", 60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        IdxFile(
            "t10k-images-idx3-ubyte", 7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        IdxFile("t10k-labels-idx1-ubyte", 10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
)

SOURCES = {"mnist": MNIST, "fashion-mnist": FASHION_MNIST}


class _Damage(Exception):
    """What is wrong with one file, as the end of a sentence that begins with its name."""


def find(source: Source, data_dir: Path) -> dict[str, Path]:
    """Where the files are, by name: unpacked or, failing that, packed. Empty if there is none of them.

    Raises:
        InputError: if the folder cannot be looked into, or is no folder.
    """
    raw = source.raw(data_dir)
    for folder in (data_dir, raw.parent, raw):
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise InputError(
                f"{folder} is a file, but a folder was expected there, which holds {source.about.title}: "
                "move the file away, or choose another folder with --data-dir"
            )
    try:
        present = set(os.listdir(raw))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(raw, error) from error
    names = {file.name: [name for name in (file.name, file.archive) if name in present] for file in source.files}
    return {name: raw / candidates[0] for name, candidates in names.items() if candidates}


def read(source: Source, data_dir: Path) -> tuple[Split, Split]:
    """The training file's images and the test file's, verified.

    torchvision's own ``MNIST`` class is not asked, only its readers of single files: where an old version of
    torchvision left a ``processed`` folder, the class would read that, unverified.

    Raises:
        InputError: naming everything that is wrong with the files. Nothing on disk is changed.
    """
    paths = find(source, data_dir)
    contents, problems = [], []
    for file in source.files:
        if file.name not in paths:
            problems.append(f"{file.name} is missing")
            continue
        try:
            contents.append(_read_file(file, paths[file.name]))
        except _Damage as damage:
            problems.append(f"{paths[file.name].name} {damage}")
    if problems:
        raise InputError(
            f"{source.about.title} in {source.raw(data_dir)} cannot be used: {', '.join(problems)}; put the original "
            "files there, or delete that folder and run again to download them"
        )
    train_images, train_labels, test_images, test_labels = contents
    return Split(train_images[:, None], train_labels), Split(test_images[:, None], test_labels)  # (N, 1, 28, 28)


def _read_file(file: IdxFile, path: Path) -> Tensor:
    """A file's tensor: images (N, 28, 28) uint8, or labels (N,) int64."""
    from torchvision.datasets.mnist import read_image_file, read_label_file
    from torchvision.datasets.utils import extract_archive

    if path.suffix == ".gz":
        # Unpacked elsewhere and anew each time: the folder may be somebody else's, and read-only.
        with tempfile.TemporaryDirectory() as folder:
            data = _read_bytes(path)
            try:
                extract_archive(path, folder)
            except EOFError as error:
                raise _Damage("is cut short") from error
            except (gzip.BadGzipFile, zlib.error) as error:
                what = "a web page, not data" if is_web_page(data) else "no gzip archive, or a damaged one"
                raise _Damage(f"is {what}") from error
            except OSError as error:
                raise InputError(
                    f"{path} cannot be unpacked into {tempfile.gettempdir()} ({error.strerror}): "
                    "make room there, or unpack the four .gz files beside themselves"
                ) from error
            return _read_file(file, Path(folder) / file.name)
    data = _read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        raise _Damage(_describe(data, digest, file))
    return read_image_file(path) if file.holds == "images" else read_label_file(path)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise _Damage("is a folder, not a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be read ({error.strerror}): make it readable, or choose another folder with --data-dir"
    )


def _describe(data: bytes, digest: str, file: IdxFile) -> str:
    """Why ``data`` is not the content of ``file``."""
    for source in SOURCES.values():
        for other in source.files:
            if other.sha256 == digest:
                return f"is really {other.name} of {source.about.title}"
    if known := _looks_like(data):
        return known
    axes = {"images": 3, "labels": 1}[file.holds]
    if data[:4] != bytes([0, 0, 8, axes]):  # 8: unsigned bytes
        return f"is no IDX file of {file.holds}"
    if len(data) < file.size:
        return f"is cut short: it has {len(data):,} of {file.size:,} bytes"
    return f"has been changed: its SHA-256 begins with {digest[:8]}, the original's with {file.sha256[:8]}"


def _looks_like(data: bytes) -> str | None:
    """What else a file often turns out to be."""
    if not data:
        return "is empty"
    if is_web_page(data):
        return "is a web page, not data: a server sent it instead of the file"
    if data.startswith(b"\x1f\x8b"):
        return "is still packed: it needs the ending .gz"
    return None


def is_web_page(data: bytes) -> bool:
    return data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
