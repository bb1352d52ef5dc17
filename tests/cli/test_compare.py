import json
import re

import pytest

from tinytorch_course.cli.app import run
from tinytorch_course.lockstep.inject import INJECTIONS

TINY = ["--model", "mlp", "--data", "digits", "--limit", "8", "--batch-size", "4", "--device", "cpu"]
TABLE_LINE = re.compile(r" +(\d+) +\d\.\d{4} +\d\.\d{4} +\S+ +\S+ +\S+ +[\d.]+ +[\d.]+ +[\d.]+")


def compare(*args):
    return run(["compare", *TINY, *args])


def test_both_stay_together_in_float64(capsys, memory):
    assert compare("--dtype", "float64", "--steps", "12") == 0
    out, err = capsys.readouterr()
    steps = [int(line[1]) for line in map(TABLE_LINE.fullmatch, out.splitlines()) if line]
    assert steps == [1, 2, 3, 5, 10, 12]
    assert "Same: over 12 steps, every tensor is within 1e-09 of torch's; the largest relative error is " in out
    assert re.search(r"Test accuracy: (\S+ %) from scratch, \1 in torch; 0 of 8 predictions differ\.", out)
    assert re.search(r"Peak memory of a step: [\d.]+ MB from scratch, [\d.]+ MB in torch \([\d.]+ times\)\.", out)
    assert re.search(r"Time of a step \(median\): [\d.]+ ms from scratch, [\d.]+ ms in torch \([\d.]+ times\)\.", out)
    assert "mlp, 109,386 parameters, from scratch and in torch side by side: 12 steps with 4 images of embedded" in err
    assert "\x1b" not in out + err
    assert "float32" not in out


def test_float32_goes_through_and_says_why_the_paths_part(capsys):
    assert compare("--steps", "2") == 0
    out, _ = capsys.readouterr()
    assert "Over 2 steps, the largest relative error is " in out
    reason = out[out.index("In float32") :].strip()
    assert len(re.findall(r"\.(\s|$)", reason)) == 2
    assert "another number of threads" in reason
    assert "--seeds 5" in reason


def test_a_planted_mistake_is_named_with_its_line(capsys):
    assert compare("--inject", "relu-mask-from-dout", "--steps", "3") == 1
    out, err = capsys.readouterr()
    assert "Step 1: the gradient of fc2's output is out of tolerance, by a relative error of " in out
    assert re.search(r"\(allowed: 1e-09\)\. Worst at \[\d, \d+\]:\n  from scratch  \S+\n  torch         \S+\n", out)
    assert re.search(
        r"Made by relu_backward, .*tinytorch_course/scratch/ops/activation\.py:\d+\n  return torch\.where", out
    )
    assert "The planted mistake was relu-mask-from-dout: the mask of relu's gradient is taken from dout" in out
    assert "Planted in the from-scratch path: the mask of relu's" in err
    assert "float64" in err
    assert "Test accuracy" not in out


