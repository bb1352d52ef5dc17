import importlib.metadata
import io
import os
import shutil
import sys
from collections import namedtuple

import pytest

from tinytorch_course.doctor import checks
from tinytorch_course.doctor.checks import DISTRIBUTION, NOTE, OK, WRONG, ask_torch, look_at_terminal, look_at_versions
from tinytorch_course.doctor.checks import space_of as look_at_space

Usage = namedtuple("Usage", "total used free")


def child(source):
    """A process that prints what a probe would, or fails as one might."""
    return [sys.executable, "-c", source]


@pytest.fixture
def requirements(monkeypatch):
    """Our requirements, and what is installed, in this test."""
    needed, installed = [], {}
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)

    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return needed, installed


def test_what_our_installation_needs():
    needed = dict(checks.read_requirements())
    assert needed["torch"] == "2.10"
    assert {"torchvision", "numpy", "typer", "rich"} <= set(needed)
    assert "pytest" not in needed  # an extra


def test_versions_that_do(requirements):
    needed, installed = requirements
    needed += ["torch>=2.10", 'tomli>=2.0; python_version < "3.11"']
    installed["torch"] = "2.10.0+cpu"
    findings = list(look_at_versions())
    assert [finding.name for finding in findings] == ["Python", DISTRIBUTION]
    assert {finding.state for finding in findings} == {OK}


def test_extras(requirements):
    needed, installed = requirements
    needed += ['onnx>=1.17; extra == "onnx"', 'onnxruntime>=1.20; extra == "onnx"', 'pytest>=8; extra == "test"']
    installed["onnx"] = "1.17"
    *_, finding = look_at_versions()
    assert (finding.name, finding.state, finding.advice) == ("extra onnx", NOTE, "pip install 'tinytorch-course[onnx]'")
    assert finding.text == "onnxruntime not installed, and needed only for tinytorch export --onnx"
    installed["onnxruntime"] = "1.20"
    *_, finding = look_at_versions()
    assert (finding.state, finding.text) == (OK, "installed, for tinytorch export --onnx")


@pytest.mark.parametrize(
    ("version", "text", "advice"),
    [
        (None, "not installed", "pip install 'torch>=2.10'"),
        ("2.9.1", "2.9.1, but at least 2.10 is needed", "pip install --upgrade 'torch>=2.10'"),
    ],
)
def test_versions_that_do_not(requirements, version, text, advice):
    needed, installed = requirements
    needed.append("torch>=2.10")
    if version:
        installed["torch"] = version
    *_, finding = look_at_versions()
    assert finding == ("versions", "torch", WRONG, text, advice)


def test_findings_of_the_other_process_are_passed_on():
    line = 'FINDING {"topic": "devices", "name": "cpu", "state": "ok", "text": "fast", "advice": ""}'
    found = list(ask_torch(child(f"print('a library says hello'); print({line!r}); print('END')")))
    assert found == [("devices", "cpu", OK, "fast", "")]


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import time; time.sleep(60)", "did not end within 2 seconds"),
        ("raise SystemExit", "ended with exit code 0"),
    ],
)
def test_a_process_that_does_not_get_to_its_end(end, text):
    start = 'print(\'STAGE ["devices", "cuda"]\', flush=True)\n'
    (finding,) = ask_torch(child(start + end), patience=2)
    assert (finding.topic, finding.name, finding.state) == ("devices", "cuda", WRONG)
    assert finding.text == f"the process that tried it {text}"
    assert finding.advice


@pytest.mark.skipif(os.name != "posix", reason="signals end processes on POSIX")
def test_a_processor_without_the_instruction():
    (finding,) = ask_torch(child("import os, signal; os.kill(os.getpid(), signal.SIGILL)"))
    assert finding.text.endswith("was ended by SIGILL")


def test_space_in_a_folder_that_does_not_exist_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(9e9, 1e9, 8e9) if place == tmp_path else None)
    finding = look_at_space(tmp_path / "new" / "runs", "run folder", 10**9, needed=True, option="--out")
    assert (finding.state, finding.advice) == (OK, "")
    assert finding.text.startswith("8.0 GB free for ")


@pytest.mark.parametrize(("needed", "state"), [(True, WRONG), (False, NOTE)])
def test_too_little_space(tmp_path, monkeypatch, needed, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(9e9, 9e9, 10**8 - 1))
    finding = look_at_space(tmp_path, "run folder", 10**8, needed=needed, option="--out")
    assert finding.state == state
    assert "100 MB" in finding.advice
    assert "--out" in finding.advice


def test_a_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    finding = look_at_space(tmp_path / "file" / "runs", "run folder", 1, needed=True, option="--out")
    assert (finding.state, finding.text) == (WRONG, f"{tmp_path / 'file'} is a file")
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    finding = look_at_space(tmp_path, "run folder", 1, needed=True, option="--out")
    assert (finding.state, finding.text) == (WRONG, f"{tmp_path} cannot be written")


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "encoding", "states"),
    [
        ({"COLUMNS": "100", "TERM": "xterm"}, "utf-8", {"colour": OK, "width": OK, "characters": OK}),
        ({"COLUMNS": "60", "TERM": "dumb"}, "cp1252", {"colour": NOTE, "width": NOTE, "characters": NOTE}),
        ({"COLUMNS": "80", "NO_COLOR": "1"}, "utf-8", {"colour": OK, "width": OK, "characters": OK}),
    ],
)
def test_terminals(monkeypatch, environment, encoding, states):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("LINES", "24")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    findings = {finding.name: finding for finding in look_at_terminal(Terminal(encoding))}
    assert {name: finding.state for name, finding in findings.items()} == states
    assert all(bool(finding.advice) == (finding.state == NOTE) for finding in findings.values())


def test_a_pipe_has_no_width():
    findings = list(look_at_terminal(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")))
    assert [finding.name for finding in findings] == ["stdout", "characters"]
