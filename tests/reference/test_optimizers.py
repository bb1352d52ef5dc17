import pytest
import torch
from torch import nn

from tinytorch_course.parameter_groups import group
from tinytorch_course.reference import optimizers as reference
from tinytorch_course.reference.optimizers import set_rates
from tinytorch_course.scratch import optimizers as scratch

FACTORIES = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.9), "amsgrad": True, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"eps": 1e-3, "maximize": True}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9, "centered": True, "momentum": 0.5}),
}
GROUPS = (group("*.bias", weight_decay=0.0), group("last.weight", lr=0.002))
every_optimizer = pytest.mark.parametrize("name", FACTORIES)


def module(dtype=torch.float64):
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("first", nn.Linear(3, 4))
    net.add_module("last", nn.Linear(4, 2))
    return net.to(dtype)


def set_grads(net, seed):
    generator = torch.Generator().manual_seed(seed)
    for param in net.parameters():
        param.grad = torch.randn(param.shape, dtype=param.dtype, generator=generator)
    return {name: param.grad.clone() for name, param in net.named_parameters()}


def params_of(net):
    return {name: param.detach().clone() for name, param in net.named_parameters()}


@every_optimizer
def test_defaults_are_those_of_scratch_and_torch(name):
    theirs = FACTORIES[name][0](module().named_parameters()).state_dict()
    assert getattr(reference, name)()(module()).state_dict() == theirs
    ours = getattr(scratch, name)()
    assert ours.to_torch(ours.init(params_of(module()))) == theirs


@every_optimizer
def test_walks_in_step_with_scratch(name):
    """Groups, and rates that change, through the two faces that the training loop uses."""
    kwargs = {"lr": 0.01, **FACTORIES[name][1], "groups": GROUPS}
    net = module()
    theirs, ours = getattr(reference, name)(**kwargs)(net), getattr(scratch, name)(**kwargs)
    assert type(theirs) is FACTORIES[name][0]
    params = params_of(net)
    opt_state = ours.init(params)
    schedule = [{}, {"lr": 0.02}, {"lr": 0.005, "momentum": 0.7}, {"momentum": 0.6}, {}, {"lr": 0.01}]
    for step, rates in enumerate(schedule):
        grads = set_grads(net, step)
        params, opt_state = ours.update(params, grads, opt_state, **rates)
        set_rates(theirs, **rates)
        theirs.step()
        for key, param in net.named_parameters():
            torch.testing.assert_close(params[key], param.detach(), rtol=1e-12, atol=1e-12)

    set_rates(theirs)
    saved, expected = ours.to_torch(opt_state), theirs.state_dict()
    assert saved["param_groups"] == expected["param_groups"]
    for number, entry in expected["state"].items():
        for field, value in entry.items():
            torch.testing.assert_close(saved["state"][number][field], value, rtol=1e-12, atol=1e-300)


@every_optimizer
def test_one_continues_the_others_checkpoint(name):
    kwargs = {"lr": 0.01, **FACTORIES[name][1], "groups": GROUPS}
    net = module()
    theirs, ours = getattr(reference, name)(**kwargs)(net), getattr(scratch, name)(**kwargs)
    for step in range(5):
        set_rates(theirs, lr=0.003)
        set_grads(net, step)
        theirs.step()
    params = params_of(net)
    opt_state = ours.from_torch(theirs.state_dict(), params)
    twin_net = module()
    twin_net.load_state_dict(params)
    twin = getattr(reference, name)(**kwargs)(twin_net)
    twin.load_state_dict(ours.to_torch(opt_state))
    for step in range(5, 10):
        grads = set_grads(net, step)
        set_grads(twin_net, step)
        params, opt_state = ours.update(params, grads, opt_state, lr=0.004)
        for optimizer in (theirs, twin):
            set_rates(optimizer, lr=0.004)
            optimizer.step()
        for key, param in net.named_parameters():
            torch.testing.assert_close(params[key], param.detach(), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(twin_net.get_parameter(key), param, rtol=1e-12, atol=1e-12)


def test_groups_are_torchs_in_order():
    optimizer = reference.adam(lr=0.1, weight_decay=0.5, groups=GROUPS)(module())
    shown = [(one["param_names"], one["lr"], one["weight_decay"]) for one in optimizer.param_groups]
    assert shown == [
        (["first.weight"], 0.1, 0.5),
        (["first.bias", "last.bias"], 0.1, 0.0),
        (["last.weight"], 0.002, 0.5),
    ]


def test_rates_keep_their_ratio_and_come_back():
    optimizer = reference.sgd(lr=0.1, momentum=0.9, groups=(group("last.*", lr=0.01),))(module())

    def shown():
        return [(one["lr"], one["momentum"]) for one in optimizer.param_groups]

    set_rates(optimizer, lr=0.05, momentum=0.8)
    assert shown() == [(0.05, 0.8), (pytest.approx(0.005, rel=1e-15), 0.8)]
    set_rates(optimizer, lr=0.2)
    assert shown() == [(0.2, 0.9), (pytest.approx(0.02, rel=1e-15), 0.9)]
    set_rates(optimizer)
    assert shown() == [(0.1, 0.9), (0.01, 0.9)]


def test_adams_momentum_is_its_first_beta():
    optimizer = reference.adamw(betas=(0.9, 0.99))(module())
    set_rates(optimizer, momentum=0.8)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    set_rates(optimizer)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_a_rate_from_mid_schedule_in_a_checkpoint_does_not_become_the_initial_one():
    make = reference.sgd(lr=0.1, groups=(group("last.*", lr=0.01),))
    optimizer = make(module())
    set_rates(optimizer, lr=1e-3)
    again = make(module())
    again.load_state_dict(optimizer.state_dict())
    assert [one["lr"] for one in again.param_groups] == [1e-3, pytest.approx(1e-4, rel=1e-15)]
    set_rates(again, lr=0.05)
    assert [one["lr"] for one in again.param_groups] == [0.05, pytest.approx(0.005, rel=1e-15)]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        reference.sgd(lr=-1.0)
    with pytest.raises(ValueError, match=r"pattern 'middle\.\*' .* matches no parameter"):
        reference.sgd(groups=(group("middle.*"),))(module())
    with pytest.raises(ValueError, match="overrides 'betas', but this optimizer knows only lr, momentum"):
        reference.sgd(groups=(group("*", betas=(0.9, 0.9)),))(module())
    optimizer = reference.sgd(lr=0.0, groups=(group("last.*", lr=0.1),))(module())
    with pytest.raises(ValueError, match="lr must stay 0 where the optimizer's own lr is 0"):
        set_rates(optimizer, lr=0.1)
