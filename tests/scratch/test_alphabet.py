"""The promise of ``scratch``: raw tensors and a small alphabet of operations, shown twice.

Once by reading the source (what it imports, and every name of torch it uses), once by watching which kernels a whole
training step really calls.
"""

import ast
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tinytorch_course import scratch
from tinytorch_course.models import MODELS, find_model
from tinytorch_course.scratch import clipping, layers, losses, optimizers
from tinytorch_course.scratch.tuned import using

FILES = sorted(Path(scratch.__file__).parent.rglob("*.py"))

IMPORTS = {"collections", "functools", "itertools", "math", "typing", "warnings", "torch"}
IMPORTS |= {"contextlib", "contextvars", "inspect", "textwrap"}
OWN_IMPORTS = ("tinytorch_course.scratch", "tinytorch_course.parameter_groups")
FROM_TORCH = {"Tensor"}
# Every torch.<name> that may stand in the source.
TORCH_NAMES = {
    *{
        "Tensor",
        "Generator",
        "Size",
        "dtype",
        "device",
        "bool",
        "int64",
        "int32",
        "uint8",
        "float32",
        "float64",
        "long",
    },
    *{"arange", "as_tensor", "empty", "empty_like", "full", "ones", "ones_like", "tensor", "zeros", "zeros_like"},
    *{"exp", "erf", "log", "log1p", "sqrt", "tanh"},
    *{"mm", "sum", "einsum", "atleast_2d"},
    *{"addcdiv", "addcmul", "bmm", "broadcast_shapes", "cat", "eq", "lerp", "maximum", "mul", "rand", "stack", "where"},
    *{"channels_last", "contiguous_format"},
    "compiler",  # asked whether operations are only being written down, see can_be_read
}
# Names of methods that would let in autograd or a layer's kernel by the back door.
FORBIDDEN_NAMES = ({name for name in dir(F) if name.islower() and name[0] != "_"} - {"tanh"}) | {
    *{"nn", "autograd", "optim", "func", "ops", "jit", "compile", "special", "linalg", "fft", "_C", "functional"},
    *{"grad", "grad_fn", "requires_grad", "requires_grad_", "retain_grad", "set_grad_enabled"},
    *{"logsumexp", "var", "var_mean", "std", "std_mean", "cov", "corrcoef", "sigmoid_", "logit", "_softmax"},
}
# The kernels that a training step may call, without their overloads.
KERNELS = {
    "arithmetic": "add add_ sub sub_ rsub mul mul_ addcmul addcmul_ addcdiv div div_ floor_divide neg pow "
    "reciprocal abs sign lerp",
    "elementary functions": "exp log log1p sqrt sqrt_ tanh erf",
    "comparison": "eq ne lt le gt ge maximum minimum clamp_min clamp_max clamp where bitwise_and bitwise_or "
    "bitwise_xor bitwise_xor_ bitwise_not logical_and logical_not isnan masked_fill",
    "reduction": "sum mean amax max any all linalg_vector_norm cumsum",
    "matmul": "mm bmm mv dot",
    "indexing": "select slice index index_add scatter gather _local_scalar_dense",
    "reshaping and views": "view _unsafe_view reshape permute transpose t expand unsqueeze squeeze as_strided alias "
    "unbind split flip detach clone copy_ _to_copy lift_fresh stack cat",
    "new tensors": "empty empty_like new_empty new_zeros new_ones new_full zeros zeros_like ones ones_like full arange "
    "fill_ rand uniform_ normal_ zero_ scalar_tensor new_empty_strided empty_strided",
}
ALLOWED_KERNELS = {kernel for kernels in KERNELS.values() for kernel in kernels.split()}


