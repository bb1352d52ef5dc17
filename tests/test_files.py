import os

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.files import parse_json, printable, read_bounded, refuse_links, write_atomically


def test_a_link_under_the_temporary_name_is_replaced_and_not_followed(tmp_path):
    victim, file = tmp_path / "victim", tmp_path / "card.json"
    victim.write_text("precious")
    for name in (".card.json.tmp", "card.json"):
        (tmp_path / name).unlink(missing_ok=True)
        os.symlink(victim, tmp_path / name)
        write_atomically(file, b"new")
        assert file.read_bytes() == b"new"
        assert not file.is_symlink()
    assert victim.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["card.json", "victim"]


def test_links_that_stay_in_the_folder_are_no_harm(tmp_path):
    (tmp_path / "model.pt").write_text("x")
    os.symlink("model.pt", tmp_path / "best.pt")
    refuse_links(tmp_path)
    os.symlink("..", tmp_path / "up")
    with pytest.raises(InputError, match="up is a symbolic link out of its folder"):
        refuse_links(tmp_path)


def test_reading_is_bounded(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    with pytest.raises(InputError, match="is larger than 4 bytes"):
        read_bounded(tmp_path / "file", 4)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # reading would wait forever
        with pytest.raises(InputError, match="pipe is not a regular file"):
            read_bounded(tmp_path / "pipe", 4)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, b"\xff", "{", "9" * 10_000])
def test_no_json_of_any_kind_ends_in_anything_but_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011, of whatever words
        parse_json(text)


def test_names_are_printed_on_one_line_without_control_codes():
    assert printable("ein Ä\u2009😀 b") == "ein Ä\\u2009😀 b"
    assert printable("a\x1b[31m\nb\udcff") == "a\\x1b[31m\\nb\\udcff"
