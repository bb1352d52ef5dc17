import io

import pytest
import torch

from tinytorch_course.checking.case_tables.optimizers import (
    OPTIMIZERS,
    TOLERANCE,
    Theirs,
    all_cases,
    draw_grads,
    draw_params,
    make,
    rates,
    slots_error,
)
from tinytorch_course.checking.evidence import worst_entry
from tinytorch_course.checking.optimizers import check_optimizer, flattened
from tinytorch_course.parameter_groups import group
from tinytorch_course.scratch import optimizers
from tinytorch_course.scratch.optimizers import AdamSlot, SgdSlot, adam, adamw, rmsprop, sgd

CASES = all_cases()
every_case = pytest.mark.parametrize("case", CASES, ids=[str(case) for case in CASES])
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def run_exchange(case, *, before=20, after=10, device="cpu"):
    """The worst error when the state changes hands after ``before`` steps and both go on for ``after`` more.

    Ours goes into a new ``torch.optim`` optimizer, and theirs into ours; each is compared with torch unbroken.
    """
    params, ours = draw_params(device), make(case)
    theirs = Theirs(case, params)
    opt_state = ours.init(params)
    grads = list(draw_grads(case, before + after, device))
    for step in range(before):
        params, opt_state = ours.update(params, grads[step], opt_state, **rates(case, step))
        theirs.update(grads[step], step)

    from_ours = Theirs(case, params)
    from_ours.optimizer.load_state_dict(ours.to_torch(opt_state))
    params = {name: param.detach().clone() for name, param in theirs.params.items()}
    opt_state = ours.from_torch(theirs.optimizer.state_dict(), params)
    worst = slots_error(opt_state, theirs)
    for step in range(before, before + after):
        params, opt_state = ours.update(params, grads[step], opt_state, **rates(case, step))
        theirs.update(grads[step], step)
        from_ours.update(grads[step], step)
        worst = max(worst, apart(params, theirs.params), apart(from_ours.params, theirs.params))
    return max(worst, slots_error(opt_state, theirs))


def apart(params, expected):
    return worst_entry(flattened(params), flattened(expected))[0]


@every_case
def test_equals_torch(case):
    check_optimizer(case).require()


@every_case
def test_state_goes_to_torch_and_comes_back(case):
    assert run_exchange(case) <= TOLERANCE


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_equals_torch_on_cuda():
    wrong = [str(case) for case in CASES if not check_optimizer(case, device="cuda")]
    assert wrong + [str(case) for case in CASES if not run_exchange(case, device="cuda") <= TOLERANCE] == []


@pytest.mark.parametrize("case", [case for case in CASES if not case.momenta and case.kwargs.get("lr") != 0], ids=str)
def test_a_rate_and_a_count_may_be_tensors(case):
    """As a CUDA graph gives them, with the same bits."""
    optimizer, params = make(case), draw_params()
    opt_state = optimizer.init(params)
    others, other_state = params, opt_state
    for step, grads in enumerate(draw_grads(case, 15)):
        lr = rates(case, step).get("lr", case.kwargs.get("lr", 1e-3))
        params, opt_state = optimizer.update(params, grads, opt_state, lr=lr)
        for name, slot in other_state.items():
            if isinstance(getattr(slot, "step", None), int):
                other_state[name] = slot._replace(step=torch.tensor(float(slot.step), dtype=torch.float64))
        others, other_state = optimizer.update(others, grads, other_state, lr=torch.tensor(lr, dtype=torch.float64))
    assert all(torch.equal(others[name], param) for name, param in params.items())
    assert optimizer.to_torch(other_state)["state"].keys() == optimizer.to_torch(opt_state)["state"].keys()


@every_case
def test_a_reloaded_state_goes_on_bit_for_bit(case):
    optimizer = make(case)
    params = draw_params()
    opt_state = optimizer.init(params)
    grads = list(draw_grads(case, 16))
    for step in range(8):
        params, opt_state = optimizer.update(params, grads[step], opt_state, **rates(case, step))

    file = io.BytesIO()
    torch.save(optimizer.to_torch(opt_state), file)
    file.seek(0)
    again, again_state = params, optimizer.from_torch(torch.load(file, weights_only=True), params)
    for step in range(8, 16):
        params, opt_state = optimizer.update(params, grads[step], opt_state, **rates(case, step))
        again, again_state = optimizer.update(again, grads[step], again_state, **rates(case, step))
    for name in params:
        assert torch.equal(again[name], params[name])
        for field, value in opt_state[name]._asdict().items():
            other = getattr(again_state[name], field)
            assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value


