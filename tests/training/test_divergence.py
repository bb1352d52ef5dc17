from types import SimpleNamespace

import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.divergence import READ_EVERY, Losses
from tinytorch_course.training.progress import Progress


def losses(*, device="cpu", detector=None, steps=120):
    """The losses of an epoch of so many steps, and what was said."""
    setup = SimpleNamespace(
        device=torch.device(device),
        steps_per_epoch=steps,
        config=TrainConfig().resolved(),
        dataset=SimpleNamespace(classes=range(10)),
    )
    said = []
    return Losses(setup, Progress(), detector, said.append), said


def feed(losses, values):
    """Take a step with each; in which steps all have been read."""
    read = []
    for value in values:
        losses.progress.batch += 1
        if losses.add(torch.tensor(value)):
            read.append(losses.progress.batch)
    return read


def test_on_the_cpu_every_loss_is_read():
    assert feed(losses()[0], [1.0, 2.0, 3.0]) == [1, 2, 3]


def test_where_reading_waits_it_is_done_now_and_then_and_at_the_end_of_the_epoch():
    assert feed(losses(device="cuda")[0], [1.0] * 120) == [READ_EVERY, 2 * READ_EVERY, 120]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_step_is_named_in_which_a_loss_is_no_number(bad):
    with pytest.raises(InputError, match=rf"the loss is {bad} in step 3 of epoch 1; try a smaller --lr than 0\.005"):
        feed(losses(device="cuda", steps=5)[0], [1.0, 2.0, bad, 4.0, 5.0])


def test_a_detector_knows_better():
    with pytest.raises(InputError, match=r"^training diverged: the first NaN came out of exp$"):
        feed(losses(detector=SimpleNamespace(finding="the first NaN came out of exp"))[0], [float("nan")])


def test_a_loss_beyond_all_reason_is_said_once():
    judged, said = losses()
    for epoch, loss in enumerate([2.3, 46.0, 47.0, 48.0], 1):  # 20 times log 10 is 46.05
        judged.judge({"epoch": epoch, "train_loss": loss})
    assert len(said) == 1
    assert "the loss of epoch 3 is 47, and a network that knows nothing has 2.30" in said[0]
