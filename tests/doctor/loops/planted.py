"""One mistake each, in a loop that is right otherwise; the names are those of what is to be found."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset
from toy_data import blobs, dataset, line, pictures


def mlp(outputs=4, features=20):
    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, outputs))


def loop(
    model=None, data=None, loss=F.cross_entropy, lr=1e-3, parameters=None, before=None, after=None, epochs=2, test=None,
    batch_size=32, shuffle=True,
):  # fmt: skip
    model, data = model or mlp(), data or dataset()
    optimizer = torch.optim.Adam(parameters or model.parameters(), lr=lr)
    for _ in range(epochs):
        for x, y in DataLoader(data, batch_size=batch_size, shuffle=shuffle):
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            if before:
                before(optimizer, value)
            optimizer.step()
            if after:
                after(optimizer, value)
        if test is not None:
            test(model)


def accuracy(model, data=None, mode=False, grad=False):
    model.train(mode)
    with torch.set_grad_enabled(grad):
        for x, y in DataLoader(data or dataset(n=128, seed=1), batch_size=32):
            (model(x).argmax(1) == y).float().mean()
    model.train()


def eval_while_training():
    model = mlp()
    loop(model, test=lambda model: (accuracy(model), model.eval()), epochs=3)


def train_while_evaluating():
    loop(test=lambda model: accuracy(model, mode=True))


def eval_with_grad():
    loop(test=lambda model: accuracy(model, grad=True))


def labels_shifted():
    x, y = blobs()
    loop(mlp(5), TensorDataset(x, y + 1))


def labels_out_of_range():
    x, y = blobs()
    loop(mlp(4), TensorDataset(x, y + 1))


def lr_too_small():
    loop(lr=1e-9)


def lr_too_large():
    loop(lr=1.0)


def validation_in_training():
    data = dataset()
    loop(data=data, test=lambda model: accuracy(model, Subset(data, range(500, 640))))


def metric_on_training_data():
    data = dataset()
    loop(data=data, test=lambda model: accuracy(model, data))


def devices():
    loop(mlp().to("cuda"))


def other_parameters():
    loop(parameters=mlp().parameters())


def not_in_optimizer():
    model = mlp()
    loop(model, parameters=model[3].parameters())


def unused():
    model = nn.ModuleDict({"used": mlp(), "spare": nn.Linear(3, 3)})
    loop(model["used"], parameters=model.parameters())


def log_softmax_missing():
    loop(loss=F.nll_loss)


def softmax_twice():
    x, y = blobs()
    model = nn.Sequential(mlp(1), nn.Sigmoid(), nn.Flatten(0))
    loop(model, TensorDataset(x, (y > 1).float()), loss=F.binary_cross_entropy_with_logits)


def probabilities_out_of_range():
    x, y = blobs()
    loop(mlp(1), TensorDataset(x, (y > 1).float()[:, None]), loss=F.binary_cross_entropy)


def broadcast():
    x, y = line()
    loop(mlp(1, 5), TensorDataset(x, y.squeeze(1)), loss=F.mse_loss)


def broadcast_by_hand():
    x, y = line()
    loop(mlp(1, 5), TensorDataset(x, y.squeeze(1)), loss=lambda out, y: (out - y).abs().mean())


def scheduler_order():
    model, data = mlp(), dataset()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    for x, y in DataLoader(data, batch_size=32, shuffle=True):
        scheduler.step()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def scheduler_per_batch():
    model, schedulers = mlp(), []

    def decay(optimizer, value):
        if not schedulers:
            schedulers.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5))
        schedulers[0].step()

    loop(model, after=decay)


def clip_order():
    model = mlp()
    loop(model, after=lambda optimizer, value: nn.utils.clip_grad_norm_(model.parameters(), 1.0))


def retain_graph():
    loop(loss=lambda out, y: Keeping.apply(F.cross_entropy(out, y)))


class Keeping:
    """A loss whose backward is always asked to keep the graph."""

    def __init__(self, loss):
        self.loss = loss

    apply = classmethod(lambda cls, loss: cls(loss))

    def backward(self):
        self.loss.backward(retain_graph=True)


def graph_kept():
    losses = []
    loop(after=lambda optimizer, value: losses.append(value))


def graph_kept_in_a_sum():
    total = [0]

    def add(optimizer, value):
        total[0] = total[0] + value

    loop(after=add)


def graph_cut():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(20, 32), nn.Linear(32, 4)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)).detach())

    loop(Cut())


def graph_cut_loss():
    loop(loss=lambda out, y: torch.tensor(F.cross_entropy(out, y).item(), requires_grad=True))


def graph_cut_raises():
    loop(loss=lambda out, y: F.cross_entropy(out.detach(), y))


def graph_used_twice():
    loop(before=lambda optimizer, value: value.backward())


def dropout_p():
    loop(nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.9), nn.Linear(32, 4)))


def dropout_in_evaluation():
    class Loose(nn.Sequential):
        def forward(self, x):
            return super().forward(F.dropout(x, 0.2))

    loop(Loose(*mlp()), test=accuracy)


def step_twice():
    loop(after=lambda optimizer, value: optimizer.step())


def no_backward():
    other = torch.optim.SGD(mlp().parameters(), lr=0.1)
    loop(after=lambda optimizer, value: other.step())


def cleared_before_step():
    loop(before=lambda optimizer, value: optimizer.zero_grad())


def zero_grad_missing():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in DataLoader(dataset(), batch_size=32, shuffle=True):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def dead_relu():
    model = mlp()
    nn.init.constant_(model[0].bias, -100)
    loop(model)


def equal_weights():
    model = mlp()
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.zeros_(model[0].bias)
    nn.init.constant_(model[3].weight, 0.1)
    model[2].p = 0.0
    loop(model)


def same_batch():
    model, loader = mlp(), DataLoader(dataset(), batch_size=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(40):
        x, y = next(iter(loader))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def same_order():
    loop(data=dataset(n=320), shuffle=False, epochs=4)


def not_shuffled():
    x, y = blobs()
    loop(data=TensorDataset(x[y.argsort()], y.sort().values), shuffle=False)


def batch_norm_of_one():
    loop(nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)), batch_size=1)


def input_not_finite():
    x, y = blobs()
    x[7, 3] = torch.nan
    loop(data=TensorDataset(x, y))


def not_finite():
    loop(loss=lambda out, y: (out.sum(1) - out.sum(1)).sqrt().mean() + F.cross_entropy(out, y))


def inputs_not_normalised():
    x, y = pictures()
    loop(mlp(features=64), TensorDataset(x.flatten(1), y))


def scale_mismatch():
    x, y = blobs(n=128, seed=1)
    loop(test=lambda model: accuracy(model, TensorDataset(100 * x, y)))


def constant_output():
    loop(nn.Sequential(nn.LayerNorm(20), mlp(), nn.LayerNorm(4, elementwise_affine=False), Constant()))


class Constant(nn.Module):
    """The mean over the batch, for all."""

    def forward(self, x):
        return x.mean(0, keepdim=True).expand(len(x), -1)


def zero_gradient():
    loop(loss=lambda out, y: F.cross_entropy(0 * out, y))


def lr_of_nothing():
    loop(lr=0.0)
