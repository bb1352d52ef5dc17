"""The public face: ``import tinytorch_course as tt``."""

import subprocess
import sys

import pytest
import torch

import tinytorch_course as tt
from tinytorch_course.data.splits import Split

SMALL = {"data": "digits", "limit": 64, "batch_size": 16, "epochs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, and what training said of it."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, tt.train("mnist_cnn", out=str(folder), **SMALL)


@pytest.mark.slow
def test_the_face_is_known_and_nothing_is_imported_before_it_is_asked_for():
    program = (
        "import sys, tinytorch_course as tt; assert dir(tt) == sorted(tt.__all__); "
        "heavy = {'torch', 'numpy', 'rich', 'typer'} & set(sys.modules); assert not heavy, heavy; tt.layers"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", tt.__all__)
def test_every_name_is_there(name):
    assert getattr(tt, name) is getattr(tt, name)


def test_completion_shows_what_is_there_to_be_used():
    assert {"linear", "relu", "own", "sequential", "batch_norm2d"} <= set(dir(tt.layers))
    assert not {"Any", "Tensor", "torch", "partial", "functools", "require"} & set(dir(tt.layers))
    assert {"MODELS", "mlp", "find_model"} <= set(dir(tt.models))
    assert all(hasattr(getattr(tt, module), name) for module in ("layers", "losses", "ops", "data") for name in
               dir(getattr(tt, module)))  # fmt: skip


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        tt.trian  # noqa: B018


def test_training_is_quiet_and_says_what_it_came_to(run, capsys):
    folder, result = run
    assert capsys.readouterr() == ("", "")
    assert (result.run_folder, result.model, result.test_count) == (str(folder), "mnist_cnn", 64)


def test_a_setting_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match=r"train\(\) has no setting 'epoch'; did you mean epochs\?"):
        tt.train("mlp", epoch=3)
    with pytest.raises(TypeError, match=r"compare\(\) has no setting 'batchsize'; did you mean batch_size\?"):
        tt.compare("mlp", batchsize=3)
    with pytest.raises(tt.InputError, match="there is no network 'mpl'; did you mean mlp"):
        tt.train("mpl")


@pytest.mark.parametrize("impl", ["scratch", "torch"])
def test_a_run_is_opened_and_used(run, impl):
    folder, result = run
    opened = tt.load_run(str(folder), impl=impl)
    images, labels = tt.data.load("digits", limit=64).test
    assert opened.evaluate(limit=64).scores.accuracy == pytest.approx(result.test_accuracy)
    assert (opened.predict(images) == labels).double().mean() == pytest.approx(result.test_accuracy)
    assert torch.equal(opened.predict(images), opened.logits(images).argmax(dim=1))
    assert (opened.config.model, opened.config.impl) == ("mnist_cnn", "scratch")
    assert opened.classes == tuple("0123456789")
    assert opened.state_dict().keys() == torch.load(folder / "model.pt", weights_only=True).keys()
    assert "mnist_cnn" in repr(opened)


@pytest.mark.parametrize("impl", ["scratch", "torch"])
def test_the_module_of_a_run_gives_the_same_answers(run, impl):
    folder, _ = run
    opened = tt.load_run(str(folder), impl=impl)
    images = tt.data.load("digits", limit=64).test.images
    module = opened.to_torch()
    assert isinstance(module, torch.nn.Module)
    assert not module.training
    with torch.no_grad():
        logits = module(opened.normalisation(images))
        torch.testing.assert_close(logits, opened.logits(images), rtol=1e-4, atol=1e-5)
        for parameter in module.parameters():
            parameter.zero_()  # it is a network of its own
    assert opened.predict(images).unique().numel() > 1


def test_normalisation_is_that_of_the_loaders(run):
    opened = tt.load_run(str(run[0]))
    images = tt.data.load("digits", limit=64).test.images
    mean, std = opened.normalisation
    loader = tt.data.MemoryLoader(
        Split(images, torch.zeros(64)), mean, std, device=torch.device("cpu"), dtype=torch.float32
    )
    torch.testing.assert_close(opened.normalisation(images), next(loader.batches(None, 64))[0])


def test_compare_is_quiet_and_finds_no_difference(capsys):
    found = tt.compare("mlp-8", steps=3, dtype="float64", **{**SMALL, "epochs": None})
    assert (found.divergence, len(found.rows)) == (None, 3)
    assert capsys.readouterr() == ("", "")


def my_net(L, num_classes):
    return L.sequential(L.flatten(), L.linear(784, num_classes))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": 2, "epochs": 1}, {"tolerance": -1.0}])
def test_compare_refuses_what_the_command_refuses(settings):
    with pytest.raises(tt.InputError):
        tt.compare("mlp", data="digits", **settings)


def test_images_that_are_no_bytes_are_refused(run):
    with pytest.raises(tt.InputError, match="must be a uint8 tensor"):
        tt.load_run(str(run[0])).predict(torch.rand(2, 1, 28, 28))
    with pytest.raises(tt.InputError, match="impl must be scratch or torch"):
        tt.load_run(str(run[0]), impl="jax")


def test_a_network_of_ours_may_be_given_itself():
    assert tt.models.find_model(tt.models.mlp) is tt.models.MODELS["mlp"]


def test_a_function_is_a_network(tmp_path):
    folder = str(tmp_path / "own")
    result = tt.train(my_net, out=folder, **SMALL)
    assert result.model.endswith("test_api.py:my_net")
    assert tt.compare(my_net, steps=2, dtype="float64", **{**SMALL, "epochs": None}).divergence is None
    assert tt.load_run(folder, model=my_net).evaluate(limit=64).scores.accuracy == pytest.approx(result.test_accuracy)
    with pytest.raises(tt.InputError, match="not run unasked"):
        tt.load_run(folder)


def test_check_gradient_is_the_one_that_diagnoses():
    x = torch.randn(4, 3, dtype=torch.float64)
    check = tt.check_gradient(lambda x: (x.exp(), x), lambda dout, x: -dout * x.exp(), (x,))
    assert not check.ok
    assert check.findings
