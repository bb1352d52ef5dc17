"""The report: everything that is known of some runs and comparisons, as one HTML file that needs nothing else."""

import dataclasses
import datetime
import importlib.metadata
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

import tinytorch_course
from tinytorch_course.data import Dataset
from tinytorch_course.errors import InputError
from tinytorch_course.models import Model
from tinytorch_course.own_networks import is_own
from tinytorch_course.report import drawing
from tinytorch_course.report.charts import COLOURS, Line, key, line_chart, number
from tinytorch_course.report.comparisons import SeedComparison, StepComparison, read_seeds, read_steps
from tinytorch_course.report.gather import Run, command, learning_rates, read_run
from tinytorch_course.report.inside import Inside, load_data, look
from tinytorch_course.report.sources import Sources
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.display import duration, percent
from tinytorch_course.training.environment import versions
from tinytorch_course.training.own_model import model_of_run

HERE = Path(__file__).parent
PACKAGES = ("numpy", "scikit-learn", "matplotlib")  # besides those that training knows


class RunView(NamedTuple):
    """One run, as the page shows it."""

    run: Run
    anchor: str
    colour: int
    dataset: Dataset | None  # None: not to be had
    inside: Inside | None  # None: the network or its data could not be had
    problem: str | None  # why not

    @property
    def state(self) -> str:
        """How far the run has come, in words."""
        done, planned = len(self.run.history), self.run.planned
        if self.run.result is None:
            return f"stopped or still running, after {done} of {planned} epochs"
        return f"ended early, after {done} of {planned} epochs" if done < planned else f"ended after {self.epochs}"

    @property
    def epochs(self) -> str:
        """How many have been run, in words."""
        count = len(self.run.history)
        return f"{count} epoch{'s' if count > 1 else ''}"

    @property
    def seconds(self) -> str:
        """How long they took, in words."""
        return duration(sum(row["seconds"] for row in self.run.history))


class Report(NamedTuple):
    """The page, and what a machine may want to know of it."""

    html: str
    notes: list[str]  # what the page lacks, and why


def make_report(
    sources: Sources,
    *,
    data_dir: str | None,
    notify: Callable[[str], None],
    model: str | None = None,
    trust: bool = False,
) -> Report:
    """Read the folders, look at the networks, and draw the page.

    Args:
        sources: see ``report.sources``.
        data_dir: where data sets lie; None: where each run's configuration says.
        notify: is told what takes time.
        model: the network of runs that were trained with one of the user's own, FILE:NAME.
        trust: whether the code that the run folders keep of such a network may be run instead.

    Raises:
        InputError: if a run's configuration or history, or a comparison, is malformed, or the code of a network may not
            be run. Weights or data that cannot be had are notes, on the page too.
    """
    names = sources.names()
    runs = [read_run(path, names[path]) for path in sources.runs]
    steps = [read_steps(path, names[path]) for path in sources.timelines]
    seeds = [read_seeds(path, names[path]) for path in sources.seeds]
    own = {
        run.path: model_of_run(run.path, run.config.model, model, trust=trust, notify=notify)
        for run in runs
        if is_own(run.config.model)
    }
    views = _view_all(runs, own, data_dir, notify)
    notes = [note for view in views for note in (*view.run.notes, *([view.problem] if view.problem else []))]
    return Report(_render(views, steps, seeds), notes)


def _view_all(
    runs: list[Run], own: dict[Path, Model], data_dir: str | None, notify: Callable[[str], None]
) -> list[RunView]:
    datasets: dict[tuple[Any, ...], Dataset | InputError] = {}  # runs of one report often share their data
    views = []
    for position, run in enumerate(runs):
        config = run.config
        wanted = (config.data, config.data_dir, config.val_size, config.limit)
        dataset, inside, problem = datasets.get(wanted), None, None
        try:
            if dataset is None:
                dataset = datasets[wanted] = load_data(run, data_dir, notify)
            if isinstance(dataset, InputError):
                raise dataset
            inside = look(run, dataset, data_dir, notify, own.get(run.path))
        except InputError as error:
            problem = str(error)
            dataset = datasets.setdefault(wanted, error)
        known = dataset if isinstance(dataset, Dataset) else None
        views.append(RunView(run, f"run-{position + 1}", position % COLOURS, known, inside, problem))
    return views


