"""When a run is saved within an epoch, and what happens when that fails."""

import time
from collections.abc import Callable

from tinytorch_course.files import WriteFailed

SECONDS = 30.0  # of training, that may be lost at most unless --checkpoint-every says otherwise
LARGEST_SHARE = 0.01  # of the time that saving may take; where it is slow, it happens less often


class Saver:
    """Saves a run now and then. What cannot be written is said, and tried again while training goes on.

    Args:
        write: saves the run as it is now. It raises WriteFailed where it cannot.
        notify: is told, in sentences, that saving fails, and that it works again.
        every: how many steps there are between two saves. None: as many as take :data:`SECONDS`.
    """

    def __init__(self, write: Callable[[], None], notify: Callable[[str], None], every: int | None) -> None:
        self.write, self.notify, self.every = write, notify, every
        self.steps, self.saved, self.cost = 0, time.monotonic(), 0.0
        self.failing = False

    def after_step(self) -> None:
        """To be called between two steps: saves if it is time to."""
        self.steps += 1
        since = time.monotonic() - self.saved
        wait = max(SECONDS, self.cost / LARGEST_SHARE)
        if since >= wait if self.every is None else self.steps >= self.every:
            self.save()

    def save(self) -> None:
        """Save now, but go on if that fails."""
        try:
            self.insist()
        except WriteFailed as error:
            if not self.failing:
                self.notify(f"Not saved: {error}. Training goes on, and saving is tried again.")
            self.failing = True

    def insist(self) -> None:
        """Save now.

        Raises:
            WriteFailed: if that fails.
        """
        began = time.monotonic()
        try:
            self.write()
        finally:
            self.steps, self.saved = 0, time.monotonic()
            self.cost = self.saved - began
        if self.failing:
            self.notify("Saving works again; all is saved.")
        self.failing = False
