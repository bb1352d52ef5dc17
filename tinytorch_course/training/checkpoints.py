"""Checkpoints: written whole or not at all, and read only after they have proved that they are unharmed.

A checkpoint is an ordinary ``torch.save`` file that ``torch.load(path, weights_only=True)`` reads anywhere. It is a
zip archive, and a zip archive may end in a comment: ours is the SHA-256 of all that stands before it. ``torch.load``
itself notices almost no damage (20 of 2,000 flipped bits), because it never looks at the archive's own checksums.
"""

import hashlib
import io
import math
import os
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import torch
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.files import write_atomically
from tinytorch_course.training import safe_tensors

DIGEST_LABEL = b"tinytorch-sha256:"
COMMENT_LENGTH = len(DIGEST_LABEL) + 64  # the digest in hexadecimal
END_RECORD = b"PK\x05\x06"  # opens the 22 bytes that end a zip archive; the comment follows them
END_RECORD_LENGTH = 22

# What the pickle of our files may name; none of it allocates or runs anything but the tensors themselves.
LOADABLE = (
    r"collections OrderedDict|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|torch (?!Untyped|Typed)\w+Storage"
)
HOSTILE = "it holds more than dense tensors, numbers and texts, and loading it could run a program hidden in it"

COUNTERS = ("num_batches_tracked",)  # the only entries of a state dict that count instead of measure
FLOAT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save(path: str | os.PathLike, obj: Any, notes: Mapping[str, str] | None = None) -> None:
    """Save tensors, numbers, texts and dicts, lists and tuples of them as a checkpoint.

    Tensors are stored on the CPU, so that a machine without the device can read them, and each with memory of its
    own, because a view would bring along all that it is a view of. A path that ends in ``.safetensors`` is written in
    that form, which holds a dict of tensors, and ``notes`` beside it.

    Raises:
        InputError: if a tensor holds NaN or infinity, or the file cannot be written; an older file is then left as
            it was. TypeError: if something in ``obj`` is of a type that could not be loaded again.
    """
    portable = _portable(obj, "", path)
    if safe_tensors.is_named(path):
        return write_atomically(path, safe_tensors.dump(portable, notes or {}))
    buffer = io.BytesIO()
    torch.save(portable, buffer)
    write_atomically(path, _add_digest(buffer.getvalue()))


