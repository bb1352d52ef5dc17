import json
import sys

import pytest

from tinytorch_course.cli.app import run
from tinytorch_course.doctor import checks
from tinytorch_course.doctor import determinism as measuring
from tinytorch_course.doctor.checks import NOTE, OK, TOPICS, WRONG, Finding

GOOD = [Finding("versions", "torch", OK, "2.10"), Finding("data", "mnist", NOTE, "not here", "fetch it")]
BAD = Finding("devices", "cuda:0", WRONG, "computes wrong", "use another")


@pytest.fixture
def findings(monkeypatch):
    """What the doctor finds in this test."""
    found = list(GOOD)
    monkeypatch.setattr(checks, "examine", lambda out: iter(found))
    return found


def test_all_is_well(findings, capsys):
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "torch", "2.10"]
    assert lines[1].split() == ["note", "mnist", "not", "here"]
    assert lines[2].strip() == "-> fetch it"
    assert lines[-1] == "All that is needed is here, and works."


def test_something_is_broken(findings, capsys):
    findings.append(BAD)
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "WRONG cuda:0" in out
    assert out.splitlines()[-1] == "1 of 3 WRONG."
    assert "\x1b" not in out


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_is_told_to_wait(findings, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert run(["doctor"]) == 0
    assert capsys.readouterr().err == ("Starting torch and trying the devices ...\n" if terminal else "")


@pytest.mark.parametrize(("added", "code"), [([], 0), ([BAD], 1)])
def test_json(findings, capsys, added, code):
    findings += added
    assert run(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] == (code == 0)
    assert document["findings"][1] == {
        "topic": "data",
        "name": "mnist",
        "state": "note",
        "text": "not here",
        "advice": "fetch it",
    }
    assert document["findings"][0]["advice"] is None


@pytest.mark.slow
def test_this_machine(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    assert run(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {(finding["topic"], finding["name"]): finding["state"] for finding in document["findings"]}
    assert found["versions", "torch"] == found["devices", "cpu"] == found["space", "run folder"] == OK
    assert found["data", "digits"] == OK
    assert [topic for topic in TOPICS if not any(topic == one for one, _ in found)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def determinism(monkeypatch):
    """What training comes to in this test: the names that differ, by implementation."""
    differ = {"scratch": [], "torch": ["fc1.weight", "fc2.weight"]}
    monkeypatch.setattr(measuring, "TRIALS", (measuring.Trial("mlp", 64, 2, "adam"),))
    monkeypatch.setattr(measuring, "measure", lambda impl, trial, threads: measuring.Sameness(5, differ[impl]))
    return differ


def test_determinism(determinism, capsys):
    assert run(["doctor", "--determinism"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Training on the CPU by 1, 2, 3, 4 and 8 threads:"
    assert lines[3].split() == ["mlp", "64", "2", "same", "bits", "differs", "in", "2", "of", "5", "tensors"]
    assert lines[-1] == "From scratch: the same bits for any of them."


def test_determinism_is_missed(determinism, capsys):
    determinism["scratch"] = ["fc1.bias"]
    assert run(["doctor", "--determinism"]) == 1
    out = capsys.readouterr().out
    assert "differs in 1 of 5 tensors" in out
    assert out.endswith("From scratch: NOT the same bits for all of them.\n")


@pytest.mark.parametrize(("differ", "code"), [([], 0), (["fc1.bias"], 1)])
def test_determinism_as_json(determinism, capsys, differ, code):
    determinism["scratch"] = differ
    assert run(["doctor", "--determinism", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] == (code == 0)
    assert document["threads"] == [1, 2, 3, 4, 8]
    (network,) = document["networks"]
    assert (network["model"], network["steps"]) == ("mlp", 2)
    assert network["scratch"] == {"tensors": 5, "differ": differ}
    assert network["torch"] == {"tensors": 5, "differ": ["fc1.weight", "fc2.weight"]}


def test_determinism_of_this_machine(monkeypatch, capsys):
    monkeypatch.setattr(measuring, "TRIALS", (measuring.Trial("softmax", 16, 2, "sgd"),))
    monkeypatch.setattr(measuring, "THREADS", (1, 2))
    assert run(["doctor", "--determinism"]) == 0
    assert "softmax         16      2  same bits" in capsys.readouterr().out
