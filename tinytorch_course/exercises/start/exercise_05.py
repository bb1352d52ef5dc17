"""Exercise 05. Stochastic gradient descent

Write the step of plain gradient descent, with weight decay: the penalty weight_decay / 2 · p² on every parameter p
adds weight_decay · p to its gradient.

Check it with: tinytorch exercise 05 --check exercise_05.py
"""


class SGD:
    """Stochastic gradient descent with weight decay."""

    def __init__(self, params, lr=1e-3, weight_decay=0.0):
        """params: tensors of any shape, each with its gradient in .grad when step() is called."""
        self.params = list(params)
        self.lr, self.weight_decay = lr, weight_decay

    def step(self):
        """Move each parameter against its gradient, the penalty's included, by lr times that.

        In place (p -= ...), because the network uses the same tensors; p.grad is the caller's and stays as it is.
        """
        raise NotImplementedError("SGD.step")
