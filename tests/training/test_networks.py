"""Networks taken out of what a real run leaves behind."""

import json

import pytest
import torch

from tinytorch_course import data
from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.reference import layers as twins
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS
from tinytorch_course.training.loop import train
from tinytorch_course.training.networks import open_network, read_pictures


class Silent:
    def __getattr__(self, name):
        return lambda *values: None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of mini_cnn, whose batch norm makes evaluation mode differ from training's."""
    folder = tmp_path_factory.mktemp("networks") / "run"
    config = TrainConfig(model="mini_cnn", data="digits", limit=64, batch_size=32, epochs=1)
    return folder, train(config, out=str(folder), display=Silent())


@pytest.mark.parametrize("impl", ["scratch", "torch"])
def test_a_run_folder_gives_the_network_that_was_tested(run, impl):
    folder, result = run
    network = open_network(str(folder), impl=impl)
    test = data.load("digits", limit=64).test
    logits = network.logits(test.images)
    assert logits.shape == (64, 10)
    assert (logits.argmax(1) == test.labels).double().mean().item() == pytest.approx(result.test_accuracy)
    assert (network.model, network.impl, network.data, network.run) == ("mini_cnn", impl, "digits", folder)
    assert network.classes == tuple("0123456789")
    assert (network.channels, network.image_size) == (1, 28)


def test_the_logits_are_those_of_an_ordinary_module(run):
    folder, _ = run
    network = open_network(str(folder / "model.pt"))
    module = find_model("mini_cnn").build(twins)
    module.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    images = data.load("digits", limit=200).test.images  # two batches
    x = (images / 255 - network.mean[0]) / network.std[0]
    torch.testing.assert_close(network.normalise(images), x, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(network.logits(images), module.eval()(x), rtol=1e-4, atol=1e-4)


def test_last_pt_gives_the_last_epoch(run):
    folder, _ = run
    images = data.load("digits", limit=8).test.images
    assert torch.equal(
        open_network(str(folder / "last.pt")).logits(images), open_network(str(folder)).logits(images)
    )  # of one epoch, which is the last and the best


def test_a_run_without_data_json_takes_its_data_again(run, tmp_path):
    folder, _ = run
    for name in ("config.toml", "model.pt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    old, new = open_network(str(tmp_path)), open_network(str(folder))
    assert old.classes == new.classes
    assert abs(old.mean[0] - new.mean[0]) < 0.05  # of all the digits, not of the first 64


def test_a_bare_file_takes_the_name_of_its_network(tmp_path):
    module = find_model("mlp-20").build(twins, num_classes=7)
    torch.save(module.state_dict(), tmp_path / "mine.pt")
    network = open_network(str(tmp_path / "mine.pt"), model="mlp-20")
    assert (network.run, network.data, network.classes) == (None, None, tuple("0123456"))
    assert network.logits(torch.zeros(3, 1, 28, 28, dtype=torch.uint8)).shape == (3, 7)
    with pytest.raises(InputError, match=r"does not say which network it holds: name it with --model"):
        open_network(str(tmp_path / "mine.pt"))


@pytest.mark.parametrize(("name", "channels", "classes"), [("mnist_cnn", 3, 7), ("mlp", 3, 4), ("lenet5", 1, 26)])
def test_the_first_and_the_last_weight_of_a_bare_file_say_what_it_takes(tmp_path, name, channels, classes):
    module = find_model(name).build(twins, num_classes=classes, in_channels=channels)
    torch.save(module.state_dict(), tmp_path / "mine.pt")
    network = open_network(str(tmp_path / "mine.pt"), model=name)
    assert (network.channels, network.image_size, len(network.classes)) == (channels, 28, classes)
    assert network.logits(torch.zeros(2, channels, 28, 28, dtype=torch.uint8)).shape == (2, classes)


def test_a_run_that_used_a_cuda_graph_is_opened_where_there_is_none(run, tmp_path, monkeypatch):
    asked = []
    scratch = LEARNERS["scratch"]
    monkeypatch.setitem(
        LEARNERS,
        "scratch",
        lambda build, config, **given: (asked.append(config.cuda_graph), scratch(build, config, **given))[1],
    )
    folder, _ = run
    for name in ("model.pt", "data.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = (folder / "config.toml").read_text()
    assert "cuda_graph = false" in text
    (tmp_path / "config.toml").write_text(text.replace("cuda_graph = false", "cuda_graph = true"))
    images = data.load("digits", limit=8).test.images
    assert torch.equal(open_network(str(tmp_path)).logits(images), open_network(str(folder)).logits(images))
    assert asked == [False, False]


def test_double_precision_stays(tmp_path):
    torch.save(find_model("softmax").build(twins).double().state_dict(), tmp_path / "double.pt")
    network = open_network(str(tmp_path / "double.pt"), model="softmax")
    assert network.logits(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)).dtype == torch.float64


def refused(*words, **arguments):
    with pytest.raises(InputError) as refusal:
        open_network(**arguments)
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_what_is_no_network_is_refused(run, tmp_path):
    folder, _ = run
    refused("there is no checkpoint", checkpoint=str(tmp_path / "nothing.pt"), model="mlp")
    refused("it is not a run folder", checkpoint=str(tmp_path))
    (tmp_path / "text.pt").write_text("hello")
    refused("text.pt is not a checkpoint", checkpoint=str(tmp_path / "text.pt"), model="mlp")
    checkpoints.save(tmp_path / "list.pt", [torch.ones(2)])
    refused("does not hold a state dict", checkpoint=str(tmp_path / "list.pt"), model="mlp")
    refused("lacks conv1.bias", "unexpected", "--model", checkpoint=str(folder), model="lenet5")
    refused("there is no network", checkpoint=str(folder), model="alexnet")
    network = open_network(str(folder))
    with pytest.raises(InputError, match=r"expects images of 1x28x28, but these are 3x32x32"):
        network.logits(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("content", ["", "{}", "[1]", json.dumps({"name": "mnist", "classes": 3})])
def test_a_malformed_data_json_is_refused(run, tmp_path, content):
    folder, _ = run
    for name in ("config.toml", "model.pt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "data.json").write_text(content)
    refused("data.json is malformed", checkpoint=str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": []},
        {"classes": [0, 1]},
        {"channels": 0},
        {"channels": 3},
        {"image_size": "big"},
        {"mean": ["x"]},
        {"mean": [float("nan")]},
        {"std": [0.0]},
        {"std": []},
        {"more": 1},
    ],
    ids=str,
)
def test_a_data_json_that_makes_no_sense_is_refused(run, tmp_path, change):
    held = json.loads((run[0] / "data.json").read_text())
    path = tmp_path / "data.json"
    path.write_text(json.dumps(held))
    assert read_pictures(path).classes == tuple("0123456789")
    path.write_text(json.dumps(held | change))
    with pytest.raises(InputError, match=r"data\.json is malformed: it does not describe a data set"):
        read_pictures(path)
