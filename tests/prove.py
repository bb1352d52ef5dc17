"""Helpers shared by the tests."""

import tempfile
from pathlib import Path

import pytest

from tinytorch_course.scratch import tuned


def parametrize_cases(ops):
    """One test per case of these rows and form of its op, named by both."""
    cases = [(case, form) for op in ops for case in op.cases for form in forms_of(op.name)]
    return pytest.mark.parametrize(("case", "form"), cases, ids=[f"{case} {form}" for case, form in cases])


def forms_of(name):
    """The forms that an op or optimizer has: all have the textbook's."""
    own = {f"{name}_forward", f"{name.removesuffix('w')}_step"}  # AdamW's step is Adam's
    has_another = any(own & set(family.__all__) for family in tuned.FAMILIES)
    return ["textbook", "tuned"] if has_another else ["textbook"]


def permissions_bind():
    """Whether a folder that may not be written refuses this user: it does not refuse root, nor anybody on Windows."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        try:
            (Path(folder) / "file").touch()
        except PermissionError:
            return True
        finally:
            Path(folder).chmod(0o700)
    return False
