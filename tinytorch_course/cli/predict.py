"""``tinytorch predict``: what a trained network says to pictures."""

import io
import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import (
    CHECKPOINT,
    DATA_DIR,
    DEVICE,
    IMPL,
    MODEL,
    TRUST,
    check_names,
    check_trust,
    one_of,
    option,
)
from tinytorch_course.errors import InputError
from tinytorch_course.files import explain, printable, write_atomically
from tinytorch_course.pictures import FORM_NAMES

if TYPE_CHECKING:
    from torch import Tensor

    from tinytorch_course.pictures.prediction import Prediction
    from tinytorch_course.training.networks import Network

PICTURES = typer.Argument(
    metavar="IMAGE...",
    help="Picture files, folders of them, or - for one from standard input.",
    show_default=False,
)
FORM_HELP = (
    "How a picture becomes what the network knows: mnist finds the ink and centres it, things are set light on black, "
    "plain only resizes. (default: as the network's data are)"
)


def predict(
    checkpoint: Annotated[str, CHECKPOINT],
    images: Annotated[list[str], PICTURES],
    top: Annotated[int, option("--top", "K", "Show the K likeliest classes. (default: 3)")] = 3,
    show: Annotated[bool, option("--show", None, "Draw what the network sees.")] = False,
    save_seen: Annotated[
        str | None, option("--save-seen", "FOLDER", "Save what the network sees as PNG files in a new folder.")
    ] = None,
    form: Annotated[str | None, option("--form", "NAME", FORM_HELP)] = None,
    impl: Annotated[str | None, IMPL] = None,
    model: Annotated[str | None, MODEL] = None,
    trust: Annotated[bool, TRUST] = False,
    data: Annotated[
        str | None,
        option("--data", "NAME", "What it was trained on, for a file that does not say it. (default: MNIST)"),
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    device: Annotated[str, DEVICE] = "auto",
    json: Annotated[bool, option("--json", None, "Print one JSON document instead of lines.")] = False,
) -> None:
    """Ask a trained network about pictures: photographs, scans, drawings, of any size.

    A network of characters is shown each as MNIST's were made: white on black, cut out, strokes of their thickness,
    centred. Light, shadows, noise and the lines of ruled paper are taken away.
    """
    check_names(impl, device)
    check_trust(model, trust)
    if top < 1:
        raise InputError(f"--top must be at least 1, but it is {top}")
    if form is not None and form not in FORM_NAMES:
        raise InputError(f"--form must be {one_of(FORM_NAMES)}, but it is '{form}'")

    from tinytorch_course.pictures.reading import SUFFIXES, find_sources

    if checkpoint.lower().endswith(SUFFIXES):
        raise InputError(f"{checkpoint} is a picture, but the first argument is the network: a run folder or a file")
    sources = find_sources(images)  # before torch is imported, which takes seconds

    from tinytorch_course.pictures.prediction import predict
    from tinytorch_course.training.environment import compute_alike, find_device
    from tinytorch_course.training.networks import open_network

    compute_alike()
    where = str(find_device(device))
    network = open_network(checkpoint, model=model, trust=trust, impl=impl, data=data, data_dir=data_dir, device=where)
    predictions = []
    folder = None if save_seen is None else new_folder(save_seen)
    for prediction in predict(network, sources, form):
        predictions.append(prediction)
        if folder is not None and prediction.seen is not None:
            save(prediction.seen, folder / f"{len(predictions):04}.png")
        if not json and prediction.problem is None:
            print_prediction(prediction, network, top, show, max(len(printable(source.name)) for source in sources))
    if json:
        print(json_module.dumps(to_dict(network, predictions, top, show), indent=2))
    raise_problems(predictions)


def new_folder(name: str) -> Path:
    """An empty folder of that name.

    Raises:
        InputError: if something is there, or it cannot be made.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder} is there already and is not empty: choose a new one for --save-seen")
    except OSError as error:
        raise InputError(f"cannot use {folder} for --save-seen: {explain(error)}") from error
    return folder


def save(seen: "Tensor", file: Path) -> None:
    """A picture (C, S, S), uint8, as a PNG file."""
    from PIL import Image

    pixels, buffer = seen.permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(buffer, "PNG")
    write_atomically(file, buffer.getvalue())


def print_prediction(prediction: "Prediction", network: "Network", top: int, show: bool, width: int) -> None:
    """One line, and with ``show`` the picture below it."""
    likeliest = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ranked(prediction, network, top))
    print(f"{printable(prediction.name):<{width}}  {printable(likeliest)}", flush=True)
    if show and prediction.seen is not None:
        from tinytorch_course.pictures.display import draw
        from tinytorch_course.training.display import Stream

        console = Stream(file=sys.stdout, highlight=False, soft_wrap=True)
        for line in draw(prediction.seen, console):
            console.print(line)


def ranked(prediction: "Prediction", network: "Network", top: int) -> list[tuple[str, float]]:
    """The likeliest classes with their probabilities; none of a picture without an answer."""
    if prediction.probabilities is None:
        return []
    shares, places = prediction.probabilities.topk(min(top, len(network.classes)))
    return [(network.classes[place], share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]


def to_dict(network: "Network", predictions: list["Prediction"], top: int, show: bool) -> dict[str, Any]:
    """The answers as plain numbers, lists and dicts, for JSON."""
    pictures = []
    for each in predictions:
        picture: dict[str, Any] = {
            "file": each.name,
            "answer": None,
            "probability": None,
            "top": [],
            "error": each.problem,
        }
        likeliest = ranked(each, network, top)
        if likeliest:
            picture["answer"], picture["probability"] = likeliest[0]
            picture["top"] = [{"class": name, "probability": share} for name, share in likeliest]
            if show and each.seen is not None:
                picture["seen"] = each.seen.tolist()
        pictures.append(picture)
    return {
        "checkpoint": str(network.path),
        "model": network.model,
        "impl": network.impl,
        "data": network.data,
        "pictures": pictures,
    }


def raise_problems(predictions: list["Prediction"]) -> None:
    """Raise InputError if any picture has no answer, after the others have had theirs."""
    problems = [each.problem for each in predictions if each.problem]
    if len(problems) == 1:
        raise InputError(problems[0])
    if problems:
        for problem in problems:
            print(printable(problem), file=sys.stderr)
        raise InputError(f"{len(problems)} of {len(predictions)} pictures have no answer")
