import json

import pytest

from tinytorch_course.cli.app import run


def test_table_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["summary", "resnet18", "--input", "1x16x16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet18 on 1x16x16"
    assert lines[1].split() == ["layer", "output", "parameters", "FLOPs", "saved", "bytes"]
    assert lines[5].split()[:3] == ["layer1.0.conv1", "64x16x16", "36,864"]
    assert max(len(line) for line in lines) <= 80


def test_table_ends_with_the_total(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["summary", "mlp-20", "--classes", "3", "--input", "2x28x28"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["layer", "kind"]
    parameters, flops = 1568 * 20 + 20 + 20 * 3 + 3, 2 * (1568 * 20 + 20 * 3)
    assert lines[6].split() == ["total", f"{parameters:,}", f"{flops:,}", f"{4 * (1568 + 20):,}"]
    assert any("multiply-add counts as 2 FLOPs" in line for line in lines[7:])
    assert not any("floor" in line for line in lines)


def test_explain_adds_the_formula_with_its_numbers(capsys):
    assert run(["summary", "mnist_cnn", "--explain"]) == 0
    out = capsys.readouterr().out
    assert "  floor((28 + 2*1 - 1*(3 - 1) - 1) / 1) + 1 = 28\n" in out
    assert "  64 * 7 * 7 = 3136\n" in out
    assert "output side = floor((input side + 2*padding" in " ".join(out.split())


def test_json_is_one_document(capsys):
    assert run(["summary", "lenet5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["input"]) == ("lenet5", [1, 28, 28])
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"]) == 61_706
    assert document["flops"] == sum(layer["flops"] for layer in document["layers"])
    assert document["saved_bytes"] == sum(layer["saved"] for layer in document["layers"])
    assert document["layers"][0]["output"] == [6, 28, 28]


def test_a_run_folder_is_its_network(tmp_path, capsys):
    (tmp_path / "config.toml").write_text('model = "mlp-20"')
    about = {"name": None, "title": "x", "classes": ["a", "b"], "channels": 3, "image_size": 8, "mean": [0.5] * 3}
    (tmp_path / "data.json").write_text(json.dumps(about | {"std": [0.5] * 3}))
    assert run(["summary", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["input"]) == ("mlp-20", [3, 8, 8])
    assert document["parameters"] == 3 * 64 * 20 + 20 + 20 * 2 + 2
    (tmp_path / "config.toml").write_text('model = "my_net.py:net"')
    assert run(["summary", str(tmp_path)]) == 2
    assert "a network of one's own: give its FILE:NAME instead" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["resnet8"], "there is no network 'resnet8'; did you mean resnet18?"),
        (["xyz"], "there is no network 'xyz'; `tinytorch models` lists them, and FILE:NAME names"),
        (["mlp-0"], "there is no network 'mlp-0'; did you mean mlp?"),
        (["mlp", "--input", "28by28"], "--input must be CHANNELSxHEIGHTxWIDTH, such as 1x28x28, but it is '28by28'"),
        (["tiny_vgg", "--input", "1x8x8"], "tiny_vgg cannot take pictures of 1x8x8: it needs at least 16 x 16 pixels"),
        (["mlp", "--classes", "0"], "--classes must be at least 1 and at most 100000, but it is 0"),
        (["mlp", "--classes", "ten"], "--classes must be an integer, but it is 'ten'"),
        ([], "Missing argument 'MODEL'"),
    ],
)
def test_bad_input_is_one_sentence(args, words, capsys):
    assert run(["summary", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
