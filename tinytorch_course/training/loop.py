"""The training loop, one for both implementations.

The epoch that is kept is chosen on validation data; the test data are looked at once, at the end. Whatever is random is
a function of (seed, epoch, batch), so that a run that stopped goes on bit for bit as if it had not.
"""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from tinytorch_course import data
from tinytorch_course.data.loaders import MemoryLoader, StreamLoader, epoch_order
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model, find_model
from tinytorch_course.own_networks import is_own
from tinytorch_course.scratch.ops.products import PIECES
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig, flag
from tinytorch_course.training.environment import (
    check_cuda_graph,
    compute_alike,
    find_device,
    generator_states,
    set_generator_states,
    versions,
)
from tinytorch_course.training.learners import LEARNERS, NAMESPACES, make_schedule
from tinytorch_course.training.memory import keep_freed_memory
from tinytorch_course.training.metrics import Metrics, wilson_interval
from tinytorch_course.training.networks import Pictures
from tinytorch_course.training.options.augmentation import Augment
from tinytorch_course.training.options.averaging import Average, holding
from tinytorch_course.training.options.class_weights import class_weights
from tinytorch_course.training.options.freezing import describe
from tinytorch_course.training.options.gradient_log import GradientLog
from tinytorch_course.training.options.tensorboard import Board, require_tensorboard
from tinytorch_course.training.options.transfer import start_from
from tinytorch_course.training.own_model import keep_code, model_of_run
from tinytorch_course.training.progress import Interrupted, Progress, Result
from tinytorch_course.training.runs import RunFolder
from tinytorch_course.training.signals import StopRequested, StopSignals
from tinytorch_course.training.watching import Watcher
from tinytorch_course.twins import require_twins

LOOK_EVERY = 50  # steps, where to look at a loss Python has to wait for the device
EVALUATION_BATCH = 128  # a larger one would need temporaries so large that memory is paged in every time
CHECKPOINT_FORMAT = 1
FIELDS = {  # of a checkpoint; with --ema there is an "average" too
    "format": int,
    "model": dict,
    "optimizer": dict,
    "generators": dict,
    "epoch": int,
    "batch": int,
    "metrics": dict,
    "seconds": float,
    "history": list,
    "versions": dict,
}
MAY_CHANGE_ON_RESUME = ("impl", "device", "data_dir", "epochs", "loader", "patience", "log_gradients", "tensorboard")


def train(config: TrainConfig, *, out: str | None = None, display: Any, model: Model | None = None) -> Result:
    """Train a network from the start.

    Args:
        config: the run.
        out: its folder; None: a new one under ``runs/``.
        display: see ``training.display``.
        model: the network. None: the one that ``config`` names.

    Raises:
        InputError: if something that the user gave cannot be used; nothing is written then.
        Interrupted: after Ctrl-C or SIGTERM; the run is saved.
    """
    config.validate()
    session = Session(config, display, model=model)
    with RunFolder.create(out, session.config) as folder:
        if session.model.code is not None:
            keep_code(folder.path, session.model.code)
        return session.run(folder, Progress())


def resume(run: str, changes: dict[str, Any], *, display: Any, trust: bool = False) -> Result:
    """Go on with a run that stopped, where it stopped.

    Args:
        run: its folder.
        changes: settings that shall be different from now on: only those that leave what was done so far valid.
            A network of the user's own has to be named again, and must be the same.
        display: see ``training.display``.
        trust: whether the code of such a network that the run folder keeps may be run instead.

    Raises:
        InputError, Interrupted: as :func:`train`.
    """
    with RunFolder.open(run) as folder:
        given = None
        if is_own(folder.config.model):
            changes = dict(changes)
            given = changes.pop("model", None)
        config = _changed(folder.config, changes)
        model = model_of_run(folder.path, config.model, given, trust=trust)
        session = Session(config, display, model=model, fresh=False)
        progress = session.restore(folder.last_path)
        if config.epochs is not None and config.epochs < progress.epoch + (progress.batch > 0):
            raise InputError(f"--epochs is {config.epochs}, but the run has already begun epoch {progress.epoch + 1}")
        if progress.epoch >= session.epochs:
            display.notice(f"All {session.epochs} epochs of this run are done; --epochs with more of them goes on.")
        elif session.config.epochs != folder.config.epochs and config.schedule != "constant":
            display.notice(f"The {config.schedule} schedule is laid anew over {session.epochs} epochs.")
        folder.write_config(session.config)
        return session.run(folder, progress)


