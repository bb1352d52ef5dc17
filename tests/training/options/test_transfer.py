import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.training import checkpoints
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.learners import LEARNERS, make_learner
from tinytorch_course.training.options.transfer import start_from


def learner(model="mlp-12", classes=10, impl="scratch", seed=0, size=28, **settings):
    return make_learner(TrainConfig(impl=impl, model=model, seed=seed, **settings), classes=classes, image_size=size)


def saved(path, **keywords):
    tensors = {name: tensor.clone() for name, tensor in learner(seed=7, **keywords).state_dict().items()}
    checkpoints.save(path, tensors)
    return str(path), tensors


@pytest.mark.parametrize("impl", LEARNERS)
@pytest.mark.parametrize("model", ["mlp-12", "mini_cnn"])
def test_a_network_is_taken_over_whole(tmp_path, impl, model):
    path, tensors = saved(tmp_path / "model.pt", model=model)
    new = learner(model, impl=impl)
    assert start_from(path, new, 10) == f"Starting from {path}."
    for name, tensor in new.state_dict().items():
        assert torch.equal(tensor, tensors[name])


@pytest.mark.parametrize("impl", LEARNERS)
def test_a_head_for_other_classes_starts_anew(tmp_path, impl):
    path, tensors = saved(tmp_path / "model.pt")
    new = learner(classes=26, impl=impl)
    drawn = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    sentence = start_from(path, new, 26)
    assert sentence == (
        f"Starting from {path}; its fc2.weight and fc2.bias were for 10 classes, so for 26 they are drawn anew."
    )
    for name, tensor in new.state_dict().items():
        assert torch.equal(tensor, drawn[name] if name.startswith("fc2") else tensors[name]), name


def test_a_run_folder_its_last_checkpoint_and_a_plain_file_will_do(tmp_path):
    tensors = {name: tensor.clone() for name, tensor in learner(seed=7).state_dict().items()}
    (tmp_path / "run").mkdir()
    checkpoints.save(tmp_path / "run" / "model.pt", tensors)
    checkpoints.save(tmp_path / "last.pt", {"model": tensors, "epoch": 3})
    torch.save(tensors, tmp_path / "plain.pth")
    for name in ("run", "last.pt", "plain.pth"):
        new = learner()
        start_from(str(tmp_path / name), new, 10)
        assert torch.equal(new.state_dict()["fc1.weight"], tensors["fc1.weight"])


def test_doubles_start_from_singles(tmp_path):
    path, tensors = saved(tmp_path / "model.pt")
    new = learner(dtype="float64")
    start_from(path, new, 10)
    assert torch.equal(new.state_dict()["fc1.weight"], tensors["fc1.weight"].double())


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        (
            {"model": "mini_cnn"},
            {},
            "it lacks fc1.weight, fc1.bias, fc2.weight and 1 more and has the unexpected conv1",
        ),
        ({"model": "mlp-16-12"}, {}, "has the unexpected fc3.weight, fc3.bias; is it from another --model"),
        ({"model": "mlp-12-12"}, {}, "has the unexpected fc3.weight, fc3.bias"),
        ({"model": "mlp-16"}, {}, r"fc1.weight is \(16, 784\) and should be \(12, 784\), and fc1.bias, fc2.weight are"),
        ({"size": 32}, {}, r"fc1.weight is \(12, 1024\) and should be \(12, 784\); is it .* pictures of another size"),
        # A hidden layer as wide as there are classes is no head.
        (
            {"model": "mlp-16"},
            {"model": "mlp-10"},
            r"fc1.weight is \(16, 784\) and should be \(10, 784\), and fc1.bias",
        ),
        ({"model": "mlp-16"}, {"classes": 26}, r"and fc1.bias, fc2.weight, fc2.bias are wrong too"),
    ],
)
def test_whatever_else_differs_is_refused_by_its_keys(tmp_path, given, wanted, message):
    path, _ = saved(tmp_path / "model.pt", **given)
    new = learner(**wanted)
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    with pytest.raises(InputError, match=message):
        start_from(path, new, wanted.get("classes", 10))
    for name, tensor in new.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_files_that_are_no_network_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no network")
    torch.save({"a": 1}, tmp_path / "dict.pt")
    (tmp_path / "empty").mkdir()
    tensors = dict(learner().state_dict())
    torch.save(tensors | {"fc1.bias": torch.full((12,), torch.nan)}, tmp_path / "nan.pt")
    for name, message in (
        ("text.pt", "is not a checkpoint"),
        ("dict.pt", "does not hold a state dict"),
        ("empty", "has no model.pt or model.safetensors: it is not a run folder"),
        ("nowhere", "nowhere"),
        ("nan.pt", "fc1.bias holds NaN or infinity"),
    ):
        with pytest.raises(InputError, match=message):
            start_from(str(tmp_path / name), learner(), 10)
