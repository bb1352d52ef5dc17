"""What a run leaves in its folder, when that is saved, and what happens when it fails."""

import dataclasses
import time
from collections.abc import Callable

from torch import Tensor

from tinytorch_course.files import WriteFailed
from tinytorch_course.training import checkpoints, resuming
from tinytorch_course.training.learners import Learner
from tinytorch_course.training.networks import Pictures, notes_of
from tinytorch_course.training.options.averaging import Average, copied
from tinytorch_course.training.own_model import keep_code
from tinytorch_course.training.progress import Progress
from tinytorch_course.training.runs import DATA, RunFolder
from tinytorch_course.training.setup import Setup

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


class Keeper:
    """Writes where a run stands, and the best network so far. Whichever write is the last, it can be resumed.

    To the same bits: between two epochs ``last.pt`` holds the network of the epoch that has ended, and ``model.pt`` can
    be made of it; before ``last.pt`` moves on, ``model.pt`` must be there. The history is in ``last.pt`` too.

    Args:
        setup: the run.
        learner: its network.
        average: the one that is kept in its place; None: there is none.
        progress: where it stands.
    """

    def __init__(self, setup: Setup, learner: Learner, average: Average | None, progress: Progress) -> None:
        self.setup, self.learner, self.average, self.progress = setup, learner, average, progress
        self.best: dict[str, Tensor] = {}  # the best epoch's network
        self.best_is_saved = True

    def candidate(self) -> dict[str, Tensor]:
        """The network as it would be kept now."""
        return self.learner.state_dict() if self.average is None else self.average.tensors

    def keep(self) -> None:
        """It is the best so far."""
        self.best, self.best_is_saved = copied(self.candidate()), False

    def restore(self, folder: RunFolder) -> None:
        """The best epoch's network, of a run that goes on."""
        history = self.progress.history
        if history and history[-1]["best"] and self.progress.batch == 0:
            self.keep()
        elif history:
            self.best = checkpoints.load(folder.model_path)
            shapes = checkpoints.shapes_of(self.learner.state_dict())
            checkpoints.check_state_dict(self.best, shapes, folder.model_path)

    def begin(self, folder: RunFolder) -> None:
        """Write what stays as it is while the run goes on."""
        folder.write_json(DATA, dataclasses.asdict(Pictures.of(self.setup.dataset)))
        if self.setup.model.code is not None:
            keep_code(folder.path, self.setup.model.code)

    def write(self, folder: RunFolder) -> None:
        """Write the rest.

        Raises:
            WriteFailed: if that fails.
        """
        if self.progress.batch > 0:
            self._write_best(folder)
        resuming.save(folder.last_path, self.learner, self.average, self.progress)
        self._write_best(folder)
        if self.progress.history:
            folder.write_history(self.progress.history)

    def _write_best(self, folder: RunFolder) -> None:
        if not self.best_is_saved:
            notes = notes_of(self.setup.model.name, Pictures.of(self.setup.dataset))
            checkpoints.save(folder.model_path, self.best, notes)
            self.best_is_saved = True
