"""``tinytorch bench --gpu-report FILE``: everything that a GPU is wanted for, as one section for docs/measured.md.

Each part is a command of its own in a process of its own, with a time limit: a part that fails, hangs or takes the
device down with it leaves the others alone, and stands in the report as failed. The file is written anew after every
part.
"""

import contextlib
import functools
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import tinytorch_course
from tinytorch_course.errors import InputError
from tinytorch_course.files import write_atomically

MINUTES = 25  # that all parts together may take
ONE_PROCESS = "addopts=--strict-markers --import-mode=importlib"  # for they share the one GPU
TESTS = Path(tinytorch_course.__file__).parents[1] / "tests"  # where the package lies in its repository
COMMAND = (sys.executable, "-m", "tinytorch_course")
WANTED_ACCURACY, WANTED_SECONDS = 0.99, 0.76


class Part(NamedTuple):
    """One command of the report."""

    title: str
    command: Sequence[str]
    limit: float  # seconds
    tell: Callable[[str], tuple[str, list[str]]]  # stdout -> the line of the table, and what stands below it


class PartResult(NamedTuple):
    """What a part came to."""

    part: Part
    ok: bool
    summary: str
    details: list[str]
    seconds: float


def plan(device: str, folder: Path, *, quick: bool) -> list[Part]:
    """What is run, in order.

    Args:
        device: of all parts.
        folder: for the runs.
        quick: a few steps of a small network on the embedded digits instead, to see whether the command works.
    """
    on_cuda = device.startswith("cuda")
    graph = ["--cuda-graph"] if on_cuda else []

    def tinytorch(*words: str) -> list[str]:
        return [*COMMAND, *words, "--device", device, "--json"]

    def train(impl: str) -> list[str]:
        settings = ["--model", "mlp", "--data", "digits", "--limit", "256"] if quick else ["--data", "mnist"]
        epochs = "1" if quick else "3"
        return tinytorch("train", "--impl", impl, *settings, "--epochs", epochs, "--out", str(folder / impl))

    def compare(dtype: str, steps: int) -> list[str]:
        settings = ["--model", "mlp", "--data", "digits"] if quick else ["--data", "mnist"]
        return tinytorch("compare", *settings, "--dtype", dtype, "--steps", str(3 if quick else steps))

    def bench(*words: str) -> list[str]:
        return tinytorch("bench", *(["--model", "mlp", "--repeat", "3"] if quick else []), *words)

    fast = ["--preset", "fast", "--seeds", "5"]
    if quick:
        fast = ["--model", "mlp", "--data", "digits", "--epochs", "1", "--seeds", "2"]
    fast += ["--out", str(folder / "fast")]
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "-o", ONE_PROCESS]
    pytest.append(str(TESTS / "bench" if quick else TESTS))
    parts = [
        Part("tests that need a GPU", pytest, 480, functools.partial(tell_tests, some_must_pass=on_cuda)),
        Part("training from scratch", train("scratch"), 120, tell_training),
        Part("training in torch", train("torch"), 120, tell_training),
        Part("both compared in float64", compare("float64", 200), 100, tell_comparison),
        Part("both compared in float32", compare("float32", 20), 60, tell_comparison),
        Part("times, eager", bench(), 150, tell_times),
        Part("steps as a CUDA graph", bench(*graph), 90, tell_times),
        Part("a step compiled", bench("--compile", "--model", "mlp" if quick else "mnist_cnn"), 200, tell_times),
        Part("the time to 99 %", tinytorch("train", *fast, *graph), 90, tell_time_to_accuracy),
    ]
    return parts if on_cuda else [part for part in parts if part.title != "steps as a CUDA graph"]


