import pytest
from fake_cuda import FakeCuda, pretend


@pytest.fixture
def cuda(monkeypatch):
    """A fake CUDA device, entered; ``cuda.waits`` says where Python waited for it. See ``fake_cuda.py``."""
    with FakeCuda() as device:  # first: torch's own fake device asks, too, whether there is a real one
        pretend(monkeypatch)
        yield device
        monkeypatch.undo()
