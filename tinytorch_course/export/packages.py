"""What an export needs beside torch. Importable without any of it."""

import importlib.util

from tinytorch_course.errors import InputError

FOR_ONNX = ("onnx", "onnxruntime", "onnxscript")


def require_onnx() -> None:
    """Raise :class:`InputError` unless all that ``--onnx`` needs is installed."""
    missing = [name for name in FOR_ONNX if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--onnx needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'tinytorch-course[onnx]'"
        )