def _render(views: list[RunView], steps: list[StepComparison], seeds: list[SeedComparison]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": percent, "number": number}
    return environment.get_template("page.html").render(
        title=_title(views, steps, seeds),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),  # ours, not to be escaped
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        version=tinytorch_course.__version__,
        views=views,
        spreads=_spreads(views),
        steps=steps,
        seeds=seeds,
        curves=_curves(views) if views else [],
        key=key,
        settings=_settings(views),
        environment=_environment(views),
        command=command,
        drawing=drawing,
    )


def _title(views: list[RunView], steps: list[StepComparison], seeds: list[SeedComparison]) -> str:
    if len(views) == 1 and not steps and not seeds:
        config = views[0].run.config
        return f"{config.model} on {views[0].run.data}, {config.impl} implementation"
    parts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((len(views), "run"), (len(steps) + len(seeds), "comparison"))
        if count
    ]
    return " and ".join(parts)


def _curves(views: list[RunView]) -> list[tuple[str, Markup]]:
    """Loss, accuracy and learning rate of all runs: a caption and a picture each."""
    found = []
    for quantity, title, scale in (("loss", "Loss", 1), ("accuracy", "Accuracy (%)", 100)):
        lines, words = [], []
        for view in views:
            for part, dashed in (("train", False), ("val", True)):
                points = [(row["epoch"], scale * row[f"{part}_{quantity}"]) for row in view.run.history]
                words_part = "training" if part == "train" else "validation"
                lines.append(Line(f"{view.run.name}, {words_part}", points, view.colour, dashed))
                words.append(f"{view.run.name}, {words_part}: {number(points[0][1])} to {number(points[-1][1])}")
        label = f"{title} by epoch. {'; '.join(words)}."
        found.append((f"{title} by epoch", line_chart(lines, label=label, x_title="Epoch", y_title=title)))
    lines, words = [], []
    for view in views:
        points = learning_rates(view.run, len(view.dataset.train.images) if view.dataset else None)
        lines.append(Line(view.run.name, points, view.colour))
        rates = [rate for _, rate in points]
        words.append(f"{view.run.name}: {view.run.config.schedule}, from {number(rates[0])} over at most "
                     f"{number(max(rates))} to {number(rates[-1])}")  # fmt: skip
    label = f"Learning rate by epoch. {'; '.join(words)}."
    chart = line_chart(lines, label=label, x_title="Epoch", y_title="Learning rate", from_zero=True)
    return [*found, ("Learning rate by epoch", chart)]


def _spreads(views: list[RunView]) -> list[tuple[list[str], float, float]]:
    """Names, mean and deviation of the test accuracy of those runs that differ in nothing but their seed."""
    groups: dict[TrainConfig, dict[str, float]] = defaultdict(dict)
    for run in (view.run for view in views):
        if run.result is not None:
            groups[dataclasses.replace(run.config, seed=0)][run.name] = run.result["test_accuracy"]
    return [
        (list(group), statistics.mean(group.values()), statistics.stdev(group.values()))
        for group in groups.values()
        if len(group) > 1
    ]


def _settings(views: list[RunView]) -> list[tuple[str, list[str], bool]]:
    """The configurations side by side: names of settings, the runs' values, and whether the runs differ in them."""
    configs = [view.run.config.to_dict() for view in views]
    rows = [(name, [config[name] for config in configs]) for name in (configs[0] if configs else ())]
    return [
        (name, ["–" if value is None else str(value) for value in values], any(value != values[0] for value in values))
        for name, values in rows
        if any(value is not None for value in values)
    ]


def _environment(views: list[RunView]) -> list[tuple[str, list[str], str]]:
    """Versions by name: those that each run was trained with, and those that made this report."""
    now = {
        **versions(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
    }
    trained = [
        view.run.versions | {name: str(value) for name, value in (view.run.result or {}).items() if name == "device"}
        for view in views
    ]
    names = dict.fromkeys(name for known in (now, *trained) for name in known)
    return [(name, [known.get(name, "–") for known in trained], now.get(name, "–")) for name in names]
