import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers
from tinytorch_course.summary import parse_input, summarise

SIZES = {"resnet18": (1, 16, 16), "resnet18_imagenet": (3, 64, 48), "mini_cnn": (1, 31, 28), "lenet5": (3, 32, 32)}
NAMES = [*MODELS, "mlp-20-30"]
SIZE_OF = [(name, SIZES.get(name, (1, 28, 28))) for name in NAMES]


def watched(name, size, classes):
    """What hooks on the twin see: of each layer without children its output's size and parameters, and all FLOPs."""
    module, seen = find_model(name).build(twins, num_classes=classes, in_channels=size[0], image_size=min(size[1:])), []
    for key, layer in module.named_modules():
        if not list(layer.children()):
            count = sum(parameter.numel() for parameter in layer.parameters())
            layer.register_forward_hook(
                lambda layer, args, out, key=key, count=count: seen.append((key, tuple(out.shape[1:]), count))
            )
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        module(torch.zeros(2, *size))
    return seen, flops.get_total_flops() // 2


@pytest.mark.parametrize(("name", "size"), SIZE_OF)
def test_equal_to_what_a_forward_pass_of_the_twin_gives(name, size):
    summary = summarise(find_model(name), size, classes=7)
    seen, flops = watched(name, size, classes=7)
    assert [(layer.name, layer.output, layer.parameters) for layer in summary.layers] == seen
    assert summary.flops == flops
    assert summary.parameters == sum(count for _, _, count in seen)


@pytest.mark.parametrize(("name", "size"), SIZE_OF)
def test_saved_bytes_are_those_the_cache_holds(name, size):
    """Of the whole network's cache, every memory once: four pictures more hold four times as much more."""

    def held(batch):
        net = find_model(name).build(layers, in_channels=size[0], image_size=min(size[1:]))
        params, state = net.init(torch.Generator().manual_seed(0))
        _, _, cache = net.forward(
            params, state, torch.zeros(batch, *size), training=True, generator=torch.Generator().manual_seed(0)
        )
        memory, left = {}, [cache]
        while left:
            value = left.pop()
            if isinstance(value, torch.Tensor):
                memory[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            elif isinstance(value, dict):
                left += value.values()
            elif isinstance(value, (tuple, list)):
                left += value
        return sum(memory.values())

    assert held(6) - held(2) == 4 * summarise(find_model(name), size).saved


@pytest.mark.parametrize(("name", "size"), SIZE_OF)
def test_every_formula_gives_the_size_beside_it(name, size):
    """Each is evaluated as arithmetic."""
    formulas = 0
    for layer in summarise(find_model(name), size).layers:
        assert bool(layer.formula) == (layer.kind in ("conv2d", "max_pool2d", "avg_pool2d", "flatten"))
        sides = []
        for line in layer.formula:
            left, right = line.split(" = ")
            assert eval(left, {"floor": lambda value: int(value // 1)}) == int(right)
            sides.append(int(right))
        if sides:
            expected = layer.output[:1] if layer.kind == "flatten" else tuple(dict.fromkeys(layer.output[1:]))
            assert tuple(dict.fromkeys(sides)) == expected
            formulas += 1
    assert formulas > 0


def test_height_and_width_have_a_line_each_when_they_differ():
    conv1 = summarise(find_model("mini_cnn"), (1, 31, 28)).layers[0]
    assert conv1.output == (8, 29, 26)
    assert conv1.formula == [
        "floor((31 + 2*0 - 1*(3 - 1) - 1) / 1) + 1 = 29",
        "floor((28 + 2*0 - 1*(3 - 1) - 1) / 1) + 1 = 26",
    ]


def test_mnist_cnn_by_hand():
    summary = summarise(find_model("mnist_cnn"))
    rows = {layer.name: layer for layer in summary.layers}
    assert rows["conv2"].flops == 2 * (64 * 14 * 14) * (32 * 3 * 3)
    assert rows["fc1"].flops == 2 * 3136 * 128
    assert rows["relu1"].saved == 4 * 32 * 28 * 28
    assert rows["conv2"].saved == 0  # its input is what pool1 saved
    assert rows["drop1"].saved == 3136  # a byte a value


def test_published_multiply_adds_of_resnet18():
    """torchvision gives 1.81 G multiply-adds and 11,689,512 parameters for 224 x 224 pixels and 1000 classes."""
    summary = summarise(find_model("resnet18_imagenet"), (3, 224, 224), classes=1000)
    assert round(summary.flops / 2e9, 2) == 1.81
    assert summary.parameters == 11_689_512


@pytest.mark.parametrize(("text", "size"), [("1x28x28", (1, 28, 28)), ("3x32x256", (3, 32, 256))])
def test_sizes_are_read(text, size):
    assert parse_input(text) == size


@pytest.mark.parametrize(
    "text", ["", "28", "28x28", "1x28x28x1", "1x28xa", "1*28*28", "-1x28x28", "1x 28x28", "1.5x28x28", "١x28x28"]
)
def test_malformed_sizes_are_refused(text):
    with pytest.raises(InputError, match="--input must be CHANNELSxHEIGHTxWIDTH, such as 1x28x28, but it is "):
        parse_input(text)


@pytest.mark.parametrize("text", ["0x28x28", "1x0x28", "1x28x257", "999999999x28x28"])
def test_sizes_out_of_bounds_are_refused(text):
    with pytest.raises(InputError, match=f"1 to 256 channels, rows and columns, but it is {text}"):
        parse_input(text)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("tiny_vgg", (1, 3, 3), "tiny_vgg cannot take pictures of 1x3x3: it needs at least 16 x 16 pixels"),
        ("mnist_cnn", (1, 32, 28), "mnist_cnn cannot take pictures of 1x32x28: at fc1, x has 3584 features"),
        ("softmax", (3, 5, 6), "softmax cannot take pictures of 3x5x6: at fc, x has 90 features"),
        ("mini_cnn", (1, 5, 5), "mini_cnn cannot take pictures of 1x5x5: it needs at least 18 x 18 pixels"),
    ],
)
def test_a_network_that_cannot_take_the_size_says_where(name, size, words):
    with pytest.raises(InputError) as refusal:
        summarise(find_model(name), size)
    assert words in str(refusal.value)
