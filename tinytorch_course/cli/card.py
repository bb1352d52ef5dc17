"""``tinytorch card``: what a run came to, with all that is needed to find it out again."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tinytorch_course.cli.options import DEVICE, OWN_MODEL, TRUST, check_network, option, print_json
from tinytorch_course.errors import InputError
from tinytorch_course.report.sources import find_sources, runs_of_seeds

JSON, MARKDOWN = "card.json", "card.md"


def card(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="A run folder; several, or one of `tinytorch train --seeds`, if they differ in their seeds alone.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, option("--out", "FOLDER", "Where to save the card. (default: in the run folder)")
    ] = None,
    verify: Annotated[Path | None, option("--verify", "FILE", "Check this card against its runs instead.")] = None,
    data_dir: Annotated[
        str | None, option("--data-dir", "FOLDER", "Where data sets lie. (default: what the run says)")
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    model: Annotated[str | None, OWN_MODEL] = None,
    trust: Annotated[bool, TRUST] = False,
    json: Annotated[
        bool, option("--json", None, "Print the card, or what differs from it, as one JSON document.")
    ] = False,
) -> None:
    """Make a result card: accuracy with its interval, how it was chosen, data, settings, machine, versions.

    All figures are computed from the weights. --verify computes them again and ends with exit code 1 if any differs.
    """
    check_network(model, trust, device=device)
    options = {"data_dir": data_dir, "device": device, "model": model, "trust": trust}
    if verify is not None and out is not None:
        raise InputError("--out is for making a card, --verify for checking one: leave out one of them")
    if verify is None and not folders:
        raise InputError("name a run folder to make a card of, or a card with --verify")
    folders = folders or []
    if verify is None:
        find_sources(folders)
        out = choose_folder(folders, out)

    from tinytorch_course.card.make import Contradiction

    try:
        if verify is not None:
            check(verify, folders, json, **options)
        elif out is not None:
            save(folders, out, json, **options)
    except Contradiction as contradiction:
        print(f"{contradiction}.", file=sys.stderr)
        raise typer.Exit(1) from None


def choose_folder(folders: list[str], out: Path | None) -> Path:
    """Where the card goes.

    Raises:
        InputError: if that is not clear, or no folder.
    """
    if out is None and (len(folders) > 1 or runs_of_seeds(Path(folders[0]))):  # which is to hold runs alone
        raise InputError("a card of several runs needs a place of its own: name a folder with --out")
    chosen = Path(folders[0]) if out is None else out
    if chosen.exists() and not chosen.is_dir():
        raise InputError(f"--out is '{chosen}', which is a file: name the folder for {JSON} and {MARKDOWN}")
    return chosen


def save(folders: list[str], out: Path, json: bool, **options: Any) -> None:
    """Make a card of run folders, and write it."""
    from tinytorch_course.card.make import make_card
    from tinytorch_course.card.markdown import headline, to_markdown
    from tinytorch_course.files import write_atomically, write_json

    made = make_card(folders, out, **options)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / JSON, made)
    write_atomically(out / MARKDOWN, to_markdown(made).encode("utf-8"))
    if json:
        print_json(made)
    else:
        print(f"{made['model']} on {made['data']['title']}: {headline(made)}")
        print(f"Saved: {out / JSON}, {out / MARKDOWN}")


def check(file: Path, folders: list[str], json: bool, **options: Any) -> None:
    """Compare a card with the run folders that it was made of."""
    from tinytorch_course.card.compare import count_figures
    from tinytorch_course.card.verify import verify

    card, differences = verify(file, folders, **options)
    if json:
        findings = [one._asdict() for one in differences]
        print_json({"ok": not differences, "card": str(file), "differences": findings})
    else:
        for one in differences:
            print(f"{one.figure}: the card says {one.says}, but the run gives {one.gives}")
        total = count_figures(card)
        print(f"{len(differences)} of {total} figures differ." if differences else f"All {total} figures hold.")
    if differences:
        raise typer.Exit(1)
