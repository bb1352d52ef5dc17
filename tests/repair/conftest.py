import importlib.util
import itertools
import sys

import pytest

from tinytorch_course.checking.suite import quiet_and_exact
from tinytorch_course.grading.own_code import parse_shapes
from tinytorch_course.grading.pairs import pair_of_functions
from tinytorch_course.grading.subjects import subject_of_pair
from tinytorch_course.repair import find_repair
from tinytorch_course.repair.sandbox import guarded

numbers = itertools.count()


@pytest.fixture
def repair(tmp_path):
    """Search for the repair of ``forward`` and ``backward`` in a source text."""

    def repaired(source: str, shapes: str | None = None, like: str | None = None, budget: float = 60.0):
        name = f"learners_code_{next(numbers)}"
        path = tmp_path / f"{name}.py"
        path.write_text(f"import torch\n{source}")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        pair = pair_of_functions("own", module.forward, module.backward)
        sizes = parse_shapes(shapes) if shapes else None
        subject = subject_of_pair(pair, ([module.forward], [module.backward]), tmp_path, like=like, shapes=sizes)
        with quiet_and_exact(), guarded():
            found = find_repair(subject, budget)
        assert path.read_text() == f"import torch\n{source}"
        return found

    return repaired