def make_report(path: str, device: str, *, quick: bool, notify: Callable[[str], None]) -> bool:
    """Run all parts and write the report.

    Args:
        path: the Markdown file, which must not exist yet.
        device: "cuda", "cuda:N" or "auto", which is "cuda" here; "cpu" for a rehearsal, which must be ``quick``.
        quick: see :func:`plan`.
        notify: is told what is being done.

    Returns:
        Whether every part succeeded.

    Raises:
        InputError: without such a GPU, or if the file cannot be written.
    """
    device = "cuda" if device == "auto" else device
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            "--gpu-report needs a GPU, but torch finds no CUDA device here: --device cpu --quick rehearses it"
        )
    if not device.startswith("cuda") and not quick:
        raise InputError("--gpu-report is about a GPU; on the CPU it can only be rehearsed: --device cpu --quick")
    if Path(path).exists():
        raise InputError(f"--gpu-report would write over {path}: give the name of a new file")
    outcomes: list[PartResult] = []
    with tempfile.TemporaryDirectory() as folder:
        parts = plan(device, Path(folder), quick=quick)
        write_report(path, device, quick, outcomes, parts)
        for part in parts:
            notify(f"{part.title} (at most {part.limit:.0f} s) ...")
            outcomes.append(run_part(part))
            notify(f"  {'' if outcomes[-1].ok else 'FAILED: '}{outcomes[-1].summary}")
            write_report(path, device, quick, outcomes, parts)
    return all(outcome.ok for outcome in outcomes)


def run_part(part: Part) -> PartResult:
    """Run one part; whatever goes wrong is its outcome."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # a pipe would wait for grandchildren
        failure = _run(part, out, err)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    seconds = time.perf_counter() - began
    if failure is None:
        try:
            summary, details = part.tell(texts[0])
            return PartResult(part, True, summary, details, seconds)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            failure = f"its output could not be read ({type(error).__name__}: {error})"
    last = next((line.strip() for text in reversed(texts) for line in reversed(text.splitlines()) if line.strip()), "")
    return PartResult(part, False, f"{failure}: {last}" if last else failure, [], seconds)


def _run(part: Part, out: Any, err: Any) -> str | None:
    """None, or what went wrong."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    try:
        process = subprocess.Popen(
            part.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )
    except OSError as error:
        return f"it could not be started ({error.strerror})"
    try:
        code = process.wait(part.limit)
    except subprocess.TimeoutExpired:
        return f"stopped after {part.limit:.0f} s"
    finally:
        _stop(process)
    return None if code == 0 else f"exit code {code}"


def _stop(process: subprocess.Popen) -> None:
    """The process and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
    process.wait()


# --- What a part came to ----------------------------------------------------------------------------------------------


def tell_tests(out: str, *, some_must_pass: bool) -> tuple[str, list[str]]:
    """pytest's last line; where all tests were skipped, nothing was shown."""
    last = [line for line in out.splitlines() if line.strip()][-1]
    if some_must_pass and " passed" not in last:
        raise ValueError("no test passed")
    return last.strip(" ="), []


def tell_training(out: str) -> tuple[str, list[str]]:
    """A run's accuracy and time."""
    run = json.loads(out)
    low, high = (100 * bound for bound in run["test_interval"])
    return (
        f"`{run['model']}` on {run['data']}, {run['epochs']} epochs: test accuracy {100 * run['test_accuracy']:.2f} % "
        f"({low:.2f} to {high:.2f}) after {run['seconds']:.1f} s of training and validation, on {run['device']}"
    ), []


def tell_comparison(out: str) -> tuple[str, list[str]]:
    """How far the two implementations came apart."""
    found = json.loads(out)
    errors = [f"{kind} {float(error):.1e}" for kind, error in found["largest_errors"].items()]
    text = f"{found['steps']} steps on {found['device']}; largest relative errors: {', '.join(errors)}"
    if found["test"] is not None:
        test = found["test"]
        text += f"; {test['different']:,} of {test['count']:,} predictions differ"
    return text, []


