import base64
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinytorch_course import data
from tinytorch_course.errors import InputError
from tinytorch_course.reference.layers import set_generator
from tinytorch_course.report import drawing
from tinytorch_course.report.gather import read_run
from tinytorch_course.report.inside import Mistake, describe_weights, find_mistakes, gradient_flow, load_data, look
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import make_learner
from tinytorch_course.training.networks import Network, Pictures, open_network


@pytest.fixture(scope="module")
def seen(trained):
    """The run, its data, and what was seen in it."""
    run = read_run(trained, "one")
    dataset = load_data(run, None, print)
    return run, dataset, look(run, dataset, None, lambda text: None)


def test_the_scores_are_the_run_s(seen):
    run, dataset, inside = seen
    assert inside.scores.accuracy == run.result["test_accuracy"]
    assert inside.scores.count == run.result["test_count"] == len(dataset.test.images)
    wrong = inside.scores.confusion.sum() - inside.scores.confusion.trace()
    assert inside.mistake_count == wrong > 0


def test_mistakes_are_wrong_and_sorted(seen):
    _, dataset, inside = seen
    logits = inside.network.logits(dataset.test.images)
    confidences = [each.confidence for each in inside.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    for each in inside.mistakes:
        assert each.true == dataset.classes[dataset.test.labels[each.position]] != each.answer
        assert torch.equal(each.pixels, dataset.test.images[each.position])
    wrong = logits.argmax(1) != dataset.test.labels
    assert confidences[0] == pytest.approx(float(logits.double().softmax(1)[wrong].max()))


def test_no_mistake_is_none(seen):
    _, dataset, _ = seen
    logits = torch.nn.functional.one_hot(dataset.test.labels, 10).float()
    assert find_mistakes(dataset, logits) == []


def test_gradients_are_those_of_autograd(seen):
    run, dataset, inside = seen
    twin = open_network(str(run.path), impl="torch")
    chosen = data.epoch_order(len(dataset.train.images), run.config.seed, 0)[: run.config.batch_size]
    assert inside.flow_images == run.config.batch_size
    twin.learner.net.train()
    logits = twin.learner.net(twin.normalise(dataset.train.images[chosen]))
    torch.nn.functional.cross_entropy(logits, dataset.train.labels[chosen]).backward()
    expected = {}
    for name, param in twin.learner.net.named_parameters():
        layer = name.rpartition(".")[0]
        expected[layer] = expected.get(layer, 0.0) + float(param.grad.double().square().sum())
    assert {each.layer: each.norm for each in inside.flow} == pytest.approx(
        {layer: square**0.5 for layer, square in expected.items()}, rel=1e-4
    )
    weight = twin.learner.net.fc3
    size = (weight.weight.double().square().sum() + weight.bias.double().square().sum()).sqrt().item()
    assert inside.flow[-1].relative == pytest.approx(inside.flow[-1].norm / size, rel=1e-6)


def test_gradients_are_those_of_training_mode():
    """Batch norm uses the batch's statistics, dropout its masks: both implementations draw the same ones."""
    dataset = data.load("digits", limit=16)
    config = TrainConfig(model="mnist_cnn", dtype="float64")
    ours, twin = (make_learner(dataclasses.replace(config, impl=impl)) for impl in ("scratch", "torch"))
    pictures = Pictures.of(dataset)
    network = Network(Path("model.pt"), None, config.model, "scratch", config, pictures, ours, ours.device)
    flow = {each.layer: each.norm for each in gradient_flow(network, dataset, 5, 8)}

    chosen = data.epoch_order(16, 5, 0)[:8]
    twin.net.train()
    set_generator(twin.net, torch.Generator().manual_seed(derive_seed("masks", 5, 0, 0)))
    logits = twin.net(network.normalise(dataset.train.images[chosen]))
    torch.nn.functional.cross_entropy(logits, dataset.train.labels[chosen]).backward()
    assert flow["conv1"] == pytest.approx(float(twin.net.conv1.weight.grad.norm()), rel=1e-9)
    assert flow["fc1"] == pytest.approx(
        float(torch.stack([param.grad.norm() for param in twin.net.fc1.parameters()]).norm()), rel=1e-9
    )


def test_outputs_are_those_of_the_layers(seen):
    _, dataset, inside = seen
    example = inside.example
    assert example.true == dataset.classes[dataset.test.labels[example.position]] == example.answers[0][0]
    names = [output.layer for output in example.outputs]
    assert names == [
        *("conv1", "tanh1", "pool1", "conv2", "tanh2", "pool2", "fc1", "tanh3", "fc2", "tanh4", "fc3"),
    ]  # flatten changes nothing
    outputs = {output.layer: output.values for output in example.outputs}
    assert outputs["conv1"].shape == (6, 28, 28)
    logits = inside.network.logits(example.pixels[None])[0]
    assert torch.allclose(outputs["fc3"], logits)
    assert torch.allclose(outputs["conv1"].tanh(), outputs["tanh1"])


def test_filters_are_the_first_weights(seen):
    run, _, inside = seen
    weight = torch.load(run.path / "model.pt", weights_only=True)["conv1.weight"]
    assert inside.filter_name == "conv1.weight"
    assert torch.equal(inside.filters, weight)


def test_histograms_count_every_weight(seen):
    _, _, inside = seen
    assert [each.name for each in inside.weights] == [
        f"{layer}.weight" for layer in ("conv1", "conv2", "fc1", "fc2", "fc3")
    ]
    for each in inside.weights:
        assert sum(each.counts) == torch.Size(each.shape).numel()
    constant = describe_weights("zero", torch.zeros(2, 3))
    assert (sum(constant.counts), constant.mean, constant.deviation) == (6, 0.0, 0.0)


def test_a_linear_layer_that_sees_the_image_has_filters_too(torch_trained):
    run = read_run(torch_trained, "one")
    inside = look(run, load_data(run, None, print), None, lambda text: None)
    assert inside.network.impl == "torch"
    assert inside.scores.accuracy == run.result["test_accuracy"]
    assert inside.filters.shape == (16, 1, 28, 28)
    assert [output.layer for output in inside.example.outputs][-1] == "fc2"


def test_the_data_lie_where_the_caller_says(trained, monkeypatch):
    run, asked = read_run(trained, "one"), []
    monkeypatch.setattr(data.sources, "load", lambda *args, **options: asked.append((args, options)))
    load_data(run, "elsewhere", print)
    load_data(run, None, print)
    assert [args for args, _ in asked] == [("digits", "elsewhere"), ("digits", None)]
    assert {options["limit"] for _, options in asked} == {64}


def test_other_data_are_refused(trained):
    run = read_run(trained, "one")
    dataset = load_data(run, None, print)
    with pytest.raises(InputError, match="was trained on data other than"):
        look(run, dataset._replace(classes=("a", *dataset.classes[1:])), None, print)


def test_the_confusion_table_has_the_counts(seen):
    _, _, inside = seen
    rows = drawing.confusion_rows(inside)
    assert [[count for count, _, _ in cells] for _, cells in rows] == inside.scores.confusion.tolist()
    assert [[right for _, _, right in cells] for _, cells in rows] == np.eye(10, dtype=bool).tolist()
    worst = drawing.confusions(inside)[0]
    matrix = inside.scores.confusion.clone().fill_diagonal_(0)
    true, answer = divmod(int(matrix.argmax()), 10)
    assert worst == f"{true} taken for {answer}: {matrix.max()}"


def test_colour_filters_are_coloured(seen):
    _, _, inside = seen
    weights = torch.zeros(2, 3, 2, 2)
    weights[0, 0], weights[1, 2] = 1.0, -1.0  # red; the opposite of blue
    uri = drawing.filter_picture(dataclasses.replace(inside, filters=weights)).uri
    tiles = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert tiles[0, 0].tolist() == [255, 128, 128, 255]
    assert tiles[0, 3].tolist() == [128, 128, 0, 255]


def test_gradients_over_steps_are_a_map():
    norms = {"a": [(1, 1.0), (3, 0.1), (5, 0.0)], "b": [(1, 1e-4), (5, float("inf"))]}
    picture = drawing.gradient_map(norms)
    assert "2 parameters at 3 steps, from 1 to 5" in picture
    assert "Largest in the mean: a; smallest: b" in picture


def test_mistakes_say_what_they_are():
    (picture,) = drawing.mistake_pictures([Mistake(7, torch.zeros(1, 4, 4, dtype=torch.uint8), "4", "9", 0.99)])
    assert picture.alt == "Test image 7: 4, taken for 9, probability 0.990"
