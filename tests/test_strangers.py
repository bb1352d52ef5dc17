"""Run folders, cards, pictures and data from strangers: one sentence and exit code 2, whatever they hold."""

import contextlib
import dataclasses
import io
import json
import math
import os
import re
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from trials import SMALL

from tinytorch_course.cli.app import run
from tinytorch_course.data import idx, idx_sets
from tinytorch_course.data.arrays import read_npz
from tinytorch_course.data_names import Place
from tinytorch_course.errors import InputError
from tinytorch_course.pictures.reading import Source, read_picture
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import read_config
from tinytorch_course.training.loop import train
from tinytorch_course.training.networks import read_pictures

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger") / "run"
    train(dataclasses.replace(SMALL, model="softmax"), out=str(folder))
    return folder


@pytest.fixture
def stranger(done, tmp_path):
    """A run folder that may be damaged."""
    return shutil.copytree(done, tmp_path / "run")


def refused(capsys, *args):
    """Must end with exit code 2 and one line on stderr; the line."""
    assert run([*map(str, args)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


# --- run folders ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1e308]},
        {"std": [1e-320]},
        {"std": [0]},
        {"std": [True]},
        {"name": 7},
        {"name": ["mnist"]},
        {"title": None},
        {"image_size": 10**9},
        {"image_size": 28.0},
        {"channels": 10**9},
        {"classes": "0123456789"[:0]},
        {"classes": [str(number) for number in range(20_000)]},
        {"classes": ["a\x1b[31m", *"123456789"]},
        {"mean": [10**400]},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_data_json_that_cannot_be(stranger, change):
    path = stranger / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="is malformed: it does not describe a data set"):
        read_pictures(path)


@pytest.mark.parametrize("name", ["data.json", "history.jsonl", "config.toml"])
@pytest.mark.parametrize("text", [DEEP, '{"epoch": ' + "9" * 6000 + "}", "a = " + DEEP, "epochs = " + "9" * 6000])
def test_depth_and_size_are_bounded(stranger, capsys, name, text):
    (stranger / name).write_text(text)
    command = "evaluate" if name == "data.json" else "report"
    assert name in refused(capsys, command, stranger)


def rows(**change):
    row = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    return row | {"lr": 0.1, "seconds": 1.0, "impl": "scratch", "best": True} | change


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": 10**400},
        {"lr": 10**400},
        {"val_loss": math.nan},
        {"val_accuracy": 2},
        {"best": "x"},
    ],
    ids=str,
)
def test_a_history_that_cannot_be(stranger, capsys, change):
    (stranger / "history.jsonl").write_text(json.dumps(rows(**change)))
    assert "history.jsonl is malformed: line 1" in refused(capsys, "report", stranger)
    saved = checkpoints.load(stranger / "last.pt")
    saved["history"] = [rows(**change) | {"epoch": change.get("epoch", 1) % 2**62}]
    if "nan" not in str(change):
        checkpoints.save(stranger / "last.pt", saved)
        assert "last.pt is malformed" in refused(capsys, "train", "--resume", stranger)


@pytest.mark.parametrize("history", [[1, 2], [{}, {}], ["x"]])
def test_a_checkpoint_whose_history_is_none(stranger, capsys, history):
    saved = checkpoints.load(stranger / "last.pt")
    checkpoints.save(stranger / "last.pt", saved | {"history": history})
    assert "last.pt is malformed: of row 1 of its history" in refused(capsys, "train", "--resume", stranger)


@pytest.mark.parametrize("text", ["{", "[]", DEEP, '{"test_accuracy": 2, "test_count": 3, "parameters": 1}'])
def test_a_damaged_result_is_called_damaged(stranger, capsys, text):
    (stranger / "result.json").write_text(text)
    assert "result.json is malformed" in refused(capsys, "card", stranger)


@pytest.mark.parametrize("text", [DEEP, "{}", '{"tinytorch_card": [1, 2]}', '{"tinytorch_card": 1, "runs": [{}]}'])
def test_a_card_of_a_stranger(tmp_path, capsys, text):
    (tmp_path / "card.json").write_text(text)
    assert "card.json" in refused(capsys, "card", "--verify", tmp_path / "card.json")


def test_a_card_with_a_huge_integer_differs(stranger, capsys):
    assert run(["card", str(stranger)]) == 0
    path = stranger / "card.json"
    card = json.loads(path.read_text())
    card["runs"][0]["test"]["loss"] = 10**400
    path.write_text(json.dumps(card))
    capsys.readouterr()
    assert run(["card", "--verify", str(path)]) == 1
    assert "runs[0].test.loss" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["model.pt", ".card.json.tmp", ".report.html.tmp", ".lock", "tensorboard"])
def test_no_link_leads_out_of_a_run_folder(stranger, tmp_path, capsys, name):
    (tmp_path / "victim").write_text("precious")
    (stranger / name).unlink(missing_ok=True)
    os.symlink(tmp_path / "victim", stranger / name)
    for command in (["report"], ["card"], ["evaluate"], ["train", "--resume"]):
        assert "symbolic link out of its folder" in refused(capsys, *command, stranger)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_folder_named_as_a_temporary_file(stranger):
    (stranger / ".x.tmp").mkdir()
    assert run(["train", "--resume", str(stranger)]) == 0