def tell_times(out: str) -> tuple[str, list[str]]:
    """A table of the times."""
    document = json.loads(out)
    kind = "compiled" if document["compiled"] else "ours as a CUDA graph" if document["cuda_graph"] else "eager"
    lines = [
        f"| {kind}, {document['dtype']} | batch | scratch ms | torch ms | ratio (quartiles) |",
        "|---|---|---|---|---|",
    ]
    for one in document["results"]:
        timing = one["timing"]
        name = f"`{one['name']}`" + (", a training step" if one["kind"] == "step" else "")
        lines.append(
            f"| {name} | {one['batch']} | {1e3 * timing['scratch']:.3f} | {1e3 * timing['torch']:.3f} | "
            f"{timing['ratio']:.2f} ({timing['low']:.2f}-{timing['high']:.2f}) |"
        )
    rate = document["matmul_flops_per_second"] / 1e12
    return (
        f"{len(document['results'])} timed on {document['device']}, medians of {document['rounds']} rounds; a large "
        f"matmul does {rate:.2f} TFLOP/s"
    ), lines


def tell_time_to_accuracy(out: str) -> tuple[str, list[str]]:
    """Whether every seed reached the accuracy that is wanted, in the time that is wanted."""
    outcome = json.loads(out)
    runs = outcome["runs"]
    seconds = [run["seconds"] for run in runs]
    mean = sum(seconds) / len(seconds)
    reached = sum(run["test_accuracy"] >= WANTED_ACCURACY for run in runs)
    accuracy = outcome["test_accuracy"]
    verdict = "reached" if reached == len(runs) and mean < WANTED_SECONDS else "not reached"
    return (
        f"`{runs[0]['model']}` on {runs[0]['data']}, {len(runs)} seeds: {100 * accuracy['mean']:.2f} ± "
        f"{100 * accuracy['deviation']:.2f} %, {reached} of {len(runs)} at least 99 %; training and validation took "
        f"{mean:.2f} s on average ({', '.join(f'{each:.2f}' for each in seconds)}; the first run also sets everything "
        f"up). The aim, 99 % with every seed in less than {WANTED_SECONDS} s on average: {verdict}"
    ), []


# --- The report -------------------------------------------------------------------------------------------------------


def write_report(path: str, device: str, quick: bool, outcomes: list[PartResult], parts: list[Part]) -> None:
    """The section, with what is known so far."""
    write_atomically(path, "\n".join(_lines(device, quick, outcomes, parts)).encode())


def _lines(device: str, quick: bool, outcomes: list[PartResult], parts: list[Part]) -> list[str]:
    on_cuda = device.startswith("cuda")
    flags = (" --quick" if quick else "") + ("" if device == "cuda" else f" --device {device}")
    lines = ["## On a GPU" if on_cuda else "## A rehearsal on the CPU", ""]
    if not on_cuda:
        lines += ["**No GPU was there: this only shows that the command works. Nothing below is a GPU's figure.**", ""]
    elif quick:
        lines += ["**A few steps only (`--quick`): these figures are not for comparing.**", ""]
    failed = sum(not outcome.ok for outcome in outcomes)
    lines += [
        f"By `tinytorch bench --gpu-report FILE{flags}` on {time.strftime('%Y-%m-%d')}, {_machine(device)}. "
        f"{len(outcomes)} of {len(parts)} parts were run, {failed} of them failed.",
        "",
        "| part | what came of it | seconds |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        words = (outcome.summary if outcome.ok else f"**failed**: {outcome.summary}").replace("|", "\\|")
        lines.append(f"| {outcome.part.title} | {words} | {outcome.seconds:.0f} |")
    lines += [f"| {part.title} | **not run** | |" for part in parts[len(outcomes) :]]
    for outcome in outcomes:
        if outcome.details:
            lines += ["", *outcome.details]
    return [*lines, ""]


def _machine(device: str) -> str:
    words = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        words = [f"{properties.name} ({properties.total_memory / 1e9:.0f} GB)", f"CUDA {torch.version.cuda}", *words]
    return ", ".join(words)
