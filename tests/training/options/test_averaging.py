from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinytorch_course.training.options.averaging import Average, holding


def network(seed):
    """A module with batch norm, all of whose tensors are random."""
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_(generator=generator)
        else:
            tensor.fill_(seed)
    return module


def test_the_average_is_torchs():
    """0.1 is below the factor of every step, so that torch's knows no difference."""
    module = network(0)
    twin = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.1), use_buffers=True)
    twin.update_parameters(module)  # which only copies, the first time
    average = Average(0.1, module.state_dict())
    for step in range(1, 8):
        module.load_state_dict(network(step).state_dict())
        twin.update_parameters(module)
        average.update(module.state_dict(), step)
    expected = twin.module.state_dict()
    assert average.tensors.keys() == expected.keys()
    for name, tensor in average.tensors.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-12, atol=1e-12)
    assert average.tensors["1.num_batches_tracked"] == 7  # copied


@pytest.mark.parametrize(("decay", "factors"), [(0.999, (2 / 11, 3 / 12, 4 / 13)), (0.2, (2 / 11, 0.2, 0.2))])
def test_the_first_steps_forget_the_start(decay, factors):
    value, average = 1.0, Average(decay, {"w": torch.tensor([1.0], dtype=torch.float64)})
    for step, (factor, new) in enumerate(zip(factors, (3.0, -2.0, 5.0), strict=True), start=1):
        value = factor * value + (1 - factor) * new
        average.update({"w": torch.tensor([new], dtype=torch.float64)}, step)
        assert average.tensors["w"].item() == pytest.approx(value, rel=1e-14)


def test_the_average_has_memory_of_its_own():
    tensors = {"w": torch.ones(2)}
    average = Average(0.5, tensors)
    tensors["w"].zero_()
    assert average.tensors["w"].tolist() == [1, 1]


def test_a_saved_average_goes_on():
    average = Average(0.9, network(0).state_dict())
    other = Average(0.9, network(5).state_dict())
    other.load(average.tensors)
    for each in (average, other):
        each.update(network(1).state_dict(), 1)
    for name, tensor in average.tensors.items():
        assert torch.equal(tensor, other.tensors[name])


def test_a_learner_holds_other_tensors_for_a_while_also_if_that_fails():
    module, others = network(0), network(1).state_dict()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    learner = SimpleNamespace(state_dict=module.state_dict, load_state_dict=module.load_state_dict)
    held = []

    def evaluate():
        with holding(learner, others):
            held.append(module[0].weight.clone())
            raise KeyError

    with pytest.raises(KeyError):
        evaluate()
    assert torch.equal(held[0], others["0.weight"])
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
