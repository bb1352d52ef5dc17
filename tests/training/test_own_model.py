import json
from pathlib import Path

import pytest
import torch
from own_file import MY_NET

from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.training.own_model import ABOUT, CODE, keep_code, model_of_run

NAME = "my_net.py:net"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder that keeps a network, and the file that it is from in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(MY_NET)
    folder = tmp_path / "run"
    folder.mkdir()
    keep_code(folder, find_model(NAME).code)
    return folder


def test_the_text_and_its_digest_are_kept(run):
    assert (run / CODE).read_text() == MY_NET
    about = json.loads((run / ABOUT).read_text())
    assert about == {"file": "my_net.py", "function": "net", "sha256": find_model(NAME).code.digest, "neighbours": {}}


def test_code_is_not_run_unasked(run):
    (run.parent / "my_net.py").write_text("raise SystemExit")
    with pytest.raises(InputError, match=r"not run unasked.*: give --model my_net\.py:net again, or --trust"):
        model_of_run(run, NAME)


def test_the_same_file_named_again_is_run(run):
    assert model_of_run(run, NAME, NAME).code.text == MY_NET


def test_another_file_is_noted_or_refused(run):
    (run.parent / "my_net.py").write_text(MY_NET + "# another\n")
    notes = []
    assert model_of_run(run, NAME, NAME, notify=notes.append).code.text != MY_NET
    assert len(notes) == 1
    assert "is not the code that" in notes[0]
    with pytest.raises(InputError, match=r"is not the code that .* was trained with"):
        model_of_run(run, NAME, NAME)
    with pytest.raises(InputError, match="is not the code that"):
        model_of_run(run, NAME, "my_net.py:short")


def test_the_copy_is_run_where_it_is_trusted(run):
    (run.parent / "my_net.py").unlink()
    model = model_of_run(run, NAME, trust=True)
    assert (model.name, model.code.text) == (NAME, MY_NET)


def test_a_changed_copy_is_not_trusted(run):
    (run / CODE).write_text(MY_NET + "# changed\n")
    with pytest.raises(InputError, match="has been changed since the run was trained"):
        model_of_run(run, NAME, trust=True)


def test_a_changed_neighbour_is_noted_or_refused(run):
    """Also one that only a neighbour imports, and one in a package; not what lies there unused."""
    Path("sizes.py").write_text("from parts.deep import SIZE\n")
    Path("parts").mkdir()
    Path("parts/__init__.py").write_text("")
    Path("parts/deep.py").write_text("SIZE = 8\n")
    Path("unused.py").write_text("")
    Path("my_net.py").write_text("import sizes\n" + MY_NET)
    keep_code(run, find_model(NAME).code)
    assert list(json.loads((run / ABOUT).read_text())["neighbours"]) == [
        "parts/__init__.py",
        "parts/deep.py",
        "sizes.py",
    ]
    Path("unused.py").write_text("pass")
    assert model_of_run(run, NAME, NAME)
    with pytest.raises(
        InputError, match=r"imports parts/__init__\.py, .* of which the run keeps no copy: give --model"
    ):
        model_of_run(run, NAME, trust=True)
    Path("parts/deep.py").write_text("SIZE = 9\n")
    with pytest.raises(InputError, match=r"parts/deep\.py, which my_net\.py:net imports, is not what .* put it back"):
        model_of_run(run, NAME, NAME)
    notes = []
    model_of_run(run, NAME, NAME, notify=notes.append)
    assert len(notes) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"file": "x"}', "[" * 100_000])
def test_a_malformed_note_is_refused(run, text):
    (run / ABOUT).write_text(text)
    with pytest.raises(InputError, match="is malformed"):
        model_of_run(run, NAME, trust=True)


def test_ours_need_no_trust(run):
    assert model_of_run(run, "mlp").name == "mlp"
    assert model_of_run(run, "mlp", "softmax").name == "softmax"


def test_both_start_from_the_numbers_that_the_from_scratch_layer_draws(run):
    from tinytorch_course import reference, scratch

    build = find_model(NAME).build
    params, _ = build(scratch.layers).init(torch.Generator().manual_seed(3))
    module = build(reference.layers)
    reference.initializers.reset_parameters(module, torch.Generator().manual_seed(3))
    assert params["act.beta"] == 1.5
    assert list(module.state_dict()) == list(params)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, params[name]), name
