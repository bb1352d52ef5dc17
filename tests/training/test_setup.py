import dataclasses

import numpy as np
import pytest
import torch
from trials import SMALL

from tinytorch_course.errors import InputError
from tinytorch_course.training.setup import Setup

CONFIG = dataclasses.replace(SMALL, model="mlp-16", epochs=None)


def setup_of(**settings):
    return Setup.of(dataclasses.replace(CONFIG, **settings), print)


def batches(setup, epoch, start=0):
    return list(setup.training_batches(epoch, start))


def test_nothing_is_left_open():
    setup = setup_of()
    assert (setup.config.data, setup.config.epochs, setup.epochs) == ("digits", 5, 5)
    assert (setup.config.lr, setup.config.weight_decay) == (5e-3, 0.0)
    assert setup.steps_per_epoch == 3


@pytest.mark.parametrize("augment", [None, "shift,rotate"])
def test_an_epoch_that_was_begun_goes_on_with_the_same_batches(augment):
    setup = setup_of(augment=augment)
    whole, rest = batches(setup, 1), batches(setup, 1, start=1)
    assert len(whole) == 3
    for (x, y), (later_x, later_y) in zip(whole[1:], rest, strict=True):
        assert torch.equal(x, later_x)
        assert torch.equal(y, later_y)
    assert not torch.equal(whole[0][0], batches(setup, 2)[0][0])


def test_augmented_are_training_images_only():
    plain, augmented = setup_of(), setup_of(augment="rotate=90")
    assert not torch.equal(batches(plain, 0)[0][0], batches(augmented, 0)[0][0])
    for split in ("val", "test"):
        for (x, _), (same, _) in zip(
            *(each.evaluation_batches(getattr(each.dataset, split)) for each in (plain, augmented)), strict=True
        ):
            assert torch.equal(x, same)


def test_other_settings_are_those_of_the_new_run():
    setup = setup_of(augment="shift=9")
    other = setup.changed(seed=7)
    assert (other.config.seed, setup.config.seed) == (7, 3)
    assert not torch.equal(batches(setup, 0)[0][0], batches(other, 0)[0][0])
    assert other.masks(0, 0).initial_seed() != setup.masks(0, 0).initial_seed()
    assert other.augment.seed == 7


def test_both_implementations_begin_with_the_same_numbers():
    setup = setup_of()
    ours, twin = (setup.changed(impl=impl).make_learner().state_dict() for impl in ("scratch", "torch"))
    assert all(torch.equal(tensor, twin[name]) for name, tensor in ours.items())


def test_pictures_that_are_too_small_are_refused(tmp_path):
    images = np.zeros((40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(40) % 2)
    setup = setup_of(data=str(tmp_path / "small.npz"), model="lenet5", limit=8)
    with pytest.raises(
        InputError, match=r"lenet5 cannot take the 8 x 8 pixels of .*: it needs at least 12 x 12 pixels"
    ):
        setup.make_learner()
