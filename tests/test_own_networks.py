import sys

import pytest
import torch
from own_file import MY_NET

from tinytorch_course import reference, scratch
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model, mlp
from tinytorch_course.own_networks import is_own, parse_own, short_name


@pytest.fixture
def file(tmp_path, monkeypatch):
    """my_net.py in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_net.py"
    path.write_text(MY_NET)
    return path


def test_a_function_of_l_in_a_file_is_a_network(file):
    model = find_model("my_net.py:net")
    assert (model.name, model.purpose) == ("my_net.py:net", "Two layers of my own.")
    assert (str(model.code.file), model.code.function, model.code.text) == ("my_net.py", "net", MY_NET)
    assert model.code.digest == find_model(f"{file}:net").code.digest
    assert model.where.startswith("my_net.py line ")
    params, _ = model.build(scratch.layers, num_classes=7, in_channels=3, image_size=4).init(torch.Generator())
    assert params["fc1.weight"].shape == (8, 48)
    assert params["fc2.weight"].shape == (7, 8)


def test_a_function_may_ask_for_less(file):
    params, _ = find_model("my_net.py:short").build(scratch.layers, num_classes=7).init(torch.Generator())
    assert params["1.weight"].shape == (10, 784)


def a_network(L, num_classes):
    return L.sequential(flatten=L.flatten(), fc=L.linear(784, num_classes))


def test_a_function_itself_is_a_network():
    model = find_model(a_network)
    assert "def a_network(L, num_classes):" in model.code.text
    assert model.name.endswith("test_own_networks.py:a_network")
    module = model.build(reference.layers, num_classes=3)
    assert module(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert find_model(model) is model
    assert find_model(mlp) is MODELS["mlp"]  # ours stays ours
    with pytest.raises(InputError, match="a lambda has no name"):
        find_model(lambda L: L.relu())


def test_a_script_without_a_guard_does_not_see_the_command_line(file, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tinytorch", "train", "--epochs", "3"])
    file.write_text("import sys\nSEEN = list(sys.argv)\n" + MY_NET)
    assert find_model("my_net.py:net").build.__wrapped__.__globals__["SEEN"] == [str(file)]
    assert sys.argv[1:] == ["train", "--epochs", "3"]


def test_the_file_is_run_once_and_again_when_it_changes(file, capsys):
    file.write_text("print('running')\n" + MY_NET)
    for _ in range(2):
        find_model("my_net.py:net")
    assert capsys.readouterr() == ("", "running\n")  # not into the results
    file.write_text("print('again')\n" + MY_NET)
    find_model("my_net.py:net")
    assert capsys.readouterr().err == "again\n"


def test_neighbours_can_be_imported(file):
    (file.parent / "my_widths.py").write_text("WIDTH = 10\n")
    file.write_text("import my_widths\ndef net(L): return L.linear(1, my_widths.WIDTH)\n")
    assert find_model("my_net.py:net").build(scratch.layers).init(torch.Generator())[0]["weight"].shape == (10, 1)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("my_net.py", "", "'my_net.py' is not of the form FILE:NAME"),
        ("my_net:net", "", "'my_net:net' is not of the form FILE:NAME"),
        ("my_net.py:n-t", "", "is not of the form FILE:NAME"),
        ("my_nett.py:net", "", r"the file 'my_nett.py' does not exist; did you mean my_net.py\?"),
        ("my_net.py:net", "def net(L:\n", "^my_net.py line 1: SyntaxError: "),
        ("my_net.py:net", "\nimport no_such_module\n", "^my_net.py line 2: ModuleNotFoundError"),
        (
            "my_net.py:net",
            "import sys\nsys.exit(3)\n",
            r"^my_net.py line 2: it ends as a program does, .* put what it does",
        ),
        (
            "my_net.py:net",
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('name')\np.parse_args()\n",
            "^my_net.py line 4: it ends as a program does, but it is only imported here: put what it does under if",
        ),
        ("my_net.py:nte", "def net(L): pass\n", r"'nte' is not there in my_net.py; did you mean net\?"),
        ("my_net.py:net", "net = [1]\n", "'net' is no function or class in my_net.py; it has no functions"),
        ("my_net.py:net", "class net: pass\n", "net in my_net.py is a class, but a network is a function of L"),
        ("my_net.py:net", "def net(): pass\n", "net in my_net.py takes no L"),
        ("my_net.py:net", "def net(num_classes): pass\n", "net in my_net.py takes no L"),
        ("my_net.py:net", "def net(L, width): pass\n", "net in my_net.py asks for 'width', which nobody gives"),
    ],
)
def test_what_is_no_network_is_refused_in_one_sentence(file, name, text, words):
    file.write_text(text)
    with pytest.raises(InputError, match=words) as refusal:
        find_model(name)
    assert "\n" not in str(refusal.value)


def test_names():
    assert is_own("my_net.py:net")
    assert is_own("my_net.py")
    assert not is_own("mlp-3")
    assert not is_own(None)
    assert parse_own("C:\\nets\\my.py:net")[1] == "net"
    assert (short_name("a/b.py:net"), short_name("mlp")) == ("net", "mlp")
