import pytest
from own_file import HEAD, MISTAKES, MY_NET

from tinytorch_course.errors import InputError
from tinytorch_course.models import find_model
from tinytorch_course.twins import require_twins

SIZES = {"num_classes": 10, "in_channels": 1, "image_size": 28}


def test_what_is_right_passes(tmp_path):
    (tmp_path / "my_net.py").write_text(MY_NET)
    for name in ("net", "short"):
        require_twins(find_model(f"{tmp_path}/my_net.py:{name}"), **SIZES)
    require_twins(find_model("mlp"), **SIZES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_with_its_line(mistake, tmp_path, monkeypatch):
    code, words = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(HEAD + code)
    with pytest.raises(InputError) as refusal:
        require_twins(find_model("bad.py:net"), **SIZES)
    assert words in str(refusal.value)
    assert "bad.py line " in str(refusal.value)
    assert "\n" not in str(refusal.value)
