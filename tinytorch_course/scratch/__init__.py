"""The lesson: a neural-network library on raw tensors, every gradient written by hand.

Nothing in this package touches autograd or a layer kernel of PyTorch. Its alphabet is arithmetic, elementary
functions, comparison, reduction, matmul, indexing, reshaping and strided views. What is to be read stands in ``ops``,
``losses`` and ``optimizers``; ``tuned`` has faster forms of a few ops, which layers take unless told otherwise.
"""

from tinytorch_course.scratch import clipping, initializers, layers, losses, ops, optimizers, schedules, tuned

__all__ = ["clipping", "initializers", "layers", "losses", "ops", "optimizers", "schedules", "tuned"]
