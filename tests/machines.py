"""The tests of equality, and all lessons, on other machines: ``python tests/machines.py``.

Each machine is a run of pytest with its own rounding, threads, instruction set or library; a line says what came of it.
About 20 minutes a machine on two cores; ``--only rounding-0`` runs one of them.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
# What compares our numbers with torch's, or one run's with another's.
EQUALITY = [
    "scratch",
    "reference",
    "checking",
    "diagnosis",
    "lockstep",
    "training/test_learners.py",
    "training/options/test_averaging.py",
    "test_models.py",
]
LESSONS = ["examples"]

# name: options of pytest, environment
MACHINES = {
    **{f"rounding-{seed}": ([f"--rounding={seed}"], {}) for seed in range(5)},
    **{f"threads-{count}": ([f"--threads={count}"], {"OMP_NUM_THREADS": str(count)}) for count in (1, 2, 3, 4)},
    **{f"capability-{name}": ([], {"ATEN_CPU_CAPABILITY": name}) for name in ("default", "avx2")},
    "no-onednn": (["--no-onednn"], {}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=MACHINES, help="one machine; may be given several times")
    parser.add_argument("paths", nargs="*", help="tests to run (default: those of equality, and the lessons)")
    wanted = parser.parse_args()
    paths = wanted.paths or [str(HERE / path) for path in (*EQUALITY, *LESSONS)]
    failed = []
    for name in wanted.only or MACHINES:
        options, environment = MACHINES[name]
        commands = [["pytest", "-q", "--no-header", *options, *paths]]
        if name.startswith("rounding") and not wanted.paths:
            compare = ["tinytorch_course", "compare", "--dtype", "float64", "--steps", "200"]
            commands.append(["tinytorch_course.instruments.rounding", f"--seed={name[-1]}", "-m", *compare])
        for command in commands:
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", *command],
                cwd=HERE.parent,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                failed.append(name)
                print(done.stdout, done.stderr)
            print(f"{name}: {said(done.stdout)} ({time.monotonic() - began:.0f} s)", flush=True)
    print("failed: " + ", ".join(failed) if failed else "all machines: the same")
    return bool(failed)


def said(output: str) -> str:
    """What a command came to: pytest's last line, or what compare says of all tensors."""
    lines = output.splitlines() or ["nothing was printed"]
    return next((line for line in lines if line.startswith("Same: ")), lines[-1])


if __name__ == "__main__":
    sys.exit(main())
