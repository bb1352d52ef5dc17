"""Training faults of defect4ML (Morovati et al., 2023), made again in PyTorch from their descriptions.

Theirs are TensorFlow and Keras. Those left out: whatever crashes in plain sight, or is a matter of taste in a network's
structure, of the number of epochs, or of an old interface.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from toy_data import blobs, dataset, line, pictures


def mlp(features=20, outputs=4, hidden=32):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def run(model, loader, criterion, lr=1e-3, epochs=5, optimizer=None):
    """The ordinary loop, right in itself."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
    return model


def loss_by_hand():
    """001 (tensorflow/models d816971): cross-entropy written by hand, the logarithm of a softmax: NaN after a while."""

    def cross_entropy(logits, y):
        probabilities = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
        return -(F.one_hot(y, 4) * torch.log(probabilities)).sum(1).mean()

    x, y = blobs()
    run(mlp(), DataLoader(TensorDataset(12 * x, y), batch_size=32, shuffle=True), cross_entropy, lr=0.03)


def update_not_divided():
    """002 (Deep-Learning-TensorFlow b9bc441): the update is the sum over the batch, too large for its rate."""

    def squared_error(out, y):
        return ((out - y) ** 2).sum()

    loader = DataLoader(dataset(line), batch_size=64, shuffle=True)
    model = nn.Linear(5, 1)
    run(model, loader, squared_error, optimizer=torch.optim.SGD(model.parameters(), lr=0.05))


def autoencoder_loss_by_hand():
    """003 (Deep-Learning-TensorFlow 726b371): an autoencoder's cross-entropy by hand, log of a saturated sigmoid."""
    x, _ = pictures()
    x = (x > 100).float().flatten(1)
    loader = DataLoader(TensorDataset(x, x), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64))

    def cross_entropy(out, x):
        p = torch.sigmoid(30 * out)
        return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).mean()

    run(model, loader, cross_entropy, lr=0.03)


def softmax_missing():
    """004 and 005 (Deep-Learning-TensorFlow 20d1b59, 1bcc1ef): the loss takes the log of scores that are no softmax."""

    def cross_entropy(out, y):
        target = F.one_hot(y, 4).float()
        return -(target * out.clamp(1e-10).log() + (1 - target) * (1 - out).clamp(1e-10).log()).mean()

    run(mlp(), DataLoader(dataset(), batch_size=32, shuffle=True), cross_entropy)


def wrong_scaling_for_the_loss():
    """006 (tensorflow/models 55a34ae): pictures standardised where the autoencoder's loss needs them within 0 and 1."""
    x, _ = pictures()
    x = ((x - x.mean(0)) / x.std(0)).flatten(1)
    loader = DataLoader(TensorDataset(x, x), batch_size=32, shuffle=True)
    run(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64)), loader, nn.BCEWithLogitsLoss(), lr=0.01)


def regression_loss_for_classes():
    """021 (tf2-published-models a83c151): another loss than the task's: squared error of the class number."""
    x, y = blobs()
    loader = DataLoader(TensorDataset(x, y.float()), batch_size=32, shuffle=True)
    run(mlp(outputs=1), loader, lambda out, y: F.mse_loss(out.squeeze(1), y))


def optimizer_too_weak():
    """024 (FacialKeypointsDetection 6543925): SGD at its default rate, 0.01, where Adam was needed."""
    x, y = line()
    model = mlp(5, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    run(model, loader, nn.MSELoss(), optimizer=torch.optim.SGD(model.parameters(), lr=0.01))


def activation_at_the_output():
    """026 (Traffic-Sign-Classifier e6a48ce): a wrong activation: ReLU on the scores of the classes."""
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4), nn.ReLU())
    run(model, DataLoader(dataset(), batch_size=32, shuffle=True), nn.CrossEntropyLoss())


def softmax_twice():
    """033 (DeepLabV3_Plus ce1a2ca): softmax in the network, and a loss that takes scores."""
    model = nn.Sequential(*mlp(), nn.Softmax(dim=1))
    run(model, DataLoader(dataset(), batch_size=32, shuffle=True), nn.CrossEntropyLoss())


