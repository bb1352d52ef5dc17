"""The twin: the same names as in ``scratch``, each a thin wrapper of torch.nn or torch.optim."""

from tinytorch_course.reference import clipping, initializers, layers, losses, optimizers, schedules

__all__ = ["clipping", "initializers", "layers", "losses", "optimizers", "schedules"]


def __dir__() -> list[str]:
    return __all__
