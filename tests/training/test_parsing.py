import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.training.parsing import AUGMENTATIONS, parse_augment


def test_augmentations_have_usual_amounts():
    assert parse_augment("shift, rotate=15") == {"shift": 2.0, "rotate": 15.0}
    everything = parse_augment(",".join(AUGMENTATIONS))
    assert everything == {name: kind.usual for name, kind in AUGMENTATIONS.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shfit", "--augment takes shift, rotate, scale, shear, flip, erase, but it is 'shfit': did you mean shift?"),
        ("shift,,flip", "--augment must be a list with commas and no gaps, but it is 'shift,,flip'"),
        ("", "--augment must be a list with commas and no gaps, but it is ''"),
        (7, "--augment must be a list with commas and no gaps, but it is 7"),
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
