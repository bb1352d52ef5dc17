"""Helpers shared by the tests."""

import tempfile
from pathlib import Path

import pytest


def parametrize_cases(ops):
    """One test per case of these rows, named by the case."""
    cases = [case for op in ops for case in op.cases]
    return pytest.mark.parametrize("case", cases, ids=[str(case) for case in cases])


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
