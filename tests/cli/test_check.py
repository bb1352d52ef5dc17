import json
import re
from pathlib import Path

import pytest

from tinytorch_course.cli.app import run

TINY = ["--op", "sigmoid"]

OPS = """
import sys
import threading
import time

import torch


def my_conv_forward(x, weight, bias=None, stride=1, padding=0):
    return torch.nn.functional.conv2d(x, weight, bias, stride, padding), (x, weight, bias, stride, padding)


def my_conv_backward(dout, cache):
    x, weight, bias, stride, padding = cache
    dx = torch.nn.grad.conv2d_input(x.shape, weight.flip(2, 3), dout, stride, padding)
    dweight = torch.nn.grad.conv2d_weight(x, weight.shape, dout, stride, padding)
    return dx, dweight, None if bias is None else dout.sum(dim=(0, 2, 3))


class MyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, dout):
        return dout * (ctx.saved_tensors[0] > 0)


def my_mse_loss_forward(input, target):
    diff = input - target
    return (diff * diff).mean(), diff


def my_mse_loss_backward(dloss, diff):
    dinput = dloss * 2 * diff
    return dinput, -dinput


def swish(x):
    return x * torch.sigmoid(x), x


def swish_backward(dout, x):
    s = torch.sigmoid(x)
    return dout * (s + x * s * (1 - s))


def shaky_tanh_forward(x):  # right, but for the digits that are lost in the sum
    out = ((x + 1e4) - 1e4).tanh()
    return out, out


def shaky_tanh_backward(dout, out):
    return dout * (1 - out * out)


def endless(x):
    while True:
        time.sleep(0.01)


def endless_backward(dout, cache):
    return dout


def chatty(x):
    print("here I am " * 20_000)
    return 2 * x, None


def chatty_backward(dout, cache):
    print("and here", file=sys.stderr)
    return 2 * dout


def on_gpu(x):
    return x.cuda(), None


def on_gpu_backward(dout, cache):
    return dout


def lonely(x):
    return x, None


def no_pair(x):
    return 2 * x


def no_pair_backward(dout, cache):
    return dout


def wordy(x):
    return x, None


def wordy_backward(dout, cache):
    return "dx"


def leaves(x):
    sys.exit(3)


def leaves_backward(dout, cache):
    return dout


def raises(x):
    return x @ torch.ones(99, 99), None


def raises_backward(dout, cache):
    return dout


NUMBER = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a learner's files, and in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_ops.py").write_text(OPS)
    return tmp_path


def check(*args):
    return run(["check", *args])


def refusal(capsys, *args):
    """The one sentence with which the command ends, with exit code 2 and nothing on stdout."""
    assert check(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("Error: ")
    return lines[0].removeprefix("Error: ")


# --- ours ------------------------------------------------------------------------------------------------------------


def test_ours_as_a_table(capsys):
    assert check(*TINY) == 0
    out, err = capsys.readouterr()
    assert re.search(r"name +cases +forward +autograd +differences +verdict\n", out)
    assert re.search(r"^sigmoid +5 +\S+ +\S+ +\S+ +ok", out, flags=re.MULTILINE)
    assert re.search(r"all ok: 7 cases of 2 in [\d.]+ s; tolerances: 1e-10 beside autograd, 1e-06 beside diff", out)
    assert "\x1b" not in out + err
    assert all(len(line) <= 80 for line in out.splitlines()[:6])


def test_ours_as_json(capsys):
    assert check(*TINY, "--json", "--seed", "3") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["seed"], document["dtype"]) == (True, 3, "float64")
    assert [row["kind"] for row in document["results"]] == ["op", "layer"]
    assert document["results"][0]["gradient_error"] < 1e-10


def test_another_seed_takes_other_numbers(capsys):
    errors = []
    for seed in ("0", "0", "1"):
        assert check(*TINY, "--json", "--seed", seed) == 0
        errors.append(json.loads(capsys.readouterr().out)["results"][0]["difference_error"])
    assert errors[0] == errors[1] != errors[2]


def test_float32_has_its_own_tolerance(capsys):
    assert check(*TINY, "--dtype", "float32", "--json") == 0
    row = json.loads(capsys.readouterr().out)["results"][0]
    assert 1e-10 < row["gradient_error"] < 1e-5


def test_a_mistake_of_ours_is_reported(capsys):
    from tinytorch_course.lockstep.planting import WrongOp, planted

    with planted(WrongOp("sigmoid", backward=lambda dout, call: dout * call.out)):
        assert check(*TINY) == 1
    out, _ = capsys.readouterr()
    assert re.search(r"^sigmoid +5 .* WRONG", out, flags=re.MULTILINE)
    assert "2 of 2 WRONG" in out
    assert re.search(r"    at \[[\d, ]+\]: \S+, but right is \S+\n", out)
    assert re.search(r"The right one: .*activation\.py:\d+ \(sigmoid_backward\)", out)


def test_explained(capsys):
    assert check("--op", "tanh", "--explain") == 0
    out, _ = capsys.readouterr()
    assert "Backward: dx = dout · (1 − out²)." in out
    assert "depends on its step h" in out
    assert len(re.findall(r"^ +1e-\d\d ", out, flags=re.MULTILINE)) == 12
    assert "<- best in float64" in out
    assert "<- best in float32" in out


def test_the_list(capsys):
    assert check("--list") == 0
    out, _ = capsys.readouterr()
    for name in ("conv2d", "cross_entropy", "batch_norm2d", "adamw", "one_cycle", "mnist_cnn"):
        assert re.search(rf"^ *{name}\b", out, flags=re.MULTILINE), name
    assert check("--list", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert "mnist_cnn" in document["networks"]


# --- a learner's own -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pair_with_a_mistake(here, capsys):
    assert check("my_ops.py:my_conv_forward,my_conv_backward", "--like", "conv2d") == 1
    out, _ = capsys.readouterr()
    assert "my_conv like conv2d" in out
    assert re.search(r"dx: the kernel is turned by 180 degrees.*\n    at \[[\d, ]+\]: \S+, but right is \S+\n", out)
    assert "dbias" not in out.partition("WRONG")[2]
    assert re.search(r"The right one: .*convolution\.py:\d+ \(conv2d_backward\)", out)


@pytest.mark.usefixtures("same_process")
def test_a_right_autograd_function_is_not_accused(here, capsys):
    assert check("my_ops.py:MyReLU", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert document["results"][0]["cases"] > 1
    assert document["results"][0]["diagnosis"] == []


@pytest.mark.usefixtures("same_process")
def test_a_forward_that_is_called_otherwise_than_its_name(tmp_path, monkeypatch, capsys):
    """As after a decorator of the learner's own: backward belongs to the name in the file."""
    monkeypatch.chdir(tmp_path)
    Path("my_ops.py").write_text(
        "inner = lambda x: (x.clamp(min=0), x)\nmy_relu_forward = inner\n"
        "def my_relu_backward(dout, x):\n    return dout * (x > 0)\n"
    )
    assert check("my_ops.py:my_relu") == 0
    assert "WRONG" not in capsys.readouterr().out


