"""A hand-written twin of PyTorch: raw tensors and gradients by hand beside ``nn.Module`` and autograd.

Nothing heavy is imported here, so that ``tinytorch --help`` answers at once.
"""

__version__ = "0.2.0"
