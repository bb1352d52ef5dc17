"""Pictures of any kind, answered by a trained network.

Legend: K classes; C, S the channels and the side of what the network takes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.pictures.form import Form, to_form
from tinytorch_course.pictures.ink import find_ink, is_dark_on_light
from tinytorch_course.pictures.reading import Source, read_picture
from tinytorch_course.pictures.sizes import box_of, resized, rim_of
from tinytorch_course.training.networks import Network

FORMS = {  # sets of characters, on 28 pixels; "mnist" is for those that are not named
    "mnist": Form(),
    "digits": Form(thinnest=3.3, thickest=4.8, by_mass=False),
    "letters": Form(thinnest=2.5, thickest=4.5),
    "kmnist": Form(box=26, by_mass=False),
    "usps": Form(box=28, thinnest=3.2, thickest=5.0, by_mass=False),
    **dict.fromkeys(
        ("emnist-letters", "emnist-balanced", "emnist-digits"), Form(box=24, thinnest=2.5, thickest=4.0, by_mass=False)
    ),
}
THINGS = ("fashion-mnist",)  # light on black, but not made of strokes
# The network sees the character several times, as (degrees, thickness), and the mean of its answers counts.
LOOKS = ((0.0, 1.0), (-7.0, 1.0), (7.0, 1.0))


class Prediction(NamedTuple):
    """What a network says to one picture."""

    name: str
    seen: Tensor | None  # (C, S, S), uint8: what it was given; None where nothing could be
    probabilities: Tensor | None  # (K,)
    problem: str | None = None  # why there is no answer, as a sentence


def predict(network: Network, sources: Iterable[Source], form: str | None = None) -> Iterator[Prediction]:
    """The network's answer to each picture; one that cannot be read has a problem instead.

    Args:
        network: what is asked.
        sources: the pictures.
        form: one of ``pictures.FORM_NAMES``. None: as the network's data are.
    """
    form = form or usual_form(network)
    for source in sources:
        try:
            looks = as_trained(read_picture(source), network, form)
        except InputError as error:
            yield Prediction(source.name, None, None, str(error))
            continue
        if looks is None:
            problem = f"{source.name} contains nothing that stands out from its background"
            yield Prediction(source.name, None, None, problem)
            continue
        probabilities = network.logits(looks).double().softmax(dim=1).mean(dim=0)
        yield Prediction(source.name, looks[0], probabilities)


def usual_form(network: Network) -> str:
    """What the network's data ask for: strokes as in MNIST, other things light on black, or pictures as they are."""
    if network.data in THINGS:
        return "things"
    is_path = network.data is not None and network.data not in FORMS and not network.data.endswith(".npz")
    return "plain" if network.channels > 1 or is_path else "mnist"


def as_trained(colors: np.ndarray, network: Network, form: str) -> Tensor | None:
    """A picture (H, W, 3) as the network's own are: (looks, C, S, S), uint8; None if it holds nothing."""
    side = network.image_size
    if form == "mnist":
        ink = find_ink(colors)
        if ink is None:
            return None
        wanted = FORMS.get(network.data or "mnist", FORMS["mnist"]).scaled(side)
        looks = np.stack([to_form(ink, wanted, turn=turn, thickness=thickness) for turn, thickness in LOOKS])
    elif form == "things":
        looks = light_on_black(colors, side)[None]
    else:
        small = resized(colors, (side, side))
        pixels = small if network.channels == 3 else small.mean(axis=2, keepdims=True)
        return torch.from_numpy((255 * pixels.clip(0, 1) + 0.5).astype(np.uint8)).permute(2, 0, 1)[None]
    if not looks.any():
        return None
    return torch.from_numpy(looks)[:, None].expand(-1, network.channels, -1, -1).contiguous()


def in_form(network: Network, images: Tensor, form: str) -> Tensor:
    """Images (N, C, H, W), uint8, each as the network's own are: (N, C, S, S), uint8; black where one holds nothing."""
    side, made = network.image_size, []
    for image in images:
        colors = (image.float() / 255).permute(1, 2, 0).expand(-1, -1, 3).numpy()
        looks = as_trained(colors, network, form)
        made.append(torch.zeros(network.channels, side, side, dtype=torch.uint8) if looks is None else looks[0])
    return torch.stack(made)


def light_on_black(colors: np.ndarray, side: int) -> np.ndarray:
    """A thing in grey on black, cut out and enlarged until it fills the square: (side, side), uint8."""
    grey = colors.mean(axis=2)
    ground = float(np.median(rim_of(grey)))
    light = ground - grey if is_dark_on_light(colors) else grey - ground
    light = light.clip(0, None)
    thing = light > 0.1
    if not thing.any():
        return np.zeros((side, side), np.uint8)
    light = light[box_of(thing)] / light.max()
    room = [max(light.shape) - size for size in light.shape]
    square = np.pad(light, [(each // 2, each - each // 2) for each in room])
    light = resized(square, (side, side), Image.Resampling.BICUBIC)
    return (255 * light.clip(0, 1) + 0.5).astype(np.uint8)