class Watch(TorchDispatchMode):
    """Notes the name of every kernel that is called."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_source_uses_the_alphabet_alone(path):
    gathers = path == Path(scratch.ops.__file__)  # the names of the files beside it, and computes nothing
    allowed = {"importlib", "pkgutil", "globals"} if gathers else set()
    assert set(offences(path.read_text(encoding="utf-8"))) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn",
        "from torch import nn",
        "from torch.nn import functional",
        "import numpy",
        "from tinytorch_course import reference",
        "torch.conv2d(x, w)",
        "torch.softmax(x, 1)",
        "torch.ops.aten.max_pool2d(x)",
        "x.softmax(1)",
        "x.relu()",
        "loss.backward()",
        "loss.backward(dout)",
        "x.requires_grad_()",
        "x.logsumexp(1)",
        "torch.special.expit(x)",
        "getattr(torch, 'conv2d')(x)",
        "__import__('torch.nn')",
    ],
)
def test_reading_notices(source):
    assert offences(source)


def offences(source):
    """What a source uses beyond the alphabet."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name not in IMPORTS]
        elif isinstance(node, ast.ImportFrom):
            if node.module == "torch":
                found += [alias.name for alias in node.names if alias.name not in FROM_TORCH]
            elif not node.module.startswith(OWN_IMPORTS) and node.module.partition(".")[0] not in IMPORTS - {"torch"}:
                found.append(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
            # A layer's backward takes (dout, cache), a tensor's takes at most a gradient.
            found += [ast.unparse(node)] * (len(node.args) < 2)
        elif isinstance(node, ast.Attribute):
            of_torch = isinstance(node.value, ast.Name) and node.value.id == "torch"
            if node.attr in FORBIDDEN_NAMES or (of_torch and node.attr not in TORCH_NAMES):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id in ("getattr", "__import__", "eval", "exec", "globals"):
            found.append(node.id)
    return found


OPTIMIZERS = {
    "sgd": lambda: optimizers.sgd(momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda: optimizers.adam(amsgrad=True, weight_decay=1e-4, maximize=True),
    "adamw": optimizers.adamw,
    "rmsprop": lambda: optimizers.rmsprop(centered=True, momentum=0.9),
}


IMAGES, LABELS = torch.linspace(-1, 1, 6 * 784).reshape(6, 1, 28, 28), torch.arange(6) % 10


def training_steps(model, optimizer, steps=2):
    """Two whole steps, from drawing the parameters to clipping and updating them."""
    net = find_model(model).build(layers)
    params, state = net.init(torch.Generator().manual_seed(0))
    loss_of = losses.cross_entropy(label_smoothing=0.1)
    opt_state = optimizer.init(params)
    x, y = IMAGES, LABELS
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        logits, state, cache = net.forward(params, state, x, training=True, generator=generator)
        loss, loss_cache = loss_of.forward(logits, y)
        _, grads = net.backward(loss_of.backward(torch.ones_like(loss), loss_cache), cache, need_dx=False)
        grads, _ = clipping.clip_grad_norm(grads, 1.0)
        params, opt_state = optimizer.update(params, clipping.clip_grad_value(grads, 0.5), opt_state)
    net.forward(params, state, x, training=False)
    return params | state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "optimizer", "form"),
    [
        *((model, "adam", form) for model in MODELS for form in ("tuned", "textbook")),
        *(("mlp", optimizer, "tuned") for optimizer in OPTIMIZERS if optimizer != "adam"),
    ],
)
def test_training_calls_the_alphabet_alone(model, optimizer, form):
    with Watch() as watch, using(form):
        training_steps(model, OPTIMIZERS[optimizer]())
    assert watch.seen <= ALLOWED_KERNELS


@pytest.mark.parametrize(
    ("call", "kernel"),
    [
        (lambda x: F.conv2d(x, x), "convolution"),
        (lambda x: F.relu(x), "relu"),
        (lambda x: torch.softmax(x, 1), "_softmax"),
        (lambda x: F.max_pool2d(x, 2), "max_pool2d_with_indices"),
        (lambda x: torch.sigmoid(x), "sigmoid"),
        (lambda x: F.batch_norm(x, None, None, training=True), "native_batch_norm"),
        (lambda x: F.cross_entropy(x[:, :, 0, 0], torch.zeros(2, dtype=torch.int64)), "nll_loss_forward"),
        (lambda x: torch.logsumexp(x, 1), "logsumexp"),
    ],
)
def test_watching_notices(call, kernel):
    with Watch() as watch, torch.no_grad():
        call(torch.ones(2, 2, 2, 2))
    assert kernel in watch.seen - ALLOWED_KERNELS


def test_autograd_is_not_needed():
    """The same bits under inference mode, where autograd cannot record anything."""
    expected = training_steps("mnist_cnn", OPTIMIZERS["adam"]())
    with torch.inference_mode():
        got = training_steps("mnist_cnn", OPTIMIZERS["adam"]())
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
