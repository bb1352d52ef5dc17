"""``tinytorch evaluate``: what a trained network is worth."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from tinytorch_course.cli.options import (
    CHECKPOINT,
    DATA_DIR,
    DEVICE,
    IMPL,
    MODEL,
    TRUST,
    check_network,
    check_split,
    option,
    print_json,
)
from tinytorch_course.data_names import data_names
from tinytorch_course.files import printable

if TYPE_CHECKING:
    from tinytorch_course.evaluation.evaluate import Evaluation

FORM_HELP = (
    "Bring the images to what the network knows, as `predict` does: mnist finds the ink and centres it, things are set "
    "light on black, plain only resizes. (default: they are taken as they are)"
)


def evaluate(
    checkpoint: Annotated[str, CHECKPOINT],
    data: Annotated[str | None, option("--data", "NAME", "The images. (default: the network's own set)")] = None,
    split: Annotated[str, option("--split", "NAME", "Which of them: test, val or all. (default: test)")] = "test",
    limit: Annotated[int | None, option("--limit", "N", "No more than N of them. (default: all)")] = None,
    form: Annotated[str | None, option("--form", "NAME", FORM_HELP)] = None,
    impl: Annotated[str | None, IMPL] = None,
    model: Annotated[str | None, MODEL] = None,
    trust: Annotated[bool, TRUST] = False,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    device: Annotated[str, DEVICE] = "auto",
    out: Annotated[
        str | None, option("--out", "FOLDER", "Save scores, confusion matrix and calibration in a new folder.")
    ] = None,
    json: Annotated[bool, option("--json", None, "Print one JSON document instead of tables.")] = False,
) -> None:
    """Score a trained network: accuracy with its interval, loss, every class, confusions, calibration."""
    check_split(split, limit)
    check_network(model, trust, impl=impl, device=device, form=form)

    from tinytorch_course.evaluation.display import lines
    from tinytorch_course.evaluation.evaluate import evaluate
    from tinytorch_course.pictures.prediction import in_form
    from tinytorch_course.report.folder import new_folder

    with new_folder(out) as folder:
        found = evaluate(
            checkpoint,
            data_name=data,
            split=split,
            impl=impl,
            model=model,
            trust=trust,
            data_dir=data_dir,
            limit=limit,
            device=device,
            prepare=None if form is None else partial(in_form, form=form),
        )
        files = [] if folder is None else save(folder, found)
    if json:
        print_json(found.to_dict())
        return
    for line in lines(found):
        print(printable(line))
    if data is not None and split != "all" and data not in data_names():
        note = f"Only the images set apart for --split {split} were scored; --split all takes every one."
        print(note, file=sys.stderr)
    if files:
        print(f"\nSaved: {', '.join(files)}")


def save(folder: Any, found: "Evaluation") -> list[str]:
    """Write scores and pictures; returns where."""
    from tinytorch_course.evaluation.drawing import draw_calibration, draw_confusion
    from tinytorch_course.files import write_atomically, write_json

    title = f"{found.network.model} on {found.title}, {found.scores.count:,} images"
    names = ("evaluation.json", "confusion.png", "calibration.png")
    scores, confusion, calibration = paths = [folder / name for name in names]
    write_json(scores, found.to_dict())
    write_atomically(confusion, draw_confusion(found.scores, title=title))
    write_atomically(calibration, draw_calibration(found.scores.calibration, title=title))
    return [str(path) for path in paths]
