import dataclasses
import json
import math
import statistics
import sys

import pytest
import torch
from lockstep.comparing import Listener, tiny

from tinytorch_course import models, reference, scratch
from tinytorch_course.errors import InputError
from tinytorch_course.instruments.memory import peak_memory
from tinytorch_course.instruments.recording import (
    KINDS,
    Quantity,
    Recorder,
    WatchedLayers,
    scratch_state,
    torch_state,
    watch_scratch,
    watch_torch,
)
from tinytorch_course.instruments.rounding import RoundingAdversary
from tinytorch_course.lockstep.compare import IMPLS, SeedComparison, SeedRun, compare, compare_seeds
from tinytorch_course.lockstep.display import findings
from tinytorch_course.lockstep.inject import Injection, find_injection
from tinytorch_course.lockstep.planting import WrongFunction, planted
from tinytorch_course.lockstep.source import Makers
from tinytorch_course.models import Model
from tinytorch_course.seeds import derive_seed
from tinytorch_course.training import loop
from tinytorch_course.training.learners import LEARNERS, make_learner


def residual_network(L, *, num_classes=10, in_channels=1, image_size=28):
    """Blocks inside blocks, with and without a shortcut of their own, and layers without names."""
    return L.sequential(
        stem=L.conv2d(in_channels, 2, 3, stride=4, bias=False),
        body=L.sequential(
            L.residual(
                conv=L.conv2d(2, 4, 3, padding=1),
                downsample=L.sequential(L.conv2d(2, 4, 1, bias=False), L.batch_norm2d(4)),
                activation=L.relu(),
            ),
            L.residual(conv=L.conv2d(4, 4, 3, padding=1, bias=False), norm=L.batch_norm2d(4)),
        ),
        pool=L.adaptive_avg_pool2d(1),
        flatten=L.flatten(),
        fc=L.linear(4, num_classes),
    )


@pytest.fixture
def residual(monkeypatch):
    monkeypatch.setitem(models.MODELS, "residual", Model("residual", residual_network, "a test"))


# --- what is compared ------------------------------------------------------------------------------------------------


def test_every_kind_of_tensor_is_compared():
    config = tiny(model="mnist_cnn", clip_norm=0.1)
    found = compare(config, steps=1, tolerance=1e-9, display=Listener())
    assert found.divergence is None
    names = {kind: [name for each, name in found.timeline.quantities() if each == kind] for kind in KINDS}
    layers = ["conv1", "norm1", "relu1", "pool1", "conv2", "norm2", "relu2", "pool2"]
    layers += ["flatten", "drop1", "fc1", "relu3", "drop2", "fc2"]
    params = ["conv1.weight", "norm1.weight", "norm1.bias", "conv2.weight", "norm2.weight", "norm2.bias"]
    params += ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert names["activation"] == names["evaluation"] == layers
    assert names["output gradient"] == layers[::-1]
    assert names["loss"] == [""]
    assert names["rate"] == ["lr"]
    assert sorted(names["gradient"]) == sorted(params)
    assert names["update gradient"] == names["parameter"] == params
    assert names["moment"] == [f"{field} of {name}" for name in params for field in ("step", "exp_avg", "exp_avg_sq")]
    assert names["statistic"] == [
        f"{norm}.{name}"
        for norm in ("norm1", "norm2")
        for name in ("running_mean", "running_var", "num_batches_tracked")
    ]


def test_gradients_are_told_in_the_order_of_backward():
    found = compare(tiny(), steps=1, display=Listener())
    told = [f"{kind} {name}" for kind, name in found.timeline.quantities() if "gradient" in kind]
    assert told[:5] == [
        "output gradient fc3",
        "gradient fc3.weight",
        "gradient fc3.bias",
        "output gradient relu2",
        "output gradient fc2",
    ]
    assert told[-1] == "gradient fc1.bias"


def test_layers_in_blocks_have_the_names_of_the_module(residual):
    found = compare(tiny(model="residual", batch_size=8), steps=3, tolerance=1e-9, display=Listener())
    assert found.divergence is None
    names = [name for kind, name in found.timeline.quantities() if kind == "activation"]
    assert names == [
        "stem",
        "body.0.conv",
        "body.0.downsample.0",
        "body.0.downsample.1",
        "body.0.downsample",
        "body.0.activation",
        "body.0",
        "body.1.conv",
        "body.1.norm",
        "body.1",
        "body",
        "pool",
        "flatten",
        "fc",
    ]


