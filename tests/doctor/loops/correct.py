"""Training loops that are right, in many styles: nothing is to be found in them."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset, random_split
from toy_data import blobs, dataset, line, pictures


def mlp(features=20, outputs=4, hidden=32):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.drop, self.fc = nn.Dropout(0.25), nn.Linear(128, 4)

    def forward(self, x):
        return self.fc(self.drop(F.max_pool2d(F.relu(self.bn(self.conv(x))), 2).flatten(1)))


def plain():
    """Dropout, batch norm, an evaluation after every epoch, averages kept as numbers."""
    x, y = pictures(800)
    train_set, test_set = random_split(TensorDataset((x - 115) / 70, y), [640, 160])
    train, test = DataLoader(train_set, batch_size=32, shuffle=True), DataLoader(test_set, batch_size=64)
    model, criterion = ConvNet(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(3):
        model.train()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        model.eval()
        correct = 0
        with torch.no_grad():
            for x, y in test:
                correct += (model(x).argmax(dim=1) == y).sum().item()
        print(epoch, total / len(train_set), correct / len(test_set))


def scheduled():
    """Warm-up by a step, one-cycle within the epoch; and a step scheduler after each epoch."""
    model, loader = mlp(), DataLoader(dataset(), batch_size=64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=5 * len(loader))
    for _ in range(5):
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            optimizer.step()
            cycle.step()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    steps = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(5):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        steps.step()


def accumulated():
    """Gradients of four batches are added up on purpose."""
    model, loader = mlp(), DataLoader(dataset(n=3200), batch_size=16, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    optimizer.zero_grad()
    for i, (x, y) in enumerate(loader):
        (F.cross_entropy(model(x), y) / 4).backward()
        if (i + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()


def adversarial():
    """A GAN as in DCGAN: two optimizers, detached fakes, labels of ones and of zeros, pictures drawn on the way."""
    generator = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 20), nn.Tanh())
    judge = nn.Sequential(nn.Linear(20, 32), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(32, 1), nn.Sigmoid())
    judge_optimizer = torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.999))
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    criterion, fixed = nn.BCELoss(), torch.randn(16, 8)
    x, _ = blobs()
    for _ in range(3):
        for (real,) in DataLoader(TensorDataset(torch.tanh(x)), batch_size=32, shuffle=True):
            judge.zero_grad()
            criterion(judge(real).view(-1), torch.ones(len(real))).backward()
            fake = generator(torch.randn(len(real), 8))
            criterion(judge(fake.detach()).view(-1), torch.zeros(len(real))).backward()
            judge_optimizer.step()
            generator.zero_grad()
            criterion(judge(fake).view(-1), torch.ones(len(real))).backward()
            generator_optimizer.step()
        with torch.no_grad():
            generator(fixed)


def autocast():
    """Mixed precision with a scaler that a CPU switches off."""
    model, loader = mlp(), DataLoader(dataset(), batch_size=32, shuffle=True)
    optimizer, scaler = torch.optim.Adam(model.parameters(), lr=1e-3), torch.amp.GradScaler("cpu", enabled=False)
    for x, y in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def frozen_backbone():
    """Fine-tuning: the backbone is frozen and in evaluation mode, the head learns."""
    backbone, head = ConvNet(), nn.Linear(128, 4)
    backbone.fc = nn.Identity()
    backbone.load_state_dict(copy.deepcopy(backbone.state_dict()))
    for parameter in backbone.parameters():
        parameter.requires_grad = False
    backbone.eval()
    x, y = pictures()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(2):
        for xb, yb in DataLoader(TensorDataset((x - 115) / 70, y), batch_size=32, shuffle=True):
            loss = F.cross_entropy(head(backbone(xb)), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def frozen_within():
    """The first layers of one model are frozen; the optimizer is given all that requires a gradient."""
    model = ConvNet()
    model.conv.requires_grad_(False)
    x, y = pictures()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    model.train()
    for xb, yb in DataLoader(TensorDataset((x - 115) / 70, y), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(xb), yb).backward()
        optimizer.step()


def closure():
    """LBFGS on a whole set."""
    x, y = line()
    model = nn.Linear(5, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)

    def evaluate():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    for _ in range(10):
        optimizer.step(evaluate)


def regression():
    """Tensors without a loader, shuffled by a permutation; targets of (N,) after a squeeze."""
    x, y = line(800)
    y, x_test, y_test = y.squeeze(1), x[640:], y[640:].squeeze(1)
    model = mlp(5, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        order = torch.randperm(640)
        for start in range(0, 640, 32):
            chosen = order[start : start + 32]
            loss = ((model(x[chosen]).squeeze(1) - y[chosen]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(F.mse_loss(model(x_test).squeeze(1), y_test).item())
        model.train()


def autoencoder():
    """Pixels from 0 to 1, a sigmoid, binary cross-entropy summed, as a variational one has it."""
    x, _ = pictures()
    encoder, decoder = nn.Linear(64, 16), nn.Linear(8, 64)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for _ in range(2):
        for (xb,) in DataLoader(TensorDataset((x / 255).flatten(1)), batch_size=32, shuffle=True):
            mean, log_variance = encoder(xb).chunk(2, 1)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            loss = F.binary_cross_entropy(torch.sigmoid(decoder(z)), xb, reduction="sum")
            loss = loss - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.drop = nn.Embedding(50, 16, padding_idx=0), nn.Dropout(0.1)
        self.fc = nn.Linear(16, 3)

    def forward(self, ids):
        return F.log_softmax(self.fc(self.drop(self.embedding(ids).mean(1))), dim=1)


def text_classifier():
    """Embedding with padding, log_softmax with NLLLoss, loader and test by the same function."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (700,), generator=generator)
    ids = torch.randint(1, 16, (700, 12), generator=generator) + 16 * y[:, None]
    ids[:, 9:] = 0
    data = TensorDataset(ids, y)
    train, test = torch.utils.data.Subset(data, range(600)), torch.utils.data.Subset(data, range(600, 700))
    model, criterion = Text(), nn.NLLLoss()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)

    def epoch(loader, training):
        model.train(training)
        with torch.set_grad_enabled(training):
            for ids, y in loader:
                loss = criterion(model(ids), y)
                if training:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

    for _ in range(2):
        epoch(DataLoader(train, batch_size=25, shuffle=True), True)
        epoch(DataLoader(test, batch_size=50), False)


