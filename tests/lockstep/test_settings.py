import subprocess
import sys

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.lockstep.settings import check_settings


@pytest.mark.parametrize("settings", [(None, None, None), (1, None, 0.0), (None, 3, 1e-9)])
def test_what_a_comparison_can_have(settings):
    check_settings(*settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ((2, 1, None), "--steps and --epochs both say how long"),
        ((0, None, None), "--steps must be at least 1, but it is 0"),
        ((None, None, -1.0), "--tolerance must be a finite number of at least 0, but it is -1.0"),
        ((None, None, float("nan")), "--tolerance must be a finite number"),
        ((None, None, float("inf")), "--tolerance must be a finite number"),
    ],
)
def test_what_none_can_have(settings, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        check_settings(*settings)


def test_it_does_without_torch():
    program = "import sys, tinytorch_course.lockstep.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
