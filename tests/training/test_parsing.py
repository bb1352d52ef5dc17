import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.training.parsing import (
    AUGMENTATIONS,
    parse_augment,
    parse_class_weights,
    parse_freeze,
    parse_seeds,
)


def test_augmentations_have_usual_amounts():
    assert parse_augment("shift, rotate=15") == {"shift": 2.0, "rotate": 15.0}
    everything = parse_augment(",".join(AUGMENTATIONS))
    assert everything == {name: kind.usual for name, kind in AUGMENTATIONS.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shfit", "shift, rotate, scale, shear, elastic, flip, erase, but it is 'shfit'; did you mean shift?"),
        ("shift,,flip", "--augment must be a comma-separated list without gaps, but it is 'shift,,flip'"),
        ("", "--augment must be a comma-separated list without gaps, but it is ''"),
        (7, "--augment must be a comma-separated list without gaps, but it is 7"),
        ("shift,shift=3", "--augment names shift twice"),
        ("rotate=fast", "--augment rotate must be above 0 and below 360, but it is 'fast'"),
        ("rotate=", "--augment rotate must be above 0 and below 360, but it is ''"),
        ("rotate=nan", "but it is 'nan'"),
        ("shift=0", "--augment shift must be above 0 and below 100, but it is '0'"),
        ("scale=1", "--augment scale must be above 0 and below 1, but it is '1'"),
    ],
)
def test_bad_augmentations_are_named(text, message):
    with pytest.raises(InputError) as caught:
        parse_augment(text)
    assert message in str(caught.value)


def test_class_weights():
    assert parse_class_weights("balanced") == "balanced"
    assert parse_class_weights("1, 2.5,1e-3") == (1.0, 2.5, 0.001)


def test_patterns():
    assert parse_freeze("conv*, norm1") == ["conv*", "norm1"]


def test_seeds():
    assert parse_seeds("5", 0) == (0, 1, 2, 3, 4)
    assert parse_seeds("2", 7) == (7, 8)
    assert parse_seeds("3, 1,20", 7) == (3, 1, 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "--seeds must be a number of runs, such as 5, or at least two seeds separated by commas, such as 0,1,2"),
        ("0", "not more than 1,000 of them, but it is '0'"),
        ("1001", "not more than 1,000 of them"),
        ("999999999999999999", "not more than 1,000 of them"),
        ("0,-1", "but it is '0,-1'"),
        ("0,1.5", "but it is '0,1.5'"),
        ("five", "but it is 'five'"),
        ("0,1,", "--seeds must be a comma-separated list without gaps"),
        ("0,1,0", "--seeds names a seed twice: '0,1,0'"),
    ],
)
def test_bad_seeds_are_named(text, message):
    with pytest.raises(InputError) as caught:
        parse_seeds(text, 0)
    assert message in str(caught.value)
