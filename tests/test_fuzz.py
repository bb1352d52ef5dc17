"""A fixed small set of what ``python tests/fuzz.py 10000`` tries."""

import warnings

import pytest
from fuzz import READERS, fuzz


@pytest.mark.parametrize("name", READERS)
def test_what_is_damaged_is_refused_in_one_sentence(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = fuzz(name, 60)
    assert outcomes["refused"] > 10  # or nothing was damaged
