import contextlib

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.report.folder import new_folder


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "file").write_text("findings")
    assert (tmp_path / "a" / "b" / "file").read_text() == "findings"


def test_an_empty_folder_is_taken(tmp_path):
    with new_folder(tmp_path) as folder:
        assert folder == tmp_path


def test_what_was_made_goes_again_when_it_was_for_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="a test"), new_folder(tmp_path / "a"):
        raise ValueError("a test")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_written_stays(tmp_path):
    with contextlib.suppress(ValueError), new_folder(tmp_path / "a") as folder:
        (folder / "file").touch()
        raise ValueError
    assert (tmp_path / "a" / "file").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="already exists and is not an empty folder"), new_folder(path):
            pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot use .*below as the folder for results: "),
        new_folder(tmp_path / "file" / "below"),
    ):
        pass


def test_an_error_of_what_it_is_for_is_not_taken_for_its_own(tmp_path):
    with pytest.raises(BrokenPipeError), new_folder(tmp_path / "a"):
        raise BrokenPipeError
