"""The files of MNIST and its like: whether they are whole, and reading them with torchvision.

torchvision checks its downloads' checksums once, and reads whatever it finds afterwards: noise, labels of another file,
half as many labels as images. So the four files are verified here at every load (SHA-256, 30 ms for MNIST; where no
checksum is published, their form), and what is wrong with them is said.
"""

import dataclasses
import gzip
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tinytorch_course.data.download import Job, file_digest, is_web_page
from tinytorch_course.data.files import Check, Source, check_file, check_folder, move, names_in, unreadable
from tinytorch_course.data.splits import Split
from tinytorch_course.errors import InputError

LARGEST = 1 << 28  # bytes; nothing is read beyond
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHA256 = {  # of the unpacked files, by the set's title; of those of other sets nobody has published it
    "MNIST": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "Fashion-MNIST": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


class _Damage(Exception):
    """What is wrong with one file, as the end of a sentence that begins with its name."""


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


@dataclasses.dataclass(frozen=True)
class IdxSource(Source):
    """A dataset of four IDX files, in torchvision's layout: ``<data folder>/<folder>/raw/<name>``, or .gz."""

    folder: str  # torchvision's class of this name knows the archives' md5
    files: tuple[IdxFile, ...]  # training images and labels, test images and labels
    zipped: str | None = None  # the one archive that all .gz files come in, if they do
    transposed: bool = False  # whether rows and columns of the images are exchanged in the files
    first_label: int = 0
    balanced: bool = False  # whether each file is known to have as many labels of every class

    packed = " (or their .gz)"

    def place(self, data_dir: Path) -> Path:
        """Where its files belong."""
        return data_dir / self.folder / "raw"

    def job(self) -> Job:
        """What to download. The checksums are those that torchvision knows."""
        import torchvision

        theirs = getattr(torchvision.datasets, self.folder)
        archives = ((self.zipped, theirs.md5),) if self.zipped else tuple(theirs.resources)
        return Job(self.about.title, self.folder, archives, self.mirrors, self.archive_bytes)

    def names(self) -> list[str]:
        """The set's files."""
        return [file.name for file in self.files]

    def find(self, data_dir: Path) -> dict[str, Path]:
        """Where the files are, by name: unpacked or, failing that, packed. Empty if there is none of them.

        Raises:
            InputError: if the folder cannot be looked into, or is no folder.
        """
        raw = self.place(data_dir)
        for folder in (data_dir, raw.parent):
            check_folder(folder, self.about.title)
        present = names_in(raw, self.about.title)
        either = {file.name: [name for name in (file.name, file.archive) if name in present] for file in self.files}
        return {name: raw / candidates[0] for name, candidates in either.items() if candidates}

    def unpack(self, archives: Path, data_dir: Path) -> None:
        """Unpack fresh archives to where torchvision looks for the files.

        Archives are kept beside the files where only they have a published checksum: see :meth:`verify`.
        """
        from torchvision.datasets.utils import extract_archive

        raw = self.place(data_dir)
        unpacked = archives / "raw"
        unpacked.mkdir()
        if self.zipped:
            _unzip(self.files, archives / self.zipped, unpacked)
            raw.mkdir(parents=True, exist_ok=True)
            os.replace(archives / self.zipped, raw / self.zipped)
        else:
            for file in self.files:
                extract_archive(archives / file.archive, unpacked)
                if file.sha256 is None:
                    os.replace(archives / file.archive, unpacked / file.archive)
        raw.parent.mkdir(exist_ok=True)
        move(unpacked, raw)

    def unpack_kept(self, data_dir: Path) -> bool:
        """Unpack the files from the one archive of several sets, if another set has left it there; whether it has."""
        raw = self.place(data_dir)
        if not self.zipped or not (raw / self.zipped).is_file():
            return False
        if file_digest(raw / self.zipped, "md5") != self.job().archives[0][1]:
            raise InputError(
                f"{raw / self.zipped} has the wrong checksum: delete it and run again to download it, "
                f"or put the original {self.zipped} there"
            )
        with tempfile.TemporaryDirectory(dir=raw) as folder:
            _unzip(self.files, raw / self.zipped, Path(folder))
            move(Path(folder), raw)
        return True

    def read(self, data_dir: Path) -> tuple[Split, Split]:
        """The training file's images and the test file's, verified.

        torchvision's own ``MNIST`` class is not asked, only its readers of single files: where an old version of
        torchvision left a ``processed`` folder, the class would read that, unverified.

        Raises:
            InputError: naming everything that is wrong with the files. Nothing on disk is changed.
        """
        paths = self.find(data_dir)
        contents, problems = [], []
        for file in self.files:
            if file.name not in paths:
                problems.append(f"{file.name} is missing")
                continue
            try:
                contents.append(_read_file(self, file, paths[file.name]))
            except _Damage as damage:
                problems.append(f"{paths[file.name].name} {damage}")
        self.refuse(problems, data_dir)
        train_images, train_labels, test_images, test_labels = contents
        return Split(train_images[:, None], train_labels), Split(test_images[:, None], test_labels)  # (N, 1, 28, 28)

    def verify(self, data_dir: Path) -> list[Check]:
        """What can be said of each file that is there: compared with a checksum, or with an archive that has one.

        Raises:
            InputError: if the folder cannot be looked into.
        """
        paths, raw = self.find(data_dir), self.place(data_dir)
        checksums = dict(self.job().archives)
        checks = []
        for file in self.files:
            if file.name not in paths:
                continue
            path = paths[file.name]
            try:
                _read_file(self, file, path)
            except _Damage as damage:
                checks.append(Check(path, False, str(damage)))
                continue
            checks.append(_compare(self, file, path, checksums))
        for name in (self.zipped, *(file.archive for file in self.files if file.sha256 is None)):
            if name in checksums and (raw / name).is_file() and raw / name not in paths.values():
                checks.append(check_file(raw / name, checksums[name]))
        return checks


def _unzip(files: Sequence[IdxFile], archive: Path, folder: Path) -> None:
    """Out of the one archive of several sets, these files, unpacked."""
    with zipfile.ZipFile(archive) as contents:
        inside = {Path(name).name: name for name in contents.namelist()}
        for file in files:
            with contents.open(inside[file.archive]) as packed:
                (folder / file.name).write_bytes(gzip.decompress(packed.read()))


def _compare(source: IdxSource, file: IdxFile, path: Path, checksums: dict[str, str]) -> Check:
    """A file whose form is right, beside its checksum, or beside an archive that has one."""
    if file.sha256 is not None:
        return Check(path, True, "its SHA-256 is right")
    if path.name in checksums:
        return check_file(path, checksums[path.name])
    archive = path.with_name(source.zipped or file.archive)
    if not archive.is_file() or file_digest(archive, "md5") != checksums[archive.name]:
        return Check(path, None, f"has the right form; only {archive.name}, which is not here, has a checksum")
    with tempfile.TemporaryDirectory() as folder:
        if source.zipped:
            _unzip([file], archive, Path(folder))
            original = (Path(folder) / file.name).read_bytes()
        else:
            original = gzip.decompress(archive.read_bytes())
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
        same = content.read(LARGEST + 1) == original
    return Check(path, same, f"is what {archive.name} holds" if same else f"is not what {archive.name} holds")


def _read_file(source: IdxSource, file: IdxFile, path: Path) -> Tensor:
    """A file's tensor: images (N, 28, 28) uint8, or labels (N,) int64."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    if path.suffix == ".gz":
        # Unpacked elsewhere and anew each time: the folder may be somebody else's, and read-only.
        with tempfile.TemporaryDirectory() as folder:
            data = _read_bytes(path)
            try:
                with gzip.open(path) as packed:
                    unpacked = packed.read(LARGEST + 1)  # no more: a few kilobytes can be any number of bytes
                (Path(folder) / file.name).write_bytes(unpacked)
            except EOFError as error:
                raise _Damage("is cut short") from error
            except (gzip.BadGzipFile, zlib.error) as error:
                what = "a web page, not data" if is_web_page(data) else "not a gzip archive, or a damaged one"
                raise _Damage(f"is {what}") from error
            except OSError as error:
                raise InputError(
                    f"{path} cannot be unpacked into {tempfile.gettempdir()} ({error.strerror}): "
                    "make room there, or unpack the four .gz files in their folder"
                ) from error
            return _read_file(source, file, Path(folder) / file.name)
    data = _read_bytes(path)
    digest = hashlib.sha256(data).hexdigest() if file.sha256 else None
    if digest != file.sha256 or (file.sha256 is None and not (len(data) == file.size and _has_form(data, file))):
        raise _Damage(_describe(data, digest or hashlib.sha256(data).hexdigest(), file, source))
    if file.holds == "images":
        images = read_image_file(path)
        return images.transpose(1, 2).contiguous() if source.transposed else images
    labels = read_label_file(path) - source.first_label
    if labels.min() < 0 or labels.max() >= len(source.about.classes):
        low, high = source.first_label, source.first_label + len(source.about.classes) - 1
        raise _Damage(f"has labels outside {low} to {high}")
    if source.balanced and len(labels.bincount().unique()) > 1:
        raise _Damage("has been changed: it has not as many labels of one class as of another")
    return labels


def _has_form(data: bytes, file: IdxFile) -> bool:
    """Whether the header is that of the file's kind and size: unsigned bytes (8), the number of axes, their lengths."""
    axes = [(file.size - 16) // 784, 28, 28] if file.holds == "images" else [file.size - 8]
    return data.startswith(bytes([0, 0, 8, len(axes)]) + b"".join(axis.to_bytes(4, "big") for axis in axes))


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise _Damage("is a folder, not a file")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise unreadable(path, error) from error


def _describe(data: bytes, digest: str, file: IdxFile, source: IdxSource) -> str:
    """Why ``data`` is not the content of ``file``; first, what else a file often turns out to be."""
    known = SHA256 | {source.about.title: [other.sha256 for other in source.files]}
    for title, digests in known.items():
        if digest in digests:
            return f"is really {NAMES[digests.index(digest)]} of {title}"
    if not data:
        return "is empty"
    if is_web_page(data):
        return "is a web page, not data: a server sent it instead of the file"
    if data.startswith(b"\x1f\x8b"):
        return "is still packed: it needs the ending .gz"
    if data[:4] != bytes([0, 0, 8, 3 if file.holds == "images" else 1]):
        return f"is not an IDX file of {file.holds}"
    if len(data) < file.size:
        return f"is cut short: it has {len(data):,} of {file.size:,} bytes"
    if file.sha256 is None:
        return "is not the original: its size and its header do not match"
    return f"has been changed: its SHA-256 begins with {digest[:8]}, the original's with {file.sha256[:8]}"
