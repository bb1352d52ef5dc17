"""The losses of ``scratch.losses`` as modules of torch.nn: ``loss = cross_entropy(weight=weight)(input, target)``."""

from torch import nn

mse = nn.MSELoss
l1 = nn.L1Loss
binary_cross_entropy = nn.BCELoss
binary_cross_entropy_with_logits = nn.BCEWithLogitsLoss
nll = nn.NLLLoss
cross_entropy = nn.CrossEntropyLoss