def two_classes():
    """One output, BCE with logits, targets (N, 1); train and test accuracy by a threshold are both printed."""
    x, y = blobs(900, classes=2)
    train_set, test_set = TensorDataset(x[:700], y[:700]), TensorDataset(x[700:], y[700:])
    model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    for _ in range(2):
        for xb, yb in DataLoader(train_set, batch_size=35, shuffle=True):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(xb), yb.float()[:, None]).backward()
            optimizer.step()
        for part in (train_set, test_set):
            with torch.inference_mode():
                hits = [
                    ((model(xb) > 0).squeeze(1) == yb).float().mean() for xb, yb in DataLoader(part, batch_size=100)
                ]
                print(torch.stack(hits).mean())


def recurrent():
    """A character model in the order of the text, hidden state carried over and detached, gradients clipped."""
    text = torch.randint(12, (16 * 400,), generator=torch.Generator().manual_seed(0)).view(16, -1)
    embedding, rnn, head = nn.Embedding(12, 8), nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 12)
    parameters = [p for module in (embedding, rnn, head) for p in module.parameters()]
    optimizer, state = torch.optim.SGD(parameters, lr=0.5), None
    for start in range(0, 390, 10):
        x, y = text[:, start : start + 10], text[:, start + 1 : start + 11]
        out, state = rnn(embedding(x), state)
        state = tuple(part.detach() for part in state)
        loss = F.cross_entropy(head(out).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(parameters, 0.25)
        optimizer.step()


def by_hand():
    """No optimizer at all: the update is written out."""
    x, y = line()
    w, b = torch.zeros(5, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(60):
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for parameter in (w, b):
                parameter -= 0.1 * parameter.grad
                parameter.grad = None


def policy():
    """REINFORCE: actions sampled, the loss a sum over an episode, of which it may rise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        gains, logs = [], []
        for _ in range(10):
            state = torch.randn(1, 4)
            choice = torch.distributions.Categorical(logits=model(state))
            action = choice.sample()
            logs.append(choice.log_prob(action))
            gains.append(1.0 if (state[0, 0] > 0) == bool(action) else 0.0)
        gains = torch.tensor(gains)
        loss = -(torch.cat(logs) * (gains - gains.mean())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def distilled():
    """A teacher under no_grad in evaluation mode; the student is compared by KL divergence and by labels."""
    teacher, student = mlp(hidden=64), nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))
    teacher.eval()
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    for x, y in DataLoader(dataset(n=1280), batch_size=32, shuffle=True):
        with torch.no_grad():
            wanted = F.softmax(teacher(x) / 2, dim=1)
        out = student(x)
        loss = F.kl_div(F.log_softmax(out / 2, dim=1), wanted, reduction="batchmean") + F.cross_entropy(out, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def attention():
    """A transformer layer with a causal mask, label smoothing, cosine schedule by the step, ignore_index."""
    torch.manual_seed(0)
    embedding, layer = nn.Embedding(30, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.ModuleDict({"embedding": embedding, "layer": layer, "head": nn.Linear(16, 30)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60)
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    data = torch.randint(1, 30, (960, 10))
    model.train()
    for (ids,) in DataLoader(TensorDataset(data), batch_size=16, shuffle=True):
        out = model["head"](model["layer"](model["embedding"](ids[:, :-1]), src_mask=mask))
        loss = F.cross_entropy(out.transpose(1, 2), ids[:, 1:], ignore_index=0, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cosine.step()


def siamese():
    """Two branches of one network, pairwise distances, an average of the weights for evaluation."""
    x, y = blobs()
    model = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8))
    average = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        model.train()
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True):
            out = F.normalize(model(xb), dim=1)
            distances = (out[:, None] - out[None]).pow(2).sum(2)
            same = (yb[:, None] == yb[None]).float()
            loss = (same * distances + (1 - same) * F.relu(1 - distances)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mean, new in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(new, 0.1)
        average.eval()
        with torch.no_grad():
            average(x)


# --- what looks like a mistake, and is none ---------------------------------------------------------------------------


def attacked():
    """Training on inputs moved along the sign of their gradient (FGSM)."""
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in DataLoader(dataset(n=960), batch_size=32, shuffle=True):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
        optimizer.zero_grad()
        F.cross_entropy(model((x + 0.05 * slope.sign()).detach()), y).backward()
        optimizer.step()


def domains():
    """Two domains told apart by cross-entropy: a batch of zeros, a batch of ones; three optimizers, each clipped."""
    body, task, domain = nn.Linear(20, 16), nn.Linear(16, 4), nn.Linear(16, 2)
    optimizers = [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (body, task, domain)]
    target = blobs(n=640, seed=3)[0]
    for i, (x, y) in enumerate(DataLoader(dataset(), batch_size=32, shuffle=True)):
        mine, other = torch.relu(body(x)), torch.relu(body(target[32 * i : 32 * i + 32]))
        loss = F.cross_entropy(task(mine), y)
        for part, label in ((mine, 0), (other, 1)):
            loss = loss + 0.1 * F.cross_entropy(domain(part), torch.full((len(part),), label))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer, part in zip(optimizers, (body, task, domain), strict=True):
            clip_grad_norm_(part.parameters(), 1.0)
            optimizer.step()


def least_squares_gan():
    """LSGAN against scalars; the discriminator is stepped three times as often, its weights clamped."""
    generator, judge = mlp(8, 20), mlp(20, 1)
    first, second = (torch.optim.RMSprop(part.parameters(), lr=5e-4) for part in (judge, generator))
    for i, (x, _) in enumerate(DataLoader(dataset(n=1280), batch_size=32, shuffle=True)):
        fake = generator(torch.randn(32, 8))
        loss = F.mse_loss(judge(x), torch.tensor(1.0)) + F.mse_loss(judge(fake.detach()), torch.tensor(0.0))
        first.zero_grad()
        loss.backward()
        first.step()
        with torch.no_grad():
            for parameter in judge.parameters():
                parameter.clamp_(-0.5, 0.5)
        if i % 3 == 2:
            second.zero_grad()
            F.mse_loss(judge(fake), torch.tensor(1.0)).backward()
            second.step()


def gradients_assigned():
    """torch.autograd.grad instead of backward, and the gradients put in place by hand."""
    model = mlp()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.05)
    for x, y in DataLoader(dataset(n=960), batch_size=32, shuffle=True):
        for parameter, slope in zip(
            parameters, torch.autograd.grad(F.cross_entropy(model(x), y), parameters), strict=True
        ):
            parameter.grad = slope
        optimizer.step()


def folds():
    """Cross-validation: what one network is tested on another learns."""
    data = dataset(n=200)
    for fold in range(4):
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        test = range(50 * fold, 50 * fold + 50)
        train = torch.utils.data.Subset(data, [i for i in range(200) if i not in test])
        for x, y in DataLoader(train, batch_size=25, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            for x, y in DataLoader(torch.utils.data.Subset(data, list(test)), batch_size=25):
                (model(x).argmax(1) == y).float().mean()


def triplets():
    """A margin that is soon kept, so that the loss is 0."""
    x, _ = blobs()
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for start in range(0, 640, 20):
        a, b, c = model(x[start : start + 20]), model(x[start : start + 20] + 0.01), model(-x[start : start + 20])
        loss = F.relu((a - b).pow(2).sum(1, keepdim=True) - (a - c).pow(2).sum(1, keepdim=True) + 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Pooled(nn.Module):
    """As BERT: a pooler runs, and nobody looks at what it gives."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(20, 20) for _ in range(4)])
        self.pooler, self.head = nn.Linear(20, 20), nn.Linear(20, 4)

    def forward(self, x):
        for layer in self.layers:
            x = x + F.gelu(layer(x))
        return self.head(x), torch.tanh(self.pooler(x))


def warmed_up():
    """A rate that rises from almost nothing, a pooler without use, a list of losses until the epoch's end."""
    model, loader = Pooled(), DataLoader(dataset(n=1920), batch_size=32, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 500))
    losses = []
    for x, y in loader:
        loss = F.cross_entropy(model(x)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm_up.step()
        losses.append(loss)
    print(torch.stack(losses).mean().item())


def exclusive_or():
    """Four samples many times, in small batches; squared error of one output."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(100, 1)
    y = (x.sum(1, keepdim=True) == 1).float()
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True):
            optimizer.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            optimizer.step()
    with torch.no_grad():
        print(((model(x[:4]) > 0.5) == (y[:4] > 0.5)).float().mean())


def plain_softmax_regression():
    """Weights from a normal distribution of 0.01, a large rate, pixels from 0 to 1, as textbooks have it."""
    x, y = pictures()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    nn.init.normal_(model[1].weight, std=0.01)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        for xb, yb in DataLoader(TensorDataset(x / 255, y), batch_size=64, shuffle=True):
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
