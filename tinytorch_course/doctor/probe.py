"""The part of ``tinytorch doctor`` that imports torch, in a process of its own. See ``checks.py``.

Every line that counts begins with a word: STAGE (what is tried next, so that it can be named if it ends the process),
FINDING or END. Whatever else libraries print is ignored.
"""

import importlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tinytorch_course.doctor.checks import DATA_ROOM, NOTE, OK, SHOWN, WRONG, Finding, space_of

SIZE = 32  # of the matrices
DRIVER = Path("/proc/driver/nvidia/gpus")
PAIR = "install torch and torchvision again, together: their versions must fit each other"


def main() -> None:
    """Print every finding."""
    warnings.simplefilter("ignore")  # what they would say is a finding, or none
    if not all(_tell("versions", name, partial(map, _import, [name])) for name in SHOWN):
        # Without them nothing below can be tried, and the advice is there already.
        print("END", flush=True)
        return
    _tell("devices", "cpu", lambda: [try_device("cpu")])
    _tell("devices", "cuda", look_for_gpus)
    _tell("data", "data", look_for_data)
    print("END", flush=True)


def _tell(topic: str, name: str, look: Callable[[], Iterable[Finding]]) -> bool:
    """Print what ``look`` finds; an exception is a finding too. Whether nothing is wrong."""
    print("STAGE", json.dumps([topic, name]), flush=True)
    try:
        findings = list(look())
    except Exception as error:
        findings = [Finding(topic, name, WRONG, _first_line(error), "please report it: tinytorch did not expect this")]
    for finding in findings:
        print("FINDING", json.dumps(finding._asdict()), flush=True)
    return all(finding.state != WRONG for finding in findings)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _import(name: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        return Finding("versions", name, WRONG, f"cannot be imported: {_first_line(error)}", PAIR)
    return Finding("versions", name, OK, f"{module.__version__} in {Path(str(module.__file__)).parent}")


# --- devices ---------------------------------------------------------------------------------------------------------


def look_for_gpus() -> Iterator[Finding]:
    """Each CUDA device, tried; or why torch sees none."""
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            yield try_device(f"cuda:{number}")
    elif shutil.which("nvidia-smi") or DRIVER.is_dir():
        if torch.version.cuda is None:
            text = "there is an NVIDIA driver, but this torch is built for the CPU alone"
            advice = "install torch as pytorch.org says for CUDA; --device cpu works"
        else:
            text = f"there is an NVIDIA driver, but torch (for CUDA {torch.version.cuda}) finds no GPU"
            advice = "see what nvidia-smi says, or update the driver"
        yield Finding("devices", "cuda", NOTE, text, advice)
    else:
        yield Finding("devices", "cuda", OK, "no NVIDIA GPU here: everything runs on the CPU")


def try_device(device: str) -> Finding:
    """A matrix product and a convolution of small integers on ``device``: exact in float32, in TF32 too."""
    try:
        problem = wrong_number(device)
        about = _describe(device)
    except Exception as error:
        advice = "use --device cpu, or install torch as pytorch.org says for this GPU" if device != "cpu" else PAIR
        return Finding("devices", device, WRONG, f"a kernel failed: {_first_line(error)}", advice)
    if problem:
        advice = "trust no result of this device; use another, and try another torch"
        return Finding("devices", device, WRONG, f"gives wrong results: {problem}", advice)
    return Finding("devices", device, OK, f"{about}; matrix product and convolution are right")


def wrong_number(device: str) -> str:
    """What is wrong with the products that ``device`` computes, beside those of Python's integers; "" if nothing."""
    import torch

    a = [[(SIZE * row + column) % 7 - 3 for column in range(SIZE)] for row in range(SIZE)]
    x = torch.tensor(a, dtype=torch.float32).to(device)
    every, places, taps = range(SIZE), range(SIZE - 2), range(3)
    product = [[sum(a[i][k] * a[k][j] for k in every) for j in every] for i in every]
    slid = [[sum(a[i + k][j + m] * a[k][m] for k in taps for m in taps) for j in places] for i in places]
    for name, got, expected in (
        ("the matrix product", x @ x, product),
        ("the convolution", torch.conv2d(x[None, None], x[None, None, :3, :3])[0, 0], slid),
    ):
        different = (got.cpu() != torch.tensor(expected, dtype=torch.float32)).nonzero().tolist()
        if different:
            i, j = different[0]
            return f"{name} at [{i}, {j}] is {got[i, j].item():g}, but right is {expected[i][j]}"
    return ""


def _describe(device: str) -> str:
    import torch

    if device == "cpu":
        threads = torch.get_num_threads()
        return f"{threads} thread{'s' * (threads != 1)}, {torch.backends.cpu.get_cpu_capability()}"
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    capability = f"compute capability {properties.major}.{properties.minor}"
    return f"{properties.name}, {capability}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"


# --- data ------------------------------------------------------------------------------------------------------------


def look_for_data() -> Iterator[Finding]:
    """Which sets are in the data folder, and whether another one would find room there."""
    from tinytorch_course.data import default_data_dir
    from tinytorch_course.data.status import all_statuses

    folder = default_data_dir()
    absent = []
    for status in all_statuses(folder):
        if status.state == "absent":
            absent.append(status.name)
        elif status.state == "unusable":
            yield Finding("data", status.name, NOTE, status.problem, "or use one that is built in: --data digits")
        elif status.state == "incomplete":
            text = f"{status.location} lacks {', '.join(status.missing)}"
            yield Finding("data", status.name, NOTE, text, f"tinytorch data fetch {status.name}")
        else:
            text = f"built in ({status.location})" if status.state == "embedded" else f"in {status.location}"
            yield Finding("data", status.name, OK, text)
    if absent:
        advice = (
            "tinytorch data fetch NAME downloads one; if you have them elsewhere, set TINYTORCH_DATA to that folder"
        )
        yield Finding("data", "not here", NOTE, f"{', '.join(absent)} (looked for in {folder})", advice)
    yield space_of(folder, "data folder", DATA_ROOM, needed=False, option="--data-dir or TINYTORCH_DATA")