class Session:
    """All that a run needs in memory: data, network, schedule.

    Args:
        config: the run.
        display: see ``training.display``.
        model: its network. None: the one that ``config`` names.
        fresh: whether it starts now; otherwise :meth:`restore` brings what it has learned.
    """

    def __init__(self, config: TrainConfig, display: Any, *, model: Model | None = None, fresh: bool = True):
        self.display = display
        self.model = find_model(config.model) if model is None else model
        self.device = find_device(config.device)
        compute_alike(config.precision, self.device, config.dtype)
        if config.cuda_graph:
            check_cuda_graph(config, self.device)
        keep_freed_memory()
        # Nothing here draws from torch's own generator, but what a learner adds may.
        torch.manual_seed(derive_seed("global", config.seed))
        self.dataset = data.load(
            config.data, config.data_dir, val_size=config.val_size, limit=config.limit, notify=display.notice
        )
        self.epochs = config.epochs or self.dataset.default_epochs
        # "auto" and "the default" are settled now, so that the run can be resumed wherever it is.
        self.config = dataclasses.replace(config.resolved(), data=self.dataset.name, epochs=self.epochs)

        if config.overfit_batches is not None:
            self.dataset = _cut_training(self.dataset, config.overfit_batches, config.batch_size)
        self.augment = Augment(config.augment, config.seed, self.dataset)
        self.learner = self._make_learner()
        if config.from_ is not None and fresh:
            display.notice(start_from(config.from_, self.learner, len(self.dataset.classes)))
        self.average = None if config.ema is None else Average(config.ema, self.learner.state_dict())
        if config.freeze is not None:
            display.notice(describe(self.learner.trainable, self.learner.state_dict()))
        self.watchers: list[Watcher] = []
        self.unread: list[torch.Tensor] = []  # losses of the last steps, which nobody has looked at
        self.look_every = 1 if self.device.type == "cpu" else LOOK_EVERY
        if config.tensorboard:
            require_tensorboard()  # before anything is written
        self.steps_per_epoch = math.ceil(len(self.dataset.train.images) / config.batch_size)
        self.schedule = make_schedule(NAMESPACES[config.impl].schedules, self.config, self.steps_per_epoch, self.epochs)
        self._check_batches()

    def run(self, folder: RunFolder, progress: Progress) -> Result:
        """Train until all epochs are done, then test the best of them."""
        folder.write_data(dataclasses.asdict(Pictures.of(self.dataset)))
        self._admit_watchers(folder, progress)
        self.display.start(
            self.config,
            self.dataset,
            self.learner.parameter_count(),
            self.steps_per_epoch,
            self.epochs,
            progress.epoch + 1,
            folder.path,
        )
        with StopSignals() as signals:
            try:
                while progress.epoch < self.epochs and not self._has_stalled(progress):
                    self._train_epoch(progress, signals)
                    self._end_epoch(progress, signals, folder)
                folder.plot_curves(progress.history)
                result = self._test(folder, progress, signals)
            except StopRequested as stop:
                self._look(progress)
                self.save(folder, progress)
                raise Interrupted(folder.path, stop.number) from None
            finally:
                for watcher in self.watchers:
                    watcher.close()
        folder.write_result(result.to_dict())
        self.display.finish(result)
        return result

    def _train_epoch(self, progress: Progress, signals: StopSignals) -> None:
        """The rest of the epoch under way."""
        config, epoch = self.config, progress.epoch
        began = time.perf_counter() - progress.seconds
        order = epoch_order(len(self.dataset.train.images), config.seed, epoch)
        self.display.epoch_start(epoch + 1, progress.batch)
        shown = None, None  # loss and accuracy so far, as they were when somebody looked
        for x, y in self._loader(self.dataset.train).batches(order, config.batch_size, start=progress.batch):
            signals.check()
            masks = torch.Generator().manual_seed(derive_seed("masks", config.seed, epoch, progress.batch))
            rates = self.schedule(epoch * self.steps_per_epoch + progress.batch)
            x = self.augment(x, epoch, progress.batch)
            for watcher in self.watchers:
                watcher.step(epoch, progress.batch, x)
            loss, logits = self.learner.train_step(x, y, masks, rates)
            progress.metrics.add(loss, logits, y)
            progress.batch += 1
            self.unread.append(loss)
            if self.average is not None:
                self.average.update(self.learner.state_dict(), epoch * self.steps_per_epoch + progress.batch)
            if len(self.unread) == self.look_every or progress.batch == self.steps_per_epoch:
                self._look(progress)
                shown = progress.metrics.loss, progress.metrics.accuracy
            progress.seconds = time.perf_counter() - began
            self.display.step(progress.batch, *shown, rates["lr"])

    def _look(self, progress: Progress) -> None:
        """Read the losses of the last steps; after one that is not finite nothing is evaluated or saved.

        Raises:
            InputError: naming the first such step.
        """
        if not self.unread:
            return
        losses = progress.metrics.read(self.unread)
        self.unread.clear()
        for number, loss in enumerate(losses, progress.batch - len(losses) + 1):
            if not math.isfinite(loss):
                raise InputError(
                    f"training diverged: the loss is {loss} in step {number} of epoch {progress.epoch + 1}; "
                    f"try a smaller --lr than {self.config.lr:g}, or --clip-norm 1"
                )

    def _end_epoch(self, progress: Progress, signals: StopSignals, folder: RunFolder) -> None:
        """Validate; keep the network if it is the best so far; save."""
        signals.check()
        began = time.perf_counter()
        kept = self.learner.state_dict() if self.average is None else self.average.tensors
        with contextlib.nullcontext() if self.average is None else holding(self.learner, kept):
            validation = self.evaluate(self.dataset.val, signals)
        best = progress.best
        row = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.metrics.loss,
            "train_accuracy": progress.metrics.accuracy,
            "val_loss": validation.loss,
            "val_accuracy": validation.accuracy,
            "lr": self.schedule((progress.epoch + 1) * self.steps_per_epoch - 1)["lr"],
            "seconds": progress.seconds + time.perf_counter() - began,
            "impl": self.config.impl,
        }
        # Of two equal accuracies, the one with the lower loss.
        merit = (validation.accuracy, -validation.loss)
        row["best"] = best is None or merit > (best["val_accuracy"], -best["val_loss"])

        for watcher in self.watchers:
            watcher.epoch_end(row, kept)
        progress.history.append(row)
        progress.epoch, progress.batch, progress.seconds, progress.metrics = progress.epoch + 1, 0, 0.0, Metrics()
        if row["best"]:
            # Before last.pt: killed in between, the run repeats this epoch, to the same end.
            checkpoints.save(folder.model_path, kept)
        self.save(folder, progress)
        folder.write_history(progress.history)
        self.display.epoch_end(row)

    def _has_stalled(self, progress: Progress) -> bool:
        """Whether --patience ends the run here; it says so."""
        patience = self.config.patience
        if patience is None or progress.batch > 0 or progress.epochs_since_best < patience:
            return False
        self.display.notice(
            f"Stopped after epoch {progress.epoch} of {self.epochs}: none was better on the validation images for "
            f"{progress.epochs_since_best} epochs (--patience {patience})."
        )
        return True

    def _test(self, folder: RunFolder, progress: Progress, signals: StopSignals) -> Result:
        """The best epoch's network on the test data."""
        best = checkpoints.load(folder.model_path)
        checkpoints.check_state_dict(best, self._shapes(), folder.model_path)
        with holding(self.learner, best):
            test = self.evaluate(self.dataset.test, signals)
        return Result(
            run_folder=str(folder.path),
            impl=self.config.impl,
            model=self.config.model,
            data=self.dataset.name,
            parameters=self.learner.parameter_count(),
            epochs=progress.epoch,
            best_epoch=progress.best["epoch"],
            val_accuracy=progress.best["val_accuracy"],
            test_accuracy=test.accuracy,
            test_interval=wilson_interval(int(test.correct), test.count),
            test_loss=test.loss,
            test_count=test.count,
            seconds=sum(row["seconds"] for row in progress.history),
            device=str(self.device),
            dtype=self.config.dtype,
        )

    def evaluate(self, split: data.Split, signals: StopSignals) -> Metrics:
        """Loss and accuracy on a split, in file order."""
        metrics = Metrics()
        for x, y in self._loader(split).batches(None, EVALUATION_BATCH):
            signals.check()
            metrics.add(*self.learner.evaluate(x, y), y)
        return metrics

    def save(self, folder: RunFolder, progress: Progress) -> None:
        """Everything that is needed to go on."""
        for watcher in self.watchers:
            watcher.save()
        state = {
            "format": CHECKPOINT_FORMAT,
            "model": dict(self.learner.state_dict()),
            "optimizer": self.learner.optimizer_state(),
            "generators": generator_states(),
            "epoch": progress.epoch,
            "batch": progress.batch,
            "metrics": progress.metrics.state_dict(),
            "seconds": progress.seconds,
            "history": progress.history,
            "versions": versions(),
        }
        if self.average is not None:
            state["average"] = self.average.tensors
        checkpoints.save(folder.last_path, state)

    def restore(self, path: Path) -> Progress:
        """The inverse of :meth:`save`."""
        saved = checkpoints.load(path)
        checkpoints.check_fields(saved, FIELDS | ({} if self.average is None else {"average": dict}), path)
        if saved["format"] != CHECKPOINT_FORMAT:
            raise InputError(f"{path} has format {saved['format']}; this version reads format {CHECKPOINT_FORMAT}")
        checkpoints.check_state_dict(saved["model"], self._shapes(), path)
        if self.average is not None:
            checkpoints.check_state_dict(saved["average"], self._shapes(), path)
            self.average.load(saved["average"])
        try:
            self.learner.load_state_dict(saved["model"])
            self.learner.load_optimizer_state(saved["optimizer"])
            set_generator_states(saved["generators"])
            progress = Progress(
                saved["epoch"], saved["batch"], Metrics(**saved["metrics"]), saved["seconds"], saved["history"]
            )
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            raise InputError(f"{path} does not fit this run: {error}") from error
        if progress.epoch != len(progress.history) or progress.batch > self.steps_per_epoch:
            raise InputError(f"{path} is malformed: its position does not fit its history")
        now = versions()
        changed = {
            f"{name} {was} then, {now.get(name)} now"
            for name, was in saved["versions"].items()
            if was != now.get(name) and not (name == "threads" and self._is_alike_by({was, now[name]}))
        }
        if changed:
            self.display.notice(f"Going on in another environment, so not bit for bit: {', '.join(sorted(changed))}.")
        return progress

    def _is_alike_by(self, threads: set[str]) -> bool:
        """Whether this run computes the same bits by any of these numbers of threads."""
        config = self.config
        plain = config.impl == "scratch" and not config.compile and config.precision == "float32"
        return plain and threads <= {str(count) for count in range(1, PIECES + 1)}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.learner.state_dict().items()}

    def _loader(self, split: data.Split) -> Any:
        kind = {"memory": MemoryLoader, "stream": StreamLoader}[self.config.loader]
        return kind(
            split, self.dataset.mean, self.dataset.std, device=self.device, dtype=getattr(torch, self.config.dtype)
        )

    def _admit_watchers(self, folder: RunFolder, progress: Progress) -> None:
        if self.config.log_gradients:
            done = progress.epoch * self.steps_per_epoch + progress.batch
            self.watchers.append(GradientLog(folder.path, self.steps_per_epoch, done))
        if self.config.tensorboard:
            self.watchers.append(Board(folder.path, self.dataset, self.steps_per_epoch, progress.epoch))
        if self.watchers:
            self.learner.watch = self._show_gradients

    def _show_gradients(self, grads: dict[str, torch.Tensor]) -> None:
        for watcher in self.watchers:
            watcher.gradients(grads)

    def _make_learner(self) -> Any:
        _, channels, _, side = self.dataset.train.images.shape
        require_twins(self.model, num_classes=len(self.dataset.classes), in_channels=channels, image_size=side)
        try:
            return LEARNERS[self.config.impl](
                self.model.build,
                self.config,
                classes=len(self.dataset.classes),
                channels=channels,
                image_size=side,
                class_weights=class_weights(self.config.class_weights, self.dataset),
                device=self.device,
                generator=torch.Generator().manual_seed(derive_seed("init", self.config.seed)),
            )
        except ValueError as error:
            name = self.config.model
            raise InputError(f"{name} cannot take the {side} x {side} pixels of {self.config.data}: {error}") from error

    def _check_batches(self) -> None:
        count, size = len(self.dataset.train.images), self.config.batch_size
        if size > count:
            raise InputError(f"--batch-size is {size}, but there are only {count} images to train on")
        uses_batch_norm = any(name.endswith("running_mean") for name in self.learner.state_dict())
        if uses_batch_norm and 1 in (size, count % size):
            which = "makes batches of one image" if size == 1 else f"leaves a last batch of one image of {count:,}"
            raise InputError(
                f"--batch-size {size} {which}, which batch norm in {self.config.model} cannot learn from: "
                "an image would be compared with itself alone; choose another size"
            )


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    """The configuration with ``changes``, if they may be made."""
    for name, value in changes.items():
        was = getattr(config, name)
        if name not in MAY_CHANGE_ON_RESUME and value != was:
            raise InputError(f"{flag(name)} cannot change when a run is resumed: it is {was} in this run, not {value}")
    changed = dataclasses.replace(config, **changes)
    changed.validate()
    return changed


def _cut_training(dataset: data.Dataset, batches: int, batch_size: int) -> data.Dataset:
    """Only the first ``batches`` batches of training images, in file order."""
    count, wanted = len(dataset.train.labels), batches * batch_size
    if wanted > count:
        raise InputError(
            f"--overfit-batches is {batches}, but {batches} batches of {batch_size} are {wanted:,} images, and there "
            f"are only {count:,} to train on"
        )
    return dataset._replace(train=data.Split(*(tensor[:wanted] for tensor in dataset.train)))
