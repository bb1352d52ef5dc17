"""Every op, loss, layer and optimizer on a fake CUDA device: nothing is left on the CPU, nothing waits for the GPU.

All that is in the tables of cases, so that what is new there is here, too. The numbers must be those of the CPU.
"""

import pytest
import torch
from fake_cuda import assert_same, on_cuda
from prove import forms_of

from tinytorch_course.checking.case_tables import optimizers as optimizer_table
from tinytorch_course.checking.cases import draw
from tinytorch_course.checking.ops import OPS, layer_cases
from tinytorch_course.scratch import clipping, layers, losses
from tinytorch_course.scratch.tuned import chosen, using

pytestmark = pytest.mark.filterwarnings("ignore")


EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [(name, form) for name in OPS for form in forms_of(name)])
def test_every_case_of_every_op_and_loss(cuda, name, form):
    op = OPS[name]
    with using(form):
        forward, backward = chosen(op.forward), chosen(op.backward)
    naive = op.name.endswith("_naive")  # loops over single numbers, to be read: they take long, and may wait
    for case in op.cases[: 1 if naive else None]:
        inputs, kwargs = op.draw(case), case.kwargs
        *expected, cache = forward(*inputs, **kwargs)
        *got, cache_there = forward(*on_cuda(inputs), **on_cuda(kwargs))
        assert_same((got, cache_there), (expected, cache), **EXACT)
        dout = torch.randn(expected[0].shape, generator=torch.Generator().manual_seed(1), dtype=expected[0].dtype)
        assert_same(backward(on_cuda(dout), cache_there), backward(dout, cache), **EXACT)
        assert cuda.waits == [] or naive, case


@pytest.mark.parametrize(
    "op", [losses.nll_loss_forward, losses.cross_entropy_forward, losses.cross_entropy_long_forward]
)
@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_wrong_class_stops_there_too(cuda, op, wrong):
    """Nobody looks at the classes, but the kernel that takes them as indices refuses: on a GPU by an assert."""
    with pytest.raises(RuntimeError, match="out of bounds"):
        op(*on_cuda((torch.randn(3, 4), torch.tensor([0, wrong, 3]))))
    with pytest.raises(IndexError, match=f"target must be a class from 0 to 3.* but it has {wrong}"):
        op(torch.randn(3, 4), torch.tensor([0, wrong, 3]))


def test_what_is_no_probability_makes_the_loss_nan_there(cuda):
    target = on_cuda(torch.tensor([0.0, 1.0]))
    for wrong in (-0.1, 1.1, torch.nan):
        loss, _ = losses.binary_cross_entropy_forward(on_cuda(torch.tensor([0.5, wrong])), target)
        assert loss.isnan().item()


@pytest.mark.parametrize("case", layer_cases(), ids=str)
def test_every_layer(cuda, case):
    layer = case.build(layers)
    params, state = layer.init(torch.Generator().manual_seed(0))
    (x,) = draw((case.x,), seed=1, dtype=torch.float32)
    results = []
    for there in (lambda value: value, on_cuda):
        masks = torch.Generator().manual_seed(2)
        out, new_state, cache = layer.forward(
            there(params), there(state), there(x), training=case.training, generator=masks
        )
        results.append((out, new_state, layer.backward(torch.ones_like(out), cache)))
    assert_same(results[1], results[0])
    assert cuda.waits == []


@pytest.mark.slow
@pytest.mark.parametrize("case", optimizer_table.all_cases(), ids=str)
def test_every_optimizer(cuda, case):
    optimizer, params = optimizer_table.make(case), optimizer_table.draw_params()
    there = on_cuda(params)
    state, state_there = optimizer.init(params), optimizer.init(there)
    for step, grads in enumerate(optimizer_table.draw_grads(case, 12)):
        rates = optimizer_table.rates(case, step)
        params, state = optimizer.update(params, grads, state, **rates)
        there, state_there = optimizer.update(there, on_cuda(grads), state_there, **rates)
    assert cuda.waits == []
    assert_same((there, state_there), (params, state), **EXACT)
    assert_same(optimizer.from_torch(optimizer.to_torch(state_there), there), state, **EXACT)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 0.0, 3.0])
def test_clipping(cuda, norm_type):
    grads = {"a": torch.tensor([3.0, -4.0]), "b": torch.tensor([[12.0]]), "frozen": None}
    assert_same(clipping.clip_grad_norm(on_cuda(grads), 1.0, norm_type), clipping.clip_grad_norm(grads, 1.0, norm_type))
    assert_same(clipping.clip_grad_value(on_cuda(grads), 1.0), clipping.clip_grad_value(grads, 1.0))
    assert cuda.waits == []
