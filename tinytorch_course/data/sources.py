"""The datasets by name, as ``--data`` takes them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tinytorch_course.data import digits, download, idx
from tinytorch_course.data.splits import Dataset, Split, channel_statistics, split_training
from tinytorch_course.errors import InputError

NAMES = ("auto", *idx.SOURCES, "digits")


def _print_to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    val_size: int | None = None,
    limit: int | None = None,
    notify: Callable[[str], None] = _print_to_stderr,
) -> Dataset:
    """A dataset, split into training, validation and test images.

    "mnist" and "fashion-mnist" are read from ``data_dir`` in torchvision's layout
    (``MNIST/raw/train-images-idx3-ubyte``, or .gz), and downloaded if none of their files is there. "digits" comes with
    scikit-learn. "auto" is MNIST if it is there and whole, or can be fetched; otherwise the digits, and it says why.

    The split is fixed. MNIST and Fashion-MNIST: 55,000 / 5,000 / 10,000, where validation is the end of the training
    file. Digits: 1,297 / 200 / 300, see ``digits.read_digits``.

    Args:
        name: one of ``NAMES``.
        data_dir: the data folder. None: :func:`default_data_dir`.
        val_size: images for validation, from the end of those not for testing. None: 5,000, or 200 of the digits.
        limit: use only the first ``limit`` training images, and no more than that of the other two splits.
        notify: called with a sentence if "auto" cannot have MNIST.

    Raises:
        InputError: for an unknown name, a bad size, or a dataset that cannot be had.
    """
    if name not in NAMES:
        raise InputError(f"--data must be one of {', '.join(NAMES)}, but it is {name!r}")
    for flag, value in (("--val-size", val_size), ("--limit", limit)):
        if value is not None and value < 1:  # before anything is downloaded
            raise InputError(f"{flag} must be at least 1, but it is {value:,}")
    folder = Path(os.path.expanduser(data_dir)) if data_dir else default_data_dir()

    if name == "auto":
        name, pool, test = _mnist_or_digits(folder, notify)
    else:
        pool, test = digits.read_digits() if name == "digits" else _read_or_fetch(idx.SOURCES[name], folder)
    if name == "digits":
        about, location = digits.ABOUT, digits.LOCATION
    else:
        about, location = idx.SOURCES[name].about, str(idx.SOURCES[name].raw(folder))
    train, val, test = split_training(pool, test, about.val_size if val_size is None else val_size, limit)
    mean, std = channel_statistics(train.images)
    return Dataset(
        name, about.title, about.classes, train, val, test, mean, std, location, about.default_epochs, about.flips
    )


def _mnist_or_digits(folder: Path, notify: Callable[[str], None]) -> tuple[str, Split, Split]:
    """What "auto" turns out to be: its name, the images that are not for testing, those that are."""
    try:
        return "mnist", *_read_or_fetch(idx.SOURCES["mnist"], folder)
    except InputError as error:
        notify(f"{error}; this run goes on with the 1,797 embedded digits")
        return "digits", *digits.read_digits()


def _read_or_fetch(source: idx.Source, folder: Path) -> tuple[Split, Split]:
    """Read the files, after downloading them if there is none. Damaged ones are never replaced: they are not ours."""
    if not idx.find(source, folder):
        title, raw = source.about.title, source.raw(folder)
        try:
            download.fetch(source, folder)
        except download.DownloadError as error:
            raise InputError(
                f"{title} is not in {raw} and could not be downloaded ({error}): put "
                f"{', '.join(file.name for file in source.files)} (or their .gz) there, "
                f"or choose the folder that holds {source.folder}/raw with --data-dir"
            ) from error
        except OSError as error:
            raise InputError(
                f"{title} is not in {raw} and could not be downloaded to {folder} ({error.strerror}): "
                "choose a folder that can be written with --data-dir"
            ) from error
    return idx.read(source, folder)


def default_data_dir() -> Path:
    """``$TINYTORCH_DATA``, else the folder "tinytorch" in the user's cache folder."""
    if folder := os.environ.get("TINYTORCH_DATA"):
        return Path(os.path.expanduser(folder))
    if sys.platform == "win32":
        usual = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        usual = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or usual)) / "tinytorch"
