import json
import math

import pytest

from tinytorch_course.errors import InputError
from tinytorch_course.instruments.recording import Quantity
from tinytorch_course.lockstep.timeline import Distance, Timeline
from tinytorch_course.report.comparisons import _to_timeline, read_seeds, read_steps


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_timeline_survives_its_file():
    gradient, rate = Quantity("gradient", "fc.weight"), Quantity("rate", "lr")
    timeline = Timeline(
        [
            {gradient: Distance(1e-9, 3.0), rate: Distance(0.0, 0.0)},
            {gradient: Distance(math.inf, math.inf)},
        ]
    )
    assert _to_timeline(timeline.to_dict()) == timeline


@pytest.mark.slow
def test_the_first_tensor_out_of_tolerance_is_told_and_framed(compared):
    found = read_steps(compared, "planted")
    assert found.verdict.startswith(
        "With the planted mistake adam-no-bias-correction: the first tensor out of tolerance"
    )
    assert "fc.weight after the step, in step 1" in found.verdict
    assert found.source["function"] == "adam_step"
    assert dict(found.largest)["rate"] == "equal"
    assert float(dict(found.largest)["parameter"]) > 1e-9
    assert 'class="alarm"' in found.picture
    assert "fc.weight after the step" in found.picture


def test_without_a_divergence_the_largest_error_is_told(compared, tmp_path):
    path = tmp_path / "timeline.json"
    path.write_text((compared / "timeline.json").read_text())
    rewrite(path, divergence=None, injected=None, tolerance=None)
    found = read_steps(tmp_path, "one")
    assert found.verdict.startswith("No tolerance was set. The largest relative error, ")
    assert 'class="alarm"' not in found.picture
    rewrite(path, tolerance=1.0)
    assert read_steps(tmp_path, "one").verdict.startswith("No tensor was out of tolerance. ")


def test_seeds(seeds):
    found = read_seeds(seeds, "one")
    assert found.rows == [("0", "90.00 %", "91.00 %"), ("1", "91.00 %", "91.00 %"), ("2", "92.00 %", "91.00 %")]
    assert found.mean == ("91.00 %", "91.00 %")
    assert found.verdict.startswith("From scratch minus torch: ")
    assert "± 0.58 percentage points" in found.verdict


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"timeline": {"tensors": [], "relative_error": [], "ulp": []}}'])
def test_what_is_no_finding(tmp_path, text):
    for name, read in (("timeline.json", read_steps), ("seeds.json", read_seeds)):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="is malformed: it is not a result of `tinytorch compare`"):
            read(tmp_path, "one")