@pytest.mark.parametrize("impl", IMPLS)
def test_being_watched_changes_nothing(impl):
    config = tiny(model="mnist_cnn", clip_norm=0.1).resolved()
    states = []
    for watched in (False, True):
        learner = make_learner(dataclasses.replace(config, impl=impl))
        if watched and impl == "scratch":
            watch_scratch(learner)
        elif watched:
            watch_torch(learner)
        x = torch.randn(4, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for step in range(2):
            learner.train_step(x, torch.tensor([1, 2, 3, 4]), torch.Generator().manual_seed(step), {"lr": 0.01})
        states.append((scratch_state if impl == "scratch" else torch_state)(learner))
    before, after = states
    assert before.keys() == after.keys()
    assert all(torch.equal(before[quantity], after[quantity]) for quantity in before)


@pytest.mark.slow
def test_a_comparison_trains_as_train_does(tmp_path):
    """Its losses over an epoch have the mean that `tinytorch train` writes into the history."""
    config = dataclasses.replace(tiny(model="mnist_cnn", limit=6), epochs=2)
    found = compare(config, tolerance=1e-9, display=Listener())
    assert len(found.rows) == 4  # two epochs of a batch of 4 and one of 2

    class Silent:
        def __getattr__(self, name):
            return lambda *args: None

    loop.train(dataclasses.replace(config, impl="torch"), out=str(tmp_path / "run"), display=Silent())
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    for epoch, row in enumerate(history):
        losses = [row.losses["torch"] for row in found.rows[2 * epoch : 2 * epoch + 2]]
        assert (4 * losses[0] + 2 * losses[1]) / 6 == pytest.approx(row["train_loss"], rel=1e-12)


@pytest.mark.slow
def test_evaluation_is_compared_after_the_first_step_each_epoch_and_the_last():
    found = compare(tiny(limit=12), steps=5, display=Listener())  # three steps an epoch
    evaluated = [any(quantity.kind == "evaluation" for quantity in step) for step in found.timeline.steps]
    assert evaluated == [True, False, True, False, True]


# --- tolerance -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_float32_goes_through_without_a_tolerance():
    listener = Listener()
    found = compare(tiny(dtype="float32"), steps=3, display=listener)
    assert found.divergence is None
    assert 0 < found.timeline.largest(["parameter"])[2].error < 1e-3
    assert [(row.step, last) for row, last in listener.rows] == [(1, False), (2, False), (3, True)]
    assert found.test.different == 0
    assert found.test.count == 8


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_in_float32_one_step_from_torchs_numbers_is_torchs(optimizer):
    """Whatever rounding has come to by then, and with gradients that are nothing but rounding (batch norm's biases)."""
    config = tiny(model="mini_cnn", dtype="float32", optimizer=optimizer, clip_norm=0.5, batch_size=8)
    assert compare(config, steps=10, display=Listener()).divergence is None


def too_far(right, param, grad, slot, **hyper):
    """5 % further than sgd goes, but in the first step."""
    moved, after = right(param, grad, slot, **hyper)
    return (moved if slot.momentum_buffer is None else param + 1.05 * (moved - param)), after


@pytest.mark.parametrize(
    ("injection", "step", "kind"),
    [
        (find_injection("uphill"), 1, "parameter"),
        (find_injection("linear-sign"), 1, "gradient"),
        (Injection("late", "it goes too far", WrongFunction("sgd_step", too_far)), 2, "parameter"),
    ],
    ids=["uphill", "sign", "late"],
)
def test_in_float32_a_mistake_is_no_rounding(injection, step, kind):
    config = tiny(optimizer="sgd", dtype="float32")
    found = compare(config, steps=3, injection=injection, display=Listener())
    assert (found.divergence.step, found.divergence.quantity.kind) == (step, kind)
    assert "nor is that rounding: the relative error of this one step is" in "\n".join(map(str, findings(found)))
    assert not any("In float32 every sum is rounded" in str(line) for line in findings(found))


@pytest.mark.slow
def test_it_stops_at_the_first_tensor_out_of_tolerance():
    listener = Listener()
    found = compare(tiny(dtype="float32"), steps=3, tolerance=0.0, display=listener)
    first = next(quantity for quantity, distance in found.timeline.steps[0].items() if distance.error > 0)
    assert found.divergence.quantity == first
    assert len(found.rows) == 1
    assert found.test is None
    assert [last for _, last in listener.rows] == [True]


@pytest.mark.slow
@pytest.mark.parametrize(("ops", "room"), [("tuned", "tuned"), ("textbook", "ops")])
def test_the_divergence_is_told_with_values_and_source(ops, room):
    injection, config = find_injection("linear-sign"), tiny(optimizer="adam", ops=ops)
    found = compare(config, steps=2, tolerance=1e-9, injection=injection, display=Listener()).divergence
    assert found.entry.ours == pytest.approx(-found.entry.twin)
    assert found.distance.error == pytest.approx(2)
    assert len(found.entry.place) == 2
    assert found.source.file.endswith(f"tinytorch_course/scratch/{room}/linear.py")
    with open(found.source.file, encoding="utf-8") as file:
        line = file.read().splitlines()[found.source.line - 1]
    assert line.strip() == found.source.text
    assert line.strip().startswith("dweight = ")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["kind"] == "gradient"
    assert document["name"] == "fc3.weight"
    assert document["source"]["function"] == "linear_backward"


def test_the_source_of_a_sum_of_two_paths():
    """The gradient of a residual block's input is added up in the layer itself, which is no op."""
    recorder = Recorder()
    net = residual_network(WatchedLayers(scratch.layers, recorder))
    params, state = net.init(torch.Generator().manual_seed(0))
    with Makers(recorder) as makers:
        out, _, cache = net.forward(params, state, torch.rand(4, 1, 28, 28), training=True)
        net.backward(torch.ones_like(out), cache, need_dx=False)
    source = makers.source_of(Quantity("output gradient", "body.0"))
    assert source.file.endswith("scratch/layers.py")
    assert "dx_main + dx_short" in source.text
    assert makers.source_of(Quantity("output gradient", "body.0.conv")).function == "add_backward"


@pytest.mark.slow
def test_what_no_function_of_ours_made_has_the_step_for_a_source(residual):
    def uphill(right, **named):
        layer = right(**named)

        def backward(dout, cache, **options):
            dx, grads = layer.backward(dout, cache, **options)
            return -dx, grads

        return layer._replace(backward=backward)

    with planted(WrongFunction("residual", uphill)):
        found = compare(tiny(model="residual", batch_size=8), steps=1, tolerance=1e-9, display=Listener()).divergence
    assert found.quantity == Quantity("output gradient", "body.0")
    assert found.source.function == "ScratchLearner.train_step"


def test_tracing_is_given_back():
    before, recorder = sys.gettrace(), Recorder()
    with pytest.raises(ZeroDivisionError), Makers(recorder):
        1 / 0  # noqa: B018
    assert sys.gettrace() is before
    assert recorder.listener is None


@pytest.mark.slow
def test_a_training_that_diverges_in_torch_is_an_error_of_input():
    with pytest.raises(InputError, match=r"training diverged: torch's loss is .* try a smaller --lr than 1e"):
        compare(tiny(optimizer="sgd", lr=1e300, schedule="constant"), steps=4, display=Listener())


@pytest.mark.slow
def test_a_mistake_that_diverges_alone_is_compared_to_the_end():
    injection = find_injection("uphill")
    config = tiny(optimizer="sgd", lr=30.0, schedule="constant", clip_norm=1.0)
    found = compare(config, steps=2, tolerance=math.inf, injection=injection, display=Listener())
    assert len(found.rows) == 2
    assert found.timeline.largest(["parameter"])[2].error > 1


# --- memory and time -------------------------------------------------------------------------------------------------


def test_peak_memory_counts_what_is_held_at_once():
    x = torch.zeros(1000, 1000)
    warm = []

    def step():
        first = x + 1
        second = first + 1
        del first
        third = second + 1  # second and third are held, 8 MB
        return third

    peak = peak_memory(lambda: warm.append(True), step, torch.device("cpu"))
    assert warm == [True]
    assert 8_000_000 <= peak < 8_100_000


def test_peak_memory_keeps_stderr_of_python(capfd):
    peak_memory(lambda: None, lambda: torch.zeros(3), torch.device("cpu"))
    print("heard again", file=sys.stderr)
    assert capfd.readouterr().err == "heard again\n"


@pytest.mark.slow
def test_both_sides_are_measured(memory):
    found = compare(tiny(), steps=3, display=Listener())
    for impl in IMPLS:
        assert found.memory[impl] > 109_386 * 8  # the gradients, at least
        assert found.seconds()[impl] == statistics.median(row.seconds[impl] for row in found.rows[1:])
        assert found.seconds()[impl] > 0


@pytest.mark.slow
def test_a_comparison_as_json():
    found = compare(tiny(), steps=2, tolerance=1e-9, display=Listener())
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["steps"] == 2
    assert document["divergence"] is None
    assert document["injected"] is None
    assert document["config"]["model"] == "mlp"
    assert document["config"]["lr"] == 5e-3
    assert "impl" not in document["config"]
    assert document["device"] == "cpu"
    assert document["test"]["different"] == 0
    assert [row["step"] for row in document["rows"]] == [1, 2]
    assert document["largest_errors"]["parameter"] < 1e-9


# --- several seeds ---------------------------------------------------------------------------------------------------


def test_seeds_in_float64_reach_the_same_accuracies():
    listener = Listener()
    found = compare_seeds(tiny(limit=40, batch_size=20, seed=7), 3, steps=4, display=listener)
    assert [run.seed for run in found.runs] == [7, 8, 9]
    assert listener.seed_rows == found.runs
    assert listener.seed_steps == [(done, step) for done in range(3) for step in (1, 2, 3, 4)]
    assert all(run.difference == 0 for run in found.runs)
    assert len({run.accuracies["torch"] for run in found.runs}) > 1  # each has a start of its own
    assert found.test_count == 40
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["difference"] == 0


@pytest.mark.slow
def test_a_seed_ends_where_a_comparison_of_it_ends():
    config = tiny(model="mnist_cnn", limit=40, batch_size=20, seed=3)
    found = compare_seeds(config, 1, steps=4, display=Listener())
    assert found.runs[0].accuracies == compare(config, steps=4, display=Listener()).test.accuracies


def test_a_mistake_shows_in_the_accuracies():
    injection = find_injection("uphill")
    config = tiny(limit=40, batch_size=20, optimizer="sgd")
    found = compare_seeds(config, 3, steps=10, injection=injection, display=Listener())
    assert found.difference < -0.2
    assert found.to_dict()["injected"] == "uphill"


def test_means_deviations_and_the_standard_error():
    runs = [
        SeedRun(seed, {"scratch": ours, "torch": twin})
        for seed, (ours, twin) in enumerate([(0.9, 0.8), (0.8, 0.9), (0.7, 0.4)])
    ]
    found = SeedComparison(tiny(), "cpu", None, 10, 100, runs)
    assert found.mean("scratch") == pytest.approx(0.8)
    assert found.mean("torch") == pytest.approx(0.7)
    assert found.deviation("scratch") == pytest.approx(0.1)
    assert found.difference == pytest.approx(0.1)
    differences = [0.1, -0.1, 0.3]
    spread = math.sqrt(sum((each - 0.1) ** 2 for each in differences) / 2)
    assert found.standard_error == pytest.approx(spread / math.sqrt(3))
    assert found.to_dict()["standard_error"] == found.standard_error


def test_masks_and_order_are_those_of_the_seed():
    listener = Listener()
    compare_seeds(tiny(), 1, steps=1, display=listener)
    setup = listener.setup
    assert setup.run.masks(1, 2).initial_seed() == derive_seed("masks", 0, 1, 2)


# --- CUDA ------------------------------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_float64_is_the_same_on_cuda(memory):
    config = tiny(model="mnist_cnn", device="cuda", limit=256, batch_size=32)
    found = compare(config, steps=50, tolerance=1e-9, display=Listener())
    assert found.divergence is None
    assert all(found.memory[impl] > 421_738 * 8 for impl in IMPLS)


# --- ties, which other machines break otherwise ----------------------------------------------------------------------


def on_other_machine(monkeypatch, impl, seed):
    """Let one implementation alone train on the adversary's machine."""
    train_step = LEARNERS[impl].train_step

    def moved(self, *args):
        with RoundingAdversary(seed):
            return train_step(self, *args)

    monkeypatch.setattr(LEARNERS[impl], "train_step", moved)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("impl", IMPLS)
def test_ties_that_are_broken_differently_are_no_divergence(monkeypatch, impl, seed):
    """Over the background of digits, rounding decides who wins a pooling window."""
    on_other_machine(monkeypatch, impl, seed)
    found = compare(tiny(model="mnist_cnn", limit=16, batch_size=8), steps=2, tolerance=1e-9, display=Listener())
    assert found.divergence is None
    assert found.rows[0].ties.other_winner > 0
    assert found.ties().windows >= found.ties().other_winner
    assert all(row.gradients.error < 1e-10 for row in found.rows)  # what arrives in a window is the same in all
    assert found.to_dict()["ties"]["other_winner"] == found.ties().other_winner
    assert "ties of max pooling, broken differently in" in " ".join(str(line) for line in findings(found))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wrong_rule_for_ties_is_still_a_divergence(monkeypatch, seed):
    on_other_machine(monkeypatch, "torch", seed)
    config = tiny(model="mnist_cnn", limit=16, batch_size=8)
    injection = find_injection("max-pool-ties")
    found = compare(config, steps=1, tolerance=1e-9, injection=injection, display=Listener()).divergence
    assert found.quantity == Quantity("output gradient", "relu2")


@pytest.mark.slow
def test_zeros_that_are_taken_differently_are_no_divergence(monkeypatch):
    """A relu whose input is 0 but for rounding: its slope is 0 or 1, and the parameters behind it follow."""

    def zeros(L, *, num_classes=10, in_channels=1, image_size=28):
        return L.sequential(
            flatten=L.flatten(), fc1=L.linear(784, 6), lift=nearly_zero(L), relu=L.relu(), fc2=L.linear(6, num_classes)
        )

    monkeypatch.setitem(models.MODELS, "zeros", Model("zeros", zeros, "a test"))
    found = compare(tiny(model="zeros"), steps=3, tolerance=1e-9, display=Listener())
    assert found.divergence is None
    assert found.rows[0].ties.other_side > 0


def nearly_zero(L):
    """A layer whose output is 0 but for rounding, and on another side in either implementation; its slope is 1."""
    if L is reference.layers:
        return NearlyZero()

    def forward(params, state, x, *, training, generator=None):
        return x * 1e-20, state, None

    return scratch.layers.Layer(lambda generator: ({}, {}), forward, lambda dout, cache, need_dx=True: (dout, {}))


class NearlyZero(torch.nn.Module):
    def forward(self, x):
        return x + (-x - x * 1e-20).detach()


# --- steps of gradients that are nothing but rounding ----------------------------------------------------------------


def normed(L, *, num_classes=10, in_channels=1, image_size=28):
    """The gradient of fc1's bias is 0, for batch norm takes every shift away; what comes out is rounding."""
    return L.sequential(
        flatten=L.flatten(), fc1=L.linear(784, 6), norm=L.batch_norm1d(6), relu=L.relu(), fc2=L.linear(6, num_classes)
    )


@pytest.mark.slow
@pytest.mark.parametrize("injected", [None, "adam-eps-inside", "adam-no-bias-correction"])
def test_an_optimizer_that_divides_by_rounding_is_handed_over(monkeypatch, injected):
    monkeypatch.setitem(models.MODELS, "normed", Model("normed", normed, "a test"))
    injection = injected and find_injection(injected)
    config = tiny(model="normed", optimizer="adam", lr=1.0, schedule="constant")
    found = compare(config, steps=2, tolerance=1e-9, injection=injection, display=Listener())
    assert found.rows[0].handed_over
    assert (found.divergence is None) == (injected is None)
    if injected:
        assert found.divergence.quantity.kind == "parameter"
    else:
        assert "from torch's own gradients ours takes torch's step" in " ".join(map(str, findings(found)))
