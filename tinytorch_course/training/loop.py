"""The training loop, one for both implementations.

The epoch that is kept is chosen on validation data; the test data are looked at once, at the end.
"""

import signal
import time
from collections.abc import Mapping
from typing import Any

from tinytorch_course.data import Split
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model
from tinytorch_course.own_networks import is_own
from tinytorch_course.training import resuming
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.display import QUIET, Display
from tinytorch_course.training.divergence import Losses
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.options.anomaly import AnomalyDetector, watched
from tinytorch_course.training.options.averaging import Average, holding
from tinytorch_course.training.options.freezing import describe
from tinytorch_course.training.options.transfer import start_from
from tinytorch_course.training.options.watcher import Watcher
from tinytorch_course.training.own_model import model_of_run
from tinytorch_course.training.progress import Interrupted, Progress, Result
from tinytorch_course.training.runs import RESULT, RunFolder
from tinytorch_course.training.saving import Keeper, Saver
from tinytorch_course.training.setup import Setup
from tinytorch_course.training.signals import StopRequested, StopSignals
from tinytorch_course.training.watching import admit_watchers


def train(
    config: TrainConfig, *, out: str | None = None, display: Display = QUIET, model: Model | None = None
) -> Result:
    """Train a network from the start, or go on where the same call was stopped.

    Args:
        config: the run.
        out: its folder; None: a new one under ``runs/``. One that holds this very run, not yet ended, goes on.
        display: is told what happens; without one nothing is shown.
        model: the network. None: the one that ``config`` names.

    Raises:
        InputError: if something that the user gave cannot be used; nothing is written then.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP, or when nobody reads the output any more; the run is saved.
    """
    config.validate()
    if out is not None and resuming.is_unfinished(out, config):
        named = {"model": model} if model is not None and is_own(config.model) else {}
        return resume(out, resuming.settled(config) | named, display=display)
    setup = Setup.of(config, display.notice, model)
    trainer = Trainer(setup, display)
    with RunFolder.create(out, setup.config) as folder:
        return trainer.run(folder)


def resume(
    run: str, changes: Mapping[str, Any] | None = None, *, display: Display = QUIET, trust: bool = False
) -> Result:
    """Go on with a run that stopped, where it stopped.

    Args:
        run: its folder.
        changes: settings to change from now on: only those that leave what was done so far valid.
            A network of the user's own has to be named again, and must be the same.
        display: is told what happens; without one nothing is shown.
        trust: whether the code of such a network that the run folder keeps may be run instead.

    Raises:
        InputError, Interrupted: as :func:`train`.
    """
    with RunFolder.open(run) as folder:
        changes = dict(changes or {})
        given = changes.pop("model", None) if is_own(folder.config.model) else None
        config = resuming.changed_config(folder.config, changes)
        model = model_of_run(folder.path, config.model, given, trust=trust)
        setup = Setup.of(config, display.notice, model)
        saved = folder.last_path.exists()
        if not saved:
            display.notice("This run was stopped before it was first saved, so it begins anew.")
        trainer = Trainer(setup, display, resumed_from=folder if saved else None)
        progress, epochs = trainer.progress, setup.epochs
        if config.epochs is not None and config.epochs < progress.epoch + (progress.batch > 0):
            raise InputError(f"--epochs is {config.epochs}, but the run has already begun epoch {progress.epoch + 1}")
        if progress.epoch >= epochs:
            display.notice(f"All {epochs} epochs of this run are done; to train on, ask for more with --epochs.")
        elif epochs != folder.config.epochs and config.schedule != "constant":
            display.notice(f"The {config.schedule} schedule is stretched anew over all {epochs} epochs.")
        folder.write_config(setup.config)
        return trainer.run(folder)


