"""Parameter groups chosen by name, for both implementations: which parameter is in which group, and at what rate.

    groups=(group("*.bias", "norm*", weight_decay=0.0), group("trunk.*", lr=1e-4))

No tensor is touched here: ``scratch.optimizers`` and ``reference.optimizers`` both ask, so that they cannot differ.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Group(NamedTuple):
    """Parameters with hyper-parameters of their own; made by :func:`group`."""

    patterns: tuple[str, ...]
    overrides: dict[str, Any]

    def __str__(self) -> str:
        keywords = [f"{key}={value!r}" for key, value in self.overrides.items()]
        return f"group({', '.join([*map(repr, self.patterns), *keywords])})"


def group(*patterns: str, **overrides: Any) -> Group:
    """The parameters whose whole name matches one of ``patterns``, and what is different for them.

    Args:
        patterns: shell-style: ``*`` any characters (dots too), ``?`` one, ``[ab]`` one of these. Upper and lower case
            differ. ``"*.bias"`` is every bias, ``"trunk.*"`` all parameters of the layer ``trunk``.
        overrides: hyper-parameters of the optimizer by their names, such as ``lr=1e-4`` or ``weight_decay=0.0``.

    Raises:
        ValueError: without a pattern. TypeError: if a pattern is not a string.
    """
    if not patterns:
        raise ValueError('a group must have at least one pattern, such as group("*.bias", weight_decay=0.0)')
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"the patterns of a group must be strings, but one is a {type(pattern).__name__}")
    return Group(patterns, overrides)


def assign_groups(
    names: Iterable[str], groups: Sequence[Group], allowed: Iterable[str]
) -> list[tuple[list[str], dict[str, Any]]]:
    """Sort parameters into groups, in ``torch.optim``'s order.

    Args:
        names: of all parameters, in order.
        groups: from :func:`group`.
        allowed: the hyper-parameters that a group may override.

    Returns:
        (names, overrides) of each group. The first is that of the parameters no pattern matches, without overrides; it
        is left out if there are none. Then come the ``groups``, in order; within a group the order of ``names`` holds.

    Raises:
        ValueError: if a pattern matches no parameter, two groups match the same one, or a group overrides something
            that is not in ``allowed``. TypeError: if ``groups`` holds anything else.
    """
    names, allowed = list(names), list(allowed)
    if isinstance(groups, Group) or not isinstance(groups, (tuple, list)):
        raise TypeError(f"groups must be a tuple of group(...), but it is a {type(groups).__name__}")
    owner: dict[str, Group] = {}
    members = []
    for one in groups:
        _check_group(one, names, allowed)
        matched = [name for name in names if any(fnmatchcase(name, pattern) for pattern in one.patterns)]
        for name in matched:
            if name in owner:
                raise ValueError(f"parameter {name!r} is in two groups, {owner[name]} and {one}: it may be in one only")
            owner[name] = one
        members.append((matched, dict(one.overrides)))
    rest = [name for name in names if name not in owner]
    return [(rest, {}), *members] if rest else members


def _check_group(one: Group, names: list[str], allowed: list[str]) -> None:
    if not isinstance(one, Group):
        raise TypeError(f"groups must hold group(...) only, but one of them is a {type(one).__name__}")
    for key in one.overrides:
        if key not in allowed:
            raise ValueError(f"{one} overrides {key!r}, but this optimizer knows only {', '.join(allowed)}")
    for pattern in one.patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise ValueError(f"pattern {pattern!r} of {one} matches no parameter; the names are: {shown}")


def scale_rate(group_lr: float, default_lr: float, lr: float) -> float:
    """The rate of a group while ``lr`` stands in for the optimizer's rate ``default_lr``: ``lr · group_lr/default_lr``.

    A group keeps its ratio to the default, as under torch's schedulers, which multiply each group's initial rate.

    Raises:
        ValueError: if the default is 0, to which a rate of one's own has no ratio.
    """
    if group_lr == default_lr:
        return lr
    if lr == default_lr:  # exactly the group's own, without rounding
        return group_lr
    if default_lr == 0:
        raise ValueError(
            f"lr must stay 0 where the optimizer's own lr is 0 and a group has {group_lr}, but it is {lr}: "
            "the group keeps its ratio to the optimizer's rate, and there is none to 0"
        )
    return lr * (group_lr / default_lr)