def test_an_answer_that_is_no_number_is_none(stranger, tmp_path, capsys):
    weights = checkpoints.load(stranger / "model.pt")
    checkpoints.save(stranger / "model.pt", {name: tensor.fill_(3e38) for name, tensor in weights.items()})
    Image.fromarray(np.tile(np.uint8([0, 255]), (28, 14))).save(tmp_path / "one.png")
    assert "answers with NaN or infinity" in refused(capsys, "predict", stranger, tmp_path / "one.png")


def test_a_configuration_of_control_codes(tmp_path):
    (tmp_path / "config.toml").write_text('data_dir = "a\\u001b[31m"')
    with pytest.raises(InputError, match="--data-dir must be text that can be printed"):
        read_config(tmp_path)


# --- pictures -------------------------------------------------------------------------------------------------------


def png(width, height, depth):
    """A PNG of zeros, row by row, so that this test needs no memory for it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(1 + width * depth // 8)
    packed = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.slow
def test_a_deep_picture_of_many_pixels_needs_little_memory():
    resource = pytest.importorskip("resource", reason="Windows has no such counter")
    data = png(12_000, 12_000, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_picture(Source("deep.png", data)).shape == (256, 256, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_300_000  # kB; with float64 it was 4 GB


def test_a_picture_that_claims_too_much_is_refused():
    with pytest.raises(InputError, match="claims to have more than"):
        read_picture(Source("bomb.png", png(12_600, 12_600, 1)))


def test_whatever_a_decoder_raises_is_a_damaged_picture(monkeypatch):
    def fail(*_):
        raise RuntimeError("Failed to decode")  # as the AVIF decoder does

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(InputError, match=r"x\.avif is a damaged picture: Failed to decode"):
        read_picture(Source("x.avif", b"x"))


# --- arrays ---------------------------------------------------------------------------------------------------------


def small_npz():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    return buffer.getvalue()


def test_every_damaged_npz_is_refused_or_read(tmp_path):
    whole, chance = small_npz(), np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in chance.integers(0, len(data), chance.integers(1, 4)):
            data[place] = chance.integers(0, 256)
        (tmp_path / "x.npz").write_bytes(data)
        with contextlib.suppress(InputError):
            read_npz(Place(tmp_path / "x.npz"))


def test_npz_bombs_are_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
    with pytest.raises(InputError, match=r"images\.npy claims to be larger than it is"):
        read_npz(Place(path))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w") as file,
    ):
        for _ in range(300):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="claims to hold 314,572,800 bytes"):
        read_npz(Place(path))


def test_a_gz_bomb_is_not_unpacked(tmp_path, monkeypatch):
    import gzip

    source = idx_sets.SOURCES["mnist"]
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(10 << 20)))
    with pytest.raises(idx._Damage):
        idx._read_file(source, source.files[1], path)


def test_one_label_of_a_set_without_checksum_is_missed(tmp_path):
    source = idx_sets.SOURCES["kmnist"]
    file = next(file for file in source.files if file.name == "t10k-labels-idx1-ubyte")
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
    header, path = bytes([0, 0, 8, 1]) + (10_000).to_bytes(4, "big"), tmp_path / file.name
    path.write_bytes(header + labels.tobytes())
    assert len(idx._read_file(source, file, path)) == 10_000
    labels[77] = 3
    path.write_bytes(header + labels.tobytes())
    with pytest.raises(idx._Damage, match="not as many labels of one class as of another"):
        idx._read_file(source, file, path)


# --- names ----------------------------------------------------------------------------------------------------------


def test_the_name_of_a_file_forges_no_line(stranger, tmp_path, capsys):
    name = tmp_path / "a\x1b[31m.png\nb.png  7 100.0 %"
    Image.fromarray(np.tile(np.uint8([0, 255]), (28, 14))).save(tmp_path / "plain.png")
    os.rename(tmp_path / "plain.png", name)
    assert run(["predict", str(stranger), str(name)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "a\\x1b[31m.png\\nb.png" in out


def test_names_of_classes_forge_nothing(tmp_path, capsys, monkeypatch):
    """A folder's names reach the terminal, the report and the card without control codes and without markup."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    for name in ("<img src=x onerror=alert(1)>", "a\x1b[31mred", "x\ny"):
        folder = tmp_path / "<s>pictures" / name
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(noise.integers(0, 255, (28, 28), np.uint8)).save(folder / f"{number}.png")
    options = ["--model", "softmax", "--epochs", "1", "--batch-size", "8", "--out", "<b>run"]
    assert run(["train", "--data", "<s>pictures", *options]) == 0
    for command in ("evaluate", "report", "card"):
        assert run([command, "<b>run"]) == 0
    assert run(["data", "show", "<s>pictures"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "x\\ny" in out
    for written in ("report.html", "card.md"):
        text = (tmp_path / "<b>run" / written).read_text("utf-8")
        text = re.sub("```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL) if written == "card.md" else text  # not code
        assert not any(markup in text for markup in ("<img src=x", "<s>", "<b>", "\x1b")), written
