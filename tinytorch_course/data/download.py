"""Fetching archives: from one mirror after the other, resumed where it broke off, checked before anything is unpacked.

A host that accepts the connection and never answers, or a name that is never resolved, would keep urllib for ever. So
it works in a thread of its own, watched by the bytes that arrive. They are collected in a hidden folder inside the data
folder, and what has arrived there when a download fails or is interrupted is kept for the next time.
"""

import contextlib
import hashlib
import http.client
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

GIVE_UP_AFTER = 6.0  # seconds without progress; with the imports of torch and torchvision before it, less than ten
PROGRESS = 600_000  # bytes that count as progress, and so does a complete file: a link must bring 100 kB/s
PATIENCE = 60.0  # seconds without one byte: for those who are told to be patient, after all mirrors were too slow
WORTH_KEEPING = 1_000_000  # bytes; of what broke off earlier nothing is kept
POLL = 0.05  # seconds
CHUNK = 1 << 16  # bytes
PARTS = ".tinytorch-download-"  # begins the hidden folder's name


class DownloadError(Exception):
    """Why there was no download, for the inside of a sentence."""


class Job(NamedTuple):
    """What is to be fetched."""

    title: str
    key: str  # a word for the hidden folder's name
    archives: tuple[tuple[str, str], ...]  # name and md5 of each
    mirrors: tuple[str, ...]  # URLs of folders that hold the archives, tried in turn
    total_bytes: int  # of all archives together

    def parts(self, data_dir: Path) -> Path:
        """The hidden folder."""
        return data_dir / f"{PARTS}{self.key}"

    def arrived(self, data_dir: Path) -> int:
        """The bytes that an earlier download has left there."""
        return sum(_size(file) for name, _ in self.archives for file in _names(self.parts(data_dir), name))


class _Wrong(Exception):
    """The server gave something that is not the file. Trying again would not help."""


class _BrokenOff(Exception):
    """The server ended before the file did."""


class _Disk(Exception):
    """What arrived cannot be written: ``args[0]`` is the OSError."""


class _GivenUp(Exception):
    """Ends a thread that nobody waits for any more."""


@contextlib.contextmanager
def fetched(
    job: Job,
    data_dir: Path,
    *,
    mirror: str | None = None,
    patient: bool = False,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Path]:
    """A folder inside ``data_dir`` that holds the whole archives; with its end, they are removed.

    Proxies are taken from urllib's environment variables (``https_proxy`` and so on).

    Args:
        job: what to fetch.
        data_dir: the data folder; made where it is not there.
        mirror: the URL of a folder with the archives, in place of the job's own mirrors and of ``$TINYTORCH_MIRROR``,
            which replaces them too.
        patient: if all mirrors are slow, try again and wait as long as any byte comes.
        notify: called with a sentence for each mirror that failed.

    Raises:
        DownloadError: if no mirror gives the files, or none fast enough.
        OSError: if ``data_dir`` cannot be written.
    """
    mirror = mirror or os.environ.get("TINYTORCH_MIRROR")
    job = job._replace(mirrors=(mirror.rstrip("/"),)) if mirror else job
    with _parts_folder(job, data_dir) as folder:
        _download(job, folder, patient, notify)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _parts_folder(job: Job, data_dir: Path) -> Iterator[Path]:
    """The hidden folder, for this process alone. Whatever was made for it is removed again if nothing is to be kept."""
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            folder = job.parts(data_dir)
            if not stack.enter_context(_locked(data_dir / f"{folder.name}.lock")):
                # Another process is at it: this one works beside it, and both end well.
                folder = Path(tempfile.mkdtemp(prefix=PARTS, dir=data_dir))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            try:
                yield folder
            finally:
                _keep_the_best(job, folder)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty: all went well
                folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock; the system takes it back from a process that dies."""
    with open(path, "wb") as file:
        try:
            _lock(file.fileno())
        except OSError:
            held = False
        else:
            held = True
        try:
            yield held
        finally:
            file.close()  # Windows removes no open file
            if held:
                with contextlib.suppress(OSError):
                    path.unlink()


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _keep_the_best(job: Job, folder: Path) -> None:
    """Leave archives, whole or in part, that it would take long to fetch again, and nothing else."""
    if not folder.exists():
        return
    own = {file for name, _ in job.archives for file in _names(folder, name)}
    for path in folder.iterdir():
        if path not in own:
            shutil.rmtree(path, ignore_errors=True)
    if sum(map(_size, own)) < WORTH_KEEPING:
        shutil.rmtree(folder, ignore_errors=True)


def _names(folder: Path, name: str) -> tuple[Path, Path]:
    """An archive's name when it is whole, and until then."""
    return folder / name, folder / f"{name}.part"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _download(job: Job, folder: Path, patient: bool, notify: Callable[[str], None]) -> None:
    """Try one mirror after the other, until the archives are whole."""
    reasons: dict[str, str] = {}
    with _progress_bar(job) as show:
        for seconds, needed in ((GIVE_UP_AFTER, PROGRESS), *([(PATIENCE, 1)] if patient else [])):
            # Only the slow ones are worth another attempt; in the first round, all are.
            for mirror in [mirror for mirror in job.mirrors if reasons.get(mirror, "slow").startswith("slow")]:
                attempt = _Attempt(job, mirror, folder)
                attempt.start()
                try:
                    _watch(attempt, seconds, needed, seconds / len(job.mirrors), show)
                finally:
                    attempt.give_up("it was interrupted")
                if attempt.disk is not None:
                    raise attempt.disk
                if attempt.problem is None:
                    return
                reasons[mirror] = f"slow: {attempt.problem}" if attempt.slow else attempt.problem
                notify(_reason(mirror, attempt.problem))
    raise DownloadError("; ".join(_reason(mirror, reason.removeprefix("slow: ")) for mirror, reason in reasons.items()))


