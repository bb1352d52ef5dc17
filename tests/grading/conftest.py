import contextlib
import io
import itertools

import pytest

from tinytorch_course.grading.child import _Checked
from tinytorch_course.grading.own_code import Request, parse_shapes

numbers = itertools.count()


@pytest.fixture
def checked(tmp_path):
    """Check a source text in this process: the row."""

    def checked(source: str, names: str, like: str | None = None, shapes: str | None = None, **options):
        file = tmp_path / f"mine_{next(numbers)}.py"
        file.write_text(source, encoding="utf-8")
        sizes = parse_shapes(shapes) if shapes else None
        with contextlib.redirect_stdout(io.StringIO()):
            return _Checked(Request(str(file), names.split(","), like, sizes, **options), tmp_path).row()

    return checked
