"""Images and labels out of an .npz file, as ``numpy.savez`` writes it.

Arrays: ``images`` and ``labels``; or ``train_images``, ``train_labels`` and, where they are set apart, ``val_images``,
``val_labels``, ``test_images``, ``test_labels`` (Keras' ``x_train``, ``y_train`` and so on are the same). Images are
(N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, bytes or numbers from 0 to 1. Labels are integers or
words. ``classes`` names the integers. ``writers`` or ``groups``, one number for each training image, keep together what
must not be both trained on and tested.
"""

import math
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinytorch_course.data.own import Found
from tinytorch_course.data.splits import Split
from tinytorch_course.data_names import Place
from tinytorch_course.errors import InputError

MOST_BYTES = 4 << 30  # of all arrays, unpacked
SUSPICIOUS, MOST_PACKED = 256 << 20, 200  # beyond so many bytes, no pictures are packed so many times smaller
ARRAYS = {  # of each part: the names that its images and labels may have
    "train": (("train_images", "train_labels"), ("images", "labels"), ("x_train", "y_train")),
    "val": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}


def read_npz(place: Place) -> Found:
    """What the file holds.

    Raises:
        InputError: naming the array that is missing or has the wrong form.
    """
    arrays = _open(place.path)
    raw = {}
    for part, pairs in ARRAYS.items():
        pair = next((pair for pair in pairs if pair[0] in arrays), None)
        if pair is None:
            if part == "train":
                raise InputError(
                    f"{place.path} has no array 'images' or 'train_images': its arrays are {_list(arrays)}"
                )
            continue
        if pair[1] not in arrays:
            raise InputError(f"{place.path} has '{pair[0]}' but no array '{pair[1]}': its arrays are {_list(arrays)}")
        raw[part] = _images(arrays[pair[0]], pair[0], place), _labels(arrays[pair[1]], pair, arrays, place)
    shapes = {tuple(images.shape[1:]) for images, _ in raw.values()}
    if len(shapes) > 1:
        raise InputError(f"{place.path} holds images of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    classes, parts, named = _name(raw, arrays, place)
    return Found(parts, classes, named, _groups(arrays, len(parts["train"].labels), place))


def _open(path: Path) -> dict[str, np.ndarray]:
    try:
        if zipfile.is_zipfile(path):
            _refuse_bomb(path)
        file = np.load(path, allow_pickle=False)  # a pickle could do harm
        if isinstance(file, np.ndarray):
            raise InputError(f"{path} is not an .npz file as numpy.savez writes it, but a single array")
        with file:
            return {name: file[name] for name in file.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # bytes from anywhere make the reader fail in any way at all
        if "allow_pickle" in str(error) and zipfile.is_zipfile(path):
            raise InputError(f"{path} holds Python objects, but only arrays of numbers or words are read") from error
        raise InputError(f"{path} is not an .npz file, or is damaged") from error


def _refuse_bomb(path: Path) -> None:
    """Raise if unpacking the arrays would fill the memory: a few kilobytes can claim to be any number of bytes."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size, packed = (sum(getattr(entry, name) for entry in entries) for name in ("file_size", "compress_size"))
        if size > MOST_BYTES or (size > SUSPICIOUS and size > MOST_PACKED * packed):
            raise InputError(f"{path} was refused: it claims to hold {size:,} bytes, more than its arrays may have")
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            if math.prod(shape) * dtype.itemsize > entry.file_size and not dtype.hasobject:
                raise InputError(f"{path} was refused: its {entry.filename} claims to be larger than it is")


def _images(array: np.ndarray, name: str, place: Place) -> Tensor:
    """(N, C, H, W), uint8."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.size:
        raise InputError(
            f"{place.path}: '{name}' must have the shape (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, "
            f"but it is {array.shape}"
        )
    if array.shape[2] != array.shape[3]:
        raise InputError(
            f"{place.path}: the images in '{name}' must be square, but they are {array.shape[2]}x{array.shape[3]}"
        )
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        array = (array * 255).round()
    if array.dtype.kind not in "uif" or not (array.min() >= 0 and array.max() <= 255):
        raise InputError(f"{place.path}: '{name}' must hold bytes, or numbers from 0 to 1, but it holds {array.dtype}")
    images = torch.from_numpy(np.ascontiguousarray(array.astype(np.uint8)))
    if place.size and place.size != images.shape[-1]:
        from torchvision.transforms.v2.functional import resize

        images = resize(images, [place.size, place.size], antialias=True)
    return images


def _labels(array: np.ndarray, pair: tuple[str, str], arrays: dict[str, np.ndarray], place: Place) -> np.ndarray:
    """(N,), integers or words."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    count = len(arrays[pair[0]])
    if array.shape != (count,):
        raise InputError(
            f"{place.path}: '{pair[1]}' must hold one label for each of the {count:,} images, but it is {array.shape}"
        )
    if array.dtype.kind == "f" and (array == array.round()).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "uiU":
        raise InputError(f"{place.path}: '{pair[1]}' must hold integers or words, but it holds {array.dtype}")
    return array


def _name(
    raw: dict[str, tuple[Tensor, np.ndarray]], arrays: dict[str, np.ndarray], place: Place
) -> tuple[tuple[str, ...], dict[str, Split], bool]:
    """Class names, splits with labels from 0 on, and whether the names are more than numbers."""
    values = np.unique(np.concatenate([labels for _, labels in raw.values()]))
    if "classes" in arrays and values.dtype.kind in "ui":
        names = tuple(str(name) for name in arrays["classes"].ravel())
        if values[0] < 0 or values[-1] >= len(names) or len(set(names)) < len(names):
            raise InputError(
                f"{place.path}: 'classes' must name the labels {values[0]} to {values[-1]}, each differently, "
                f"but it has {len(set(names))} names"
            )
        positions = np.arange(len(names))
    else:
        names, positions = tuple(str(value) for value in values), values
    parts = {
        part: Split(images, torch.from_numpy(np.searchsorted(positions, labels)).long())
        for part, (images, labels) in raw.items()
    }
    return names, parts, "classes" in arrays or values.dtype.kind == "U"


def _groups(arrays: dict[str, np.ndarray], count: int, place: Place) -> Tensor | None:
    name = next((name for name in ("writers", "groups") if name in arrays), None)
    if name is None:
        return None
    if arrays[name].shape != (count,):
        raise InputError(
            f"{place.path}: '{name}' must hold one number or word for each of the {count:,} images, "
            f"but it is {arrays[name].shape}"
        )
    return torch.from_numpy(np.unique(arrays[name], return_inverse=True)[1].reshape(-1))


def _list(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}'" for name in arrays) or "none at all"
