"""``tinytorch evaluate``: what a trained network is worth."""

import contextlib
import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import one_of
from tinytorch_course.cli.train import number_parser
from tinytorch_course.errors import InputError
from tinytorch_course.training.config import IMPL_NAMES, TrainConfig

if TYPE_CHECKING:
    from tinytorch_course.evaluation.evaluate import Evaluation

SPLITS = ("test", "val")


def wish(flag: str, value: str | None, help: str) -> Any:
    """An option whose default stands at the end of its help."""
    return typer.Option(flag, metavar=value, parser=number_parser(flag, value), help=help, show_default=False)


CHECKPOINT = typer.Argument(metavar="CHECKPOINT", help="A run folder, or a file of weights.", show_default=False)
IMPL = wish("--impl", "NAME", "Who computes: scratch or torch, whichever trained it. (default: the run's own)")
MODEL = wish("--model", "NAME", "The network, for a file that does not say it. (default: the run's own)")
DATA_DIR = wish("--data-dir", "FOLDER", "Where data sets lie. (default: what the run says, else $TINYTORCH_DATA)")
DEVICE = wish("--device", "NAME", "auto, cpu, cuda or cuda:N. (default: auto, a GPU where there is one)")


def evaluate(
    checkpoint: Annotated[str, CHECKPOINT],
    data: Annotated[str | None, wish("--data", "NAME", "The images. (default: the network's own set)")] = None,
    split: Annotated[str, wish("--split", "NAME", "Which of them: test or val. (default: test)")] = "test",
    limit: Annotated[int | None, wish("--limit", "N", "No more than N of them. (default: all)")] = None,
    impl: Annotated[str | None, IMPL] = None,
    model: Annotated[str | None, MODEL] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    device: Annotated[str, DEVICE] = "auto",
    out: Annotated[
        str | None, wish("--out", "FOLDER", "Save scores, confusion matrix and calibration in a new folder.")
    ] = None,
    json: Annotated[bool, wish("--json", None, "Print one JSON document instead of tables.")] = False,
) -> None:
    """Score a trained network: accuracy with its interval, loss, every class, confusions, calibration."""
    check_options(split, impl, limit, device)

    from tinytorch_course.evaluation.display import lines
    from tinytorch_course.evaluation.evaluate import evaluate
    from tinytorch_course.report.folder import new_folder

    with contextlib.nullcontext() if out is None else new_folder(out) as folder:
        found = evaluate(
            checkpoint,
            data_name=data,
            split=split,
            impl=impl,
            model=model,
            data_dir=data_dir,
            limit=limit,
            device=device,
        )
        files = [] if folder is None else save(folder, found)
    if json:
        print(json_module.dumps(found.to_dict(), indent=2))
        return
    for line in lines(found):
        print(line)
    if files:
        print(f"\nSaved: {', '.join(files)}")


def check_options(split: str, impl: str | None, limit: int | None, device: str) -> None:
    """Raise InputError for what no evaluation can have."""
    if split not in SPLITS:
        raise InputError(f"--split must be {one_of(SPLITS)}, but it is '{split}'")
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, but it is {limit}")
    check_names(impl, device)


def check_names(impl: str | None, device: str) -> None:
    """Raise InputError unless they name an implementation (or None) and a device."""
    if impl is not None and impl not in IMPL_NAMES:
        raise InputError(f"--impl must be {one_of(IMPL_NAMES)}, but it is '{impl}'")
    TrainConfig(device=device).validate()


def save(folder: Any, found: "Evaluation") -> list[str]:
    """Write scores and pictures; returns where."""
    from tinytorch_course.evaluation.drawing import draw_calibration, draw_confusion
    from tinytorch_course.training.checkpoints import write_atomically

    title = f"{found.network.model} on {found.title}, {found.scores.count:,} images"
    contents = {
        "evaluation.json": json_module.dumps(found.to_dict(), indent=2, allow_nan=False).encode() + b"\n",
        "confusion.png": draw_confusion(found.scores, title=title),
        "calibration.png": draw_calibration(found.scores.calibration, title=title),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [str(folder / name) for name in contents]
