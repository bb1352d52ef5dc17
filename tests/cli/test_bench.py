import json
import re

import pytest
import torch

from tinytorch_course.bench import subjects
from tinytorch_course.cli.app import run
from tinytorch_course.training.options import compiling


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_one_layer_as_a_table(capsys):
    assert run(["bench", "--op", "relu", "--batch-size", "2", "--repeat", "2", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^relu +2 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+-[\d.]+", out, flags=re.MULTILINE)
    assert re.search(r"cpu, float32, 1 threads, medians of 2 rounds; torch \S+; a large matmul does \d+ GFLOP/s", out)
    assert "below 1 is faster than torch" in out
    assert "training steps" not in out
    assert "Timing relu, batch 2" in err
    assert "\x1b" not in out + err


@pytest.mark.slow
def test_one_step_as_json(capsys):
    assert run(["bench", "--model", "softmax", "--repeat", "1", "--dtype", "float64", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["device"], document["dtype"], document["rounds"]) == ("cpu", "float64", 1)
    (result,) = document["results"]
    assert (result["kind"], result["name"], result["batch"]) == ("step", "softmax", 128)
    assert set(result["timing"]) == {"scratch", "torch", "ratio", "low", "high", "rounds"}
    assert result["memory"]["torch"] > 7850 * 8


def test_the_price_list(capsys):
    assert run(["bench", "--op", "linear", "--batch-size", "2", "--repeat", "1", "--price-list"]) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"^linear +2 +5/5 +[\d.]+/[\d.]+ +0\.0/0\.0", out, flags=re.MULTILINE)  # 3 · 2 · 2 · 3136 · 128
    assert "MB kept: what waits for the backward pass" in out
    assert run(["bench", "--op", "linear", "--batch-size", "2", "--repeat", "1", "--price-list", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["prices"]["scratch"]["flops"] == result["prices"]["torch"]["flops"] == 12 * 3136 * 128


@pytest.mark.slow
def test_several_batch_sizes(capsys):
    assert run(["bench", "--model", "softmax", "--batch-size", "2,4", "--repeat", "1", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(result["name"], result["batch"]) for result in results] == [("softmax", 2), ("softmax", 4)]


@pytest.mark.slow
def test_compiled_steps(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    assert run(["bench", "--model", "softmax", "--repeat", "1", "--batch-size", "4", "--compile"]) == 0
    out = capsys.readouterr().out
    assert "training steps, compiled" in out
    assert "layers" not in out


@pytest.mark.slow
def test_quick_times_every_layer_and_the_small_networks_in_few_rounds(capsys):
    assert run(["bench", "--quick", "--batch-size", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rounds"] == 3
    named = [(result["kind"], result["name"]) for result in document["results"]]
    steps = [("step", name) for name in ("softmax", "mlp", "mnist_cnn")]
    assert named == [("layer", name) for name in subjects.layers()] + steps


def test_a_step_in_the_table_has_its_rate_and_memory(capsys):
    assert run(["bench", "--model", "mlp", "--repeat", "1"]) == 0
    assert re.search(r"^mlp +64 +[\d.]+ +[\d.]+ +[\d.]+ +\S+ +\d+/\d+ +\d+/\d+", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--op", "relus"], "--op must be one of relu, leaky_relu, "),
        (["--model", "vgg19"], "there is no network 'vgg19'; "),
        (["--batch-size", "0"], "--batch-size must be at least 1 and at most 1,000,000, but it is 0."),
        (["--batch-size", "1,two"], "--batch-size must be an integer, but it is 'two'."),
        (["--batch-size", "1,0"], "--batch-size must be at least 1 and at most 1,000,000, but it is 0."),
        (["--repeat", "-1"], "--repeat must be at least 1 and at most 1,000,000, but it is -1."),
        (["--threads", "two"], "--threads must be an integer, but it is 'two'."),
        (
            ["--dtype", "float16"],
            "--dtype must be one of float32, float64, but it is 'float16'; half precision is for training",
        ),
        (["--op", "relu", "--compile"], "--compile is for training steps: give --model in place of --op"),
        (
            ["--model", "mlp", "--cuda-graph"],
            "--cuda-graph is for NVIDIA GPUs, but this run is on the CPU: leave it out",
        ),
        (["--device", "tpu"], "--device must be one of auto, cpu, cuda, cuda:N, but it is 'tpu'; did you mean cpu?"),
    ],
)
def test_bad_options(capsys, args, sentence):
    assert run(["bench", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: {sentence}")
    assert len(err.splitlines()) == 1


def test_an_absent_gpu(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(["bench", "--op", "relu", "--device", "cuda"]) == 2
    assert "torch finds no CUDA device here" in capsys.readouterr().err
