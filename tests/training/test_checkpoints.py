import errno
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from prove import permissions_bind

from tinytorch_course import files
from tinytorch_course.errors import InputError
from tinytorch_course.files import write_atomically
from tinytorch_course.training import checkpoints
from tinytorch_course.training.checkpoints import check_fields, check_state_dict, load, save


def small_checkpoint(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "model": {
            "conv1.weight": torch.randn(4, 1, 3, 3, generator=generator),
            "norm1.running_var": torch.rand(4, generator=generator),
            "norm1.num_batches_tracked": torch.tensor(12),
        },
        "optimizer": {"state": {0: {"exp_avg": torch.randn(4, generator=generator)}}, "param_groups": [{"lr": 1e-3}]},
        "rng": generator.get_state(),
        "epoch": 3,
        "best": None,
        "order": (1, 2.5, "three", True),
    }


def assert_same(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert got.dtype == expected.dtype
        assert got.device == expected.device
        assert torch.equal(got, expected)
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            assert_same(got[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    else:
        assert got == expected


def refuse(path, message, **options):
    """``load`` must refuse with one line that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        load(path, **options)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what is saved can be loaded --------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    path = tmp_path / "last.pt"
    save(path, small_checkpoint())
    assert_same(load(path), small_checkpoint())
    assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("mmap", [False, True])
def test_plain_torch_reads_the_file(tmp_path, mmap):
    path = tmp_path / "last.pt"
    save(path, small_checkpoint())
    assert_same(torch.load(path, weights_only=True, mmap=mmap), small_checkpoint())


def test_the_digest_is_the_zip_comment(tmp_path):
    path = tmp_path / "last.pt"
    save(path, small_checkpoint())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert len(archive.comment) == 81
        assert archive.comment.startswith(b"tinytorch-sha256:")


def test_the_same_content_gives_the_same_bytes(tmp_path):
    save(tmp_path / "a.pt", small_checkpoint())
    save(tmp_path / "b.pt", small_checkpoint())
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_module_takes_its_state_dict_back(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    save(tmp_path / "model.pt", module.state_dict())
    loaded = load(tmp_path / "model.pt")
    check_state_dict(loaded, {name: tensor.shape for name, tensor in module.state_dict().items()}, "model.pt")
    module.load_state_dict(loaded, strict=True)


def test_a_view_is_saved_without_what_it_is_a_view_of(tmp_path):
    path = tmp_path / "view.pt"
    save(path, {"w": torch.zeros(1000, 1000)[0, :3], "e": torch.ones(1).expand(5)})
    assert path.stat().st_size < 5_000
    loaded = load(path)
    check_state_dict(loaded, {"w": (3,), "e": (5,)}, path)


def test_the_order_of_axes_in_memory_is_kept(tmp_path):
    """A convolution may add up in another order for another memory format, and a resumed run would drift away."""
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    save(tmp_path / "w.pt", {"w": tensor})
    assert load(tmp_path / "w.pt")["w"].stride() == tensor.stride()


@pytest.mark.cuda
def test_tensors_are_saved_on_the_cpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
    save(tmp_path / "w.pt", {"w": torch.ones(3, device="cuda")})
    assert torch.load(tmp_path / "w.pt", weights_only=True)["w"].device.type == "cpu"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_diverged_parameters_are_not_saved(tmp_path, bad):
    path = tmp_path / "last.pt"
    save(path, small_checkpoint())
    before = path.read_bytes()
    checkpoint = small_checkpoint()
    checkpoint["optimizer"]["state"][0]["exp_avg"][2] = bad
    with pytest.raises(InputError, match=r"optimizer\.state\.0\.exp_avg holds NaN or infinity"):
        save(path, checkpoint)
    assert path.read_bytes() == before


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize("value", [np.float32(1), np.zeros(3), Path("x"), Pair(1, 2), b"bytes", {1, 2}, print])
def test_what_could_not_be_loaded_is_not_saved(tmp_path, value):
    with pytest.raises(TypeError, match=rf"cannot hold run\.1: it is a {type(value).__name__}"):
        save(tmp_path / "x.pt", {"run": [0, value]})
    assert os.listdir(tmp_path) == []


# --- the disk ---------------------------------------------------------------------------------------------------------


class FullDisk(io.BufferedWriter):
    def write(self, data):
        super().write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullAtFlush(io.BufferedWriter):
    def flush(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("stage", ["write", "flush", "fsync", "replace"])
def test_a_full_disk_harms_nothing(tmp_path, monkeypatch, stage):
    path = tmp_path / "last.pt"
    save(path, small_checkpoint())
    before = path.read_bytes()
    writer = {"write": FullDisk, "flush": FullAtFlush}.get(stage)
    with monkeypatch.context() as patched:
        if writer:
            patched.setattr(files, "open", lambda name, mode, opener: writer(io.FileIO(name, "w")), raising=False)
        else:
            patched.setattr(os, stage, fail)
        with pytest.raises(InputError) as caught:
            save(path, small_checkpoint(seed=1))
    assert str(caught.value) == (
        f"cannot write {path} ({len(before):,} bytes): the disk is full; "
        "free some space or choose a folder on another disk"
    )
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.pt"]


def test_a_limit_on_the_size_of_files_harms_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    path = tmp_path / "last.pt"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, limits[1]))
    try:
        with pytest.raises(InputError, match=r"9,437,184 bytes\): the file would be larger than is allowed"):
            write_atomically(path, bytes(9 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["last.pt"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "last.pt", b"new")
    assert os.listdir(tmp_path) == []


def test_impossible_paths_are_named(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for path, reason in [
        (tmp_path / "missing" / "last.pt", "its folder does not exist; create it first"),
        (tmp_path / "file" / "last.pt", "what should be its folder is a file"),
        (tmp_path / "folder", "it is not a regular file"),
        (Path(os.devnull), "it is not a regular file"),
    ]:
        with pytest.raises(InputError, match=reason) as caught:
            write_atomically(path, b"data")
        assert f"cannot write {path} (4 bytes)" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(not permissions_bind(), reason="permissions do not bind this user")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="permission denied; choose a folder that you may write to"):
            write_atomically(tmp_path / "last.pt", b"data")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refused_permission_is_explained(tmp_path, monkeypatch, number):
    def refuse_replace(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse_replace)
    with pytest.raises(InputError, match="choose a folder that you may write to"):
        write_atomically(tmp_path / "last.pt", b"data")


# One process imports torch and forks the victims, which takes a second in all; each saves without pause until killed.
KILLS = """
import json, os, random, signal, sys, time, torch
from tinytorch_course.training.checkpoints import load, save

def content(step):
    return {"step": step, "w": torch.full((50_000,), float(step))}

path, kills = sys.argv[1], int(sys.argv[2])
chance = random.Random(0)
unreadable, interrupted, strays = 0, 0, 0
for _ in range(kills):
    ready, tell = os.pipe()
    victim = os.fork()
    if victim == 0:
        sync = os.fsync
        os.fsync = lambda file: (time.sleep(0.03), sync(file))  # a slow disk: most kills come before the new name
        save(path, content(0))
        os.write(tell, b"x")
        step = 0
        while True:
            step += 1
            save(path, content(step))
    os.read(ready, 1)
    time.sleep(chance.uniform(0.01, 0.1))
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    os.close(ready), os.close(tell)
    interrupted += len(os.listdir(os.path.dirname(path))) > 1
    try:
        got = load(path)
        unreadable += not torch.equal(got["w"], content(got["step"])["w"])
    except Exception:
        unreadable += 1
    save(path, content(0))
    strays += len(os.listdir(os.path.dirname(path))) != 1
print(json.dumps({"unreadable": unreadable, "interrupted": interrupted, "strays": strays}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_twenty_kills_while_saving_harm_nothing(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLS, str(tmp_path / "last.pt"), "20"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    counts = json.loads(done.stdout)
    assert counts["unreadable"] == 0
    assert counts["strays"] == 0
    assert counts["interrupted"] > 0  # or no kill came in the middle of a save, and nothing was tested


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint_bytes(tmp_path):
    save(tmp_path / "good.pt", small_checkpoint())
    return (tmp_path / "good.pt").read_bytes()


@pytest.mark.parametrize("require_digest", [True, False])
def test_every_flipped_bit_is_noticed(tmp_path, checkpoint_bytes, require_digest):
    path = tmp_path / "flipped.pt"
    bits = 8 * len(checkpoint_bytes)
    anywhere = random.Random(0).sample(range(bits), 300)
    for bit in [*anywhere, *range(32), *range(bits - 8 * 105, bits, 3)]:  # the signature; the end record and digest
        damaged = bytearray(checkpoint_bytes)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refuse(path, "is damaged|is not a checkpoint", require_digest=require_digest)


@pytest.mark.parametrize("require_digest", [True, False])
def test_every_truncation_is_noticed(tmp_path, checkpoint_bytes, require_digest):
    path = tmp_path / "short.pt"
    length = len(checkpoint_bytes)
    lengths = [*range(0, length, length // 100), *range(length - 110, length)]
    assert len(lengths) > 200
    for kept in lengths:
        path.write_bytes(checkpoint_bytes[:kept])
        refuse(path, "is damaged or cut short|is empty|is not a checkpoint", require_digest=require_digest)


def test_a_longer_file_is_noticed(tmp_path, checkpoint_bytes):
    path = tmp_path / "long.pt"
    path.write_bytes(checkpoint_bytes + b"\0")
    refuse(path, "is damaged or cut short")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "it begins with b'<!DOCTYPE html><html'"),
        (b"Dear diary", "it begins with b'Dear diary'"),
        (b"version https://git-lfs.github.com/spec/v1", "it begins with b'version https://git-'"),
        (pickle.dumps({"a": 1}), "is not a checkpoint"),
        (b"PK\x03\x04", "is damaged or cut short"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    refuse(path, message)
    refuse(path, message, require_digest=False)


def test_missing_files_folders_and_devices_are_named(tmp_path):
    refuse(tmp_path / "missing.pt", "there is no checkpoint")
    refuse(tmp_path, "is a folder, not a checkpoint; name a file in it")
    (tmp_path / "file").write_text("")
    refuse(tmp_path / "file" / "model.pt", "there is no checkpoint")
    if Path("/dev/zero").exists():
        refuse("/dev/zero", "is not a regular file")


def test_a_file_without_digest_is_taken_only_on_request(tmp_path):
    path = tmp_path / "elsewhere.pt"
    torch.save({"w": torch.ones(3), "p": torch.nn.Parameter(torch.ones(2))}, path)
    refuse(path, "carries no SHA-256")
    assert torch.equal(load(path, require_digest=False)["w"], torch.ones(3))


# --- malice -----------------------------------------------------------------------------------------------------------


def archive(pickled, storages=(), compression=zipfile.ZIP_STORED):
    """A checkpoint whose digest is right, whatever it holds: who forges a file can also forge its digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as parts:
        parts.writestr("archive/data.pkl", pickled)
        parts.writestr("archive/byteorder", "little")
        for index, storage in enumerate(storages):
            parts.writestr(f"archive/data/{index}", storage)
        parts.writestr("archive/version", "3\n")
    return checkpoints._add_digest(buffer.getvalue())


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(canary):
    """Pickles that make the file ``canary`` when they are loaded trustingly."""
    touch = f"open({str(canary)!r}, 'w').close()"
    shell = f"echo > {canary}"
    for protocol in range(6):
        yield pickle.dumps(Call(os.system, shell), protocol)
        yield pickle.dumps({"w": torch.ones(2).tolist(), "x": [({"y": Call(eval, touch)},)]}, protocol)
        yield pickle.dumps(Call(exec, touch), protocol)
        yield pickle.dumps({Call(eval, touch): 1}, protocol)
        yield pickle.dumps(Call(getattr, Call(eval, f"__import__('builtins').{touch}"), "x", None), protocol)
    yield f"(S'{shell}'\nios\nsystem\n.".encode()  # INST, of protocol 0
    yield f"cos\nsystem\n(S'{shell}'\ntR.".encode()
    yield f"(cos\nsystem\nS'{shell}'\no.".encode()  # OBJ


def test_hostile_pickles_are_refused_and_not_executed(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "hostile.pt"
    count = 0
    for payload in payloads(canary):
        pickle.loads(payload)
        assert canary.exists(), "this payload does nothing, so refusing it would prove nothing"
        canary.unlink()
        path.write_bytes(archive(payload))
        refuse(path, "was refused: it holds more than dense tensors|its content is malformed")
        assert not canary.exists()
        count += 1
    assert count == 33


def test_torch_alone_would_refuse_them_too(tmp_path, monkeypatch):
    """Two locks: without ours, ``weights_only=True`` still holds."""
    monkeypatch.setattr(checkpoints, "_refuse_hostile", lambda data, path: None)
    canary, path = tmp_path / "canary", tmp_path / "hostile.pt"
    for payload in payloads(canary):
        path.write_bytes(archive(payload))
        refuse(path, "was refused: it holds more than dense tensors|its content is malformed")
        assert not canary.exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (b"c__builtin__\nbytearray\n", r"it holds more than dense tensors.*'__builtin__\.bytearray'"),
        (b"ctorch\nTensor\n", r"it holds more than dense tensors.*'torch\.Tensor'"),
        (b"ctorch\nUntypedStorage\n", r"it holds more than dense tensors.*'torch\.UntypedStorage'"),
        (b"ctorch\nTypedStorage\n", r"it holds more than dense tensors.*'torch\.TypedStorage'"),
        (b"ctorch.storage\nUntypedStorage\n", r"it holds more than dense tensors.*'torch\.storage\.UntypedStorage'"),
        (b"ctorch\nempty\n", r"it holds more than dense tensors.*'torch\.empty'"),
        (b"ctorch\nFloatStorage\n", "its content is malformed"),  # torch's reader takes the name, but does not call it
    ],
)
def test_a_few_bytes_cannot_allocate_memory(tmp_path, call, message):
    path = tmp_path / "bomb.pt"
    path.write_bytes(archive(b"\x80\x02" + call + b"J" + struct.pack("<i", 1000) + b"\x85R."))  # call(1000)
    refuse(path, message)


def test_compressed_and_overlapping_entries_are_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    path.write_bytes(archive(pickle.dumps({}, 2), [bytes(10**6)], zipfile.ZIP_DEFLATED))
    refuse(path, "claims to hold more than its")

    plain = archive(pickle.dumps({}, 2), [bytes(1000)])
    body = bytearray(plain[: -checkpoints.COMMENT_LENGTH])
    entry = body.index(b"PK\x01\x02")  # the first entry of the directory: its two sizes stand at 20 and 24
    body[entry + 20 : entry + 28] = struct.pack("<II", 10**9, 10**9)
    path.write_bytes(checkpoints._add_digest(bytes(body)))
    refuse(path, "claims to hold more than its")


def test_a_storage_smaller_than_it_says_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(10.0)}, buffer)
    with zipfile.ZipFile(buffer) as parts:
        pickled, storage = parts.read("archive/data.pkl"), parts.read("archive/data/0")
    path = tmp_path / "lie.pt"
    path.write_bytes(archive(pickled, [storage]))
    assert torch.equal(load(path)["w"], torch.arange(10.0))  # the forgery itself is sound
    length = pickled.index(b"K\nt")  # BININT1 10, the number of elements in the storage
    path.write_bytes(archive(pickled[:length] + b"J" + struct.pack("<i", 10**9) + pickled[length + 2 :], [storage]))
    refuse(path, "its content is malformed")


# --- what a checkpoint holds ------------------------------------------------------------------------------------------

SHAPES = {"conv1.weight": (4, 1, 3, 3), "norm1.running_var": (4,), "norm1.num_batches_tracked": ()}


def test_a_fitting_state_dict_passes():
    check_state_dict(small_checkpoint()["model"], SHAPES, "model.pt")
    strided = {**small_checkpoint()["model"], "norm1.running_var": torch.ones(8)[::2]}
    check_state_dict(strided, SHAPES, "model.pt")


def overlapping(*shape, stride):
    return torch.as_strided(torch.zeros(100), shape, stride)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv1.weight", [1.0], "conv1.weight must be a tensor, but it is a list"),
        ("conv1.weight", torch.zeros(4, 3, 3), r"must have shape \(4, 1, 3, 3\), but its shape is \(4, 3, 3\)"),
        (
            "conv1.weight",
            torch.zeros(4, 1, 3, 3).int(),
            "must be a floating-point tensor, but its dtype is torch.int32",
        ),
        ("conv1.weight", torch.zeros(4, 1, 3, 3).cfloat(), "must be a floating-point tensor, but .* torch.complex64"),
        ("conv1.weight", torch.zeros(4, 1, 3, 3).to_sparse(), "must be a dense tensor, but .* torch.sparse_coo"),
        ("conv1.weight", torch.zeros(1).expand(4, 1, 3, 3), "uses one place in memory for several elements"),
        ("conv1.weight", overlapping(4, 1, 3, 3, stride=(3, 1, 3, 1)), r"elements \(strides \(3, 1, 3, 1\)\)"),
        ("conv1.weight", overlapping(4, 1, 3, 3, stride=(7, 1, 3, 1)), r"elements \(strides \(7, 1, 3, 1\)\)"),
        ("conv1.weight", torch.full((4, 1, 3, 3), float("nan")), "conv1.weight holds NaN or infinity"),
        ("conv1.weight", torch.full((4, 1, 3, 3), float("inf")), "conv1.weight holds NaN or infinity"),
        ("norm1.running_var", torch.ones(4).double(), "has dtype torch.float64, but conv1.weight has torch.float32"),
        (
            "norm1.num_batches_tracked",
            torch.tensor(3.0),
            "must be of dtype torch.int64, but its dtype is torch.float32",
        ),
    ],
)
def test_a_wrong_tensor_is_named(name, value, message):
    with pytest.raises(InputError, match=rf"model\.pt does not fit this network: {name} ") as caught:
        check_state_dict({**small_checkpoint()["model"], name: value}, SHAPES, "model.pt")
    assert caught.match(message)


def test_a_tensor_that_claims_more_than_its_memory_is_refused(tmp_path):
    """A file of 2 kB that holds a million elements by strides of 0."""
    path = tmp_path / "bomb.pt"
    torch.save({"w": torch.zeros(1).expand(1000, 1000)}, path)
    assert path.stat().st_size < 3_000
    loaded = load(path, require_digest=False)
    with pytest.raises(InputError, match=r"w uses one place in memory for several elements \(strides \(0, 0\)\)"):
        check_state_dict(loaded, {"w": (1000, 1000)}, path)


def test_wrong_keys_are_named():
    tensors = small_checkpoint()["model"]
    missing = {name: tensor for name, tensor in tensors.items() if name != "conv1.weight"}
    with pytest.raises(InputError, match=r"it lacks conv1\.weight; is it from another --model\?"):
        check_state_dict(missing, SHAPES, "model.pt")
    with pytest.raises(InputError, match=r"it has the unexpected fc\.bias"):
        check_state_dict({**tensors, "fc.bias": torch.ones(1)}, SHAPES, "model.pt")
    others = {f"layer{index}.weight": torch.ones(1) for index in range(5)}
    with pytest.raises(InputError, match=r"lacks .* and has the unexpected layer0\.weight, .* and 2 more"):
        check_state_dict(others, SHAPES, "model.pt")
    with pytest.raises(InputError, match=r"model\.pt must hold a dict, but it holds a list"):
        check_state_dict([1], SHAPES, "model.pt")


FIELDS = {"model": dict, "epoch": int, "lr": float, "best": float | None, "done": bool}
GOOD = {"model": {}, "epoch": 0, "lr": 0.1, "best": None, "done": False}


def test_right_fields_pass():
    check_fields(GOOD, FIELDS, "last.pt")
    check_fields({**GOOD, "best": 0.5, "epoch": 2**63 - 1, "done": True}, FIELDS, "last.pt")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model", [], "its model must be dict, but it is list"),
        ("epoch", "3", "its epoch must be int, but it is str"),
        ("epoch", True, "its epoch must be int, but it is bool"),
        ("epoch", -1, r"its epoch must be from 0 to 2\*\*63 - 1, but it is -1"),
        ("epoch", 2**63, r"its epoch must be from 0 to 2\*\*63 - 1, but it is 9223372036854775808"),
        ("lr", float("nan"), "its lr is NaN"),
        ("best", "x", r"its best must be float \| None, but it is str"),
        ("done", 1, "its done must be bool, but it is int"),
    ],
)
def test_a_wrong_field_is_named(name, value, message):
    with pytest.raises(InputError, match=r"last\.pt is malformed: " + message):
        check_fields({**GOOD, name: value}, FIELDS, "last.pt")


def test_a_checkpoint_of_another_kind_is_named():
    """As when ``model.pt`` lies where ``last.pt`` should be."""
    with pytest.raises(
        InputError, match=r"last\.pt does not hold what is expected: it lacks model, epoch, lr and 2 more"
    ):
        check_fields(small_checkpoint()["model"], FIELDS, "last.pt")
    with pytest.raises(InputError, match=r"last\.pt must hold a dict, but it holds a Tensor"):
        check_fields(torch.ones(1), FIELDS, "last.pt")
