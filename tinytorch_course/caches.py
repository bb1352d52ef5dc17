"""What a layer's cache holds: ops' caches in tuples, lists and dicts, one in the other."""

from collections.abc import Iterator
from typing import Any, TypeVar

Part = TypeVar("Part")


def parts_of(cache: Any, kind: type[Part]) -> Iterator[Part]:
    """Every ``kind`` in a cache, such as each tensor or each op's cache of one type, in the order of the layers."""
    if isinstance(cache, kind):
        yield cache
    elif isinstance(cache, (dict, tuple, list)):
        for part in cache.values() if isinstance(cache, dict) else cache:
            yield from parts_of(part, kind)
