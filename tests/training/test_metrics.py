import pytest
import torch
from scipy.stats import binomtest

from tinytorch_course.training.metrics import Metrics, wilson_interval


def batches(sizes):
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        logits = torch.randn(size, 10, generator=generator)
        target = torch.randint(10, (size,), generator=generator)
        yield torch.nn.functional.cross_entropy(logits, target), logits, target


def test_means_are_of_samples_not_of_batches():
    metrics = Metrics()
    for batch in batches([128, 128, 3]):
        metrics.add(*batch)
    all_logits = torch.cat([logits for _, logits, _ in batches([128, 128, 3])])
    all_targets = torch.cat([target for _, _, target in batches([128, 128, 3])])
    mean_of_batches = sum(loss.item() for loss, _, _ in batches([128, 128, 3])) / 3
    expected = torch.nn.functional.cross_entropy(all_logits.double(), all_targets).item()

    assert metrics.count == 259
    assert metrics.loss == pytest.approx(expected, abs=1e-6)
    assert abs(mean_of_batches - expected) > 1e-3  # so the test would see it
    assert metrics.accuracy == (all_logits.argmax(1) == all_targets).sum().item() / 259


def test_sums_keep_float64s_precision():
    """In float32 a sum stops growing when it is 2²⁴ times what is added."""
    metrics = Metrics(loss_sum=2.0**24)
    for _ in range(100):
        metrics.add(torch.tensor(1.0), torch.eye(1), torch.tensor([0]))
    assert metrics.state_dict()["loss_sum"] == 2.0**24 + 100


def test_a_restored_state_goes_on_bit_for_bit():
    whole, first = Metrics(), Metrics()
    for batch in batches([64] * 6):
        whole.add(*batch)
    for batch in list(batches([64] * 6))[:2]:
        first.add(*batch)
    state = first.state_dict()
    assert {key: type(value) for key, value in state.items()} == {"loss_sum": float, "correct": int, "count": int}
    second = Metrics(**state)
    for batch in list(batches([64] * 6))[2:]:
        second.add(*batch)
    assert second.state_dict() == whole.state_dict()


def test_adding_leaves_no_graph_behind():
    logits = torch.randn(4, 3, requires_grad=True)
    metrics = Metrics()
    metrics.add(logits.sum(), logits, torch.zeros(4, dtype=torch.long))
    assert not metrics.loss_sum.requires_grad


def test_the_mean_of_nothing_is_an_error():
    for name in ("loss", "accuracy"):
        with pytest.raises(ValueError, match="no sample has been added"):
            getattr(Metrics(), name)


@pytest.mark.parametrize(
    ("correct", "count"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 7), (9_900, 10_000), (9_999, 10_000)]
)
def test_wilson_interval_equals_scipys(correct, count):
    expected = binomtest(correct, count).proportion_ci(confidence_level=0.95, method="wilson")
    low, high = wilson_interval(correct, count)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-12, abs=1e-15)
    assert 0 <= low < high <= 1
    assert low <= correct / count <= high


def test_wilson_interval_of_the_issue():
    """99.0 % of 10,000 images: about ± 0.2 percentage points."""
    low, high = wilson_interval(9_900, 10_000)
    assert (round(low, 4), round(high, 4)) == (0.9879, 0.9918)


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_named(correct, count):
    with pytest.raises(ValueError, match=f"they are {correct} and {count}"):
        wilson_interval(correct, count)
