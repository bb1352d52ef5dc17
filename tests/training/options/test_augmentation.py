"""Augmentation: each image as torchvision would change it alone, and the same images whenever they are asked for."""

import math
from types import SimpleNamespace

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from tinytorch_course.data.splits import Split
from tinytorch_course.errors import InputError
from tinytorch_course.training.options.augmentation import Augment, apply, check_augment, draw
from tinytorch_course.training.parsing import AUGMENTATIONS, parse_augment

COUNT, SIZE = 200, 28
DATASET = SimpleNamespace(
    title="Clothes",
    flips=True,
    mean=(0.2, 0.3),
    std=(0.4, 0.5),
    train=Split(torch.empty(1, 2, 28, 28), torch.zeros(1)),
)
BLACK = torch.tensor([-0.5, 0.25], dtype=torch.float64)[:, None, None]


def images(count=COUNT, size=SIZE):
    return torch.rand(count, 2, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def change(amounts, count=COUNT, size=SIZE, seed=0):
    return draw(amounts, count, size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "amounts",
    [
        {"shift": 3.0},
        {"rotate": 40.0},
        {"scale": 0.3},
        {"shear": 20.0},
        {"shift": 5.0, "rotate": 90.0, "scale": 0.5, "shear": 30.0},
    ],
    ids=lambda amounts: "+".join(amounts),
)
@pytest.mark.parametrize("size", [28, 33])
def test_every_image_is_moved_as_torchvision_moves_it_alone(amounts, size):
    x, drawn = images(12, size), change(amounts, 12, size)
    moved = apply(x, drawn, BLACK)
    for number in range(12):
        expected = vision.affine(
            x[number] - BLACK,
            angle=math.degrees(drawn.angle[number]),
            translate=drawn.shift[number].tolist(),
            scale=drawn.scale[number].item(),
            shear=[math.degrees(drawn.shear[number]), 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(moved[number], expected + BLACK, rtol=1e-9, atol=1e-9)


def test_a_shift_moves_whole_pixels_and_lets_black_in():
    x, drawn = images(20), change({"shift": 2.0}, 20)
    padded = (x - BLACK).new_zeros(20, 2, SIZE + 4, SIZE + 4)
    padded[:, :, 2:-2, 2:-2] = x - BLACK
    moved = apply(x, drawn, BLACK)
    for number, (right, down) in enumerate(drawn.shift.long().tolist()):
        expected = padded[number, :, 2 - down : 2 - down + SIZE, 2 - right : 2 - right + SIZE] + BLACK
        torch.testing.assert_close(moved[number], expected, rtol=1e-9, atol=1e-9)


def test_points_that_are_drawn_aside_alike_are_a_shift():
    x, drawn = images(4), change({"shift": 3.0}, 4)
    elastic = drawn.shift[:, :, None, None].expand(4, 2, 6, 6)
    bent = drawn._replace(shift=torch.zeros(4, 2, dtype=torch.float64), elastic=elastic)
    torch.testing.assert_close(apply(x, bent, BLACK), apply(x, drawn, BLACK), rtol=1e-9, atol=1e-9)


def test_bending_moves_every_place_by_about_its_amount_and_neighbours_alike():
    """Seen in pictures whose brightness is the place."""
    drawn = change({"elastic": 2.0}, 50)
    place = torch.arange(SIZE, dtype=torch.float64).expand(50, 1, SIZE, SIZE)
    middle = apply(place, drawn, torch.zeros(1, 1, 1))[:, 0, 4:-4, 4:-4]  # where nothing comes in from outside
    aside = middle - place[:, 0, 4:-4, 4:-4]
    assert 1.5 < aside.abs().max() < 3
    assert aside.diff(dim=1).abs().max() < 1.2
    assert aside.std() > 0.5
    torch.testing.assert_close(drawn.elastic.abs().max().item(), 2.0, rtol=0.01, atol=0)


def test_amounts_are_the_bounds_and_are_reached():
    amounts = {"shift": 2.0, "rotate": 10.0, "scale": 0.1, "shear": 5.0}
    drawn = change(amounts, 20_000)
    counts = torch.stack([torch.bincount((drawn.shift[:, axis] + 2).long(), minlength=5) for axis in (0, 1)])
    assert ((counts / 20_000 - 0.2).abs() < 0.02).all()  # each of -2 .. 2 is as likely
    for numbers, center, bound in (
        (drawn.angle, 0, math.radians(10)),
        (drawn.shear, 0, math.radians(5)),
        (drawn.scale, 1, 0.1),
    ):
        assert 0.99 * bound < (numbers - center).abs().max() <= bound
        assert abs((numbers - center).mean()) < 0.02 * bound


def test_half_of_the_images_are_mirrored():
    x, drawn = images(), change({"flip": 0.5})
    assert 70 < drawn.flip.sum() < 130
    changed = apply(x, drawn, BLACK)
    assert torch.equal(changed[drawn.flip], x[drawn.flip].flip(-1))
    assert torch.equal(changed[~drawn.flip], x[~drawn.flip])


def test_erasing_paints_one_rectangle_of_the_promised_size():
    x, drawn = images() + 1, change({"erase": 0.5})  # nothing is 0 before
    erased = apply(x, drawn, BLACK) == 0
    hit = erased.flatten(1).any(1)
    assert 70 < hit.sum() < 130
    assert torch.equal(apply(x, drawn, BLACK)[~hit], x[~hit])
    for mask in erased[hit]:
        assert torch.equal(mask[0], mask[1])  # in all channels
        rows, columns = mask[0].any(1), mask[0].any(0)
        assert torch.equal(mask[0], rows[:, None] & columns[None])
        assert rows.diff().sum() <= 2  # without gaps
        assert columns.diff().sum() <= 2
        assert 0.01 * SIZE**2 < mask[0].sum() < 0.23 * SIZE**2  # sides are whole pixels


def test_each_image_has_numbers_of_its_own():
    drawn = change({name: kind.usual for name, kind in AUGMENTATIONS.items()})
    for numbers in (drawn.scale, drawn.shear, drawn.angle):
        assert len(numbers.unique()) == COUNT
    assert len(drawn.shift.unique(dim=0)) == 25


def test_one_augmentation_more_leaves_the_others_as_they_were():
    alone, together = change({"rotate": 10.0}), change({"rotate": 10.0, "flip": 0.5, "shift": 2.0, "scale": 0.1})
    assert torch.equal(alone.angle, together.angle)
    assert not alone.flip.any()
    assert torch.equal(alone.scale, torch.ones(COUNT, dtype=torch.float64))
    assert torch.equal(alone.shift, torch.zeros(COUNT, 2, dtype=torch.float64))


def test_the_numbers_are_those_of_seed_epoch_and_batch():
    def augmented(seed, epoch, batch):
        return Augment("shift,rotate", seed, DATASET)(images(8), epoch, batch)

    first = augmented(0, 1, 2)
    torch.manual_seed(5)
    assert torch.equal(first, augmented(0, 1, 2))
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert not torch.equal(first, augmented(*other))


def test_black_stays_black_in_normalised_images():
    black = torch.empty(4, 2, 8, 8, dtype=torch.float64)
    black[:, 0], black[:, 1] = -0.2 / 0.4, -0.3 / 0.5
    augmented = Augment("shift=3,rotate=45", 0, DATASET)(black, 0, 0)
    assert augmented is not black
    torch.testing.assert_close(augmented, black)


def test_without_augmentation_the_very_batch_is_given_back():
    x = images(4)
    assert Augment(None, 0, DATASET)(x, 0, 0) is x


def test_the_images_given_are_not_changed():
    x = images(6)
    before = x.clone()
    apply(x, change({"flip": 0.9, "rotate": 20.0, "erase": 0.9}, 6), BLACK)
    assert torch.equal(x, before)


def test_a_flip_is_refused_where_mirrored_pictures_mean_something_else():
    with pytest.raises(InputError, match="--augment flip does not suit Some digits"):
        check_augment(parse_augment("shift,flip"), SimpleNamespace(title="Some digits", flips=False), 28)
    check_augment(parse_augment("shift"), SimpleNamespace(title="Some digits", flips=False), 28)


def test_a_flip_is_taken_where_the_data_allow_it():
    check_augment({"flip": 0.5}, SimpleNamespace(title="Clothes", flips=True), 28)


def test_a_shift_out_of_sight_is_refused():
    with pytest.raises(InputError, match=r"--augment shift=20 would move .* 28 x 28 pixels out of sight: at most 14"):
        check_augment({"shift": 20.0}, SimpleNamespace(title="MNIST", flips=False), 28)
