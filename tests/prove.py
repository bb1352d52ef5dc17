"""Helpers shared by the tests."""

import pytest


def parametrize_cases(table, ops=None):
    """One test per case of a table, named by the case."""
    cases = [case for case in table.cases if ops is None or case.op in ops]
    return pytest.mark.parametrize("case", cases, ids=[str(case) for case in cases])