class Trainer:
    """Trains one network, whichever implementation it is of, until all epochs are done or somebody stops it.

    Args:
        setup: the run.
        display: is told what happens.
        resumed_from: the folder of the run to go on with; None: the run begins.

    Raises:
        InputError: if the run cannot be as it is configured.
    """

    def __init__(self, setup: Setup, display: Display = QUIET, *, resumed_from: RunFolder | None = None):
        self.setup, self.display, config = setup, display, setup.config
        self.learner = setup.make_learner()
        self.schedule = setup.make_schedule()
        self.detector = AnomalyDetector() if config.detect_anomaly else None
        self.train_step = (
            self.learner.train_step if self.detector is None else watched(self.learner.train_step, self.detector)
        )
        if config.from_ is not None and resumed_from is None:
            display.notice(start_from(config.from_, self.learner, len(setup.dataset.classes)))
        if config.freeze is not None:
            display.notice(describe(self.learner.trainable, self.learner.state_dict()))
        self.average = None if config.ema is None else Average(config.ema, self.learner.state_dict())
        self.watchers: list[Watcher] = []
        self.signals = StopSignals()
        self.progress = Progress()
        if resumed_from is not None:
            path = resumed_from.last_path
            self.progress = resuming.restore(path, setup, self.learner, self.average, display.notice)
        self.keeper = Keeper(setup, self.learner, self.average, self.progress)
        if resumed_from is not None:
            self.keeper.restore(resumed_from)
        self.losses = Losses(setup, self.progress, self.detector, display.notice)

    def run(self, folder: RunFolder) -> Result:
        """Train until all epochs are done, then test the best of them."""
        setup, progress = self.setup, self.progress
        self.keeper.begin(folder)
        self.saver = Saver(lambda: self._write(folder), self.display.notice, setup.config.checkpoint_every)
        self.saver.insist()  # so that the run can be resumed from its first moment on
        self.watchers = admit_watchers(setup, self.learner, progress, folder.path)
        self.display.start(setup, self.learner.parameter_count(), progress.epoch + 1, folder.path)
        with self.signals:
            try:
                while progress.epoch < setup.epochs and not self._has_stalled():
                    self._train_epoch()
                    self._end_epoch(folder)
                if self.saver.failing:
                    self.saver.insist()
                result = self._test(folder)
            except (StopRequested, OSError) as stop:  # an OSError comes from a display that nobody looks at any more
                self.saver.insist()
                number = signal_of(stop, self.signals)
                if number is None:
                    raise
                raise Interrupted(folder.path, number) from None
            finally:
                for watcher in self.watchers:
                    watcher.close()
        try:
            folder.write_json(RESULT, result.to_dict())
            folder.plot_curves(progress.history)
        finally:  # what the run came to is shown, whether or not it can be written
            self.display.finish(result)
        return result

    def _train_epoch(self) -> None:
        """The rest of the epoch under way."""
        setup, progress, epoch = self.setup, self.progress, self.progress.epoch
        began = time.perf_counter() - progress.seconds
        self.display.epoch_start(epoch + 1, progress.batch)
        shown: tuple[float | None, float | None] = None, None  # loss and accuracy so far, when last read
        for x, y in setup.training_batches(epoch, progress.batch):
            self.signals.check()
            step = epoch * setup.steps_per_epoch + progress.batch
            rates = self.schedule(step)
            for watcher in self.watchers:
                watcher.step(epoch, progress.batch, x)
            loss, logits = self.train_step(x, y, setup.masks(epoch, progress.batch), rates)
            if self.average is not None:
                self.average.update(self.learner.state_dict(), step + 1)
            progress.metrics.add(loss, logits, y)
            progress.batch += 1
            if self.losses.add(loss):
                shown = progress.metrics.loss, progress.metrics.accuracy
            progress.seconds = time.perf_counter() - began
            self.display.step(progress.batch, *shown, rates["lr"])
            if progress.batch < setup.steps_per_epoch:
                self.saver.after_step()

    def _end_epoch(self, folder: RunFolder) -> None:
        """Validate; keep the network if it is the best so far; save."""
        self.signals.check()
        began, progress = time.perf_counter(), self.progress
        kept = self.keeper.candidate()
        with holding(self.learner, kept):
            validation = self.evaluate(self.setup.dataset.val)
        seconds = progress.seconds + time.perf_counter() - began
        lr = self.schedule((progress.epoch + 1) * self.setup.steps_per_epoch - 1)["lr"]  # of its last step
        row = progress.end_epoch(validation, seconds=seconds, lr=lr, impl=self.setup.config.impl)
        for watcher in self.watchers:
            watcher.epoch_end(row, kept)
        if row["best"]:
            self.keeper.keep()
        folder.remove(RESULT)  # of fewer epochs
        self.saver.save()
        self.display.epoch_end(row)
        self.losses.judge(row)

    def _has_stalled(self) -> bool:
        """Whether --patience ends the run here; it says so."""
        progress, patience = self.progress, self.setup.config.patience
        if patience is None or progress.batch > 0 or progress.epochs_since_best < patience:
            return False
        self.display.notice(
            f"Stopped after epoch {progress.epoch} of {self.setup.epochs}: validation has not improved for "
            f"{progress.epochs_since_best} epochs (--patience {patience})."
        )
        return True

    def _test(self, folder: RunFolder) -> Result:
        """The best epoch's network on the test data."""
        with holding(self.learner, self.keeper.best):
            test = self.evaluate(self.setup.dataset.test)
        return Result.of(folder.path, self.setup, self.learner.parameter_count(), self.progress, test)

    def evaluate(self, split: Split) -> Metrics:
        """Loss and accuracy on a split, in file order."""
        metrics = Metrics()
        for x, y in self.setup.evaluation_batches(split):
            self.signals.check()
            loss, logits = self.learner.evaluate(x, y)
            metrics.add(loss, logits, y)
        return metrics

    def _write(self, folder: RunFolder) -> None:
        self.losses.read()
        if folder.make_again():
            self.display.notice(f"{folder.path} was deleted while the run went on; it is made again.")
            self.keeper.begin(folder)
            self.keeper.best_is_saved = not self.keeper.best
        for watcher in self.watchers:
            watcher.save()
        self.keeper.write(folder)


def signal_of(stop: Exception, signals: StopSignals) -> int | None:
    """The signal that stopped a run; a pipe that its reader closed counts as one. None: it was something else."""
    if signals.received is None and isinstance(stop, BrokenPipeError):
        return getattr(signal, "SIGPIPE", 13)  # Windows does not know its name
    return signals.received
