import json
import math

import pytest
import torch
from sklearn.metrics import classification_report, log_loss

from tinytorch_course.errors import InputError
from tinytorch_course.evaluation.scores import calibrate, score

CLASSES = ("ant", "bee", "cat")


def logits_for(answers, classes=3):
    """Logits whose largest is the answer's."""
    return torch.eye(classes)[torch.tensor(answers)]


def test_every_number_of_a_small_case():
    #                                             TP ant 2, bee 1, cat 0; bee was called ant once, cat bee once
    scores = score(logits_for([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 2]), CLASSES)
    assert scores.count == 5
    assert scores.accuracy == 3 / 5
    assert scores.confusion.dtype == torch.int64
    assert scores.confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 1, 0]]
    ant, bee, cat = scores.per_class
    assert (ant.name, ant.precision, ant.recall, ant.f1, ant.support) == ("ant", 2 / 3, 1.0, pytest.approx(0.8), 2)
    assert (bee.precision, bee.recall, bee.f1, bee.support) == (0.5, 0.5, 0.5, 2)
    assert (cat.precision, cat.recall, cat.f1, cat.support) == (0.0, 0.0, 0.0, 1)  # 0 / 0 counts as 0
    assert scores.macro.precision == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert scores.weighted.recall == pytest.approx((2 * 1.0 + 2 * 0.5 + 1 * 0.0) / 5)
    assert scores.interval[0] < 0.6 < scores.interval[1]
    log_sum = math.log(math.e + 2)
    assert scores.loss == pytest.approx((3 * (log_sum - 1) + 2 * log_sum) / 5)


def test_random_answers_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 7, generator=generator)
    labels = torch.randint(7, (300,), generator=generator)
    names = [f"class {number}" for number in range(7)]
    scores = score(logits, labels, names)
    report = classification_report(labels, logits.argmax(1), target_names=names, output_dict=True)
    for found in scores.per_class:
        wanted = report[found.name]
        assert (found.precision, found.recall, found.f1) == (
            wanted["precision"],
            wanted["recall"],
            wanted["f1-score"],
        )
    assert scores.macro.f1 == report["macro avg"]["f1-score"]
    assert scores.weighted.precision == report["weighted avg"]["precision"]
    assert scores.accuracy == report["accuracy"]
    assert scores.loss == pytest.approx(log_loss(labels, logits.double().softmax(1), labels=range(7)), abs=1e-12)


def test_a_class_that_does_not_occur_is_not_in_the_means():
    scores = score(logits_for([0, 1, 1]), torch.tensor([0, 1, 1]), CLASSES)
    assert (scores.macro.f1, scores.weighted.f1) == (1.0, 1.0)
    assert scores.per_class[2].support == 0
    assert scores.confusion.shape == (3, 3)


def test_calibration_of_hand_made_bins():
    confidence = torch.tensor([0.25, 0.5, 0.5000001, 0.9, 1.0])
    found = calibrate(confidence, torch.tensor([True, False, True, True, False]), bins=4)
    assert found.edges == (0, 0.25, 0.5, 0.75, 1)
    assert found.count == (1, 1, 1, 2)  # an edge belongs to the bin below it
    assert found.accuracy == (1.0, 0.0, 1.0, 0.5)
    assert found.confidence == pytest.approx((0.25, 0.5, 0.5, 0.95), abs=1e-6)
    assert found.ece == pytest.approx((0.75 + 0.5 + 0.5 + 2 * 0.45) / 5, abs=1e-6)


def test_an_empty_bin_has_no_mean_and_sure_right_answers_no_error():
    found = calibrate(torch.ones(3), torch.ones(3, dtype=torch.bool), bins=2)
    assert found.confidence == (None, 1.0)
    assert found.accuracy == (None, 1.0)
    assert found.ece == 0.0


def test_large_logits_do_not_overflow():
    scores = score(torch.tensor([[1e4, 0.0], [0.0, 1e4]]), torch.tensor([0, 0]), ("a", "b"))
    assert scores.loss == 5000
    assert scores.calibration.ece == 0.5


def test_the_dict_is_json():
    scores = score(logits_for([0, 1]), torch.tensor([0, 2]), CLASSES)
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert document["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert document["per_class"][0]["name"] == "ant"
    assert document["macro"]["support"] == 2
    assert document["interval"] == list(scores.interval)
    assert sum(document["calibration"]["count"]) == 2


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), r"logits must be \(N, 3\)"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), r"are \(2, 3\) and \(3,\)"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "no image"),
        (torch.zeros(1, 3), torch.tensor([3]), "from 0 to 2, but they go from 3 to 3"),
        (torch.zeros(1, 3), torch.tensor([-1]), "from -1 to -1"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, words):
    with pytest.raises(ValueError, match=words):
        score(logits, labels, CLASSES)


def test_answers_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        score(torch.tensor([[math.nan, 0, 0]]), torch.tensor([0]), CLASSES)
