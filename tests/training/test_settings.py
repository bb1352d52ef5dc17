"""Whatever a run can be set to: it resumes bit for bit, and both implementations train alike."""

import csv
import dataclasses
import os
import signal

import pytest
import torch
from trials import SMALL, Display, final_state, same

from tinytorch_course.errors import InputError
from tinytorch_course.training import checkpoints
from tinytorch_course.training.learners import LEARNERS
from tinytorch_course.training.loop import Interrupted, Trainer, resume, train
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.runs import RunFolder
from tinytorch_course.training.setup import Setup

WEIGHTS = "1,2,3,4,5,6,7,8,9,0.5"
SETTINGS = {
    "augment": {"augment": "shift,rotate,scale,shear,elastic,erase=0.9"},
    "class weights": {"class_weights": WEIGHTS},
    "smoothed class weights": {"class_weights": WEIGHTS, "label_smoothing": 0.1},
    "by heart": {"overfit_batches": 2},
    "average": {"ema": 0.9, "model": "mini_cnn"},
    "start": {"init": "kaiming-normal", "model": "mini_cnn"},
    "frozen": {"freeze": "conv*", "model": "mini_cnn", "optimizer": "adamw", "clip_norm": 0.5},
    "all": {"ema": 0.9, "freeze": "fc1.bias", "init": "xavier-uniform", "augment": "shift", "class_weights": WEIGHTS},
}


def small(**settings):
    return dataclasses.replace(SMALL, **{"model": "mlp-16"} | settings)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_both_implementations_train_alike_and_otherwise_than_without(tmp_path, settings):
    ends = {}
    for impl in LEARNERS:
        train(small(impl=impl, dtype="float64", **settings), out=str(tmp_path / impl), display=Display())
        ends[impl] = checkpoints.load(tmp_path / impl / "last.pt")["model"]
        ends[impl] |= {f"kept {name}": value for name, value in checkpoints.load(tmp_path / impl / "model.pt").items()}
    for name, tensor in ends["scratch"].items():
        torch.testing.assert_close(tensor, ends["torch"][name], rtol=1e-9, atol=1e-9)

    plain = small(dtype="float64", model=settings.get("model", "mlp-16"))
    train(plain, out=str(tmp_path / "plain"), display=Display())
    assert not same(checkpoints.load(tmp_path / "plain" / "model.pt"), checkpoints.load(tmp_path / "torch/model.pt"))


@pytest.mark.parametrize("impl", LEARNERS)
def test_a_few_batches_are_learned_by_heart(tmp_path, impl):
    display = Display()
    config = small(impl=impl, overfit_batches=2, epochs=15, schedule="constant", lr=1e-2)
    train(config, out=str(tmp_path / "run"), display=display)
    assert len(display.dataset.train.labels) == 16
    assert len(display.dataset.val.labels) == 24
    assert display.rows[-1]["train_accuracy"] == 1


def with_validations(monkeypatch, accuracies):
    """Let the validations of a run come out like this."""
    coming = iter(accuracies)

    def evaluate(trainer, split):
        return Metrics(1.0, 9, 10) if split is trainer.setup.dataset.test else Metrics(1.0, next(coming), 100)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)


def test_patience_stops_after_epochs_that_were_no_better(tmp_path, monkeypatch):
    with_validations(monkeypatch, [50, 49, 60, 60, 59, 61])
    display = Display()
    config = small(epochs=9, patience=2)
    result = train(config, out=str(tmp_path / "run"), display=display)
    assert (result.epochs, result.best_epoch) == (5, 3)
    assert "Stopped after epoch 5 of 9: validation has not improved" in display.notices[-1]
    assert "for 2 epochs (--patience 2)" in display.notices[-1]

    # Resumed it has nothing to do, and with more patience it goes on.
    assert resume(str(tmp_path / "run"), {}, display=Display()) == result
    with_validations(monkeypatch, [61, 10, 11, 12, 13])
    again = resume(str(tmp_path / "run"), {"patience": 3}, display=Display())
    assert (again.epochs, again.best_epoch) == (9, 6)


