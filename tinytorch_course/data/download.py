"""Fetching the four archives with torchvision, under a watch.

torchvision knows no time limit: a host that accepts the connection and never answers would keep it for ever. So it
works in a thread of its own, in a temporary folder, and is watched by the bytes that arrive there. What it fetched is
renamed into place only when it is complete.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinytorch_course.data.idx import Source, is_web_page

GIVE_UP_AFTER = 6.0  # seconds without progress; with the imports of torch and torchvision before it, less than ten
PROGRESS = 600_000  # bytes that count as progress, and so does a complete file: a link must bring 100 kB/s
POLL = 0.05  # seconds


class DownloadError(Exception):
    """Why there was no download, for the inside of a sentence."""


class _GivenUp(Exception):
    """Ends a thread that nobody waits for any more."""


def fetch(source: Source, data_dir: Path) -> None:
    """Download ``source`` into ``data_dir``, in torchvision's layout, from the first mirror that has it.

    ``$TINYTORCH_MIRROR``, the URL of a folder that holds the four .gz files, replaces the source's own mirrors.
    Proxies are taken from urllib's environment variables (``https_proxy`` and so on).

    Raises:
        DownloadError: if no mirror gives the files, or none fast enough; nothing is left behind then.
        OSError: if ``data_dir`` cannot be written.
    """
    from torchvision.datasets.utils import extract_archive

    with _temporary_folder(data_dir) as temporary:
        archives = _download(source, temporary)
        unpacked = temporary / "raw"
        unpacked.mkdir()
        for file in source.files:
            extract_archive(archives / file.archive, unpacked)
        raw = source.raw(data_dir)
        raw.parent.mkdir(exist_ok=True)
        _move(unpacked, raw)


@contextlib.contextmanager
def _temporary_folder(data_dir: Path) -> Iterator[Path]:
    """A folder inside ``data_dir``, so that one can rename out of it. What is made for it is removed if left empty."""
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tinytorch-download-", dir=data_dir))
        try:
            yield temporary
        finally:
            # Not TemporaryDirectory: it fails if a thread that was given up still writes here.
            shutil.rmtree(temporary, ignore_errors=True)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty: all went well
                folder.rmdir()


def _move(unpacked: Path, raw: Path) -> None:
    """All files at once where possible: into a folder that is not there yet, or is empty."""
    try:
        os.replace(unpacked, raw)
    except OSError:
        for file in unpacked.iterdir():
            os.replace(file, raw / file.name)


def _download(source: Source, temporary: Path) -> Path:
    """Try one mirror after the other. Returns the folder with the archives, which are whole."""
    mirror = os.environ.get("TINYTORCH_MIRROR")
    mirrors = [mirror.rstrip("/")] if mirror else source.mirrors
    archives = _archives(source)
    failures = []
    deadline = time.monotonic() + GIVE_UP_AFTER
    with _progress_bar(source) as show:
        for number, mirror in enumerate(mirrors):
            attempt = _Attempt(mirror, archives, temporary / str(number))
            attempt.start()
            try:
                deadline = _watch(attempt, source, deadline, GIVE_UP_AFTER / len(mirrors), show)
            finally:
                attempt.given_up = True
            if attempt.problem is None:
                return attempt.folder
            failures.append(f"{urllib.parse.urlsplit(mirror).netloc or mirror}: {attempt.problem}")
            if time.monotonic() >= deadline:
                break
    raise DownloadError("; ".join(failures))


def _archives(source: Source) -> list[tuple[str, str]]:
    """(name, md5) of each archive, as torchvision knows them."""
    import torchvision

    return getattr(torchvision.datasets, source.folder).resources


def _watch(attempt: "_Attempt", source: Source, deadline: float, patience: float, show: Callable) -> float:
    """Wait until the attempt has ended, or give it up. Returns the deadline, which every progress puts off.

    A mirror that sends nothing at all gets only its share of the time (``patience``), so that the next has a chance.
    """
    began = time.monotonic()
    stage = (0, 0)
    while attempt.is_alive():
        attempt.join(POLL)
        arrived, now = attempt.arrived(), time.monotonic()
        show(arrived)
        if stage != (attempt.done, arrived // PROGRESS):
            stage, deadline = (attempt.done, arrived // PROGRESS), now + GIVE_UP_AFTER
        if arrived > source.archive_bytes:
            attempt.give_up("it sends more than the files hold")
        elif now > deadline or (not arrived and now - began > patience):
            amount = f"only {arrived / 1e6:.2g} MB" if arrived else "nothing"
            attempt.give_up(f"{amount} came within {now - began:.2g} seconds")
        if attempt.given_up:
            break
    return deadline


class _Attempt(threading.Thread):
    """Downloads all archives from one mirror. A daemon: it may hang, and then must not keep Python from exiting."""

    def __init__(self, mirror: str, archives: list[tuple[str, str]], folder: Path):
        super().__init__(daemon=True)
        self.mirror, self.archives, self.folder = mirror, archives, folder
        self.done = 0  # archives complete, and of the right md5
        self.given_up = False
        self.problem: str | None = "it was interrupted"
        folder.mkdir()

    def run(self) -> None:
        from torchvision.datasets import utils

        if not isinstance(utils.tqdm, _QuietTqdm):
            utils.tqdm = _QuietTqdm(utils.tqdm)
        try:
            for name, md5 in self.archives:
                self.update()
                utils.download_url(f"{self.mirror}/{name}", self.folder, name, md5)
                self.done += 1
        except Exception as error:  # whatever a strange server makes urllib raise, the next mirror is tried
            problem = _explain(error, self.folder / name)
        else:
            problem = None
        if not self.given_up:
            self.problem = problem
            return
        # Nobody waits for this thread, and its folder has been removed: remove what it may have written since.
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def give_up(self, problem: str) -> None:
        self.problem = problem
        self.given_up = True

    def arrived(self) -> int:
        """The bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    # torchvision gets this thread in the place of its progress bar: it shows nothing, and stops what was given up.
    def update(self, count: int = 0) -> None:
        if self.given_up:
            raise _GivenUp

    def __enter__(self) -> "_Attempt":
        return self

    def __exit__(self, *error: Any) -> None:
        pass


class _QuietTqdm:
    """torchvision's progress bar writes control codes, into pipes too, and cannot be switched off. In our threads it
    is left out; for everybody else it stays what it was."""

    def __init__(self, tqdm: Callable):
        self.tqdm = tqdm

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        thread = threading.current_thread()
        return thread if isinstance(thread, _Attempt) else self.tqdm(*args, **kwargs)


@contextlib.contextmanager
def _progress_bar(source: Source) -> Iterator[Callable[[int], None]]:
    """A function that shows how many bytes have arrived: on a terminal only, elsewhere it writes nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    hidden = console.is_dumb_terminal or not sys.stderr.isatty()
    columns = TextColumn(f"Downloading {source.about.title}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("download", total=source.archive_bytes)
        yield lambda arrived: progress.update(task, completed=arrived)


def _explain(error: Exception, path: Path) -> str:
    """An exception of torchvision's download of ``path``, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        text = f"it answered HTTP {error.code} ({error.msg})"
    elif isinstance(error, urllib.error.URLError):
        text = f"it could not be reached ({getattr(error.reason, 'strerror', None) or error.reason})"
    elif isinstance(error, RuntimeError) and path.is_file():
        if is_web_page(path.read_bytes()[:512]):
            text = f"it sent a web page instead of {path.name}"
        else:
            text = f"its {path.name} has the wrong checksum"
    else:
        text = f"{type(error).__name__} {error}"
    return " ".join(text.split())
