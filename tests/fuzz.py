"""Every reader of what a stranger may send, fed what was damaged or made up: ``python tests/fuzz.py 10000``.

A reader may return or raise InputError, which the command line makes one sentence and exit code 2. Anything else is a
mistake of ours. Each input must be done with in LONGEST seconds; the largest growth of memory is printed.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tomli_w
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from tinytorch_course.card.verify import read_card, runs_of
from tinytorch_course.data import idx, idx_sets
from tinytorch_course.data.arrays import read_npz
from tinytorch_course.data_names import Place
from tinytorch_course.errors import InputError
from tinytorch_course.pictures.reading import Source, read_picture
from tinytorch_course.report.gather import read_history, read_result
from tinytorch_course.training import checkpoints, safe_tensors
from tinytorch_course.training.config import TrainConfig, read_config
from tinytorch_course.training.networks import read_pictures

LONGEST = 10.0  # seconds for one input, on a machine that has other things to do
ROW = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "lr": 0.1}


def checkpoint():
    file = Path(tempfile.mkdtemp()) / "x.pt"
    checkpoints.save(file, {"weight": torch.ones(3, 2), "step": 7, "history": [ROW]})
    return file.read_bytes()


def npz():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    return buffer.getvalue()


def picture(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(np.arange(300).reshape(15, 20) % 251)).save(buffer, kind)
    return buffer.getvalue()


def read_idx(path):
    source = idx_sets.SOURCES["kmnist"]
    try:
        idx._read_file(source, source.files[3], path)
    except idx._Damage as damage:  # its caller does the same
        raise InputError(str(damage)) from damage


LABELS = bytes([0, 0, 8, 1]) + (10_000).to_bytes(4, "big") + bytes(np.repeat(np.arange(10, dtype=np.uint8), 1000))
DATA = {"name": "x", "title": "x", "classes": ["a", "b"], "channels": 1, "image_size": 8, "mean": [0.5], "std": [0.5]}
CARD = {"tinytorch_card": 1, "runs": [{"folder": "run"}]}
RESULT = {"test_accuracy": 0.5, "test_count": 3, "parameters": 4}


def as_json(value):
    return json.dumps(value).encode()


READERS = {  # what reads, what it may be given to begin with
    "IDX": (read_idx, [LABELS]),
    "checkpoint": (checkpoints.load, [checkpoint()]),
    "safetensors": (
        lambda path: safe_tensors.parse(path.read_bytes(), path),
        [safe_tensors.dump({"w": torch.ones(2, 3), "n": torch.tensor(1)}, {"title": "x"})],
    ),
    "npz": (lambda path: read_npz(Place(path)), [npz()]),
    "picture": (
        lambda path: read_picture(Source(str(path), path)),
        [picture(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")],
    ),
    "config.toml": (
        read_config,
        [tomli_w.dumps({k: v for k, v in TrainConfig().to_dict().items() if v is not None}).encode()],
    ),
    "data.json": (read_pictures, [as_json(DATA)]),
    "history.jsonl": (read_history, [as_json(ROW | {"seconds": 1.0, "impl": "torch", "best": True})]),
    "result.json": (read_result, [as_json(RESULT)]),
    "card": (lambda path: runs_of(read_card(path), path), [as_json(CARD)]),
}

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def damaged(draw, originals):
    """One of the originals with bytes changed, cut off, doubled or added; of JSON, also with values exchanged."""
    data = bytearray(draw(st.sampled_from(originals)))
    if data[:1] == b"{" and draw(st.booleans()):
        value = json.loads(data)
        value[draw(st.sampled_from(sorted(value)))] = draw(JSON_VALUES)
        with contextlib.suppress(UnicodeEncodeError):
            data = bytearray(json.dumps(value, ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["change", "cut", "insert", "double"]))
        if how == "change" and place < len(data):
            data[place] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[place : place + draw(st.integers(0, 64))]
        elif how == "insert":
            data[place:place] = draw(st.binary(max_size=8) | st.just(b"[" * 5000) | st.just(b"9" * 5000))
        elif how == "double":
            data[place:place] = data[place : place + 64]
    return bytes(data)


def fuzz(name, tries):
    """Feed one reader; an exception that is no InputError comes out, with the input that made it."""
    reader, originals = READERS[name]
    outcomes = {"read": 0, "refused": 0}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.npz" if name == "npz" else "x")

        @settings(
            max_examples=tries,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(damaged(originals))
        def one(data):
            path.write_bytes(data)
            began = time.process_time()
            try:
                reader(path)
                outcomes["read"] += 1
            except InputError:
                outcomes["refused"] += 1
            assert time.process_time() - began < LONGEST, "it took too long"

        one()
    return outcomes


if __name__ == "__main__":
    import resource
    import warnings

    warnings.simplefilter("ignore")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for reader_name in sys.argv[2:] or READERS:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        found = fuzz(reader_name, count)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{reader_name}: {sum(found.values()):,} inputs, {found['refused']:,} refused, {found['read']:,} read, "
            f"{grown:.0f} MB more, {time.monotonic() - start:.0f} s",
            flush=True,
        )