def _portable(obj: Any, name: str, path: str | os.PathLike) -> Any:
    """``obj`` with every tensor checked, on the CPU and dense. ``name`` is its place, such as "optimizer.state.0"."""
    # Exact types below: a NamedTuple or a numpy number would be written, and then refused by weights_only=True.
    if isinstance(obj, dict):
        return {key: _portable(value, _join(name, key), path) for key, value in obj.items()}
    if type(obj) in (list, tuple):
        return type(obj)(_portable(value, _join(name, index), path) for index, value in enumerate(obj))
    if isinstance(obj, Tensor):
        if obj.is_floating_point() and not obj.isfinite().all():
            raise InputError(
                f"refused to save {path}: {name or 'the tensor'} holds NaN or infinity, so training has diverged; "
                "try a smaller --lr or set --clip-norm"
            )
        tensor = obj.detach().cpu()
        return tensor if tensor.untyped_storage().nbytes() == tensor.numel() * tensor.itemsize else tensor.clone()
    if obj is None or type(obj) in (bool, int, float, str):
        return obj
    raise TypeError(f"a checkpoint cannot hold {name or 'obj'}: it is a {type(obj).__name__}")


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def load(path: str | os.PathLike, *, require_digest: bool = True) -> Any:
    """Load a checkpoint that :func:`save` wrote, after verifying its SHA-256. Nothing in the file is ever executed.

    A digest tells damage, not malice: who can change the file can also renew the digest. What the file holds is
    therefore checked as well, here for code and for memory, and by the caller with :func:`check_fields` and
    :func:`check_state_dict`.

    Args:
        path: the file.
        require_digest: False also takes a plain ``torch.save`` file, which carries no digest.

    Raises:
        InputError: if the file is missing, damaged, hostile or something else; the sentence says which.
    """
    if safe_tensors.is_named(path):
        return load_safe(path, require_digest=require_digest)[0]
    data = _read(Path(path))
    _verify(data, path, require_digest)
    try:
        _refuse_hostile(data, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one sentence, ours, is enough for a file that is refused
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (InputError, torch.OutOfMemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} was refused: {HOSTILE}") from error
    except Exception as error:  # bytes from anywhere make the reader fail in any way at all
        raise InputError(f"{path} cannot be read as a checkpoint: its content is malformed") from error


def load_safe(path: str | os.PathLike, *, require_digest: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the notes of a ``.safetensors`` file.

    Raises:
        InputError: as :func:`load`.
    """
    return safe_tensors.parse(_read(Path(path)), path, require_digest=require_digest)


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a checkpoint; name a file in it, such as model.pt")
        if path.exists() and not path.is_file():  # a device might never end
            raise InputError(f"{path} is not a regular file, so it is not a checkpoint")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _add_digest(archive: bytes) -> bytes:
    """``archive`` with its own SHA-256 as the zip comment."""
    assert archive[-END_RECORD_LENGTH:].startswith(END_RECORD), "torch.save ended the file in an unknown way"
    # The end record's last field is the comment's length. It is filled in first, so that the digest covers it too.
    body = archive[:-2] + struct.pack("<H", COMMENT_LENGTH)
    return body + DIGEST_LABEL + hashlib.sha256(body).hexdigest().encode()


def _verify(data: bytes, path: str | os.PathLike, require_digest: bool) -> None:
    """Raise unless ``data`` looks like a zip archive and, as far as it carries a digest, is undamaged."""
    if not data:
        raise InputError(f"{path} is empty (0 bytes), not a checkpoint")
    if not data.startswith(b"PK\x03\x04"):
        raise InputError(
            f"{path} is not a checkpoint: it begins with {data[:20]!r}, unlike a file that torch.save wrote"
        )

    body, comment = data[:-COMMENT_LENGTH], data[-COMMENT_LENGTH:]
    if comment.startswith(DIGEST_LABEL):
        if comment[len(DIGEST_LABEL) :] != hashlib.sha256(body).hexdigest().encode():
            raise InputError(f"{path} is damaged: its content does not match the SHA-256 that it carries")
    elif data[-END_RECORD_LENGTH:].startswith(END_RECORD) and data.endswith(b"\0\0"):
        if require_digest:
            raise InputError(f"{path} carries no SHA-256, so tinytorch did not write it, and damage would go unnoticed")
    else:  # neither our comment nor an archive's end without one
        raise InputError(f"{path} is damaged or cut short: it does not end as a checkpoint does")


def _refuse_hostile(data: bytes, path: str | os.PathLike) -> None:
    """Raise if reading the archive would call what it has no business to call, or fill the memory.

    ``weights_only=True`` has let code through twice in its history, and it lets a few bytes allocate any amount:
    ``bytearray(10**12)``, ``torch.Tensor(10**12)``. So the pickle's instructions are read through first, unexecuted.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        # torch.save never compresses, so what is inside cannot be larger than the file.
        if sum(entry.file_size for entry in entries) > len(data):
            raise InputError(f"{path} was refused: it claims to hold more than its {len(data):,} bytes")
        for entry in entries:
            if not entry.filename.lower().endswith("data.pkl"):
                continue
            for instruction, argument, _ in pickletools.genops(archive.read(entry)):
                if instruction.name == "GLOBAL" and not re.fullmatch(LOADABLE, str(argument)):
                    raise InputError(f"{path} was refused: {HOSTILE} ({str(argument).replace(' ', '.')!r:.60})")


def check_fields(got: Any, expected: Mapping[str, type | UnionType], path: str | os.PathLike) -> None:
    """``got`` must be a dict of exactly the ``expected`` keys, each value of its type.

    Integers are positions and counts here: they must be from 0 to 2⁶³ − 1. Floats must not be NaN.

    Raises:
        InputError: naming the first field that is wrong.
    """
    _check_keys(got, expected, path)
    for name, kind in expected.items():
        value = got[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                f"{path} is malformed: its {name} must be {getattr(kind, '__name__', kind)}, "
                f"but it is {type(value).__name__}"
            )
        if type(value) is int and not 0 <= value < 2**63:
            raise InputError(f"{path} is malformed: its {name} must be from 0 to 2**63 - 1, but it is {value}")
        if isinstance(value, float) and math.isnan(value):
            raise InputError(f"{path} is malformed: its {name} is NaN")


def check_state_dict(got: Any, expected_shapes: Mapping[str, tuple[int, ...]], path: str | os.PathLike) -> None:
    """``got`` must be a state dict that a network whose tensors have the ``expected_shapes`` can take over.

    Raises:
        InputError: naming the keys that are missing or unexpected, or the first tensor that is wrong.
    """
    _check_keys(got, expected_shapes, path, hint="; is it from another --model?")
    first = None  # the first floating-point tensor, whose dtype all others must have
    for name, shape in expected_shapes.items():
        tensor = got[name]
        problem = _tensor_problem(tensor, tuple(shape), counts=name.rpartition(".")[2] in COUNTERS)
        if problem is None and tensor.is_floating_point():
            first = first or (name, tensor.dtype)
            if tensor.dtype != first[1]:
                problem = f"has dtype {tensor.dtype}, but {first[0]} has {first[1]}"
        if problem:
            raise InputError(f"{path} does not fit this network: {name} {problem}")


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """What :func:`check_state_dict` expects of a state dict that is to take the place of this one."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _check_keys(got: Any, expected: Mapping[str, Any], path: str | os.PathLike, hint: str = "") -> None:
    if not isinstance(got, dict):
        raise InputError(f"{path} must hold a dict, but it holds a {type(got).__name__}")
    missing = [name for name in expected if name not in got]
    unexpected = [name for name in got if name not in expected]
    problems = [
        f"{verb} {', '.join(map(str, names[:3]))}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for verb, names in (("lacks", missing), ("has the unexpected", unexpected))
        if names
    ]
    if problems:
        raise InputError(f"{path} does not hold what is expected: it {' and '.join(problems)}{hint}")


def _tensor_problem(tensor: Any, shape: tuple[int, ...], *, counts: bool) -> str | None:
    """What is wrong with one tensor of a state dict, as the end of a sentence; None if nothing is."""
    if not isinstance(tensor, Tensor):
        return f"must be a tensor, but it is a {type(tensor).__name__}"
    if tensor.layout != torch.strided:
        return f"must be a dense tensor, but its layout is {tensor.layout}"
    if tuple(tensor.shape) != shape:
        return f"must have shape {shape}, but its shape is {tuple(tensor.shape)}"
    if counts and tensor.dtype != torch.int64:
        return f"must be of dtype torch.int64, but its dtype is {tensor.dtype}"
    if not counts and tensor.dtype not in FLOAT_DTYPES:
        return f"must be a floating-point tensor, but its dtype is {tensor.dtype}"
    if _overlaps(tensor):
        return f"uses one place in memory for several elements (strides {tensor.stride()})"
    if not counts and not tensor.isfinite().all():
        return "holds NaN or infinity"
    return None


def _overlaps(tensor: Tensor) -> bool:
    """Do two elements of ``tensor`` share memory? Then a few bytes can claim to be a tensor of any size."""
    reach = 0  # the distance from the first element to the farthest one within the axes seen so far
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return True
            reach += (size - 1) * stride
    return False