@every_case
def test_the_layout_is_torchs(case):
    """Everything torch's state_dict holds, under its keys, in its types."""
    params = {name: torch.nn.Parameter(param) for name, param in draw_params().items()}
    (grads,) = draw_grads(case, 1)
    for name, param in params.items():
        param.grad = grads[name]
    grouped = {name for one in case.groups for name in one.names}
    param_groups = [{"params": [(name, param) for name, param in params.items() if name not in grouped]}]
    param_groups += [{"params": [(name, params[name]) for name in one.names], **one.overrides} for one in case.groups]
    theirs = OPTIMIZERS[case.optimizer].twin([one for one in param_groups if one["params"]], **case.kwargs)
    theirs.step()
    expected = theirs.state_dict()

    ours = make(case)
    _, opt_state = ours.update(draw_params(), grads, ours.init(draw_params()))
    got = ours.to_torch(opt_state)
    assert got.keys() == expected.keys()
    assert got["param_groups"] == expected["param_groups"]
    assert got["state"].keys() == expected["state"].keys()
    for number, entry in expected["state"].items():
        assert got["state"][number].keys() == entry.keys()
        for field, value in entry.items():
            other = got["state"][number][field]
            assert (other.shape, other.dtype, other.device) == (value.shape, value.dtype, value.device)


@every_optimizer
def test_nothing_is_changed_in_place(name):
    optimizer = getattr(optimizers, name)(weight_decay=0.1, **({} if name.startswith("adam") else {"momentum": 0.9}))
    params = {"w": torch.randn(3), "b": torch.randn(3)}
    grads = {"w": torch.randn(3), "b": torch.randn(3)}
    opt_state = optimizer.init(params)
    for _ in range(2):  # the first step makes the buffers, the second uses them
        slots = {key: slot._replace() for key, slot in opt_state.items()}
        tensors = [*params.values(), *grads.values(), *(v for slot in slots.values() for v in slot)]
        before = [v.clone() if isinstance(v, torch.Tensor) else v for v in tensors]
        new_params, new_state = optimizer.update(params, grads, opt_state)
        for tensor, old in zip(tensors, before, strict=True):
            assert torch.equal(tensor, old) if isinstance(tensor, torch.Tensor) else tensor == old
        results = [*new_params.values(), *(v for slot in new_state.values() for v in slot)]
        addresses = {v.data_ptr() for v in results if isinstance(v, torch.Tensor)}
        assert not addresses & {v.data_ptr() for v in [*params.values(), *grads.values()]}
        params, opt_state = new_params, new_state


@every_optimizer
def test_the_exchange_copies(name):
    """Torch updates its state in place, so neither side may hold the other's tensors."""
    kwargs = {} if name.startswith("adam") else {"momentum": 0.9}
    optimizer = getattr(optimizers, name)(**kwargs)
    params = {"w": torch.randn(3)}
    _, opt_state = optimizer.update(params, {"w": torch.randn(3)}, optimizer.init(params))
    state_dict = optimizer.to_torch(opt_state)
    back = optimizer.from_torch(state_dict, params)
    for field, value in state_dict["state"][0].items():
        value.fill_(7)
        assert (
            getattr(opt_state["w"], field) != 7 if field == "step" else not (getattr(opt_state["w"], field) == 7).any()
        )
        assert getattr(back["w"], field) != 7 if field == "step" else not (getattr(back["w"], field) == 7).any()


def test_a_frozen_parameter_and_its_slot_stay_the_same_objects():
    optimizer = adam()
    params = {"w": torch.randn(3), "b": torch.randn(2)}
    opt_state = optimizer.init(params)
    new_params, new_state = optimizer.update(params, {"w": None, "b": torch.ones(2)}, opt_state)
    assert new_params["w"] is params["w"]
    assert new_state["w"] is opt_state["w"]
    assert new_state["b"].step == 1


