"""Who looks on while a run trains: one list for all options that do."""

from pathlib import Path

from torch import Tensor

from tinytorch_course.training.learners import Learner
from tinytorch_course.training.options.gradient_log import GradientLog
from tinytorch_course.training.options.tensorboard import Board
from tinytorch_course.training.options.watcher import Watcher
from tinytorch_course.training.progress import Progress
from tinytorch_course.training.setup import Setup


def admit_watchers(setup: Setup, learner: Learner, progress: Progress, folder: Path) -> list[Watcher]:
    """The watchers that the run asks for, which ``learner`` shows its gradients from now on."""
    steps = setup.steps_per_epoch
    watchers: list[Watcher] = []
    if setup.config.log_gradients:
        watchers.append(GradientLog(folder, steps, progress.epoch * steps + progress.batch))
    if setup.config.tensorboard:
        watchers.append(Board(folder, setup.dataset, steps, progress.epoch))

    def show(grads: dict[str, Tensor]) -> None:
        for watcher in watchers:
            watcher.gradients(grads)

    if watchers:
        learner.watch = show
    return watchers