def text_not_shuffled():
    """034 (rnn-practice 31a95ee): sequences in the order of the text, never shuffled."""
    letters = torch.randint(5, (4, 200), generator=torch.Generator().manual_seed(0))
    text = (letters + torch.tensor([[0], [5], [10], [15]])).flatten()  # a topic has letters of its own
    x = torch.stack([text[i : i + 8] for i in range(len(text) - 8)])
    loader = DataLoader(TensorDataset(x, text[8:]), batch_size=16, shuffle=False)
    model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(64, 20))
    run(model, loader, nn.CrossEntropyLoss())


def rate_too_large():
    """038 (learning-deeplearning eb24906): a learning rate that is a hundred times too large."""
    run(mlp(), DataLoader(dataset(), batch_size=32, shuffle=True), nn.CrossEntropyLoss(), lr=0.3)


def rate_too_small():
    """078 (stackoverflow 50306988): two features between 0.2 and 0.7, 2 units; at the default rate it stays at 50 %."""
    generator = torch.Generator().manual_seed(0)
    x = torch.cat(
        [0.2 + 0.2 * torch.rand(200, 2, generator=generator), 0.5 + 0.2 * torch.rand(200, 2, generator=generator)]
    )
    y = torch.cat([torch.zeros(200, 1), torch.ones(200, 1)])
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    run(model, loader, nn.BCELoss(), optimizer=torch.optim.RMSprop(model.parameters(), lr=1e-3))


def softmax_of_one_xor():
    """084 (stackoverflow 34311586): softmax over a single output, which is always 1; squared error."""
    x = torch.tensor([[1.0, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    y = torch.tensor([[0.0], [0], [1], [1], [0], [0]])
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Softmax(dim=1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, nesterov=True)
    for _ in range(100):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()


def softmax_of_one_cnn():
    """086 (stackoverflow 45378493): a binary CNN that always predicts 1, for the same reason; binary cross-entropy."""
    x, y = pictures()
    loader = DataLoader(TensorDataset((x - 115) / 70, (y > 1).float()[:, None]), batch_size=32, shuffle=True)
    body = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.LeakyReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(288, 1)]
    run(nn.Sequential(*body, nn.Softmax(dim=1)), loader, nn.BCELoss())


def sorted_by_class():
    """091 (stackoverflow 56103207): the data are sorted by class, and the last fifth, one class, is the validation."""
    x, y = blobs(n=1000, classes=5)
    order = y.argsort(stable=True)
    x, y = x[order], y[order]
    train, test = TensorDataset(x[:800], y[:800]), TensorDataset(x[800:], y[800:])
    model = run(mlp(outputs=5), DataLoader(train, batch_size=20), nn.CrossEntropyLoss())
    model.eval()
    with torch.no_grad():
        for x, y in DataLoader(test, batch_size=100):
            (model(x).argmax(1) == y).float().mean()


def softmax_for_labels_of_their_own():
    """092 (stackoverflow 58844149): softmax where each output is a yes or no of its own; pixels to 255."""
    x, y = pictures()
    loader = DataLoader(TensorDataset(x, (y > 1).float()[:, None]), batch_size=8, shuffle=True)
    body = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 16), nn.ReLU(), nn.Dropout(0.2)]
    run(nn.Sequential(*body, nn.Linear(16, 1), nn.Softmax(dim=-1)), loader, nn.BCELoss())


def labels_scaled_instead():
    """098 (stackoverflow 59325381): y_train / 255 stands where x_test / 255 was meant."""
    (x, y), (x_test, y_test) = pictures(), pictures(seed=1, n=128)
    x, y = x / 255, (y / 255).long()
    model = nn.Sequential(nn.Flatten(), *mlp(64))
    run(model, DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True), nn.CrossEntropyLoss(), epochs=2)
    model.eval()
    with torch.no_grad():
        for x, y in DataLoader(TensorDataset(x_test, y_test), batch_size=64):
            (model(x).argmax(1) == y).float().mean()


def not_normalised():
    """100 (stackoverflow 55328966): features of the thousands go in as they are, and the loss becomes NaN."""
    x, y = line()
    loader = DataLoader(TensorDataset(5000 * x + 20000, 3000 * y), batch_size=32, shuffle=True)
    model = mlp(5, 1)
    run(model, loader, nn.MSELoss(), optimizer=torch.optim.SGD(model.parameters(), lr=0.01))


def batch_too_large():
    """030 (keras_catsdogs 2380e40): a batch size that is not the best: the whole set at once, few updates."""
    run(mlp(), DataLoader(dataset(), batch_size=640, shuffle=True), nn.CrossEntropyLoss(), epochs=20)
