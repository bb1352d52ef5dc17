"""What an exercise takes for granted is true."""

import torch


def test_a_cloud_in_the_middle_can_be_told_apart():
    """07, exercise 1: softmax regression finds most of a fourth cloud in the middle of three."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.arange(4).repeat_interleave(60)
    points = centres[labels] + 0.8 * torch.randn(240, 2, generator=generator, dtype=torch.float64)
    model = torch.nn.Linear(2, 4, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()
    right = (model(points).argmax(1) == labels)[labels == 3].double().mean()
    assert right > 0.7
    assert model.bias.argmax() == 3  # it wins where no other score is large
