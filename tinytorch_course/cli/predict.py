"""``tinytorch predict``: what a trained network says to pictures."""

import io
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import (
    CHECKPOINT,
    DATA_DIR,
    DEVICE,
    IMPL,
    MODEL,
    TRUST,
    check_network,
    option,
    print_json,
)
from tinytorch_course.errors import InputError
from tinytorch_course.files import printable, write_atomically

if TYPE_CHECKING:
    from tinytorch_course.pictures.prediction import Prediction
    from tinytorch_course.training.networks import Network

PICTURES = typer.Argument(
    metavar="IMAGE...", help="Picture files, folders of them, or - for one from standard input.", show_default=False
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
    check_network(model, trust, impl=impl, device=device, form=form)
    if top < 1:
        raise InputError(f"--top must be at least 1, but it is {top}")

    from tinytorch_course.pictures.reading import SUFFIXES, find_sources

    if checkpoint.lower().endswith(SUFFIXES):
        raise InputError(f"{checkpoint} is a picture, but the first argument is the network: a run folder or a file")
    sources = find_sources(images)  # before torch is imported, which takes seconds

    from torchvision.transforms.v2.functional import to_pil_image

    from tinytorch_course.pictures.prediction import predict
    from tinytorch_course.report.folder import new_folder
    from tinytorch_course.training.environment import compute_alike, find_device
    from tinytorch_course.training.networks import open_network

    compute_alike()
    where = str(find_device(device))
    network = open_network(checkpoint, model=model, trust=trust, impl=impl, data=data, data_dir=data_dir, device=where)
    predictions = []
    width = max(len(printable(source.name)) for source in sources)
    with new_folder(save_seen, "--save-seen") as folder:
        for prediction in predict(network, sources, form):
            predictions.append(prediction)
            if folder is not None and prediction.seen is not None:
                to_pil_image(prediction.seen).save(buffer := io.BytesIO(), "PNG")
                write_atomically(folder / f"{len(predictions):04}.png", buffer.getvalue())
            if not json and prediction.problem is None:
                print_prediction(prediction, network, top, show, width)
    if json:
        print_json(to_dict(network, predictions, top, show))
    raise_problems(predictions)


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
        likeliest = ranked(each, network, top)
        answer, probability = likeliest[0] if likeliest else (None, None)
        picture = {
            "file": each.name,
            "answer": answer,
            "probability": probability,
            "top": [{"class": name, "probability": share} for name, share in likeliest],
            "error": each.problem,
        }
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
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    if problems:
        raise InputError(f"{len(problems)} of {len(predictions)} pictures have no answer")
