import json

from tinytorch_course.cli.app import run
from tinytorch_course.models import MODELS, find_model

# Counted by hand from the layers' shapes.
PARAMETERS = {
    "softmax": 784 * 10 + 10,
    "mlp": 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
    "lenet5": 6 * 26 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85,
    "mini_cnn": 8 * 9 + 16 * 72 + 8 * 16 + 16 * 72 + 3 * 16 * 144 + 2 * (8 + 16 + 8 + 4 * 16) + 10 * 17,
    "tiny_vgg": 10 * 10 + 3 * 10 * 91 + 10 * 161,
    "resnet18_imagenet": 11_689_512 - 2 * 64 * 49 - 990 * 513,  # torchvision's, less two colours and 990 classes
    "mnist_cnn": 32 * 9 + 2 * 32 + 64 * 32 * 9 + 2 * 64 + (3136 * 128 + 128) + (128 * 10 + 10),
}


def test_json(capsys):
    assert run(["models", "--json"]) == 0
    networks = json.loads(capsys.readouterr().out)
    assert [network["name"] for network in networks] == list(MODELS)
    assert all(network["purpose"] == find_model(network["name"]).purpose for network in networks)
    counts = {network["name"]: network["parameters"] for network in networks}
    assert {name: counts[name] for name in PARAMETERS} == PARAMETERS


def test_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "parameters", "what", "it", "is", "for"]
    rows = [line for line in lines[1:] if not line.startswith(" ")]
    assert [line.split()[0] for line in rows] == list(MODELS)
    assert rows[0].split()[1] == "7,850"
    assert max(len(line) for line in lines) <= 80