def test_patience_that_is_not_lost_changes_nothing(tmp_path):
    for patience in (None, 5):
        train(small(patience=patience), out=str(tmp_path / str(patience)), display=Display())
    assert same(final_state(tmp_path / "None"), final_state(tmp_path / "5"))


def test_streamed_images_are_augmented_alike(tmp_path):
    for loader in ("memory", "stream"):
        train(small(augment="shift,rotate", loader=loader), out=str(tmp_path / loader), display=Display())
    assert same(final_state(tmp_path / "memory"), final_state(tmp_path / "stream"))


def test_validation_and_test_images_are_not_augmented(tmp_path, monkeypatch):
    """With all training left out, the network is the same one, and so is what it is worth."""
    monkeypatch.setattr(
        "tinytorch_course.training.learners.ScratchLearner.train_step",
        lambda self, x, y, *_: (torch.tensor(1.0), torch.zeros(len(y), 10)),
    )
    rows = []
    for augment in (None, "shift=9,rotate=90,erase=0.9"):
        display = Display()
        result = train(small(augment=augment, epochs=1), out=str(tmp_path / str(augment)), display=display)
        rows.append((display.rows[0]["val_loss"], result.test_loss))
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": "flip"}, "--augment flip does not suit"),
        ({"overfit_batches": 4}, "--overfit-batches is 4, but 4 batches of 8 are 32 images, and there are only 24"),
        ({"freeze": "conv1"}, "--freeze conv1 matches no parameter; the layers are fc1, fc2"),
        ({"from_": "nowhere.pt"}, "nowhere.pt"),
        ({"class_weights": "1,2"}, "one number for each of the 10 classes"),
    ],
)
def test_what_does_not_suit_the_data_is_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        train(small(**settings), out=str(tmp_path / "run"), display=Display())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings", [{"augment": "shift"}, {"class_weights": "balanced"}, {"overfit_batches": 1}, {"ema": 0.9}]
)
def test_settings_that_would_make_the_past_untrue_cannot_change(tmp_path, settings):
    train(small(), out=str(tmp_path / "run"), display=Display())
    with pytest.raises(InputError, match="cannot change when a run is resumed: it is None in this run"):
        resume(str(tmp_path / "run"), settings, display=Display())


@pytest.mark.parametrize("impl", LEARNERS)
def test_the_average_is_what_is_validated_kept_and_tested(tmp_path, impl):
    """Formed anew from the network after each step."""
    after = []

    class Listening(Display):
        def step(self, *args):
            after.append({name: tensor.clone() for name, tensor in self.trainer.learner.state_dict().items()})

    config = small(impl=impl, model="mini_cnn", ema=0.5, epochs=1)
    display = Listening()
    display.trainer = Trainer(Setup.of(config, print), display)
    average = {name: tensor.clone().double() for name, tensor in display.trainer.learner.state_dict().items()}
    with RunFolder.create(str(tmp_path / "run"), display.trainer.setup.config) as folder:
        result = display.trainer.run(folder)
    for step, tensors in enumerate(after, start=1):
        factor = min(0.5, (1 + step) / (10 + step))
        average = {name: factor * average[name] + (1 - factor) * tensor for name, tensor in tensors.items()}
    kept = checkpoints.load(tmp_path / "run" / "model.pt")
    for name, tensor in kept.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), average[name], rtol=1e-5, atol=1e-6)
    trainer = Trainer(Setup.of(config, print))
    trainer.learner.load_state_dict(kept)
    metrics = trainer.evaluate(trainer.setup.dataset.test)
    assert (metrics.loss, metrics.accuracy) == (result.test_loss, result.test_accuracy)
    # The network itself goes on from where it was.
    assert same(checkpoints.load(tmp_path / "run" / "last.pt")["model"], after[-1])