def test_two_steps_of_momentum_by_hand():
    optimizer = sgd(lr=0.5, momentum=0.5, dampening=0.25)
    params = {"w": torch.tensor([1.0])}
    params, state = optimizer.update(params, {"w": torch.tensor([2.0])}, optimizer.init(params))
    assert state == {"w": SgdSlot(torch.tensor([2.0]))}  # the gradient itself: no dampening at first
    assert params["w"].item() == 1.0 - 0.5 * 2.0
    params, state = optimizer.update(params, {"w": torch.tensor([4.0])}, state)
    assert state["w"].momentum_buffer.item() == 0.5 * 2.0 + 0.75 * 4.0
    assert params["w"].item() == 0.0 - 0.5 * 4.0


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-7])
def test_adams_first_step_is_the_rate_whatever_the_gradients_size(size):
    """m̂ / √v̂ = g / |g| after one step: this is what the bias correction is for."""
    params = {"w": torch.zeros(2, dtype=torch.float64)}
    optimizer = adam(lr=0.1, eps=0.0)
    params, _ = optimizer.update(
        params, {"w": torch.tensor([size, -3 * size], dtype=torch.float64)}, optimizer.init(params)
    )
    torch.testing.assert_close(params["w"], torch.tensor([-0.1, 0.1], dtype=torch.float64), rtol=1e-12, atol=0)


@every_optimizer
def test_the_dtype_of_each_parameter_is_kept(name):
    optimizer = getattr(optimizers, name)(weight_decay=0.1)
    params = {"w": torch.randn(3), "v": torch.randn(3).double()}
    params, opt_state = optimizer.update(
        params, {k: torch.ones_like(p) for k, p in params.items()}, optimizer.init(params)
    )
    for key, dtype in (("w", torch.float32), ("v", torch.float64)):
        assert params[key].dtype == dtype
        assert all(v.dtype == dtype for v in opt_state[key] if isinstance(v, torch.Tensor))


# --- state_dicts ------------------------------------------------------------------------------------------------------

PARAMS = {"w": torch.ones(2, 3), "b": torch.ones(2)}
GRADS = {"w": torch.full((2, 3), 0.5), "b": torch.full((2,), 0.25)}


def adam_state_dict(**kwargs):
    optimizer = adam(**kwargs)
    return optimizer.to_torch(optimizer.update(PARAMS, GRADS, optimizer.init(PARAMS))[1])


def test_slots_are_matched_by_name_whatever_the_groups():
    grouped = adam(groups=(group("w", lr=1.0),))
    state_dict = adam_state_dict(groups=(group("b", lr=1.0),))
    assert [one["param_names"] for one in state_dict["param_groups"]] == [["w"], ["b"]]
    opt_state = grouped.from_torch(state_dict, PARAMS)
    torch.testing.assert_close(opt_state["w"].exp_avg, torch.full((2, 3), 0.5 * 0.1))
    torch.testing.assert_close(opt_state["b"].exp_avg, torch.full((2,), 0.25 * 0.1))


def test_without_names_torchs_order_counts():
    optimizer = adam(groups=(group("w", lr=1.0),))  # "b" is alone in group 0, so it is number 0
    state_dict = optimizer.to_torch(optimizer.update(PARAMS, GRADS, optimizer.init(PARAMS))[1])
    assert state_dict["state"][0]["exp_avg"].shape == (2,)
    for one in state_dict["param_groups"]:
        del one["param_names"]
    opt_state = optimizer.from_torch(state_dict, PARAMS)
    assert opt_state["w"].exp_avg.shape == (2, 3)
    with pytest.raises(ValueError, match=r"has groups of \[1, 1\] parameters, but they should be of \[2\]"):
        adam().from_torch(state_dict, PARAMS)


def test_an_old_torch_kept_a_momentum_buffer_of_none():
    state_dict = sgd().to_torch(sgd().init(PARAMS))
    state_dict["state"] = {0: {"momentum_buffer": None}, 1: {}}
    assert sgd().from_torch(state_dict, PARAMS) == {"w": SgdSlot(None), "b": SgdSlot(None)}


def test_slots_take_the_dtype_of_their_parameters():
    doubles = {name: param.double() for name, param in PARAMS.items()}
    opt_state = adam().from_torch(adam_state_dict(), doubles)
    assert opt_state["w"].exp_avg.dtype == torch.float64
    assert (opt_state["w"].step, type(opt_state["w"].step)) == (1, int)


