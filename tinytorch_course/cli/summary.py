"""``tinytorch summary``: what a network is made of, layer by layer."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinytorch_course.cli.options import option, print_filled, print_json
from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.own_networks import is_own
from tinytorch_course.training.config import read_config

if TYPE_CHECKING:
    from tinytorch_course.summary import LayerSummary, Summary

MOST_CLASSES = 100_000
SIZE_RULE = "output side = floor((input side + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1"


def summary(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The network; `tinytorch models` lists them. mlp-256-128 is an mlp with hidden layers of that size, "
            "my_net.py:net a function of L in a file of your own, runs/NAME the network of a run.",
            show_default=False,
        ),
    ],
    size: Annotated[
        str | None, option("--input", "CxHxW", "Channels, height and width. (default: the run's, else 1x28x28)")
    ] = None,
    classes: Annotated[int | None, option("--classes", "N", "How many classes. (default: the run's, else 10)")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add how each output's size follows from the input's.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Show a network's layers: output size, parameters, FLOPs, and the bytes saved for the backward pass."""
    run = Path(model)
    config = read_config(run) if run.is_dir() else None
    if config is not None and is_own(config.model):
        raise InputError(f"{model} is a run of {config.model}, a network of one's own: give its FILE:NAME instead")
    found = find_model(model if config is None else config.model)
    if classes is not None and not 1 <= classes <= MOST_CLASSES:
        raise InputError(f"--classes must be at least 1 and at most {MOST_CLASSES}, but it is {classes}")

    from tinytorch_course.summary import parse_input, summarise

    shape, count = (1, 28, 28), 10
    if config is not None:
        from tinytorch_course.training.networks import read_pictures

        pictures = read_pictures(run / "data.json")
        shape, count = (pictures.channels, pictures.image_size, pictures.image_size), len(pictures.classes)
    made = summarise(found, shape if size is None else parse_input(size), count if classes is None else classes)
    if json:
        print_json(made.to_dict())
    else:
        print_table(made, explain)


def print_table(made: "Summary", explain: bool) -> None:
    """The network as a table, a line for each layer."""
    from tinytorch_course.summary import FLOPS, SAVED

    columns = shutil.get_terminal_size().columns
    rows = [("layer", "kind", "output", "parameters", "FLOPs", "saved bytes")]
    rows += [(layer.name, layer.kind, spell(layer.output), *_numbers(layer)) for layer in made.layers]
    rows += [("total", "", "", *_numbers(made))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if sum(widths) + len(widths) - 1 > columns:
        widths[1] = 0  # a narrow terminal has no room for the kinds, at which the names hint
    formulas = [[], *(layer.formula for layer in made.layers), []]

    print(f"{made.model} on {spell(made.input)}")
    for row, formula in zip(rows, formulas, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:2], widths[:2], strict=True) if width]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
        print(" ".join(cells))
        for line in formula if explain else ():
            print(f"  {line}")
    notes = [f"FLOPs of one picture's forward pass: {FLOPS}.", f"Saved for the backward pass: {SAVED}."]
    if explain:
        notes.append(f"Convolution and pooling: {SIZE_RULE}.")
    print()
    for note in notes:
        print_filled(note)


def _numbers(counted: "Summary | LayerSummary") -> tuple[str, str, str]:
    return f"{counted.parameters:,}", f"{counted.flops:,}", f"{counted.saved:,}"


def spell(size: tuple[int, ...]) -> str:
    """A shape as "32x28x28"."""
    return "x".join(str(number) for number in size)