def test_a_mistake_brings_the_settings_that_it_needs(capsys):
    assert compare("--inject", "adamw-decay-coupled", "--steps", "2", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["optimizer"] == "adamw"
    assert document["config"]["dtype"] == "float64"
    assert document["injected"] == "adamw-decay-coupled"
    assert document["divergence"]["kind"] == "moment"


def test_what_was_typed_is_kept_beside_a_mistake(capsys):
    assert compare("--inject", "uphill", "--steps", "2", "--dtype", "float32", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["dtype"] == "float32"
    assert (document["divergence"]["step"], document["divergence"]["kind"]) == (1, "parameter")


@pytest.mark.slow
def test_a_tolerance_of_ones_own(capsys):
    assert compare("--steps", "1", "--tolerance", "1e-15") == 1
    assert "(allowed: 1e-15)" in capsys.readouterr().out
    assert compare("--steps", "1", "--dtype", "float64", "--tolerance", "1e-3") == 0
    assert "within 0.001 of torch's" in capsys.readouterr().out


def test_epochs_instead_of_steps(capsys):
    assert compare("--epochs", "2", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"] == 4
    assert "4 steps with 4 images" in err
    assert TABLE_LINE.search(err)


@pytest.mark.slow
def test_without_a_length_it_is_a_hundred_steps(capsys):
    assert compare("--model", "softmax", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 100


@pytest.mark.slow
def test_findings_are_saved(tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert compare("--inject", "no-zero-grad", "--steps", "3", "--out", str(folder)) == 1
    assert f"Saved: {folder / 'timeline.json'}, {folder / 'timeline.png'}" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["timeline.json", "timeline.png"]
    document = json.loads((folder / "timeline.json").read_text())
    assert document["divergence"]["step"] == 2
    timeline = document["timeline"]
    assert timeline["steps"] == [1, 2]
    assert len(timeline["relative_error"]) == len(timeline["ulp"]) == 2
    assert len(timeline["tensors"]) == len(timeline["relative_error"][0])
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_seeds_compare_accuracies(tmp_path, capsys):
    folder = tmp_path / "seeds"
    assert compare("--seeds", "3", "--steps", "4", "--seed", "5", "--out", str(folder)) == 0
    out, err = capsys.readouterr()
    assert [int(number) for number in re.findall(r"^ +(\d+) +\S+ % +\S+ % +[+-]\S+ %$", out, re.MULTILINE)] == [5, 6, 7]
    assert re.search(r"from scratch  mean \S+ %, standard deviation \S+ points", out)
    assert re.search(r"difference    [+-]\S+ ± \S+ points \(standard error\)", out)
    assert "3 seeds, 4 steps each with 4 images" in err
    document = json.loads((folder / "seeds.json").read_text())
    assert [row["seed"] for row in document["runs"]] == [5, 6, 7]
    assert (folder / "seeds.png").read_bytes().startswith(b"\x89PNG")


def test_seeds_as_json(capsys):
    assert compare("--seeds", "3", "--steps", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["mean"]) == set(document["standard_deviation"]) == {"scratch", "torch"}
    assert document["steps"] == 1


def test_the_list_of_mistakes(capsys):
    assert run(["compare", "--list-mistakes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    begun = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in begun] == [injection.name for injection in INJECTIONS]
    text = " ".join(" ".join(lines).split())
    assert "(needs --optimizer sgd, --momentum above 0)" in text
    assert all(injection.what in text for injection in INJECTIONS)


def test_the_list_of_mistakes_as_json(capsys):
    assert run(["compare", "--list-mistakes", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in document] == [injection.name for injection in INJECTIONS]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--steps", "0"], "--steps must be at least 1, but it is 0."),
        (["--steps", "many"], "--steps must be an integer, but it is 'many'."),
        (["--steps", "3", "--epochs", "1"], "--steps and --epochs both say how long to train: give one of them."),
        (["--epochs", "0"], "--epochs must be at least 1, but it is 0."),
        (["--tolerance", "-1"], "--tolerance must be a finite number of at least 0, but it is -1.0."),
        (["--tolerance", "nan"], "--tolerance must be a finite number of at least 0, but it is nan."),
        (["--tolerance", "inf"], "--tolerance must be a finite number"),
        (["--tolerance", "little"], "--tolerance must be a number, but it is 'little'."),
        (["--seeds", "2"], "--seeds must be at least 3"),
        (["--seeds", "3", "--tolerance", "1"], "--tolerance does not go with --seeds"),
        (["--inject", "uphil"], "there is no mistake 'uphil' to inject; did you mean uphill?"),
        (
            ["--inject", "max-pool-ties"],
            "needs a network with max_pool2d, which mlp has not: choose --model mnist_cnn or mini_cnn or ",
        ),
        (["--inject", "uphill", "--optimizer", "adam"], "shows only with --optimizer sgd, but --optimizer is adam."),
        (["--model", "mlpp"], "there is no network"),
        (["--data", "imagenet"], "--data must be one of"),
        (["--device", "cuda:99"], "--device is cuda:99, but"),
        (["--dtype", "float16"], "--dtype must be one of float32, float64"),
        (["--optimizer", "lion"], "--optimizer must be one of"),
        (["--momentum", "0.5"], "--momentum is for --optimizer sgd and rmsprop"),
        (["--lr", "0"], "--lr must be a finite number above 0"),
        (["--batch-size", "9"], "--batch-size is 9, but there are only 8 images to train on."),
        (["--model", "mnist_cnn", "--limit", "9"], "leaves a last batch of one image"),
        (["--impl", "torch"], "tinytorch compare has no option '--impl'"),
        (["--step", "3"], "tinytorch compare has no option '--step'; did you mean --steps?"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(args, words, tmp_path, capsys):
    folder = tmp_path / "some" / "folder"
    assert compare(*args, "--out", str(folder)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert compare("--out", str(tmp_path)) == 2
    assert f"Error: {tmp_path} already exists and is not an empty folder" in capsys.readouterr().err
    assert compare("--out", str(tmp_path / "file")) == 2
    assert "already exists and is not an empty folder" in capsys.readouterr().err
    assert compare("--out", str(tmp_path / "file" / "below")) == 2
    assert capsys.readouterr().err.startswith("Error: cannot use ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help_says_what_each_option_does(capsys):
    assert run(["compare", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for line in (
        "(default: 1e-09 in float64, in float32 what no rounding can do)",
        "(default: 100, unless there are --epochs)",
        "--list-mistakes List the mistakes that --inject can plant, and end.",
        "--model NAME The network; `tinytorch models` lists them.",
        "(default: mnist_cnn)",
    ):
        assert line in words