def remove(state_dict, *path):
    for key in path[:-1]:
        state_dict = state_dict[key]
    del state_dict[path[-1]]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda s: remove(s, "state"), ValueError, "'state' is missing"),
        (lambda s: remove(s, "param_groups"), ValueError, "'param_groups' is missing"),
        (lambda s: remove(s, "state", 1, "exp_avg"), ValueError, "state of 'b' lacks 'exp_avg'"),
        (lambda s: remove(s, "state", 0, "step"), ValueError, "state of 'w' lacks 'step'"),
        (lambda s: s["state"].update({5: s["state"][0]}), ValueError, "a state for parameter 5, which is in no group"),
        (lambda s: s["state"][0].update(square_avg=1), ValueError, r"'w' holds \['square_avg'\], but AdamSlot has"),
        (lambda s: s["state"][0].update(exp_avg=1.0), TypeError, "'w' must hold tensors, but 'exp_avg' is a float"),
        (
            lambda s: s["state"][0].update(exp_avg=torch.ones(3, 2)),
            ValueError,
            r"state of 'w', 'exp_avg', has shape \(3, 2\), but params\['w'\] has \(2, 3\)",
        ),
        (lambda s: s["param_groups"][0].update(param_names=["w", "c"]), ValueError, r"lacks \['b'\]"),
        (lambda s: s["param_groups"][0].update(param_names=["w", "b", "c"]), ValueError, r"no parameter for \['c'\]"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_named(spoil, error, message):
    state_dict = adam_state_dict()
    spoil(state_dict)
    with pytest.raises(error, match=message):
        adam().from_torch(state_dict, PARAMS)


def test_a_state_without_what_the_optimizer_needs_is_refused():
    with pytest.raises(ValueError, match="state of 'w' lacks 'max_exp_avg_sq'"):
        adam(amsgrad=True).from_torch(adam_state_dict(), PARAMS)
    with pytest.raises(ValueError, match="must have the keys 'state' and 'param_groups'"):
        adam().from_torch([], PARAMS)


# --- What cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "grads", "error", "message"),
    [
        (PARAMS, {"w": GRADS["w"]}, ValueError, r"grads must have one entry for each parameter, but lacks \['b'\]"),
        (PARAMS, {**GRADS, "c": GRADS["b"]}, ValueError, r"grads .* there is no parameter for \['c'\]"),
        (PARAMS, {**GRADS, "w": torch.ones(3, 2)}, ValueError, r"grads\['w'\] has shape \(3, 2\), but params\['w'\]"),
        (PARAMS, {**GRADS, "b": torch.ones(2).double()}, TypeError, r"grads\['b'\] has dtype torch.float64"),
        (PARAMS, {**GRADS, "b": [1.0, 1.0]}, TypeError, r"grads\['b'\] must be a tensor, but it is a list"),
        ({"w": PARAMS["w"]}, {"w": GRADS["w"]}, ValueError, r"opt_state .* no parameter for \['b'\]"),
        ({**PARAMS, "c": torch.ones(1)}, {**GRADS, "c": None}, ValueError, r"opt_state .* lacks \['c'\]"),
        (
            {**PARAMS, "b": torch.ones(5)},
            {**GRADS, "b": torch.ones(5)},
            ValueError,
            r"opt_state\['b'\].exp_avg has sha",
        ),
    ],
)
def test_keys_and_shapes_that_do_not_fit_are_named(params, grads, error, message):
    optimizer = adam()
    with pytest.raises(error, match=message):
        optimizer.update(params, grads, optimizer.init(PARAMS))


def test_another_optimizers_state_is_named():
    with pytest.raises(TypeError, match=r"opt_state\['w'\] must be of type AdamSlot, but it is of type SgdSlot"):
        adam().update(PARAMS, GRADS, sgd().init(PARAMS))
    with pytest.raises(TypeError, match=r"opt_state\['w'\] must be of type SgdSlot, but it is of type AdamSlot"):
        sgd().to_torch(adam().init(PARAMS))


def test_params_must_be_there_and_floating_point():
    with pytest.raises(ValueError, match="params must hold at least one parameter"):
        sgd().init({})
    with pytest.raises(TypeError, match=r"params\['n'\] must be a floating-point tensor"):
        sgd().init({"n": torch.ones(2).long()})