@pytest.mark.usefixtures("same_process")
def test_a_loss_by_its_name(here, capsys):
    assert check("my_ops.py:my_mse_loss") == 1
    out, err = capsys.readouterr()
    assert "compared with mse_loss, as its name says" in out + err
    assert re.search(r"dinput and dtarget: .*a sum stands where a mean belongs", out)


@pytest.mark.usefixtures("same_process")
def test_without_a_twin(here, capsys):
    assert check("my_ops.py:swish", "--shapes", "4x3") == 0
    out, err = capsys.readouterr()
    assert "central differences alone" in out + err
    assert re.search(r"^dx +\d\.\de-\d\d$", out, flags=re.MULTILINE)


@pytest.mark.usefixtures("same_process")
def test_what_only_rounding_spoils(here, capsys):
    code = ("my_ops.py:shaky_tanh_forward,shaky_tanh_backward", "--like", "tanh")
    assert check(*code) == 0
    assert check(*code, "--dtype", "float32") == 1
    assert "use float64" in capsys.readouterr().out


@pytest.mark.slow
def test_what_it_prints_is_kept_short(here, capsys):
    assert check("my_ops.py:chatty", "--shapes", "2") == 0
    out, err = capsys.readouterr()
    assert re.search("It printed [0-9],[0-9]{3},[0-9]{3} characters", out + err)
    assert len(out + err) < 2000


# --- what cannot be checked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import torch\ndef f(:\n", r"bad\.py line 2: SyntaxError: "),
        ("\nimport no_such_module\n", r"bad\.py line 2: ModuleNotFoundError: No module named 'no_such_module'\."),
        ("def g():\n    return 1 / 0\n\ng()\n", r"bad\.py line 2, in g: ZeroDivisionError: division by zero\."),
        (
            "import sys\nsys.exit('enough')\n",
            r"bad\.py line 2: it ends as a program does, but .* put what it does under if",
        ),
    ],
)
@pytest.mark.usefixtures("same_process")
def test_a_file_that_does_not_import(here, capsys, source, sentence):
    (here / "bad.py").write_text(source)
    assert re.fullmatch(sentence + ".*", refusal(capsys, "bad.py:f", "--like", "relu"))


