"""Faults of TrainCheck's evaluation (Jiang et al., OSDI 2025), made again from their descriptions, in plain PyTorch.

Their names are the paper's; the descriptions are those of OrderLab/TrainCheck and TrainCheck-Evaluation-Workloads.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset
from toy_data import blobs, dataset, pictures


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 16, 4)

    def forward(self, x):
        return self.fc(F.max_pool2d(F.relu(self.bn(self.conv(x))), 2).flatten(1))


def picture_loader(**options):
    x, y = pictures(**options)
    return DataLoader(TensorDataset((x - 115) / 70, y), batch_size=32, shuffle=True)


def everything_frozen():
    """pytorch-forum-84911: all but batch norm is frozen, and the optimizer holds the last layer alone, frozen too."""
    model, loader = Net(), picture_loader()
    optimizer = torch.optim.Adam(model.fc.parameters(), lr=1e-3)
    for name, parameter in model.named_parameters():
        if "bn" not in name:
            parameter.requires_grad = False
    for parameter in model.fc.parameters():
        parameter.requires_grad = False
    model.train()
    for _ in range(5):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


def zero_grad_forgotten():
    """stackoverflow-60335387: optimizer.zero_grad() is missing."""
    model, loader = Net(), picture_loader()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    criterion = nn.CrossEntropyLoss()
    for _ in range(5):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


class Staged(nn.Module):
    """Freezes its first stages where train() is called, as mmpretrain's backbones do."""

    def __init__(self, frozen_stages=1):
        super().__init__()
        self.frozen_stages = frozen_stages
        self.stages = nn.ModuleList([nn.Linear(20, 32), nn.Linear(32, 32)])
        self.head = nn.Linear(32, 4)

    def train(self, mode=True):
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            for parameter in stage.parameters():
                parameter.requires_grad = False
        return self

    def forward(self, x):
        for stage in self.stages:
            x = F.relu(stage(x))
        return self.head(x)


def never_frozen():
    """mmpretrain-702: stages are frozen in train(), which nobody calls, so that they are trained."""
    model, loader = Staged(), DataLoader(dataset(), batch_size=32, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


def evaluated_before_training():
    """pytorch-51800: spectral norm's vectors are set up in a forward of training mode, but evaluation comes first."""
    model = nn.Sequential(
        nn.utils.spectral_norm(nn.Linear(20, 32)), nn.ReLU(), nn.utils.spectral_norm(nn.Linear(32, 4))
    )
    loader, test = DataLoader(dataset(), batch_size=32, shuffle=True), DataLoader(dataset(seed=1, n=128), batch_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        model.eval()
        with torch.no_grad():
            for x, y in test:
                (model(x).argmax(1) == y).float().mean()
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


class Augmented(Dataset):
    """Noise from numpy, whose generator every worker process starts alike."""

    def __init__(self):
        self.x, self.y = blobs(n=640)

    def __len__(self):
        return 640

    def __getitem__(self, index):
        return torch.from_numpy(np.random.normal(size=20)).float(), self.y[index]


def start_alike(worker):
    np.random.seed(0)


def workers_alike():
    """stackoverflow-67180955: workers draw the same random numbers. (torch >= 1.9 seeds numpy; undone here.)"""
    loader = DataLoader(Augmented(), batch_size=32, shuffle=True, num_workers=2, worker_init_fn=start_alike)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(20, 64), nn.Linear(64, 4)

    def forward(self, x):
        return self.fc2(F.dropout(F.relu(self.fc1(x)), p=0.3))


def dropout_in_evaluation():
    """transformers-33844: dropout is not switched off by eval()."""
    model, loader = Dropping(), DataLoader(dataset(), batch_size=32, shuffle=True)
    test = DataLoader(dataset(seed=1, n=128), batch_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in test:
                (model(x).argmax(1) == y).float().mean()


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.vision = nn.Linear(20, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, ids, features):
        return self.head(torch.relu(self.embedding(ids).mean(1) + self.vision(features)))


def first_text_for_all(batch):
    """What should be one row a sample becomes one row: all texts are taken for one."""
    x, y = zip(*batch, strict=True)
    ids = torch.arange(8)[None] + int(y[0])
    return ids, torch.stack(x), torch.stack(y)


def one_text_for_the_batch():
    """transformers-34204: the processor returns input_ids of (1, length) for a batch of 50 pictures."""
    loader = DataLoader(dataset(n=1000), batch_size=50, shuffle=True, collate_fn=first_text_for_all)
    model = TwoInputs()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        for ids, x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(ids, x), y).backward()
            optimizer.step()


def optimizer_of_replaced_parameters():
    """accelerate-2665: the optimizer was built before the model was wrapped anew, so its steps change nothing."""
    model, loader = Net(), picture_loader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for module in model.modules():  # the wrapper flattens: every parameter becomes a new one
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach().clone()))
    model.train()
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