REFUSED = [
    (sgd, {"lr": -0.1}, ValueError, "lr must be at least 0, but it is -0.1"),
    (sgd, {"lr": float("nan")}, ValueError, "lr must be at least 0, but it is nan"),
    (sgd, {"lr": float("inf")}, ValueError, "lr must be at least 0, but it is inf"),
    (sgd, {"lr": "0.1"}, TypeError, "lr must be a number, but it is '0.1'"),
    (sgd, {"lr": True}, TypeError, "lr must be a number, but it is True"),
    (sgd, {"momentum": -0.1}, ValueError, "momentum must be at least 0, but it is -0.1"),
    (sgd, {"dampening": None}, TypeError, "dampening must be a number"),
    (sgd, {"weight_decay": -1}, ValueError, "weight_decay must be at least 0, but it is -1"),
    (sgd, {"nesterov": True}, ValueError, "nesterov=True needs momentum above 0 .* but momentum is 0"),
    (sgd, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "nesterov=True needs .* dampening 0.1"),
    (adam, {"lr": -0.1}, ValueError, "lr must be at least 0"),
    (adam, {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be at least 0 and below 1, but it is 1.0"),
    (adam, {"betas": (0.9, -0.1)}, ValueError, r"betas\[1\] must be at least 0 and below 1, but it is -0.1"),
    (adam, {"betas": (0, 0.9)}, TypeError, r"betas must be two floats, but it is \(0, 0.9\)"),
    (adam, {"betas": (0.9,)}, TypeError, "betas must be two floats"),
    (adam, {"betas": 0.9}, TypeError, "betas must be two floats, but it is 0.9"),
    (adam, {"eps": -1e-8}, ValueError, "eps must be at least 0"),
    (adam, {"weight_decay": -1.0}, ValueError, "weight_decay must be at least 0"),
    (adamw, {"weight_decay": -1.0}, ValueError, "weight_decay must be at least 0"),
    (rmsprop, {"lr": -1.0}, ValueError, "lr must be at least 0"),
    (rmsprop, {"alpha": -1.0}, ValueError, "alpha must be at least 0"),
    (rmsprop, {"eps": -1.0}, ValueError, "eps must be at least 0"),
    (rmsprop, {"weight_decay": -1.0}, ValueError, "weight_decay must be at least 0"),
    (rmsprop, {"momentum": -1.0}, ValueError, "momentum must be at least 0"),
]


@pytest.mark.parametrize(("factory", "kwargs", "error", "message"), REFUSED)
def test_bad_numbers_are_named(factory, kwargs, error, message):
    with pytest.raises(error, match=message):
        factory(**kwargs)


@pytest.mark.parametrize(("factory", "kwargs", "error", "message"), REFUSED)
def test_bad_numbers_of_a_group_are_named(factory, kwargs, error, message):
    with pytest.raises(error, match=message):
        factory(groups=(group("w", **kwargs),)).init(PARAMS)


@pytest.mark.parametrize(
    ("factory", "rates", "error", "message"),
    [
        (sgd, {"lr": -0.1}, ValueError, "lr must be at least 0, but it is -0.1"),
        (sgd, {"momentum": -0.1}, ValueError, "momentum must be at least 0"),
        (adam, {"momentum": 1.0}, ValueError, "momentum must be at least 0 and below 1, but it is 1.0"),
        (rmsprop, {"lr": "fast"}, TypeError, "lr must be a number, but it is 'fast'"),
    ],
)
def test_bad_rates_of_a_step_are_named(factory, rates, error, message):
    optimizer = factory()
    with pytest.raises(error, match=message):
        optimizer.update(PARAMS, GRADS, optimizer.init(PARAMS), **rates)


def test_bad_groups_are_named():
    with pytest.raises(
        ValueError, match=r"pattern 'bias' of group\('bias'\) matches no parameter; the names are: w, b"
    ):
        sgd(groups=(group("bias"),)).init(PARAMS)
    with pytest.raises(ValueError, match="'w' is in two groups"):
        sgd(groups=(group("w"), group("*"))).init(PARAMS)
    with pytest.raises(ValueError, match="overrides 'betas', but this optimizer knows only lr, momentum, dampening"):
        sgd(groups=(group("w", betas=(0.9, 0.99)),)).init(PARAMS)
    with pytest.raises(ValueError, match="overrides 'decoupled_weight_decay'"):
        adamw(groups=(group("w", decoupled_weight_decay=False),)).init(PARAMS)
    optimizer = sgd(lr=0.0, groups=(group("w", lr=0.5),))
    with pytest.raises(ValueError, match="lr must stay 0 where the optimizer's own lr is 0"):
        optimizer.update(PARAMS, GRADS, optimizer.init(PARAMS), lr=0.1)


def test_a_slot_says_what_it_holds():
    slot = adam(amsgrad=True).init(PARAMS)["b"]
    assert slot._fields == AdamSlot._fields == ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    assert slot.step == 0
