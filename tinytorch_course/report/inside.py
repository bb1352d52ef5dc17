"""What a trained network does: its answers to the test images, and what goes on between its layers.

Its answers come from the implementation that trained it. For the look inside it is always put into the from-scratch
one, whose state dict is the same, and whose layers can be watched one by one on the way there and back.

Legend: N images, K classes, C channels, H, W.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from tinytorch_course import data
from tinytorch_course.data import Dataset
from tinytorch_course.data.loaders import epoch_order
from tinytorch_course.errors import InputError
from tinytorch_course.evaluation.scores import Scores, score
from tinytorch_course.instruments.recording import Recorder, watch_scratch
from tinytorch_course.models import Model
from tinytorch_course.report.gather import Run
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.learners import ScratchLearner, of_kind
from tinytorch_course.training.networks import Network, open_network

MOST_MISTAKES = 24
MOST_LAYERS = 12  # whose outputs are shown
MOST_UNITS = 512  # of a layer without pictures whose outputs are shown
MOST_HISTOGRAMS = 24
HISTOGRAM_BINS = 40
Item = TypeVar("Item")
BATCH = 128  # training images at most for the gradients


class Mistake(NamedTuple):
    """A wrong answer."""

    position: int  # among the test images
    pixels: Tensor  # (C, H, W), uint8
    true: str
    answer: str
    confidence: float  # the probability of the wrong answer


class Output(NamedTuple):
    """What a layer made of the example."""

    layer: str
    values: Tensor  # (C, H, W) or (units,)


class Example(NamedTuple):
    """One test image on its way through the network."""

    position: int
    pixels: Tensor
    true: str
    answers: list[tuple[str, float]]  # the three most probable
    outputs: list[Output]


class Flow(NamedTuple):
    """The gradient that reaches one layer's parameters."""

    layer: str
    norm: float
    relative: float  # to the norm of the parameters themselves


class Weights(NamedTuple):
    """How the numbers of one parameter are spread."""

    name: str
    shape: tuple[int, ...]
    mean: float
    deviation: float
    edges: list[float]
    counts: list[int]


@dataclasses.dataclass(frozen=True)
class Inside:
    """All that the report says of one network."""

    network: Network
    scores: Scores
    mistakes: list[Mistake]  # the most confident ones, the worst first
    mistake_count: int
    filters: Tensor | None  # (O, C, KH, KW), or (O, C, H, W) of a linear layer that sees the image; None: neither
    filter_name: str
    example: Example
    flow: list[Flow]
    flow_images: int  # training images that it is of
    weights: list[Weights]
    weight_count: int  # weights there are, of which those above may be a part


def look(
    run: Run, dataset: Dataset, data_dir: str | None, notify: Callable[[str], None], model: Model | None = None
) -> Inside:
    """Open the network of a run and look at all that a report shows.

    Raises:
        InputError: if there is none that can be opened, or the data are not of its kind.
    """
    network = open_network(str(run.path), model=model, data_dir=data_dir)
    _, channels, _, side = dataset.test.images.shape
    if (network.channels, network.image_size, network.classes) != (channels, side, tuple(dataset.classes)):
        raise InputError(f"{run.path} was trained on data other than {dataset.title} as it is now")
    notify(f"{run.name}: evaluating {len(dataset.test.images):,} test images")
    logits = network.logits(dataset.test.images)
    labels = dataset.test.labels
    ours = network
    if network.impl != "scratch":
        ours = open_network(str(run.path), model=model, impl="scratch", data_dir=data_dir)
    mistakes = find_mistakes(dataset, logits)
    learner = of_kind(ours.learner, ScratchLearner)
    filter_name, filters = first_filters(ours)
    recorder = watch_scratch(learner)
    batch = dataset.train.images[: min(run.config.batch_size, BATCH, len(dataset.train.images))]
    weights = [(name, tensor) for name, tensor in learner.params.items() if tensor.dim() > 1]
    shown = _spread(weights, MOST_HISTOGRAMS)
    return Inside(
        network=network,
        scores=score(logits, labels, network.classes),
        mistakes=mistakes,
        mistake_count=int((logits.argmax(1) != labels).sum()),
        filters=filters,
        filter_name=filter_name,
        example=follow(ours, recorder, dataset, logits),
        flow=gradient_flow(ours, dataset, run.config.seed, len(batch)),
        flow_images=len(batch),
        weights=[describe_weights(name, tensor) for name, tensor in shown],
        weight_count=len(weights),
    )


