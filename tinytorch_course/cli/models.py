"""``tinytorch models``: the networks there are."""

import json as json_module
import shutil
import textwrap
from typing import Annotated, Any

import typer


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False):
    """List the networks: name, number of parameters, and what each is for."""
    networks = describe_models()
    if json:
        print(json_module.dumps(networks, indent=2))
        return
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    names = max(len(network["name"]) for network in networks)
    indent = " " * (names + 14)
    print(f"{'name':<{names}}{'parameters':>12}  what it is for")
    for network in networks:
        purpose = textwrap.fill(network["purpose"], width, initial_indent=indent, subsequent_indent=indent)
        print(f"{network['name']:<{names}}{network['parameters']:>12,}{purpose[names + 12 :]}")


def describe_models() -> list[dict[str, Any]]:
    """Name, number of parameters (for 28x28 grey images in 10 classes) and purpose of every network."""
    import torch

    from tinytorch_course.models import MODELS
    from tinytorch_course.scratch import layers

    networks = []
    for model in MODELS.values():
        params, _ = model.build(layers).init(torch.Generator())
        count = sum(param.numel() for param in params.values())
        networks.append({"name": model.name, "parameters": count, "purpose": model.purpose})
    return networks
