"""Training loops that are watched: planted mistakes, published ones, and loops that are right."""

import contextlib
import importlib.util
import inspect
import io
import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from tinytorch_course.doctor import training
from tinytorch_course.doctor.checks import NOTE, WRONG
from tinytorch_course.doctor.watch import Watch
from tinytorch_course.errors import InputError

LOOPS = Path(__file__).parent / "loops"


def load(name):
    """A file of loops as a module."""
    sys.path.insert(0, str(LOOPS))
    try:
        spec = importlib.util.spec_from_file_location(f"loops_{name}", LOOPS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(LOOPS))
        sys.modules.pop("toy_data", None)
    return module


def functions_of(name):
    """The loops of a file: its functions without arguments."""
    module = load(name)
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return [key for key, value in own.items() if inspect.isfunction(value) and not inspect.signature(value).parameters]


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slower by many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def watched(file, function, steps=20):
    """What is found, by name, as in the child process but within this one."""
    torch.manual_seed(0)
    request = training.Request(str(LOOPS / f"{file}.py"), function, steps)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        answer = training._watched(request, Path(folder))
    return {finding["name"]: finding for finding in answer["findings"]}, answer


def accused(found):
    return [name for name, finding in found.items() if finding["state"] == WRONG]


NOTES = {"eval_with_grad", "metric_on_training_data", "retain_graph", "dropout_p", "unused", "same_order", "graph_kept"}
BASE = {"graph_kept_in_a_sum": "graph-kept", "broadcast_by_hand": "broadcast", "graph_cut_loss": "graph-cut",
        "graph_cut_raises": "graph-cut", "lr_of_nothing": "lr-too-small"}  # fmt: skip


@pytest.mark.parametrize("function", functions_of("planted"))
def test_planted_mistake(function):
    found, _ = watched("planted", function)
    name = BASE.get(function, function.replace("_", "-"))
    assert name in found
    assert found[name]["state"] == (NOTE if function in NOTES else WRONG)
    assert found[name]["advice"]


@pytest.mark.parametrize("function", functions_of("correct"))
def test_right_loop_is_not_accused(function):
    found, answer = watched("correct", function)
    assert accused(found) == []
    assert answer["steps"] >= 10 or len(answer["losses"]) >= 20
    assert "look-failed" not in found


# What is said of each published fault: the names that name its cause, or "" where it is missed. Of the notes, only
# "train-not-called" and "classes-by-regression" name the cause; docs/training_doctor.md counts all of them.
PUBLISHED = {
    "traincheck": {
        "everything_frozen": "all-frozen",
        "zero_grad_forgotten": "zero-grad-missing",
        "never_frozen": "train-not-called",
        "evaluated_before_training": "",
        "workers_alike": "repeated-batches",
        "dropout_in_evaluation": "dropout-in-evaluation",
        "one_text_for_the_batch": "batch-sizes",
        "optimizer_of_replaced_parameters": "other-parameters",
    },
    "defects4ml": {
        "loss_by_hand": "not-finite",
        "update_not_divided": "lr-too-large",
        "autoencoder_loss_by_hand": "not-finite",
        "softmax_missing": "log-softmax-missing",
        "wrong_scaling_for_the_loss": "targets-out-of-range",
        "regression_loss_for_classes": "classes-by-regression",
        "optimizer_too_weak": "",
        "activation_at_the_output": "relu-before-loss",
        "softmax_twice": "softmax-twice",
        "text_not_shuffled": "not-shuffled",
        "rate_too_large": "lr-too-large",
        "rate_too_small": "loss-does-not-fall",
        "softmax_of_one_xor": "softmax-of-one",
        "softmax_of_one_cnn": "softmax-of-one",
        "sorted_by_class": "not-shuffled",
        "softmax_for_labels_of_their_own": "softmax-of-one",
        "labels_scaled_instead": "labels-all-equal",
        "not_normalised": "inputs-not-normalised",
        "batch_too_large": "",
    },
}


