import pytest
import torch

from tinytorch_course.doctor import determinism
from tinytorch_course.doctor.determinism import THREADS, TRIALS, Trial, measure, same_bits, train
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS

SMALL = Trial("mlp", 64, 3, "adam")


def test_every_small_network_is_tried():
    assert {trial.model for trial in TRIALS} == set(MODELS) - {"resnet18_imagenet"}
    assert {trial.optimizer for trial in TRIALS} == {"sgd", "adam", "adamw", "rmsprop"}


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.model)
def test_from_scratch_is_the_same_bits_for_any_number_of_threads(trial):
    """Two steps, the last one of an odd batch. (A whole run is in tests/training/test_threads.py.)"""
    before = torch.get_num_threads()
    quick = {"image_size": 8} if trial.model == "resnet18" else {}
    found = measure("scratch", trial._replace(steps=2, **quick))
    assert found.differ == []
    assert found.tensors > 10
    assert torch.get_num_threads() == before


def test_what_is_compared():
    names = train("scratch", Trial("mnist_cnn", 8, 2, "adam"), threads=1)
    assert {"loss of step 1", "loss of step 2", "evaluation of 1: loss", "evaluation of 37: logits"} <= set(names)
    assert {"network norm1.running_var", "network fc2.weight", "average conv1.weight"} <= set(names)
    assert len([name for name in names if name.startswith("optimizer")]) >= 2 * 8


def test_both_implementations_are_compared_in_the_same_things():
    ours, torchs = (train(impl, SMALL, threads=2) for impl in ("scratch", "torch"))
    assert set(ours) == set(torchs)
    for name in ("loss of step 1", "evaluation of 37: loss"):
        torch.testing.assert_close(ours[name], torchs[name], rtol=1e-4, atol=1e-5)


def test_a_difference_is_found_and_named(monkeypatch):
    def by_threads(impl, trial, threads):
        return {"same": torch.ones(2), "other": torch.tensor([1.0, 1.0 + (threads == 3) * 2**-23])}

    monkeypatch.setattr(determinism, "train", by_threads)
    assert measure("scratch", SMALL) == (2, ["other"])
    assert measure("scratch", SMALL, threads=(1, 2)) == (2, [])


def test_threads_are_restored_after_an_error(monkeypatch):
    before = torch.get_num_threads()
    with pytest.raises(InputError):
        train("scratch", SMALL._replace(model="no such network"), threads=max(THREADS))
    assert torch.get_num_threads() == before


def test_bits():
    nan = torch.tensor([float("nan")])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.arange(6.0).reshape(2, 3).mT, torch.arange(6.0).reshape(2, 3).mT.contiguous())