@pytest.mark.slow
def test_a_file_that_ends_python(here, capsys):
    (here / "bad.py").write_text("import os\nos._exit(7)\n")
    sentence = "bad.py ended Python itself, with exit code 7 (it was being imported)."
    assert refusal(capsys, "bad.py:f", "--like", "relu").startswith(sentence)


@pytest.mark.usefixtures("same_process")
def test_a_file_of_another_kind(here, capsys):
    (here / "notes.txt").write_text("def f(x): return x, x\n")
    sentence = "notes.txt is no Python file: its name must end in .py."
    assert refusal(capsys, "notes.txt:f", "--like", "relu") == sentence


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["my_ops.py:swash", "--shapes", "2"], r"'swash' is not there in my_ops\.py; did you mean swish\?"),
        (["my_ops.py:NUMBER", "--shapes", "2"], r"'NUMBER' is no function or class in my_ops\.py.*"),
        (["my_ops.py:lonely", "--shapes", "2"], r"my_ops\.py: lonely has no lonely_backward beside it: .*"),
        (["my_ops.py:swish"], r"which op swish should equal is not clear from its name: say --like OP .*"),
        (
            ["my_ops.py:swish", "--shapes", "2,3"],
            r"my_ops\.py: swish\(\) takes 1 inputs, but 2 were given\.",
        ),
        (
            ["my_ops.py:raises", "--shapes", "4x3"],
            r"my_ops\.py line \d+, in raises: RuntimeError: .*\(4x3 and 99x99\)\.",
        ),
        (
            ["my_ops.py:no_pair", "--like", "relu"],
            r"my_ops\.py: no_pair must return \(out, cache\), but it returned .*",
        ),
        (["my_ops.py:leaves", "--shapes", "2"], r"my_ops\.py line \d+, in leaves: it calls sys\.exit\(3\), but .*"),
    ],
)
@pytest.mark.usefixtures("same_process")
def test_code_that_cannot_be_checked(here, capsys, args, sentence):
    assert re.fullmatch(sentence, refusal(capsys, *args))


@pytest.mark.slow
def test_code_that_does_not_end(here, capsys):
    told = refusal(capsys, "my_ops.py:endless", "--shapes", "2", "--timeout", "0.5")
    assert re.fullmatch(r".* within 0\.5 seconds \(it was in endless\); .*", told)


@pytest.mark.usefixtures("same_process")
def test_a_backward_that_returns_no_tensor(here, capsys):
    assert check("my_ops.py:wordy", "--shapes", "2") in (1, 2)
    out, err = capsys.readouterr()
    assert "a str" in out + err
    assert "Traceback" not in out + err


@pytest.mark.usefixtures("same_process")
def test_code_that_needs_a_gpu(here, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert "it asks for a GPU, and there is none here" in refusal(capsys, "my_ops.py:on_gpu", "--shapes", "2")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nowhere.py:f"], "the file 'nowhere.py' does not exist."),
        ([".:f"], "the file '.' is a folder, not a Python file."),
        (["my_ops.py"], "'my_ops.py' is not of the form FILE:NAME, such as "),
        (["my_ops.py:a,b,c"], "'a,b,c' must be one name, or two with a comma between them"),
        (["my_ops.py:swish", "--shapes", "4y3"], "--shapes must be sizes joined by x, one shape for each tensor, such"),
        (["my_ops.py:swish", "--op", "relu"], "--op is for our own ops: to compare your code with one of them, say"),
        (["--like", "relu"], "--like is for code of your own: name it, as in my_ops.py:my_relu."),
        (["--shapes", "2"], "--shapes is for code of your own"),
        (["--op", "conv2"], "there is no op, layer, optimizer or network 'conv2'; did you mean conv2d"),
        (["--dtype", "float16"], "--dtype must be one of float64, float32, but it is 'float16'."),
        (["--device", "tpu"], "--device must be one of auto, cpu, cuda, cuda:N, but it is 'tpu'; did you mean cpu?"),
        (["--seed", "-1"], "--seed must be at least 0, but it is -1."),
        (["--seed", str(2**63)], "--seed must be below 2**63, but it is 9223372036854775808."),
        (["--timeout", "0"], "--timeout must be above 0 and at most 86400 seconds, but it is 0."),
        (["--timeout", "86401"], "--timeout must be above 0 and at most 86400 seconds, but it is 86401."),
    ],
)
def test_bad_options(here, capsys, args, sentence):
    assert refusal(capsys, *args).startswith(sentence)


def test_an_absent_gpu(here, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device is cuda, but torch finds no CUDA device here" in refusal(capsys, *TINY, "--device", "cuda")
