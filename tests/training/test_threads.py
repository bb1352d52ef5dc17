"""A whole run from scratch leaves the same bits behind, whatever the number of threads."""

import dataclasses

import pytest
from trials import SMALL, Display, final_state, same

from tinytorch_course.doctor.determinism import using
from tinytorch_course.training.loop import train


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"model": "lenet5", "optimizer": "adamw", "class_weights": "balanced", "label_smoothing": 0.1},
        {"model": "fast_cnn", "optimizer": "rmsprop", "clip_norm": 0.1, "ema": 0.9, "augment": "shift,rotate,scale"},
    ],
    ids=lambda changes: changes["model"],
)
def test_a_run_of_two_epochs(tmp_path, changes):
    """Its last batch has 3 pictures, fewer than there are threads; 200 more are validated and 300 tested."""
    config = dataclasses.replace(SMALL, batch_size=130, limit=133, device="cpu", **changes)
    runs = []
    for threads in (1, 2, 3, 4, 8):
        with using(threads):
            display = Display()
            result = train(config, out=str(tmp_path / str(threads)), display=display)
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in display.rows]
        runs.append((final_state(tmp_path / str(threads)), display.losses, rows, result.test_loss))
    (state, *figures), *others = runs
    for other_state, *other_figures in others:
        assert same(state, other_state)
        assert figures == other_figures
