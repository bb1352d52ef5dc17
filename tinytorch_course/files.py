"""Files, written whole or not at all, and read within bounds: a file may come from anybody.

Importable without torch.
"""

import contextlib
import errno
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

from tinytorch_course.errors import InputError

MOST_JSON = 64 << 20  # bytes of a JSON or TOML file
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has neither this nor links that anybody may make
PATIENCE = 2.0  # seconds that Windows is given to let go of a file which another program holds open

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose a folder on another disk",
    errno.EDQUOT: "your disk quota is used up; free some space or choose a folder on another disk",
    errno.EFBIG: "the file would be larger than is allowed here; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "the disk is read-only; choose a folder that you may write to",
    errno.EEXIST: "there is a file of that name; choose another path",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "what should be its folder is a file; choose another path",
    errno.ELOOP: "it is a symbolic link, and links are not followed; remove it",
}


class WriteFailed(InputError):
    """A file could not be written; a later try may succeed."""


def explain(error: OSError) -> str:
    """Why a file could not be written and what to do, in words a person can act on."""
    return _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that at every moment, a power cut included, ``path`` is the old file or the whole new one.

    The bytes go to a temporary file beside ``path``, are forced to the disk, and only then take its name, which the
    operating system does in one step. The temporary name is fixed, so what a killed process left is replaced by the
    next write; one process at a time may write a path, and a run folder's lock sees to that. No link is followed: what
    is there under either name is replaced, not written through.

    Raises:
        WriteFailed: if that is impossible. ``path`` is then what it was, and no temporary file is left.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file; choose another path")  # such as /dev/null
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        with open(temporary, "xb", opener=_open_new) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or the new name could reach the disk before the bytes it stands for
        _replace(temporary, path)
    except OSError as error:
        raise WriteFailed(f"cannot write {path} ({len(data):,} bytes): {explain(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # after a success there is nothing of that name
    _sync_folder(path.parent)


def write_json(path: str | os.PathLike, document: Any, indent: int | None = 2) -> None:
    """Write a JSON file as :func:`write_atomically` does.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    write_atomically(path, json.dumps(document, indent=indent, allow_nan=False).encode() + b"\n")


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | NO_FOLLOW, 0o666)  # flags has O_CREAT and O_EXCL


def _replace(temporary: Path, path: Path) -> None:
    """``os.replace``; on Windows, again and again while another program holds the file open."""
    deadline = time.monotonic() + (PATIENCE if sys.platform == "win32" else 0)
    while True:
        try:
            return os.replace(temporary, path)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk. Where a folder cannot be synced (Windows), the old name lives on a little."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_bounded(path: str | os.PathLike, limit: int = MOST_JSON) -> bytes:
    """The bytes of a regular file.

    Raises:
        InputError: if it cannot be read, is no regular file (a device might never end), or is larger than ``limit``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path} is not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise InputError(f"{path} is larger than {limit:,} bytes, which no such file is")
    return data


def read_json(path: str | os.PathLike) -> Any:
    """What a JSON file says.

    Raises:
        ValueError: if it is no JSON, or nested beyond all reason.
        InputError: as :func:`read_bounded`.
    """
    return parse_json(read_bounded(path, MOST_JSON))


def parse_json(text: str | bytes) -> Any:
    """JSON as it is written by those who mean well.

    Raises:
        ValueError: if it is no JSON, or nested beyond all reason.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def refuse_links(folder: Path) -> None:
    """Raise InputError if a symbolic link in ``folder`` leads out of it: what a stranger sends may point anywhere."""
    try:
        inside = folder.resolve()
        for entry in os.scandir(folder):
            if entry.is_symlink() and inside not in Path(entry.path).resolve().parents:
                raise InputError(f"{entry.path} is a symbolic link out of its folder, which is not followed; remove it")
    except (OSError, RuntimeError) as error:  # the latter: a link to itself, before Python 3.13
        raise InputError(f"cannot read the folder {folder}: {getattr(error, 'strerror', None) or error}") from error


def printable(text: str) -> str:
    """``text`` on one line and without control characters: ``\\x1b`` and the like are spelled out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
