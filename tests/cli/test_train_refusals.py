"""What cannot be trained, through the real command line and the real training loop: one sentence, exit code 2, no
traceback, and nothing written."""

import gzip

import pytest
import torch

from tinytorch_course.cli.app import run

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No run folder appears in the repository, and no download can be tried beyond this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYTORCH_MIRROR", "http://127.0.0.1:9/")


def refused(args, capsys):
    """The one sentence with which a command ends."""
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    sentences = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1
    assert err.splitlines()[-1] == sentences[0]
    return sentences[0]


def idx(dimensions, count, size):
    """An IDX file of zeros: its magic number, its sizes, its bytes."""
    header = bytes([0, 0, 8, dimensions]) + count.to_bytes(4, "big")
    return header + b"".join(side.to_bytes(4, "big") for side in [28, 28][: dimensions - 1]) + bytes(size)


def whole(folder):
    """Files of the right names and form that are not MNIST's."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, dimensions, count in zip(FILES, (3, 1, 3, 1), (60, 60, 10, 10), strict=True):
        (raw / name).write_bytes(idx(dimensions, count, count * (784 if dimensions == 3 else 1)))
    return raw


def truncated(folder):
    raw = whole(folder)
    (raw / FILES[0]).write_bytes((raw / FILES[0]).read_bytes()[:1000])


def web_page(folder):
    (whole(folder) / FILES[0]).write_bytes(b"<!DOCTYPE html><html>Please log in</html>")


def empty_file(folder):
    (whole(folder) / FILES[0]).write_bytes(b"")


def half_of_the_files(folder):
    raw = whole(folder)
    (raw / FILES[1]).unlink()
    (raw / FILES[2]).unlink()


def broken_archive(folder):
    raw = whole(folder)
    (raw / FILES[0]).unlink()
    (raw / f"{FILES[0]}.gz").write_bytes(gzip.compress(b"nothing")[:-9])


@pytest.mark.parametrize("damage", [whole, truncated, web_page, empty_file, half_of_the_files, broken_archive])
def test_damaged_data(tmp_path, capsys, damage):
    damage(tmp_path / "data")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    sentence = refused(["train", "--data", "mnist", "--data-dir", "data", "--out", "run"], capsys)
    assert "MNIST" in sentence
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_damaged_data_are_not_silently_replaced(tmp_path, capsys):
    """--data auto goes on with the digits, says why, and leaves the files as they are."""
    truncated(tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    args = ["train", "--data-dir", "data", "--model", "softmax", "--limit", "40", "--epochs", "1", "--out", "run"]
    assert run([*args, "--batch-size", "20"]) == 0
    _, err = capsys.readouterr()
    assert FILES[0] in err.splitlines()[0]
    assert "digits" in err.splitlines()[0]
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before


def test_no_mnist_and_no_network(tmp_path, capsys):
    sentence = refused(["train", "--data", "mnist", "--data-dir", "data", "--out", "run"], capsys)
    assert "train-images-idx3-ubyte" in sentence
    assert str(tmp_path) in sentence or "data" in sentence
    assert not (tmp_path / "run").exists()


def test_a_data_folder_that_is_a_file(tmp_path, capsys):
    (tmp_path / "data").write_text("not a folder")
    assert "data" in refused(["train", "--data", "mnist", "--data-dir", "data", "--out", "run"], capsys)


def test_an_output_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    sentence = refused(["train", "--data", "digits", "--out", "file/run"], capsys)
    assert "file/run" in sentence
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_output_folder_that_is_in_use(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    refused(["train", "--data", "digits", "--out", "run"], capsys)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--batch-size", "2000"], "--batch-size is 2000, but there are only 1297 images to train on"),
        (["--batch-size", "1"], "--batch-size 1 makes batches of one image"),
        (["--batch-size", "1296"], "--batch-size 1296 leaves a last batch of one image"),
        (["--augment", "flip"], "--augment flip does not suit embedded digits"),
        (["--augment", "shift=20"], "--augment shift=20 would move pictures of 28 x 28 pixels out of sight"),
        (["--augment", "shift,shfit"], "--augment takes shift, rotate, scale, shear, elastic, flip, erase"),
        (["--class-weights", "1,2"], "--class-weights must be one number for each of the 10 classes"),
        (["--class-weights", "balanced", "--limit", "3"], "there are none of"),
        (["--overfit-batches", "11"], "but 11 batches of 128 are 1,408 images, and there are only 1,297"),
        (["--ema", "1"], "--ema must be at least 0 and below 1, but it is 1.0"),
        (["--init", "xavier"], "did you mean xavier-normal?"),
        (["--freeze", "conv9"], "--freeze conv9 matches no parameter; the layers are conv1, norm1, conv2"),
        (["--freeze", "*"], "--freeze * leaves nothing to train"),
        (["--from", "nowhere"], "nowhere"),
        (["--seeds", "1"], "--seeds must be a number of runs, such as 5, or at least two seeds"),
        (["--seeds", "0,1", "--seed", "3"], "--seed does not go with a list of --seeds"),
        (["--config", "nowhere.toml"], "cannot read nowhere.toml: No such file or directory"),
        (["--resume", "run", "--config", "a.toml"], "--config does not go with --resume"),
        (["--resume", "run", "--seeds", "5"], "--seeds does not go with --resume"),
        (["--patience", "0"], "--patience must be at least 1"),
        (["--val-size", "5000"], "--val-size must be"),
        (["--limit", "99999"], "--limit must be"),
        (["--out", " "], "--out must be the path of a folder, but it is ' '"),
        (["--resume", "nowhere"], "there is not a run folder nowhere"),
    ],
)
def test_what_does_not_fit_the_data(tmp_path, capsys, args, words):
    base = ["train"] if "--resume" in args else ["train", "--data", "digits", "--out", "run"]
    assert words in refused([*base, *args], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there(tmp_path, capsys):
    sentence = refused(["train", "--data", "digits", "--device", "cuda", "--out", "run"], capsys)
    assert "--device is cuda, but torch finds no CUDA device here" in sentence
    assert list(tmp_path.iterdir()) == []


def test_resuming_with_a_damaged_checkpoint(tmp_path, capsys):
    args = ["train", "--data", "digits", "--model", "softmax", "--limit", "40", "--batch-size", "20", "--epochs", "1"]
    assert run([*args, "--out", "run"]) == 0
    capsys.readouterr()
    last = tmp_path / "run" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert "last.pt is damaged" in refused(["train", "--resume", "run"], capsys)
