"""What a layer's cache holds: ops' caches in tuples, lists and dicts, one in the other."""

from collections.abc import Iterator
from typing import Any, TypeVar

Part = TypeVar("Part")


def parts_of(cache: Any, kind: type[Part]) -> Iterator[Part]:
    """Every ``kind`` in a cache, such as each tensor or each op's cache of one type, in the order of the layers."""
    return (part for _, part in places_of(cache, kind))


def places_of(cache: Any, kind: type[Part], place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Part]]:
    """Every ``kind`` in a cache, with its place: its number in each of the containers it is in, from the outermost."""
    if isinstance(cache, kind):
        yield place, cache
    elif isinstance(cache, (dict, tuple, list)):
        for number, part in enumerate(cache.values() if isinstance(cache, dict) else cache):
            yield from places_of(part, kind, (*place, number))
