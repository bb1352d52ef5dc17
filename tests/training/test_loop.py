"""Whole runs on a few of the embedded digits: what they leave behind, and that they can be resumed bit for bit."""

import dataclasses
import functools
import json
import math
import shutil
import signal

import pytest
import torch
from trials import SMALL, Display, final_state, same

from tinytorch_course.data.loaders import MemoryLoader
from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.reference import layers as twins
from tinytorch_course.training import checkpoints, resuming, setup
from tinytorch_course.training.learners import LEARNERS, make_learner
from tinytorch_course.training.loop import Interrupted, Trainer, resume, train
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.options import averaging
from tinytorch_course.training.setup import Setup


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """``whole(config)``: the final state of a run that nobody stopped, trained once for all tests."""

    @functools.cache
    def whole(config):
        folder = tmp_path_factory.mktemp("whole") / "run"
        train(config, out=str(folder), display=Display())
        return final_state(folder)

    return whole


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a run that has ended, to copy."""
    folder = tmp_path_factory.mktemp("done") / "run"
    train(dataclasses.replace(SMALL, model="softmax", schedule="constant"), out=str(folder), display=Display())
    return folder


def test_a_run_leaves_what_it_promises(tmp_path, curves):
    display = Display()
    result = train(SMALL, out=str(tmp_path / "run"), display=display)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} >= {
        "config.toml",
        "data.json",
        "history.jsonl",
        "last.pt",
        "model.pt",
        "result.json",
        "loss.png",
    }
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows == display.rows
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert (result.best_epoch, result.val_accuracy) == (best["epoch"], best["val_accuracy"])
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    assert result.test_interval[0] <= result.test_accuracy <= result.test_interval[1]
    assert result.test_count == len(display.dataset.test.labels)
    assert display.parameter_count == result.parameters == 421_738
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_display_nothing_is_shown(tmp_path, capfd):
    config = dataclasses.replace(SMALL, model="softmax", epochs=1)
    train(config, out=str(tmp_path / "run"))
    assert resume(str(tmp_path / "run")).epochs == 1
    assert capfd.readouterr() == ("", "")


def test_the_best_epoch_on_validation_data_is_kept_and_tested(tmp_path, monkeypatch):
    """Of equal accuracies the lower loss; the last epoch, better by its loss alone, is not taken."""
    validations = iter([Metrics(60.0, 50, 100), Metrics(40.0, 50, 100), Metrics(50.0, 50, 100), Metrics(10.0, 49, 100)])
    after_epoch, tested = [], []

    def evaluate(trainer, split):
        network = {name: tensor.clone() for name, tensor in trainer.learner.state_dict().items()}
        if split is trainer.setup.dataset.test:
            tested.append(network)
            return Metrics(1.0, 9, 10)
        after_epoch.append(network)
        return next(validations)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    config = dataclasses.replace(SMALL, model="softmax", epochs=4)
    result = train(config, out=str(tmp_path / "run"), display=Display())
    assert (result.best_epoch, result.val_accuracy, result.test_accuracy) == (2, 0.5, 0.9)
    assert len(tested) == 1
    assert same(tested[0], after_epoch[1])
    assert same(checkpoints.load(tmp_path / "run" / "model.pt"), after_epoch[1])
    assert not same(tested[0], after_epoch[3])


def test_every_step_is_taken_at_its_rate_and_an_epochs_row_has_the_last(tmp_path):
    config = dataclasses.replace(SMALL, model="softmax", schedule="cosine", lr=0.01)
    display = Display()
    train(config, out=str(tmp_path / "run"), display=display)
    expected = [0.01 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert display.rates == pytest.approx(expected)
    assert [row["lr"] for row in display.rows] == pytest.approx([expected[2], expected[5]])


@pytest.mark.parametrize("impl", LEARNERS)
def test_the_model_file_is_a_plain_state_dict_for_either_implementation(tmp_path, impl):
    config = dataclasses.replace(SMALL, impl=impl, limit=64, epochs=1)
    display = Display()
    result = train(config, out=str(tmp_path / "run"), display=display)
    tensors = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    module = find_model("mnist_cnn").build(twins)
    module.load_state_dict(tensors, strict=True)

    test, dataset = display.dataset.test, display.dataset
    loader = MemoryLoader(test, dataset.mean, dataset.std, device=torch.device("cpu"), dtype=torch.float32)
    x, y = next(loader.batches(None, len(test.labels)))
    logits = {"module": module.eval()(x).detach()}
    for name in LEARNERS:
        each = make_learner(dataclasses.replace(config, impl=name))
        each.load_state_dict(tensors)
        logits[name] = each.evaluate(x, y)[1]
    for got in logits.values():
        torch.testing.assert_close(got, logits["scratch"], rtol=1e-5, atol=1e-5)
        assert (got.argmax(1) == y).sum().item() / len(y) == result.test_accuracy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("impl", "keywords"),
    [
        ("scratch", {"optimizer": "adam"}),
        ("torch", {"optimizer": "sgd", "schedule": "cosine"}),
    ],
)
def test_a_resumed_run_ends_bit_for_bit_as_if_it_had_not_stopped(tmp_path, whole, impl, keywords):
    """Stopped before the first step, within an epoch, between two, and after the last step."""
    config = dataclasses.replace(SMALL, impl=impl, **keywords)
    for stop in (0, 1, 2, 3, 4, 6):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(Interrupted) as stopped:
            train(config, out=str(folder), display=Display(stop_before=stop))
        assert (stopped.value.run_folder, stopped.value.signal_number) == (folder, signal.SIGINT)
        torch.manual_seed(1000 + stop)  # what another process would have
        resume(str(folder), {}, display=Display())
        assert same(final_state(folder), whole(config)), f"stopped before step {stop}"


@pytest.mark.slow
def test_a_run_stopped_after_every_step_ends_the_same(tmp_path, whole):
    with pytest.raises(Interrupted):
        train(SMALL, out=str(tmp_path / "run"), display=Display(stop_before=1))
    for stop in range(2, 7):
        with pytest.raises(Interrupted):
            resume(str(tmp_path / "run"), {}, display=Display(stop_before=stop))
    resume(str(tmp_path / "run"), {}, display=Display())
    assert same(final_state(tmp_path / "run"), whole(SMALL))


def forget_momentum(saved):
    for slot in saved["optimizer"]["state"].values():
        slot["exp_avg"].zero_()


def forget_step_count(saved):
    for slot in saved["optimizer"]["state"].values():
        slot["step"].zero_()


FORGETTING = {
    "position in the epoch": lambda saved: saved.update(batch=saved["batch"] + 1),
    "parameters": lambda saved: saved["model"]["fc1.weight"].add_(1e-3),
    "running statistics": lambda saved: saved["model"]["norm1.running_mean"].zero_(),
    "optimizer's moments": forget_momentum,
    "optimizer's step count": forget_step_count,
    "sums of the epoch": lambda saved: saved["metrics"].update(loss_sum=0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("forget", FORGETTING.values(), ids=FORGETTING)
def test_whatever_is_forgotten_in_a_checkpoint_shows(tmp_path, whole, forget):
    """The controls of the tests above: each piece that is saved is needed."""
    with pytest.raises(Interrupted):
        train(SMALL, out=str(tmp_path / "run"), display=Display(stop_before=1))
    saved = checkpoints.load(tmp_path / "run" / "last.pt")
    forget(saved)
    checkpoints.save(tmp_path / "run" / "last.pt", saved)
    resume(str(tmp_path / "run"), {}, display=Display())
    assert not same(final_state(tmp_path / "run"), whole(SMALL))


def forget_average(patch):
    patch.setattr(averaging.Average, "load", lambda *_: None)


def forget_order(patch):
    patch.setattr(setup, "epoch_order", lambda count, seed, epoch: torch.arange(count))


def forget_masks(patch):
    patch.setattr(setup.Setup, "masks", lambda *_: torch.Generator().manual_seed(0))


def forget_schedule(patch):
    make = setup.Setup.make_schedule
    patch.setattr(setup.Setup, "make_schedule", lambda own: lambda step: make(own)(step - 1))


def forget_generators(patch):
    patch.setattr(resuming, "set_generator_states", lambda _: None)


@pytest.mark.parametrize("impl", LEARNERS)
@pytest.mark.parametrize(
    "forget",
    [lambda _: None, forget_average, forget_order, forget_masks, forget_schedule, forget_generators],
    ids=["nothing", "average", "order", "masks", "schedule", "generators"],
)
def test_whatever_a_resumed_run_forgets_shows(tmp_path, whole, monkeypatch, impl, forget, request):
    """More controls: what is not in the checkpoint but follows from the position, and what an option adds.

    The masks are drawn from torch's own generator where that is what is forgotten, as a layer of one's own may draw.
    """
    config = dataclasses.replace(SMALL, impl=impl, ema=0.9)
    if forget is forget_generators:
        monkeypatch.setattr(setup.Setup, "masks", lambda *_: torch.default_generator)
        whole = whole.__wrapped__  # trained anew
    expected = whole(config)
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "run"), display=Display(stop_before=1))
    torch.manual_seed(99)  # another process
    forget(monkeypatch)
    resume(str(tmp_path / "run"), {}, display=Display())
    alike = same(final_state(tmp_path / "run"), expected)
    assert alike == ("nothing" in request.node.callspec.id)


def test_sigterm_saves_too(tmp_path):
    with pytest.raises(Interrupted) as stopped:
        train(SMALL, out=str(tmp_path / "run"), display=Display(stop_before=2, number=signal.SIGTERM))
    assert stopped.value.signal_number == signal.SIGTERM
    assert checkpoints.load(tmp_path / "run" / "last.pt")["batch"] == 2


@pytest.mark.slow
def test_a_run_moves_between_implementations_and_back(tmp_path):
    """In float64, two epochs of torch, two of scratch and two of torch end where six of either end."""
    config = dataclasses.replace(SMALL, dtype="float64", epochs=6)
    ends = {}
    for impl in LEARNERS:
        train(dataclasses.replace(config, impl=impl), out=str(tmp_path / impl), display=Display())
        ends[impl] = checkpoints.load(tmp_path / impl / "last.pt")["model"]
    with pytest.raises(Interrupted):
        train(dataclasses.replace(config, impl="torch"), out=str(tmp_path / "mixed"), display=Display(stop_before=6))
    with pytest.raises(Interrupted):
        resume(str(tmp_path / "mixed"), {"impl": "scratch"}, display=Display(stop_before=12))
    resume(str(tmp_path / "mixed"), {"impl": "torch"}, display=Display())
    mixed = checkpoints.load(tmp_path / "mixed" / "last.pt")
    # A row bears the name of whoever validated the epoch.
    assert [row["impl"] for row in mixed["history"]] == ["torch", "scratch", "scratch", "torch", "torch", "torch"]
    for end in ends.values():
        for name, tensor in end.items():
            torch.testing.assert_close(mixed["model"][name], tensor, rtol=1e-9, atol=1e-9)


def test_both_implementations_begin_alike(tmp_path):
    first_losses = []
    for impl in LEARNERS:
        display = Display()
        train(dataclasses.replace(SMALL, impl=impl, epochs=1), out=str(tmp_path / impl), display=display)
        first_losses.append(display.losses[0])
    assert math.isclose(*first_losses, rel_tol=1e-5)


@pytest.mark.slow
def test_a_run_depends_on_its_seed_alone(tmp_path):
    for number in range(2):
        torch.manual_seed(number)
        train(SMALL, out=str(tmp_path / str(number)), display=Display())
    train(dataclasses.replace(SMALL, seed=4), out=str(tmp_path / "other"), display=Display())
    assert same(final_state(tmp_path / "0"), final_state(tmp_path / "1"))
    assert not same(final_state(tmp_path / "0"), final_state(tmp_path / "other"))


@pytest.mark.parametrize("impl", LEARNERS)
def test_streaming_changes_nothing(whole, impl):
    config = dataclasses.replace(SMALL, impl=impl, epochs=1)
    assert same(*(whole(dataclasses.replace(config, loader=loader)) for loader in ("memory", "stream")))


@pytest.mark.slow
def test_more_epochs_go_on_from_the_last(tmp_path):
    config = dataclasses.replace(SMALL, schedule="constant")
    train(config, out=str(tmp_path / "run"), display=Display())
    display = Display()
    result = resume(str(tmp_path / "run"), {"epochs": 3}, display=display)
    assert result.epochs == 3
    assert [row["epoch"] for row in display.rows] == [3]
    train(dataclasses.replace(config, epochs=3), out=str(tmp_path / "three"), display=Display())
    assert same(final_state(tmp_path / "run"), final_state(tmp_path / "three"))


def test_a_run_that_is_done_says_so_and_gives_its_result_again(tmp_path):
    config = dataclasses.replace(SMALL, model="softmax")
    first = train(config, out=str(tmp_path / "run"), display=Display())
    display = Display()
    again = resume(str(tmp_path / "run"), {}, display=display)
    assert again == first
    assert "All 2 epochs of this run are done" in display.notices[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 16}, "--batch-size cannot change when a run is resumed: it is 8 in this run, not 16"),
        ({"lr": 0.5}, "--lr cannot change when a run is resumed"),
        ({"seed": 4}, "--seed cannot change"),
        ({"model": "mlp"}, "--model cannot change"),
        ({"epochs": 1}, "--epochs is 1, but the run has already begun epoch 3"),
    ],
)
def test_what_would_make_the_past_untrue_cannot_change(done, tmp_path, changes, message):
    shutil.copytree(done, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != ".lock"}
    with pytest.raises(InputError, match=message):
        resume(str(tmp_path / "run"), changes, display=Display())
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != ".lock"}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 25}, "--batch-size is 25, but there are only 24 images to train on"),
        ({"batch_size": 1}, "--batch-size 1 makes batches of one image, which batch norm"),
        ({"batch_size": 23}, "--batch-size 23 leaves a last batch of one image of 24"),
    ],
)
def test_impossible_batches_are_refused_before_anything_is_written(tmp_path, keywords, message):
    with pytest.raises(InputError, match=message):
        train(dataclasses.replace(SMALL, **keywords), out=str(tmp_path / "run"), display=Display())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="--device is cuda, but torch finds no CUDA device here: use cpu or auto"):
        train(dataclasses.replace(SMALL, device="cuda"), out=str(tmp_path / "run"), display=Display())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("impl", LEARNERS)
def test_a_run_that_diverges_stops_at_once_and_saves_nothing_of_it(tmp_path, impl):
    config = dataclasses.replace(SMALL, impl=impl, model="mlp", optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(InputError, match=r"training diverged: the loss is (nan|inf) in step \d of epoch 1"):
        train(config, out=str(tmp_path / "run"), display=Display())
    assert checkpoints.load(tmp_path / "run" / "last.pt")["batch"] == 0  # where it began


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(dataclasses.replace(SMALL, epochs=1), out=str(tmp_path / "cnn"), display=Display())
    train(dataclasses.replace(SMALL, epochs=1, model="mlp"), out=str(tmp_path / "mlp"), display=Display())
    (tmp_path / "mlp" / "last.pt").write_bytes((tmp_path / "cnn" / "last.pt").read_bytes())
    with pytest.raises(InputError, match=r"lacks fc3.weight, fc3.bias"):
        resume(str(tmp_path / "mlp"), {}, display=Display())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.pop("generators"), "last.pt does not hold what is expected: it lacks generators"),
        (lambda saved: saved.update(seconds=float("nan")), "last.pt is malformed: its seconds is NaN"),
        (lambda saved: saved.update(batch=-1), "last.pt is malformed: its batch must be from 0 to 2"),
        (lambda saved: saved.update(format=2), "last.pt has format 2; this version reads format 1"),
        (lambda saved: saved.update(epoch=1), "last.pt is malformed: its position does not fit its history"),
    ],
    ids=["lacks a field", "nan", "negative", "another format", "another position"],
)
def test_a_checkpoint_that_says_something_else_is_refused(done, tmp_path, change, message):
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    saved = checkpoints.load(folder / "last.pt")
    change(saved)
    checkpoints.save(folder / "last.pt", saved)
    with pytest.raises(InputError, match=message):
        resume(str(folder), {"epochs": 3}, display=Display())


@pytest.mark.slow
def test_another_environment_is_told(tmp_path):
    train(SMALL, out=str(tmp_path / "run"), display=Display())
    path = tmp_path / "run" / "last.pt"
    saved = checkpoints.load(path)
    saved["versions"]["torch"] = "1.0"
    checkpoints.save(path, saved)
    display = Display()
    resume(str(tmp_path / "run"), {"epochs": 3}, display=display)
    assert any("not go on bit for bit: torch was 1.0, is " in sentence for sentence in display.notices)


@pytest.mark.parametrize(
    ("changes", "now", "told"),
    [
        ({"impl": "scratch"}, "8", False),
        ({"impl": "scratch"}, "9", True),
        ({"impl": "scratch", "precision": "bfloat16"}, "8", True),
        ({"impl": "torch"}, "8", True),
    ],
)
def test_another_number_of_threads_is_told_where_it_matters(tmp_path, monkeypatch, changes, now, told):
    monkeypatch.setattr(resuming, "versions", lambda: {"torch": "2.10", "threads": "2"})
    config = dataclasses.replace(SMALL, model="softmax", **changes)
    train(config, out=str(tmp_path / "run"), display=Display())
    monkeypatch.setattr(resuming, "versions", lambda: {"torch": "2.10", "threads": now})
    display = Display()
    resume(str(tmp_path / "run"), {"epochs": 3}, display=display)
    sentence = f"The environment has changed, so this run does not go on bit for bit: threads was 2, is {now}."
    assert (sentence in display.notices) == told
    assert told or not any("environment" in notice for notice in display.notices)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("impl", LEARNERS)
def test_cuda_trains_and_resumes(tmp_path, impl):
    config = dataclasses.replace(SMALL, impl=impl, device="cuda", limit=None, batch_size=64)
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "run"), display=Display(stop_before=5))
    result = resume(str(tmp_path / "run"), {}, display=Display())
    assert result.device == "cuda"
    assert result.test_accuracy > 0.8


def test_schedules_are_laid_over_the_whole_run():
    trainer = Trainer(Setup.of(dataclasses.replace(SMALL, schedule="one-cycle", lr=0.01), print))
    rates = [trainer.schedule(step)["lr"] for step in range(6)]
    assert 0.009 < max(rates) <= 0.01
    assert rates[-1] < 1e-4
