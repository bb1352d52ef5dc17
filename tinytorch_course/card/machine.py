"""What the computer is that a card is made on. No name of it and no user's, only what numbers and times depend on."""

import os
import platform
import subprocess
from pathlib import Path

import torch


def describe_machine(device: torch.device) -> dict[str, str | int | float | None]:
    """Processor, memory, GPU and system, as far as they can be found out."""
    gpu = torch.cuda.get_device_properties(device).name if device.type == "cuda" else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": memory(),
        "gpu": gpu,
        "device": str(device),
        "python": platform.python_version(),
    }


def processor() -> str | None:
    """The processor's name: Linux and macOS know it, elsewhere Python may."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    if not names and platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    return next((name for name in names if name), None) or platform.processor() or None


def memory() -> float | None:
    """In GB."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
