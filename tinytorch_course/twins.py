"""Whether a network of the user's own is one network: the same parameters and sizes in both namespaces."""

import torch
from torch import Tensor, nn

from tinytorch_course.errors import InputError
from tinytorch_course.instruments.recording import Recorder, WatchedLayers
from tinytorch_course.models import Model
from tinytorch_course.reference import layers as twins
from tinytorch_course.scratch import layers
from tinytorch_course.scratch.layers import Layer
from tinytorch_course.summary import summarise
from tinytorch_course.user_code import blame

Shapes = dict[str, tuple[int, ...]]


def require_twins(model: Model, *, num_classes: int, in_channels: int, image_size: int) -> None:
    """Refuse a network of the user's own that cannot be trained on such pictures, or is not the same in both.

    It is built in both namespaces, and both are shown two black pictures; from scratch it goes back as well. It is also
    built of layers that are watched, as ``compare`` builds it, and has to be the same network then. Ours are not looked
    at: tests have done that.

    Raises:
        InputError: saying what differs, and where.
    """
    if model.code is None:
        return
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    net, module = model.build(layers, **sizes), model.build(twins, **sizes)
    for made, kind in ((net, Layer), (module, nn.Module)):
        if not isinstance(made, kind):
            raise InputError(f"{model.where}: it must return a layer made by L, as L.sequential(...), not {made!r:.60}")
    x = torch.zeros(2, in_channels, image_size, image_size)
    summarise(model, (in_channels, image_size, image_size), num_classes)  # says at which layer pictures do not fit
    try:
        _compare(model, net, module, x, num_classes)
        if not _same(net, model.build(WatchedLayers(layers, Recorder()), **sizes), x):
            raise InputError(
                f"{model.where}: it asks what L is, and makes another network of the layers that are watched than of "
                "those that train: leave out what depends on L itself"
            )
    except InputError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(blame(error) or f"{model.where}: {message}") from error


@torch.no_grad()
def _compare(model: Model, net: Layer, module: nn.Module, x: Tensor, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    params, state = net.init(generator)
    ours = {**_shapes(params), **_shapes(state)}
    theirs = _shapes(module.state_dict())
    if ours != theirs:
        raise InputError(f"{model.where}: it is not the same network in both namespaces: {_difference(ours, theirs)}")
    if list(params) != [name for name, _ in module.named_parameters()]:
        raise InputError(f"{model.where}: it has its parameters in another order in torch")
    out, new_state, cache = net.forward(params, state, x, training=True, generator=generator)
    twin = module(x)
    for shape, whose in ((out.shape, "from scratch"), (twin.shape, "in torch")):
        if tuple(shape) != (len(x), num_classes):
            raise InputError(
                f"{model.where}: it makes {_spell(shape)} of {len(x)} pictures {whose}, but it must make {len(x)} x "
                f"{num_classes}, a number for each class: the argument num_classes tells a network how many there are"
            )
    if _shapes(new_state) != _shapes(state):
        raise InputError(f"{model.where}: it changes what it keeps: {_difference(_shapes(new_state), _shapes(state))}")
    _, grads = net.backward(torch.ones_like(out), cache, need_dx=False)
    if _shapes(grads) != _shapes(params):
        difference = _difference(_shapes(grads), _shapes(params), "among its gradients", "among its parameters")
        raise InputError(f"{model.where}: it has a backward that does not fit: {difference}")


@torch.no_grad()
def _same(net: Layer, watched: Layer, x: Tensor) -> bool:
    """Whether both answer alike, and have the same gradients, bit for bit."""
    answers = []
    for each in (net, watched):
        with torch.random.fork_rng(devices=[]):  # a layer of one's own may draw from it
            torch.manual_seed(0)
            generator = torch.Generator().manual_seed(0)
            params, state = each.init(generator)
            out, state, cache = each.forward(params, state, torch.rand(x.shape), training=True, generator=generator)
            _, grads = each.backward(torch.rand(out.shape), cache, need_dx=False)
            answers.append({"": out, **state, **grads})
    ours, theirs = answers
    return ours.keys() == theirs.keys() and all(
        torch.allclose(ours[name], theirs[name], rtol=0, atol=0, equal_nan=True) for name in ours
    )


def _difference(ours: Shapes, theirs: Shapes, first: str = "from scratch", second: str = "in torch") -> str:
    """The first thing in which they differ, in words."""
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            return f"{name} is {_spell(ours[name])} {first} and {_spell(theirs[name])} {second}"
    alone = [f"{name} is there {first} only" for name in ours if name not in theirs]
    return ", ".join([*alone, *(f"{name} is there {second} only" for name in theirs if name not in ours)])


def _shapes(tensors: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _spell(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"
