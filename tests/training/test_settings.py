"""Whatever a run can be set to: it resumes bit for bit, and both implementations train alike."""

import dataclasses

import pytest
import torch
from trials import SMALL, Display, final_state, same

from tinytorch_course.errors import InputError
from tinytorch_course.training import checkpoints
from tinytorch_course.training.learners import LEARNERS
from tinytorch_course.training.loop import Interrupted, Session, resume, train
from tinytorch_course.training.metrics import Metrics
from tinytorch_course.training.runs import RunFolder

WEIGHTS = "1,2,3,4,5,6,7,8,9,0.5"
SETTINGS = {
    "augment": {"augment": "shift,rotate,scale,shear,erase=0.9"},
    "class weights": {"class_weights": WEIGHTS},
    "smoothed class weights": {"class_weights": WEIGHTS, "label_smoothing": 0.1},
    "by heart": {"overfit_batches": 2},
}


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Drawing them takes longer than these runs."""
    monkeypatch.setattr(RunFolder, "plot_curves", lambda *_: None)


def small(**settings):
    return dataclasses.replace(SMALL, **{"model": "mlp-16"} | settings)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_resumed_run_ends_bit_for_bit_as_if_it_had_not_stopped(tmp_path, settings):
    """Stopped within an epoch by either implementation's run, and once more between two."""
    for impl in LEARNERS:
        config = small(impl=impl, **settings)
        train(config, out=str(tmp_path / impl), display=Display())
        steps = 2 if "overfit_batches" in settings else 3
        stopped = str(tmp_path / f"stopped {impl}")
        with pytest.raises(Interrupted):
            train(config, out=stopped, display=Display(stop_before=1))
        torch.manual_seed(7)  # what another process would have
        with pytest.raises(Interrupted):
            resume(stopped, {}, display=Display(stop_before=steps))
        resume(stopped, {}, display=Display())
        assert same(final_state(tmp_path / f"stopped {impl}"), final_state(tmp_path / impl))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_both_implementations_train_alike_and_otherwise_than_without(tmp_path, settings):
    ends = {}
    for impl in LEARNERS:
        train(small(impl=impl, dtype="float64", **settings), out=str(tmp_path / impl), display=Display())
        ends[impl] = checkpoints.load(tmp_path / impl / "last.pt")["model"]
        ends[impl] |= {f"kept {name}": value for name, value in checkpoints.load(tmp_path / impl / "model.pt").items()}
    for name, tensor in ends["scratch"].items():
        torch.testing.assert_close(tensor, ends["torch"][name], rtol=1e-9, atol=1e-9)

    train(small(dtype="float64"), out=str(tmp_path / "plain"), display=Display())
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

    def evaluate(session, split, signals):
        return Metrics(1.0, 9, 10) if split is session.dataset.test else Metrics(1.0, next(coming), 100)

    monkeypatch.setattr(Session, "evaluate", evaluate)


def test_patience_stops_after_epochs_that_were_no_better(tmp_path, monkeypatch):
    with_validations(monkeypatch, [50, 49, 60, 60, 59, 61])
    display = Display()
    config = small(epochs=9, patience=2)
    result = train(config, out=str(tmp_path / "run"), display=display)
    assert (result.epochs, result.best_epoch) == (5, 3)
    assert "Stopped after epoch 5 of 9: none was better" in display.notices[-1]
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
        ({"class_weights": "1,2"}, "one number for each of the 10 classes"),
    ],
)
def test_what_does_not_suit_the_data_is_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        train(small(**settings), out=str(tmp_path / "run"), display=Display())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"augment": "shift"}, {"class_weights": "balanced"}, {"overfit_batches": 1}])
def test_settings_that_would_make_the_past_untrue_cannot_change(tmp_path, settings):
    train(small(), out=str(tmp_path / "run"), display=Display())
    with pytest.raises(InputError, match="cannot change when a run is resumed: it is None in this run"):
        resume(str(tmp_path / "run"), settings, display=Display())
