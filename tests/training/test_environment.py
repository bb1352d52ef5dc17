import pytest
import torch

from tinytorch_course.errors import InputError
from tinytorch_course.training.environment import (
    compute_alike,
    find_device,
    generator_states,
    set_generator_states,
    versions,
)


def test_the_device_that_was_asked_for():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"--device is {name}, but torch finds no CUDA device here: use cpu or auto"):
        find_device(name)


def test_a_device_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="--device is cuda:2, but there are only 2 CUDA devices"):
        find_device("cuda:2")


def test_float32_is_float32_everywhere():
    torch.backends.cudnn.allow_tf32 = True
    compute_alike()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.deterministic


def test_tf32_is_for_both_kinds_of_product_and_for_cuda_alone():
    compute_alike("tf32", torch.device("cuda"))
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    compute_alike()
    assert not torch.backends.cudnn.allow_tf32
    with pytest.raises(InputError, match="--precision tf32 needs an NVIDIA GPU, but this run is on the CPU"):
        compute_alike("tf32", torch.device("cpu"))
    with pytest.raises(InputError, match="--precision bfloat16 is for --dtype float32, but --dtype is float64"):
        compute_alike("bfloat16", torch.device("cpu"), "float64")


def test_torchs_generator_goes_on_where_it_was():
    states = generator_states()
    first = torch.rand(3)
    set_generator_states(states)
    assert torch.equal(torch.rand(3), first)


def test_versions_say_what_decides_about_the_last_bit():
    known = versions()
    assert known["torch"] == str(torch.__version__)
    assert known["threads"] == str(torch.get_num_threads())
    assert set(known) == {"tinytorch", "torch", "torchvision", "threads", "instructions"}
