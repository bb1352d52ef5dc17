"""``tinytorch compare``: train both implementations side by side and see where they part."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import HEADINGS, option, print_filled, print_json, typed_in, with_settings
from tinytorch_course.errors import InputError
from tinytorch_course.lockstep.settings import DEFAULT_STEPS, DEFAULT_TOLERANCE, check_settings
from tinytorch_course.training.config import TrainConfig

if TYPE_CHECKING:
    from tinytorch_course.lockstep.inject import Injection

SETTINGS = (
    *("ops", "model", "data", "data_dir", "limit"),
    *("batch_size", "optimizer", "lr", "schedule", "momentum", "weight_decay", "label_smoothing", "clip_norm", "seed"),
    *("device", "dtype"),
)
_, HOW, WHERE = HEADINGS
COMPARED = "What to compare"
FEWEST_SEEDS = 3  # a deviation of two says next to nothing


@with_settings(*SETTINGS)
def compare(
    context: typer.Context,
    tolerance: Annotated[
        float | None,
        option(
            "--tolerance",
            "X",
            "Stop at the first tensor with a larger relative error. (default: 1e-09 in float64, in float32 what no "
            "rounding can do)",
            COMPARED,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        option(
            "--seeds", "N", "Compare the test accuracies of N runs each instead, from N seeds. (default: no)", COMPARED
        ),
    ] = None,
    inject: Annotated[
        str | None,
        option(
            "--inject",
            "NAME",
            "Plant a classic mistake in the from-scratch path; float64 unless told otherwise.",
            COMPARED,
        ),
    ] = None,
    list_mistakes: Annotated[
        bool, option("--list-mistakes", None, "List the mistakes that --inject can plant, and end.", COMPARED)
    ] = False,
    *,
    steps: Annotated[
        int | None, option("--steps", "N", "How many steps. (default: 100, unless there are --epochs)", HOW)
    ] = None,
    epochs: Annotated[
        int | None,
        option(
            "--epochs", "N", "Or how often to go through all images. (default: with --seeds the data set's own)", HOW
        ),
    ] = None,
    out: Annotated[
        str | None, option("--out", "FOLDER", "Save the findings as JSON and as a picture, in a new folder.", WHERE)
    ] = None,
    json: Annotated[
        bool, option("--json", None, "Print the findings as one JSON document; the table goes to stderr.", WHERE)
    ] = False,
    **settings: Any,
) -> None:
    """Train both implementations side by side: same weights, batches and dropout masks, compared tensor by tensor.

    Ends with exit code 1 at the first tensor out of tolerance, and names it and the line that made it.
    """
    if list_mistakes:
        print_mistakes(json)
        return
    settings |= {"epochs": epochs}
    typed = typed_in(context)
    check_settings(steps, epochs, tolerance)
    check_seeds(seeds, tolerance)
    TrainConfig(**settings).validate()  # before torch is imported, which takes seconds
    injection = None
    if inject is not None:
        injection, settings = plan_injection(inject, settings, typed)
    config = TrainConfig(**settings)
    config.validate()
    if steps is None and epochs is None and seeds is None:
        steps = DEFAULT_STEPS

    from tinytorch_course.report.folder import new_folder

    # The folder comes first: nobody wants to hear after a long run that its findings have no place.
    with new_folder(out) as folder:
        if seeds is not None:
            run_seeds(config, seeds, steps, injection, folder, json)
            return
        same = run_steps(config, steps, tolerance, injection, folder, json)
    if not same:
        raise typer.Exit(1)


def check_seeds(seeds: int | None, tolerance: float | None) -> None:
    """Raise InputError for what no comparison of accuracies can have."""
    if seeds is not None and seeds < FEWEST_SEEDS:
        raise InputError(
            f"--seeds must be at least {FEWEST_SEEDS}, for a deviation to mean anything, but it is {seeds}"
        )
    if seeds is not None and tolerance is not None:
        raise InputError("--tolerance does not go with --seeds, which compares accuracies, not tensors")


def plan_injection(name: str, settings: dict[str, Any], typed: set[str]) -> tuple["Injection", dict[str, Any]]:
    """The mistake, and the settings under which it shows."""
    from tinytorch_course.lockstep.inject import find_injection

    injection = find_injection(name)
    if "dtype" not in typed:
        settings = settings | {"dtype": "float64"}  # so that nothing but the mistake makes a difference
    return injection, injection.fit(settings, typed)


def run_steps(
    config: TrainConfig,
    steps: int | None,
    tolerance: float | None,
    injection: "Injection | None",
    folder: Any,
    json: bool,
) -> bool:
    """Compare step by step; returns whether nothing was out of tolerance."""
    import torch

    from tinytorch_course.lockstep.compare import compare
    from tinytorch_course.lockstep.display import make_display
    from tinytorch_course.report.timeline import draw_timeline

    if tolerance is None:
        tolerance = DEFAULT_TOLERANCE[config.dtype]
    with make_display(json) as display:
        found = compare(config, steps=steps, tolerance=tolerance, injection=injection, display=display)
        files = []
        if folder is not None:
            divergence = found.divergence
            files = save(
                folder,
                "timeline",
                found.to_dict() | {"timeline": found.timeline.to_dict()},
                draw_timeline(
                    found.timeline,
                    title=f"{config.model} on {found.config.data}, {config.dtype}"
                    + (f", with {injection.name}" if injection else ""),
                    digits=torch.finfo(getattr(torch, config.dtype)).eps,
                    first=divergence and (divergence.step, divergence.quantity),
                ),
            )
        display.finish(found, files)
    if json:
        print_json(found.to_dict())
    return found.divergence is None


def run_seeds(
    config: TrainConfig, seeds: int, steps: int | None, injection: "Injection | None", folder: Any, json: bool
) -> None:
    """Compare the accuracies of several runs."""
    from tinytorch_course.lockstep.compare import IMPLS, compare_seeds
    from tinytorch_course.lockstep.display import make_display
    from tinytorch_course.report.timeline import draw_seeds

    with make_display(json) as display:
        found = compare_seeds(config, seeds, steps=steps, injection=injection, display=display)
        files = []
        if folder is not None:
            accuracies = {impl: [run.accuracies[impl] for run in found.runs] for impl in IMPLS}
            title = f"{config.model} on {found.config.data}, {config.dtype}, {found.steps} steps"
            picture = draw_seeds(accuracies, [run.seed for run in found.runs], title=title)
            files = save(folder, "seeds", found.to_dict(), picture)
        display.finish_seeds(found, files)
    if json:
        print_json(found.to_dict())


def save(folder: Any, name: str, document: dict[str, Any], picture: bytes) -> list[str]:
    """Write the findings; returns where."""
    from tinytorch_course.files import write_atomically, write_json

    paths = [folder / f"{name}.json", folder / f"{name}.png"]
    write_json(paths[0], document, indent=None)
    write_atomically(paths[1], picture)
    return [str(path) for path in paths]


def print_mistakes(json: bool) -> None:
    """The mistakes that can be planted, and what each needs."""
    from tinytorch_course.lockstep.inject import INJECTIONS

    if json:
        mistakes = [{"name": each.name, "what": each.what, "needs": each.requirements() or None} for each in INJECTIONS]
        print_json(mistakes)
        return
    indent = max(len(each.name) for each in INJECTIONS) + 2
    for each in INJECTIONS:
        needs = each.requirements()
        print_filled(each.what + (f" (needs {needs})" if needs else ""), indent, first=each.name)