def _reason(mirror: str, problem: str) -> str:
    return f"{urllib.parse.urlsplit(mirror).netloc or mirror}: {problem}"


def _watch(attempt: "_Attempt", seconds: float, needed: int, share: float, show: Callable[[int], None]) -> None:
    """Wait until the attempt has ended, or give it up.

    A mirror that sends nothing at all gets only its ``share`` of the time, so that the next has a chance. One that
    sends may go on: it cannot keep us for ever, because each of its answers must get further than the one before (see
    ``_bring``), and because what it sends is counted.
    """
    began = last = time.monotonic()
    stage = (0, 0)
    while not attempt.ended.wait(POLL):
        received, now = attempt.received, time.monotonic()
        show(attempt.held())
        if (reached := (attempt.done, received // needed)) > stage:
            stage, last = reached, now
        if attempt.arrived > 2 * attempt.job.total_bytes:
            attempt.give_up("it sends more than the files hold")
            attempt.part.unlink(missing_ok=True)
        elif now - last > seconds or (not received and now - began > share):
            amount = f"only {_amount(received)}" if received else "nothing"
            attempt.slow = True
            attempt.give_up(f"{amount} arrived within {now - began:.2g} seconds")


def _amount(count: int) -> str:
    return f"{count / 1e6:.2g} MB" if count >= 10_000 else f"{count:,} bytes"


class _Attempt(threading.Thread):
    """Brings all archives from one mirror. A daemon: it may hang, and then must not keep Python from exiting."""

    def __init__(self, job: Job, mirror: str, folder: Path):
        super().__init__(daemon=True)
        self.job, self.mirror, self.folder = job, mirror, folder
        self.part = _names(folder, job.archives[0][0])[1]  # the file that is being written
        self.done = 0  # archives complete, and of the right md5
        self.received = 0  # bytes
        self.arrived = 0  # of them, in the answer that is being read
        self.problem: str | None = None  # why there are no archives, or not from here
        self.disk: OSError | None = None  # if the disk is the reason, not the mirror
        self.slow = False
        self.ended = threading.Event()
        self.lock = threading.Lock()  # after give_up nothing is written any more

    def run(self) -> None:
        try:
            for name, md5 in self.job.archives:
                whole, self.part = _names(self.folder, name)
                if not (whole.is_file() and file_digest(whole, "md5") == md5):
                    self._bring(name, md5)
                    with self._alive():
                        os.replace(self.part, whole)
                self.done += 1
        except _Disk as error:
            self.disk = error.args[0]
            self.give_up("it cannot be written")
        except Exception as error:  # whatever a strange server makes urllib raise, the next mirror is tried
            self.give_up(_explain(error))
        self.ended.set()

    def give_up(self, problem: str) -> None:
        """End the attempt, unless it has ended. A reason that stands already stays."""
        with self.lock:
            if not self.ended.is_set():
                self.problem = problem
                self.ended.set()

    def held(self) -> int:
        """The bytes in the folder."""
        return sum(_size(file) for name, _ in self.job.archives for file in _names(self.folder, name))

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """While files are changed, the attempt cannot be given up; and once it is, they are not changed."""
        with self.lock:
            if self.ended.is_set():
                raise _GivenUp
            yield

    def _bring(self, name: str, md5: str) -> None:
        """Fill ``self.part`` until it is whole, going on where it breaks off."""
        resumed = highest = _size(self.part)
        while True:
            try:
                self._receive(name)
            except (_BrokenOff, OSError, http.client.HTTPException):
                if _size(self.part) < highest + PROGRESS:  # it did not get further than the last time
                    raise
                highest = _size(self.part)
                continue
            if file_digest(self.part, "md5") == md5:
                return
            with self._alive():
                self.part.unlink()
            if not resumed:
                raise _Wrong(f"its {name} has the wrong checksum")
            resumed = highest = 0  # what was there before may have been the wrong part

    def _receive(self, name: str) -> None:
        """One request, for what is missing at the end of ``self.part``."""
        start, self.arrived = _size(self.part), 0
        request = urllib.request.Request(f"{self.mirror}/{urllib.parse.quote(name)}")
        request.add_header("User-Agent", "tinytorch-course")
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            response = urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:
                raise
            return  # there is nothing beyond what we have: it is whole, or wrong
        with response:
            if start and not str(response.headers.get("Content-Range")).startswith(f"bytes {start}-"):
                start = 0  # a server that knows no ranges begins anew
                self._write(b"", "wb")
            announced = response.headers.get("Content-Length")
            while chunk := response.read1(CHUNK):
                if start + self.arrived == 0 and is_web_page(chunk):
                    raise _Wrong(f"it sent a web page instead of {name}")
                self._write(chunk, "ab")
                self.arrived += len(chunk)
        reached = start + self.arrived
        if announced and self.arrived < int(announced):
            raise _BrokenOff(f"it broke off after {reached:,} of {start + int(announced):,} bytes of {name}")
        if not reached:
            raise _Wrong(f"it sent nothing instead of {name}")

    def _write(self, data: bytes, mode: str) -> None:
        with self._alive():
            try:
                # Opened for each piece: Windows moves and removes no file that a thread given up still holds open.
                with open(self.part, mode) as file:
                    file.write(data)
            except OSError as error:
                raise _Disk(error) from error
        self.received += len(data)


def file_digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, read in pieces: some archives have half a gigabyte."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def is_web_page(data: bytes) -> bool:
    """Whether these bytes are HTML: a server's excuse in place of the file."""
    return data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


@contextlib.contextmanager
def _progress_bar(job: Job) -> Iterator[Callable[[int], None]]:
    """A function that shows how many bytes are there: on a terminal only, elsewhere it writes nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_dumb_terminal or not sys.stderr.isatty():
        yield lambda held: None
        return
    columns = TextColumn(f"Downloading {job.title}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("download", total=job.total_bytes)
        yield lambda held: progress.update(task, completed=held)


def _explain(error: Exception) -> str:
    """What went wrong with a mirror, in a few words."""
    text: Any
    if isinstance(error, urllib.error.HTTPError):
        text = f"it answered HTTP {error.code} ({error.msg})"
        if "infinite loop" in str(error.msg):
            text = "it redirects in a circle"
    elif isinstance(error, urllib.error.URLError):
        text = f"it could not be reached ({getattr(error.reason, 'strerror', None) or error.reason})"
    elif isinstance(error, (_Wrong, _BrokenOff)):
        text = error
    else:
        text = f"{type(error).__name__} {error}"
    return " ".join(str(text).split())
