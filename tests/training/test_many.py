import dataclasses
import json
import statistics

import pytest
from trials import SMALL, Display, final_state, same

from tinytorch_course.errors import InputError
from tinytorch_course.training.loop import Interrupted, train
from tinytorch_course.training.many import choose_folder, train_seeds

CONFIG = dataclasses.replace(SMALL, model="softmax")


class OneDisplay(Display):
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class ManyDisplays:
    """Makes the displays, and keeps them; the one of number ``stop`` stops its run before its second step."""

    def __init__(self, stop=None):
        self.stop, self.displays, self.names = stop, [], []

    def __call__(self, name):
        display = OneDisplay(stop_before=1 if len(self.displays) == self.stop else None)
        self.displays.append(display)
        self.names.append(name)
        return display


def test_each_seed_has_a_run_of_its_own(tmp_path):
    displays = ManyDisplays()
    outcome = train_seeds(CONFIG, (3, 0, 8), tmp_path / "many", make_display=displays)
    assert displays.names == ["Seed 3, 1 of 3.", "Seed 0, 2 of 3.", "Seed 8, 3 of 3."]
    for seed in (3, 0, 8):
        train(dataclasses.replace(CONFIG, seed=seed), out=str(tmp_path / f"alone-{seed}"), display=Display())
        assert same(final_state(tmp_path / "many" / f"seed-{seed}"), final_state(tmp_path / f"alone-{seed}"))
    accuracies = [
        json.loads((tmp_path / f"alone-{seed}" / "result.json").read_text())["test_accuracy"] for seed in (3, 0, 8)
    ]
    assert [run.test_accuracy for run in outcome.runs] == accuracies
    spread = outcome.spread("test_accuracy")
    assert spread.mean == pytest.approx(sum(accuracies) / 3)
    assert spread.deviation == pytest.approx(statistics.stdev(accuracies))
    assert (spread.low, spread.high) == (min(accuracies), max(accuracies))
    document = json.loads((tmp_path / "many" / "seeds.json").read_text())
    assert document == json.loads(json.dumps(outcome.to_dict()))
    assert document["seeds"] == [3, 0, 8]
    assert document["test_accuracy"]["mean"] == spread.mean
    assert len(document["runs"]) == 3


def test_the_same_command_goes_on_where_it_stopped(tmp_path):
    """The first run is done, the second one stopped in it, the third one has not begun."""
    whole = train_seeds(CONFIG, (0, 1, 2), tmp_path / "whole", make_display=ManyDisplays())
    with pytest.raises(Interrupted):
        train_seeds(CONFIG, (0, 1, 2), tmp_path / "run", make_display=ManyDisplays(stop=1))
    assert not (tmp_path / "run" / "seeds.json").exists()
    displays = ManyDisplays()
    assert choose_folder(str(tmp_path / "run"), CONFIG) == tmp_path / "run"
    again = train_seeds(CONFIG, (0, 1, 2), tmp_path / "run", make_display=displays)
    assert [len(display.losses) for display in displays.displays] == [0, 5, 6]
    assert [run.test_loss for run in again.runs] == [run.test_loss for run in whole.runs]


def test_runs_of_other_settings_are_not_mixed_in(tmp_path):
    train_seeds(CONFIG, (0, 1), tmp_path / "run", make_display=ManyDisplays())
    for changes, message in (
        ({"lr": 0.5}, "--lr cannot change"),
        ({"ema": 0.9}, "--ema cannot change when a run is resumed: it is None in this run, not 0.9"),
        ({"limit": None}, "--limit cannot change"),
    ):
        with pytest.raises(InputError, match=message):
            train_seeds(dataclasses.replace(CONFIG, **changes), (0, 1), tmp_path / "run", make_display=ManyDisplays())


def test_what_cannot_be_trained_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="--batch-size is 25, but"):
        train_seeds(dataclasses.replace(CONFIG, batch_size=25), (0, 1), tmp_path / "run", make_display=ManyDisplays())
    assert list(tmp_path.iterdir()) == []


def test_folders_that_hold_something_else_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"holds thesis.txt, which does not belong to a run with --seeds"):
        choose_folder(str(tmp_path), CONFIG)
    with pytest.raises(InputError, match=r"cannot use .*thesis"):
        choose_folder(str(tmp_path / "thesis.txt"), CONFIG)
    with pytest.raises(InputError, match="--out must be the path of a folder, but it is ' '"):
        choose_folder(" ", CONFIG)
    assert choose_folder(str(tmp_path / "new"), CONFIG) == tmp_path / "new"
    assert choose_folder(None, CONFIG).name.endswith("-softmax-scratch-seeds")
