"""``tinytorch report``: one HTML file about runs and comparisons."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinytorch_course.cli.options import DATA_DIR, OWN_MODEL, TRUST, check_network, option, print_json
from tinytorch_course.errors import InputError
from tinytorch_course.report.sources import find_sources, runs_of_seeds

MARK = b'<meta name="generator" content="tinytorch report">'


def report(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders of `tinytorch train`, one or several seeds, and folders of `tinytorch compare --out`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        option(
            "--out",
            "FILE.html",
            "The file to write. (default: report.html in the folder; of several, in the current one)",
        ),
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    model: Annotated[str | None, OWN_MODEL] = None,
    trust: Annotated[bool, TRUST] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as one JSON document.")] = False,
) -> None:
    """Make one HTML file about one run or several: curves, mistakes, filters, activations, gradients, settings.

    It needs no network and no other file. A run that is still going on, or was stopped, has its report too.
    """
    check_network(model, trust)
    sources = find_sources(folders)  # before torch is imported, which takes seconds
    path = choose_file(out, folders)

    from tinytorch_course.files import write_atomically
    from tinytorch_course.report.page import make_report

    made = make_report(
        sources, data_dir=data_dir, notify=lambda text: print(text, file=sys.stderr), model=model, trust=trust
    )
    document = made.html.encode("utf-8")
    write_atomically(path, document)
    for note in made.notes:
        print(f"Not in the report: {note}.", file=sys.stderr)
    if json:
        names = [str(folder) for folder in (*sources.runs, *sources.timelines, *sources.seeds)]
        findings = {"report": str(path), "bytes": len(document), "folders": names, "notes": made.notes}
        print_json(findings)
    else:
        print(f"Saved: {path} ({len(document) / 1e6:.1f} MB); open it in a browser")


def choose_file(out: str | None, folders: list[str]) -> Path:
    """The file to write. It may be there already only if it is a report.

    Raises:
        InputError: if nothing can be written there.
    """
    if out is not None and not out.strip():
        raise InputError(f"--out must be the path of a file, but it is {out!r}")
    alone = len(folders) == 1 and not runs_of_seeds(Path(folders[0]))  # a folder of seeds holds nothing else
    path = Path(out) if out is not None else Path(folders[0] if alone else "") / "report.html"
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file in it, such as --out {path / 'report.html'}")
        if path.exists() and (not path.is_file() or MARK not in path.read_bytes()):
            raise InputError(f"{path} already exists and is not a report: choose another file for --out")
        if not path.parent.is_dir():
            raise InputError(f"the folder {path.parent} of --out does not exist: create it first")
    except OSError as error:
        raise InputError(f"cannot use {path} for the report: {error.strerror}") from error
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out must end in .html, because the report is an HTML file, but it is {out!r}")
    return path