def test_a_run_stopped_while_it_is_tested_can_be_trained_on(tmp_path, monkeypatch):
    """What is tested is the best epoch's network, and what goes on is the last one's."""
    config = small(schedule="constant", lr=0.05, epochs=3)
    train(dataclasses.replace(config, epochs=4), out=str(tmp_path / "whole"), display=Display())
    evaluate = Trainer.evaluate

    def stop_in_test(trainer, split):
        if split is trainer.setup.dataset.test:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(trainer, split)

    worse = iter(range(9, 0, -1))  # so that the first epoch is the best
    monkeypatch.setattr(
        Trainer,
        "evaluate",
        lambda trainer, split: (
            Metrics(1.0, next(worse), 10) if split is trainer.setup.dataset.val else stop_in_test(trainer, split)
        ),
    )
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "run"), display=Display())
    monkeypatch.undo()
    resume(str(tmp_path / "run"), {"epochs": 4}, display=Display())
    ends = [checkpoints.load(tmp_path / name / "last.pt")["model"] for name in ("whole", "run")]
    assert same(*ends)


@pytest.mark.parametrize("impl", LEARNERS)
def test_a_network_is_trained_on_with_a_new_head(tmp_path, impl):
    """Resumed, it needs the checkpoint that it came from no longer."""
    train(small(impl=impl, epochs=1), out=str(tmp_path / "first"), display=Display())
    start = checkpoints.load(tmp_path / "first" / "model.pt")
    config = small(impl=impl, from_=str(tmp_path / "first"), freeze="fc1")
    display = Display(stop_before=2)
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "second"), display=display)
    assert f"Starting from {tmp_path / 'first' / 'model.pt'}." in display.notices
    assert "--freeze leaves 170 parameters to train, in fc2." in display.notices
    train(config, out=str(tmp_path / "whole"), display=Display())
    (tmp_path / "first" / "model.pt").unlink()
    resume(str(tmp_path / "second"), {}, display=Display())
    assert same(final_state(tmp_path / "second"), final_state(tmp_path / "whole"))
    end = checkpoints.load(tmp_path / "second" / "last.pt")["model"]
    assert torch.equal(end["fc1.weight"], start["fc1.weight"])
    assert not torch.equal(end["fc2.weight"], start["fc2.weight"])


def test_frozen_runs_move_between_implementations(tmp_path):
    config = small(dtype="float64", freeze="fc1.weight", epochs=2)
    for impl in LEARNERS:
        train(dataclasses.replace(config, impl=impl), out=str(tmp_path / impl), display=Display())
        with pytest.raises(Interrupted):
            train(dataclasses.replace(config, impl=impl), out=str(tmp_path / f"{impl} 2"), display=Display(2))
        other = "torch" if impl == "scratch" else "scratch"
        resume(str(tmp_path / f"{impl} 2"), {"impl": other}, display=Display())
    ends = [checkpoints.load(path / "last.pt")["model"] for path in tmp_path.iterdir()]
    for end in ends:
        for name, tensor in end.items():
            torch.testing.assert_close(tensor, ends[0][name], rtol=1e-9, atol=1e-9)


def test_gradients_are_logged_alike_and_before_they_are_clipped(tmp_path):
    logs = {}
    for impl in LEARNERS:
        for clip_norm in (None, 1e-3):
            config = small(impl=impl, dtype="float64", optimizer="sgd", lr=1e-9, log_gradients=True)
            folder = tmp_path / f"{impl} {clip_norm}"
            train(dataclasses.replace(config, clip_norm=clip_norm), out=str(folder), display=Display())
            with open(folder / "gradients.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            assert [row["name"] for row in rows[:4]] == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
            assert len(rows) == 6 * 4
            logs[impl, clip_norm] = [float(row["norm"]) for row in rows]
    for log in logs.values():
        assert log == pytest.approx(logs["scratch", None], rel=1e-5)
        assert min(log) > 1e-2


def test_a_resumed_run_goes_on_with_its_log(tmp_path):
    config = small(log_gradients=True)
    train(config, out=str(tmp_path / "whole"), display=Display())
    with pytest.raises(Interrupted):
        train(config, out=str(tmp_path / "run"), display=Display(stop_before=4))
    resume(str(tmp_path / "run"), {}, display=Display())
    assert (tmp_path / "run" / "gradients.csv").read_bytes() == (tmp_path / "whole" / "gradients.csv").read_bytes()


def test_logging_gradients_changes_nothing(tmp_path):
    for number, log_gradients in enumerate((False, True)):
        train(small(log_gradients=log_gradients), out=str(tmp_path / str(number)), display=Display())
    assert same(final_state(tmp_path / "0"), final_state(tmp_path / "1"))