@pytest.mark.parametrize(("file", "function"), [(file, one) for file in PUBLISHED for one in functions_of(file)])
def test_published_fault(file, function):
    if function not in PUBLISHED[file]:
        return  # a part of one
    if function == "workers_alike":  # whose workers only the end of a process ends at once
        found = {one.name: one._asdict() for one in training.watch_training(f"{LOOPS / file}.py:{function}").findings}
    else:
        found, _ = watched(file, function)
    name = PUBLISHED[file][function]
    assert next(iter(found), "") == name  # the cause comes first
    if name in ("train-not-called", "classes-by-regression", "loss-does-not-fall", ""):
        assert accused(found) == []


def test_every_published_fault_is_in_the_table():
    for file, known in PUBLISHED.items():
        assert set(known) <= set(functions_of(file))
    text = (Path(__file__).parents[2] / "docs" / "training_doctor.md").read_text(encoding="utf-8")
    for file, known in PUBLISHED.items():
        for function, name in known.items():
            row = next(line for line in text.splitlines() if f"`{function}`" in line)
            assert (name or "missed") in row, (file, function)


@pytest.mark.parametrize("function", ["plain", "adversarial", "closure", "recurrent"])
def test_watching_changes_no_result(function):
    """The same losses as without watching, to the last bit."""
    backward = torch.autograd.backward

    def losses(seen):
        values = []
        torch.manual_seed(0)
        module = load("correct")
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
            noted = lambda loss, *rest, **options: (values.append(loss.item()), backward(loss, *rest, **options))  # noqa: E731
            patch.setattr(torch.autograd, "backward", noted)
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if seen:
                stack.enter_context(Watch(LOOPS, 10_000, 60.0).watching())
            getattr(module, function)()
        return values

    watched_losses = losses(True)
    assert watched_losses == losses(False)
    assert len(watched_losses) > 10


@pytest.mark.parametrize("step", ["", "    optimizer.step(); optimizer.zero_grad()\n"])
def test_loop_without_an_end_is_left(tmp_path, monkeypatch, step):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # which the script becomes
    file = tmp_path / "endless.py"
    source = "import torch\nmodel = torch.nn.Linear(3, 1)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.01)\n"
    loop = "while True:\n    model(torch.randn(8, 3)).pow(2).mean().backward()\n"
    file.write_text(source + loop + step, encoding="utf-8")
    answer = training._watched(training.Request(str(file), None), tmp_path)
    assert len(answer["losses"]) == 200
    assert answer["steps"] == (200 if step else 0)


def test_hooks_are_gone_afterwards():
    watched("correct", "frozen_within")
    from torch.nn.modules import module
    from torch.optim import optimizer

    assert not module._global_forward_pre_hooks
    assert not module._global_forward_hooks
    assert not optimizer._global_optimizer_pre_hooks
    assert torch.autograd.backward.__module__ == "torch.autograd"


@pytest.mark.slow
def test_command(capsys, tmp_path):
    from tinytorch_course.cli.app import run

    assert run(["doctor", "--training", f"{LOOPS / 'planted.py'}:zero_grad_missing"]) == 1
    out = capsys.readouterr().out
    assert "WRONG zero-grad-missing" in out
    assert "planted.py line" in out
    assert run(["doctor", "--training", f"{LOOPS / 'correct.py'}:accumulated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) | {"losses": 0} == {
        "ok": True, "steps": 20, "losses": 0, "evaluated": 0, "findings": []}  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text("import torch\nif __name__ == '__main__':\n    while True: pass\n", encoding="utf-8")
    assert run(["doctor", "--training", str(script), "--timeout", "1"]) == 2
    assert "did not end within 1 seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("nothing.py:f", "does not exist"),
        ("planted.py:", "not of the form"),
        ("planted", "not of the form"),
    ],
)
def test_refusals(code, part):
    with pytest.raises(InputError, match=part):
        training.parse_training(code)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("def train(epochs): pass", "asks for 'epochs'"),
        ("def train(): pass", "no backward pass"),
        ("def train(): return 1 / 0", "line 1, in train: ZeroDivisionError"),
        ("import torhc", "No module named"),
        ("def trian(): pass", "did you mean trian"),
    ],
)
def test_what_is_no_training(tmp_path, source, part):
    file = tmp_path / "mine.py"
    file.write_text(source, encoding="utf-8")
    with pytest.raises(InputError, match=part):
        training._watched(training.Request(str(file), "train"), tmp_path)
