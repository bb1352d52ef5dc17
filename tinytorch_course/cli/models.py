"""``tinytorch models``: the networks there are."""

from typing import Annotated, Any

import typer

from tinytorch_course.cli.options import print_filled, print_json


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False):
    """List the networks: name, number of parameters, and what each is for."""
    networks = describe_models()
    if json:
        print_json(networks)
        return
    names = max(len(network["name"]) for network in networks)
    print(f"{'name':<{names}}{'parameters':>12}  what it is for")
    for network in networks:
        first = f"{network['name']:<{names}}{network['parameters']:>12,}"
        print_filled(network["purpose"], indent=names + 14, first=first)


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
