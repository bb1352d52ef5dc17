"""The datasets by name, as ``--data`` takes them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tinytorch_course.data import arrays, catalog, folders, own
from tinytorch_course.data.splits import About, Dataset, Split, channel_statistics, check_labels, split_training
from tinytorch_course.data_names import Place, data_names, find_place
from tinytorch_course.errors import InputError


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

    The sets with a name are read from ``data_dir`` in torchvision's layout (``MNIST/raw/train-images-idx3-ubyte``, or
    .gz), and downloaded if none of their files is there. "digits" comes with scikit-learn, "letters" are drawn from
    matplotlib's fonts. "auto" is MNIST if it is there and whole, or can be fetched; otherwise the digits, and it says
    why. The path of a folder with a subfolder for each class, or of an .npz file, is a name too: see ``folders``,
    ``arrays`` and ``own``.

    The split is fixed. Validation is the end of the training file where there is one: 5,000 of MNIST's 60,000 images,
    Fashion-MNIST's, KMNIST's and CIFAR-10's 50,000, 800 of USPS' 7,291, of EMNIST as many as there are to test. Digits:
    1,297 / 200 / 300, see ``digits``. Letters: by typeface, see ``letters``.

    Args:
        name: one of ``data_names()``, or a path.
        data_dir: the data folder. None: :func:`default_data_dir`.
        val_size: images for validation, from the end of those not for testing. None: as said above.
        limit: use only the first ``limit`` training images, and no more than that of the other two splits.
        notify: called with a sentence if "auto" cannot have MNIST.

    Raises:
        InputError: for an unknown name, a bad size, or a dataset that cannot be had.
    """
    place = None if name in data_names() else find_place(name)
    for flag, value in (("--val-size", val_size), ("--limit", limit)):
        if value is not None and value < 1:  # before anything is downloaded
            raise InputError(f"{flag} must be at least 1, but it is {value:,}")
    folder = find_data_dir(data_dir)

    if place is not None:
        name, about, location, pool, test = _read_own(place)
    elif name == "auto":
        name, about, location, pool, test = _mnist_or_digits(folder, notify)
    else:
        name, about, location, pool, test = _read_named(name, folder)
    check_labels(len(about.classes), location, pool, test)
    train, val, test = split_training(pool, test, about.val_size if val_size is None else val_size, limit)
    mean, std = channel_statistics(train.images)
    return Dataset(
        name, about.title, about.classes, train, val, test, mean, std, location, about.default_epochs, about.flips
    )


Read = tuple[str, About, str, Split, Split]  # name, what it is, where; images not for testing, and those that are


def _read_named(name: str, folder: Path) -> Read:
    if catalog.is_embedded(name):
        module = catalog.module_of(name)
        return name, module.ABOUT, module.LOCATION, *module.read()
    source = catalog.source_of(name)
    return name, source.about, str(source.place(folder)), *catalog.read(name, folder)


def _mnist_or_digits(folder: Path, notify: Callable[[str], None]) -> Read:
    """What "auto" turns out to be."""
    try:
        return _read_named("mnist", folder)
    except InputError as error:
        notify(f"{error}; using the 1,797 embedded digits instead")
        return _read_named("digits", folder)


def _read_own(place: Place) -> Read:
    """A folder of images, or an .npz file. Its name is its full path, so that a run can be resumed from anywhere."""
    found = folders.read_folder(place) if place.path.is_dir() else arrays.read_npz(place)
    arranged = own.arrange(found, place)
    train_size = len(arranged.pool.labels) - arranged.val_size
    about = About(
        title=str(place).removeprefix(f"{place.path.parent}{os.sep}"),
        classes=arranged.classes,
        default_epochs=min(max(round(150_000 / train_size), 5), 30),
        val_size=arranged.val_size,
        flips=arranged.flips,
    )
    return str(place), about, str(place.path), arranged.pool, arranged.test


def find_data_dir(data_dir: str | os.PathLike | None) -> Path:
    """``data_dir``, else :func:`default_data_dir`."""
    return Path(os.path.expanduser(data_dir)) if data_dir else default_data_dir()


def default_data_dir() -> Path:
    """``$TINYTORCH_DATA``, else the folder "tinytorch" in the user's cache folder."""
    if folder := os.environ.get("TINYTORCH_DATA"):
        return Path(os.path.expanduser(folder))
    if sys.platform == "win32":
        usual = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        usual = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or usual)) / "tinytorch"
