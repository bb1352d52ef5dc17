import subprocess
import sys

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.report.sources import find_sources


def make(path, *names, text="x"):
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_text(text)
    return path


def test_folders_are_sorted_by_what_they_hold(tmp_path):
    run = make(tmp_path / "run", "config.toml", "history.jsonl")
    steps, seeds = make(tmp_path / "steps", "timeline.json"), make(tmp_path / "seeds", "seeds.json")
    both = make(tmp_path / "both", "config.toml", "history.jsonl", "timeline.json")
    found = find_sources([seeds, run, both, steps, tmp_path / "steps" / ".." / "run"])
    assert found == ([run, both], [both, steps], [seeds])


def test_each_seed_is_a_run(tmp_path):
    for name in ("seed-10", "seed-9", "seed-x"):
        make(tmp_path / "many" / name, "config.toml", "history.jsonl")
    begun = make(tmp_path / "many" / "seed-11", "config.toml")
    (tmp_path / "many" / "seeds.json").write_text("{}")
    assert find_sources([tmp_path / "many"]) == ([tmp_path / "many" / f"seed-{seed}" for seed in (9, 10)], [], [])
    only = make(tmp_path / "new" / "seed-0", "config.toml")
    with pytest.raises(InputError, match="its run has not finished its first epoch"):
        find_sources([only.parent])
    with pytest.raises(InputError, match="its run has not finished its first epoch"):
        find_sources([begun])


def test_names_are_as_long_as_needed(tmp_path):
    paths = [make(tmp_path / inner, "config.toml", "history.jsonl") for inner in ("a/run", "b/run", "c")]
    assert list(find_sources(paths).names().values()) == ["a/run", "b/run", "c"]


def test_what_there_is_nothing_to_report_on(tmp_path):
    empty = make(tmp_path / "empty")
    file = make(tmp_path / "some", "model.pt") / "model.pt"
    begun = make(tmp_path / "begun", "config.toml")
    blank = make(tmp_path / "blank", "config.toml", "history.jsonl", text="")
    outer = make(tmp_path / "outer" / "first", "config.toml", "history.jsonl").parent
    for path, words in (
        (tmp_path / "none", "there is no folder"),
        (empty, "is empty"),
        (file, "is a file: name the run folder"),
        (file.parent, "is not a run folder: it holds neither the config.toml"),
        (begun, "its run has not finished its first epoch"),
        (blank, "its run has not finished its first epoch"),
        (outer, f"name them, such as {outer / 'first'}"),
    ):
        with pytest.raises(InputError, match=words.replace("\\", r"\\")) as error:
            find_sources([path])
        assert str(path) in str(error.value)


def test_looking_needs_no_torch():
    code = "import sys, tinytorch_course.report.sources; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
