import math

import msgspec

from lifeloop.core.training_record import Check, Point, TrainingRecord
from lifeloop.training.record import load_record, save_record


def test_a_record_comes_back_as_it_was(tmp_path):
    record = TrainingRecord(
        "sft", 1, 10, {"rank": 8}, (Point(1, loss=0.5),), checks=(Check("c", 0.1, 0.2, 0.3, False, 4),)
    )
    save_record(tmp_path, record)
    assert load_record(tmp_path) == record
    assert load_record(tmp_path / "nowhere") is None


def test_what_diverged_is_broken_and_can_still_be_read(tmp_path):
    checks = (Check("c", 0.1, math.nan, 0.3, False, 4), Check("d", 0.1, math.inf, 0.3, False, 4))
    save_record(tmp_path, TrainingRecord("dpo", 1, 10, checks=checks, curve=(Point(1, loss=math.nan),)))
    found = load_record(tmp_path)
    assert [(check.child, check.broken) for check in found.checks] == [(None, True), (None, True)]
    assert found.curve == (Point(1),)
    assert msgspec.structs.replace(found.checks[0], child=0.2, broken=False) == Check("c", 0.1, 0.2, 0.3, False, 4)
