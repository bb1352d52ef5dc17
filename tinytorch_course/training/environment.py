"""Where a run computes: its device, what makes both implementations compute alike, what may change between two runs."""

import importlib.metadata
from typing import Any

import torch

import tinytorch_course
from tinytorch_course.errors import InputError
from tinytorch_course.training.config import TrainConfig


def find_device(name: str) -> torch.device:
    """The device of that name; InputError if there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise InputError(f"--device is {name}, but torch finds no CUDA device here: use cpu or auto")
        number = torch.device(name).index
        if number is not None and number >= torch.cuda.device_count():
            raise InputError(f"--device is {name}, but there are only {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)


def check_cuda_graph(config: TrainConfig, device: torch.device) -> None:
    """Raise InputError if the step of such a run cannot be a CUDA graph."""
    if device.type != "cuda":
        raise InputError("--cuda-graph is for NVIDIA GPUs, but this run is on the CPU: leave it out")
    if config.compile or config.impl == "torch":
        other = "--compile" if config.compile else "--impl torch"
        raise InputError(f"--cuda-graph records the from-scratch step as it is, so it cannot be combined with {other}")


def compute_alike(precision: str = "float32", device: torch.device | None = None, dtype: str = "float32") -> None:
    """Let both implementations compute in full float32 on CUDA, or both multiply in TF32.

    Left alone, cuDNN's convolutions use TF32 (three digits) while matmul does not: only one path would be rounded.

    Raises:
        InputError: for TF32 on a device that has none, and for less than float32 beside float64.
    """
    if precision != "float32" and dtype != "float32":
        raise InputError(f"--precision {precision} is for --dtype float32, but --dtype is {dtype}")
    if precision == "tf32" and (device is None or device.type != "cuda"):
        raise InputError("--precision tf32 needs an NVIDIA GPU, but this run is on the CPU: leave it out")
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def generator_states() -> dict[str, Any]:
    """Torch's own generators. Training draws from none of them, but what a learner adds may."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_generator_states(states: dict[str, Any]) -> None:
    """Put the generators back into states that were kept."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def versions() -> dict[str, str]:
    """What decides whether a run can be repeated bit for bit."""
    return {
        "tinytorch": tinytorch_course.__version__,
        "torch": str(torch.__version__),
        "torchvision": importlib.metadata.version("torchvision"),  # importing it would cost a second
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
