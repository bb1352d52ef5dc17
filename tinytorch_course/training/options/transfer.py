"""``--from``: training starts from the network of another run, with a new head where the classes are others."""

from typing import Any

from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.training import checkpoints
from tinytorch_course.training.learners import Learner
from tinytorch_course.training.networks import read_state_dict


def start_from(checkpoint: str, learner: Learner, classes: int) -> str:
    """Let ``learner`` begin with the tensors of a checkpoint.

    The layer whose tensors differ in nothing but the number of classes, if there is one, is the head: it keeps the
    numbers it was drawn with.

    Args:
        checkpoint: a run folder, or a file that holds a state dict.
        learner: see ``training.learners``; is changed.
        classes: how many the data have.

    Returns:
        A sentence that says what was done.

    Raises:
        InputError: if the checkpoint cannot be read, or differs from the network in anything else, by its keys.
    """
    path, _, tensors, _ = read_state_dict(checkpoint)
    own = learner.state_dict()
    head = _head(own, tensors, classes)
    shapes = {name: tuple((tensors if name in head else own)[name].shape) for name in own}
    if set(tensors) == set(own):
        _refuse_shapes(tensors, shapes, path)
    checkpoints.check_state_dict(tensors, shapes, path)
    learner.load_state_dict(own | {name: tensor for name, tensor in tensors.items() if name not in head})
    if not head:
        return f"Starting from {path}."
    was = len(tensors[head[0]])
    return (
        f"Starting from {path}; its {' and '.join(head)} were for {was} classes, so for {classes} they are drawn anew."
    )


def _head(own: dict[str, Tensor], tensors: dict[str, Tensor], classes: int) -> list[str]:
    """The keys of the one layer that does not fit, if that is because of the number of classes."""
    wrong = [name for name, tensor in own.items() if name in tensors and tensors[name].shape != tensor.shape]
    differ_in_classes = all(
        own[name].dim() == tensors[name].dim() > 0
        and own[name].shape[1:] == tensors[name].shape[1:]
        and len(own[name]) == classes
        for name in wrong
    )
    return wrong if differ_in_classes and len({name.rpartition(".")[0] for name in wrong}) == 1 else []


def _refuse_shapes(tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], path: Any) -> None:
    """Name all tensors that have other shapes; what else may be wrong, ``check_state_dict`` says."""
    wrong = [name for name, shape in shapes.items() if tuple(tensors[name].shape) != shape]
    if wrong:
        name, more = wrong[0], f", and {', '.join(wrong[1:])} are wrong too" if wrong[1:] else ""
        raise InputError(
            f"--from {path} does not fit this network: {name} is {tuple(tensors[name].shape)} and should be "
            f"{shapes[name]}{more}; is it from another --model, or from pictures of another size?"
        )
