"""``tinytorch runs``: the runs there are, the best first."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinytorch_course.cli.options import option, print_json
from tinytorch_course.files import printable

FOLDER = typer.Argument(metavar="[FOLDER]", help="The folder that holds them. (default: runs)", show_default=False)


def runs(
    folder: Annotated[Path, FOLDER] = Path("runs"),
    json: Annotated[bool, option("--json", None, "Print one JSON document instead of a table.")] = False,
) -> None:
    """List the runs in a folder by their test accuracy, with the settings in which they differ."""
    from tinytorch_course.report.listing import list_runs

    found, problems = list_runs(folder)
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    if json:
        print_json({"runs": [run._asdict() for run in found]})
        return
    width = max(len(printable(run.folder)) for run in found)
    print(f"{'run':<{width}}  {'test acc':>9}  {'val acc':>9}  {'epochs':>6}  differs in")
    for run in found:
        test, val = (
            "-" if share is None else f"{100 * share:.2f} %" for share in (run.test_accuracy, run.val_accuracy)
        )
        settings = ", ".join(f"{name} {value}" for name, value in run.differs.items() if value is not None)
        print(f"{printable(run.folder):<{width}}  {test:>9}  {val:>9}  {run.epochs:>6}  {printable(settings)}".rstrip())
