"""The lesson: a neural-network library on raw tensors, every gradient written by hand.

Nothing in this package touches autograd or a layer kernel of PyTorch. Its alphabet is arithmetic, elementary
functions, comparison, reduction, matmul, indexing, reshaping and strided views.
"""

from tinytorch_course.scratch import clipping, initializers, layers, losses, ops, optimizers, schedules

__all__ = ["clipping", "initializers", "layers", "losses", "ops", "optimizers", "schedules"]
