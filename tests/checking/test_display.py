import math

import pytest

from tinytorch_course.checking.display import BAR, _bar


@pytest.mark.parametrize(
    ("error", "share"),
    [(0.0, 0), (1e-15, 0), (1e-10, 1 / 3), (1e-5, 2 / 3), (1.0, 1), (1e9, 1), (math.inf, 1), (None, 1)],
)
def test_a_bar_is_as_long_as_the_error_has_digits(error, share):
    assert _bar(error) == "#" * round(share * BAR / 2)