def load_data(run: Run, data_dir: str | None, notify: Callable[[str], None]) -> Dataset:
    """The data that a run was trained on.

    Raises:
        InputError: if they are not to be had.
    """
    config = run.config
    return data.sources.load(
        config.data, data_dir or config.data_dir, val_size=config.val_size, limit=config.limit, notify=notify
    )


def find_mistakes(dataset: Dataset, logits: Tensor) -> list[Mistake]:
    """The wrong answers that the network was most sure of."""
    confidence, answers = logits.double().softmax(dim=1).max(dim=1)
    wrong = (answers != dataset.test.labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MOST_MISTAKES]
    return [
        Mistake(
            position,
            dataset.test.images[position],
            dataset.classes[int(dataset.test.labels[position])],
            dataset.classes[int(answers[position])],
            float(confidence[position]),
        )
        for position in worst.tolist()
    ]


def first_filters(network: Network) -> tuple[str, Tensor | None]:
    """The first layer's weights as pictures, and their name."""
    params = of_kind(network.learner, ScratchLearner).params
    name, weight = next((name, tensor) for name, tensor in params.items() if tensor.dim() > 1)
    if weight.dim() == 4:
        return name, weight
    sees_image = weight.shape[1] == network.channels * network.image_size**2
    return name, weight.view(-1, network.channels, network.image_size, network.image_size) if sees_image else None


def follow(network: Network, recorder: Recorder, dataset: Dataset, logits: Tensor) -> Example:
    """The first test image that was classified correctly (or the first of all) on its way through the network."""
    right = (logits.argmax(dim=1) == dataset.test.labels).nonzero().flatten()
    position = int(right[0]) if len(right) else 0
    recorder.start()
    probabilities = network.logits(dataset.test.images[position : position + 1])[0].double().softmax(dim=0)
    best = probabilities.topk(min(3, len(probabilities)))
    outputs, last = [], torch.empty(0)
    for quantity, values in recorder.tensors.items():
        if "." in quantity.name:
            continue  # a layer inside of a block, which is seen in the block's output
        values = values[0].cpu()
        is_picture = values.dim() == 3 and values[0].numel() > 1
        values = values if is_picture else values.flatten()
        same = torch.equal(values.flatten(), last)  # dropout and flatten add nothing
        if not same and (is_picture or values.numel() <= MOST_UNITS):
            outputs.append(Output(quantity.name, values))
        last = values.flatten()
    return Example(
        position,
        dataset.test.images[position],
        dataset.classes[int(dataset.test.labels[position])],
        [(dataset.classes[int(place)], float(value)) for value, place in zip(*best, strict=True)],
        _spread(outputs, MOST_LAYERS),
    )


def gradient_flow(network: Network, dataset: Dataset, seed: int, count: int) -> list[Flow]:
    """How large the loss's gradient is in each layer, for one batch of training images in training mode."""
    learner = of_kind(network.learner, ScratchLearner)
    chosen = epoch_order(len(dataset.train.images), seed, 0)[:count]
    x, y = network.normalise(dataset.train.images[chosen]), dataset.train.labels[chosen].to(network.device)
    masks = torch.Generator().manual_seed(derive_seed("masks", seed, 0, 0))
    with torch.no_grad():
        out, _, cache = learner.net.forward(learner.params, learner.state, x, training=True, generator=masks)
        loss, loss_cache = learner.loss.forward(out, y)
        _, grads = learner.net.backward(learner.loss.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
    layers: dict[str, list[str]] = {}
    for name in learner.params:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return [
        Flow(layer, norm, norm / size if (size := _norm(learner.params, names)) else 0.0)
        for layer, names in layers.items()
        for norm in [_norm(grads, names)]
    ]


def describe_weights(name: str, weight: Tensor) -> Weights:
    """Mean, deviation and histogram of a parameter."""
    values = weight.detach().double().flatten().cpu()
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, HISTOGRAM_BINS, low, high).long().tolist()
    edges = torch.linspace(low, high, HISTOGRAM_BINS + 1, dtype=torch.float64).tolist()
    return Weights(name, tuple(weight.shape), float(values.mean()), float(values.std(correction=0)), edges, counts)


def _norm(tensors: dict[str, Tensor], names: list[str]) -> float:
    return math.sqrt(sum(float(tensors[name].double().square().sum()) for name in names))


def _spread(items: list[Item], most: int) -> list[Item]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
