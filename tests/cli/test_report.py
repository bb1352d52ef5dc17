import json

import pytest

from tinytorch_course.cli.app import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run."""
    path = tmp_path_factory.mktemp("runs") / "one"
    command = "train --data digits --model softmax --limit 64 --batch-size 32 --epochs 1"
    assert run([*command.split(), "--out", str(path)]) == 0
    return path


def test_the_report_lies_in_the_run_folder(trained, capsys):
    path = trained / "report.html"
    assert run(["report", str(trained)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Saved: {path} (")
    assert "one: evaluating 64 test images" in err
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run(["report", str(trained)]) == 0  # a report may be made anew


def test_json_is_one_document(trained, tmp_path, capsys):
    path = tmp_path / "made.html"
    assert run(["report", str(trained), "--out", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "report": str(path),
        "bytes": path.stat().st_size,
        "folders": [str(trained)],
        "notes": [],
    }


def test_what_a_report_lacks_is_said(trained, tmp_path, capsys):
    for name in ("config.toml", "history.jsonl"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert run(["report", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    reason = "has no model.pt or model.safetensors: its run has not finished its first epoch"
    assert err == f"Not in the report: {tmp_path} {reason}.\n"


def test_bad_input_is_one_sentence(trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("Dear")
    cases = [
        ([], "Missing argument 'RUN...'"),
        ([tmp_path / "none"], f"there is no folder {tmp_path / 'none'}"),
        ([tmp_path / "empty"], "is empty, so there is no run in it"),
        ([trained, tmp_path / "foreign"], "is not a run folder: it holds neither the config.toml"),
        ([trained / "model.pt"], "is a file: name the run folder that contains it"),
        ([trained, "--out", tmp_path], "is a folder: name a file in it"),
        ([trained, "--out", tmp_path / "foreign" / "letter.txt"], "already exists and is not a report"),
        ([trained, "--out", tmp_path / "none" / "a.html"], "does not exist: create it first"),
        ([trained, "--out", " "], "--out must be the path of a file, but it is ' '"),
    ]
    for args, words in cases:
        assert run(["report", *map(str, args)]) == 2, args
        out, err = capsys.readouterr()
        assert out == ""
        assert words in err
        assert err.count("\n") == 1
    assert (tmp_path / "foreign" / "letter.txt").read_text() == "Dear"
