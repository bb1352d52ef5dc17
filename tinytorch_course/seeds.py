"""Where all randomness comes from: a seed for each purpose, derived from the run's one seed."""

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed that is a function of ``parts`` alone, such as ``("order", seed, epoch)``.

    Because every epoch and step has a seed of its own, a run that is resumed draws what it would have drawn: nothing
    depends on how many numbers a generator gave before.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
