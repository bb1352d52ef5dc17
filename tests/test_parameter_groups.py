import pytest

from tinytorch_course.parameter_groups import assign_groups, group, scale_rate

NAMES = ["trunk.weight", "trunk.bias", "norm1.weight", "norm1.bias", "head.weight", "head.bias"]
ALLOWED = ["lr", "weight_decay"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), [(NAMES, {})]),
        (
            (group("*.bias", "norm*", weight_decay=0.0),),
            [
                (["trunk.weight", "head.weight"], {}),
                (["trunk.bias", "norm1.weight", "norm1.bias", "head.bias"], {"weight_decay": 0.0}),
            ],
        ),
        (
            [group("head.*", lr=1.0), group("trunk.weight", lr=0.1, weight_decay=0.5)],
            [
                (["trunk.bias", "norm1.weight", "norm1.bias"], {}),
                (["head.weight", "head.bias"], {"lr": 1.0}),
                (["trunk.weight"], {"lr": 0.1, "weight_decay": 0.5}),
            ],
        ),
        ((group("*", lr=1.0),), [(NAMES, {"lr": 1.0})]),  # nothing is left over: no group of the others
        ((group("norm?.[wb]*"),), [([n for n in NAMES if "norm" not in n], {}), (["norm1.weight", "norm1.bias"], {})]),
        ((group("head.bias", "*.bias", "head.bias", lr=1.0),), [(NAMES[::2], {}), (NAMES[1::2], {"lr": 1.0})]),
    ],
)
def test_parameters_are_grouped_by_name_in_order(groups, expected):
    assert assign_groups(iter(NAMES), groups, ALLOWED) == expected


def test_the_overrides_are_copied():
    one = group("*", lr=1.0)
    assign_groups(NAMES, (one,), ALLOWED)[0][1]["lr"] = 2.0
    assert one.overrides == {"lr": 1.0}


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ((group("*.bais", lr=1.0),), ValueError, r"pattern '\*.bais' of .* matches no parameter; .* trunk.weight, tru"),
        ((group("*.bias", "norm2*"),), ValueError, r"pattern 'norm2\*' .* matches no parameter"),
        ((group("Head.*"),), ValueError, "matches no parameter"),  # case counts, on every system
        ((group("head"),), ValueError, "matches no parameter"),  # the whole name must match
        (
            (group("*.bias"), group("head.*", lr=1.0)),
            ValueError,
            r"'head.bias' is in two groups, group\('\*.bias'\) and group\('head.\*', lr=1.0\)",
        ),
        ((group("*", wieght_decay=0.0),), ValueError, "'wieght_decay', but this optimizer knows only lr, weight_decay"),
        (({"params": [], "lr": 1.0},), TypeError, r"group\(...\) only, but one of them is a dict"),
        (group("*"), TypeError, r"a tuple of group\(...\), but it is a Group"),
        ("*.bias", TypeError, r"a tuple of group\(...\), but it is a str"),
    ],
)
def test_a_group_that_makes_no_sense_is_named(groups, error, message):
    with pytest.raises(error, match=message):
        assign_groups(NAMES, groups, ALLOWED)


def test_many_names_are_cut_short_in_the_message():
    with pytest.raises(ValueError, match=r"the names are: p0, .*p7, \.\.\.$"):
        assign_groups([f"p{i}" for i in range(100)], (group("q"),), ALLOWED)


def test_patterns_must_be_there_and_be_strings():
    with pytest.raises(ValueError, match="at least one pattern"):
        group(lr=1.0)
    with pytest.raises(TypeError, match="must be strings, but one is a list"):
        group(["*.bias"], lr=1.0)


def test_a_rate_keeps_its_ratio():
    assert scale_rate(0.01, 0.1, 0.05) == pytest.approx(0.005, rel=1e-15)
    assert scale_rate(0.0, 0.1, 0.05) == 0.0
    assert scale_rate(0.1, 0.1, 0.3) == 0.3
    assert scale_rate(0.0, 0.0, 0.3) == 0.3
    assert scale_rate(0.7, 0.0, 0.0) == 0.7  # the rate in force is the default: so is the group's
    assert scale_rate(0.7, 0.1, 0.1) == 0.7  # exactly, whatever 0.7 / 0.1 rounds to
    with pytest.raises(ValueError, match=r"lr must stay 0 .* a group has 0\.7, but it is 0\.1"):
        scale_rate(0.7, 0.0, 0.1)
