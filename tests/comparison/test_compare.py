from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_scene import a_trial

from lifeloop.comparison.compare import ComparisonOrder, compare_trials, paired_values
from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.content import canonical, fraction
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Comparison, Trial
from lifeloop.stats import sequential
from lifeloop.stats.proportions import mcnemar_exact, tango_interval
from lifeloop.store.tables import answers_to_table, examples_to_table, to_parquet
from lifeloop.store.vault import Vault
from lifeloop.tasks.classify import TASK, first
from lifeloop.tasks.task import Metric

TRUTH = ["a"] * 60 + ["b"] * 40
ORDER = ComparisonOrder(confidence=0.95, out_of_scope="b")


def letters(scored, scope):
    return np.array([[float(len(item.example.input))] for item in scored])


def cost(scored, scope):
    return np.array([[12.0 * (item.prediction != item.reference)] for item in scored])


METRICS = {
    **TASK.metrics,
    "letters": Metric("letters", "min", letters, first, "letters of the input", bounds=None),
    "cost": Metric("cost", "min", cost, first, "EUR lost", bounds=(0.0, 12.0)),
}


class Bench:
    """A vault with one split of examples, and trials of it that err where one says."""

    def __init__(self, folder, truth=TRUTH, group=lambda n: "") -> None:
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        self.examples = [
            Example(str(n), "text", label, group(n), {"channel": ("mail", "phone")[n % 2]})
            for n, label in enumerate(truth)
        ]
        table = self.vault.put(to_parquet(examples_to_table(self.examples)))
        self.dataset = self.vault.put_value(Dataset(dict.fromkeys(SPLITS, (table,)), {}, ("a", "b"), ""))

    def tried(self, name: str, answers: list[Answer], ids: list[str], repeats: int = 1, **changes: Any) -> Trial:
        candidate = self.vault.put_value(Candidate(name, "features", "classify", changes.pop("labels", ("a", "b")), {}))
        table = answers_to_table([each for each in ids for _ in range(repeats)], answers)
        values = {"candidate": candidate, "dataset": self.dataset, "n_items": len(ids), "repeats": repeats}
        return a_trial(name, answers=self.vault.put(to_parquet(table)), **values | changes)

    def trial(self, name: str, wrong: set[int], confidence: float | None = 0.9, rows=None, **changes: Any) -> Trial:
        rows = range(len(self.examples)) if rows is None else rows
        other = {"a": "b", "b": "a"}
        truth = [(n, self.examples[n].reference) for n in rows]
        answers = [Answer(other[label] if n in wrong else label, confidence) for n, label in truth]
        return self.tried(name, answers, [str(n) for n in rows], **changes)

    def compare(self, metric: str, ours: Trial, theirs: Trial, slice: str = "") -> Comparison | None:
        return compare_trials(self.vault, METRICS, metric, ours, theirs, ORDER, slice)

    def paired(self, metric: str, ours: Trial, theirs: Trial):
        return paired_values(self.vault, METRICS, metric, ours, theirs, ORDER)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def ours(bench):
    return bench.trial("new", {0, 1, 70})


@pytest.fixture
def theirs(bench):
    return bench.trial("old", {1, 2, 3, 4, 5, 80, 81})


def test_right_or_wrong_gets_the_exact_test_and_the_score_interval(bench, ours, theirs):
    found = bench.compare("accuracy", ours, theirs)
    assert (found.challenger, found.champion) == (0.97, 0.93)
    assert found.difference == pytest.approx(0.04)
    assert (found.low, found.high) == tango_interval(6, 2, 100, 0.95)
    assert found.p_value == mcnemar_exact(6, 2)
    assert "6 against 2 discordant" in found.method
    assert (found.n, found.split, found.suite, found.n_clusters) == (100, "test", "clean", 0)


def test_right_or_wrong_gets_the_exact_evidence_that_holds_at_any_look(bench, ours, theirs):
    found = bench.compare("accuracy", ours, theirs)
    assert found.e_value == sequential.sign_e_value(6, 2)
    assert found.worse_e_value == sequential.sign_e_value(2, 6)
    assert found.always_low <= found.low < found.difference < found.high <= found.always_high


def test_the_always_valid_interval_depends_on_no_order(bench, ours, theirs):
    differences = np.zeros(100)
    differences[[2, 3, 4, 5, 80, 81]], differences[[0, 70]] = 1, -1
    order = np.argsort([fraction(str(n), 0) for n in range(100)])
    assert np.array_equal(bench.paired("accuracy", ours, theirs).values, differences[order])
    found = bench.compare("accuracy", ours, theirs)
    for turned in (differences, differences[order]):
        expected = sequential.settled_interval(turned, 0.95)
        assert (found.always_low, found.always_high) == pytest.approx(expected, abs=1e-6)


def test_evidence_is_turned_where_less_is_better(bench, ours, theirs):
    found = bench.compare("cost", ours, theirs)
    assert found.difference == pytest.approx(-12 * 0.04)
    assert found.e_value > 1 > found.worse_e_value
    assert -12 <= found.always_low < found.always_high <= 12
    assert bench.paired("cost", ours, theirs).bounds == (-12.0, 12.0)


def test_any_other_metric_gets_the_paired_bootstrap(bench, ours, theirs):
    found = bench.compare("macro_f1", ours, theirs)
    assert found.p_value is None
    assert "paired bootstrap" in found.method
    assert found.low < found.difference < found.high
    assert found.always_low < found.low < found.high < found.always_high
    assert bench.compare("macro_f1", ours, theirs) == found


def test_linearised_values_average_to_the_difference(bench, ours, theirs):
    found = bench.compare("macro_f1", ours, theirs)
    values = bench.paired("macro_f1", ours, theirs)
    assert values.bounds is None
    assert len(values.values) == 100
    assert values.values.mean() == pytest.approx(found.difference)
    fixed = 1.96 * values.values.std(ddof=1) / 10
    assert (found.high - found.low) / 2 == pytest.approx(fixed, rel=0.15)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "calibration_error", "cost"])
def test_swapping_the_sides_turns_the_difference_and_the_evidence_round(bench, ours, theirs, metric):
    one, other = bench.compare(metric, ours, theirs), bench.compare(metric, theirs, ours)
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low), abs=1e-6)
    assert (other.always_low, other.always_high) == pytest.approx((-one.always_high, -one.always_low), abs=1e-5)
    assert (other.e_value, other.worse_e_value) == pytest.approx((one.worse_e_value, one.e_value))


def test_overwhelming_evidence_is_still_a_number_that_json_knows(tmp_path):
    bench = Bench(tmp_path, truth=["a"] * 2500)
    found = bench.compare("accuracy", bench.trial("new", set()), bench.trial("old", set(range(2500))))
    assert found.e_value == 1e300
    assert b"1e+300" in canonical(found) or b"1e300" in canonical(found)
    assert b"null" not in canonical(found)


def test_a_metric_counts_the_examples_that_it_applies_to(bench, ours, theirs):
    found = bench.compare("out_of_scope_recall", ours, theirs)
    assert found.n == 40
    assert (found.challenger, found.champion) == (39 / 40, 38 / 40)


def test_a_metric_that_one_side_lacks_is_not_compared(bench, ours):
    theirs = bench.trial("old", set(), confidence=None)
    assert bench.compare("calibration_error", ours, theirs) is None
    assert bench.paired("calibration_error", ours, theirs) is None


def test_examples_that_only_one_side_tells_of_are_left_out(bench, theirs):
    wrong, other = {0, 1, 70}, {"a": "b", "b": "a"}
    answers = [Answer(other[label] if n in wrong else label, 0.9 if n % 2 else None) for n, label in enumerate(TRUTH)]
    mixed = bench.tried("new", answers, [str(n) for n in range(100)])
    found = bench.compare("calibration_error", mixed, theirs)
    assert found.n == 50  # of these, one of ours is wrong and four of theirs are: 1, and 1, 3, 5, 81
    assert found.challenger == pytest.approx(abs(49 / 50 - 0.9))
    assert found.champion == pytest.approx(abs(46 / 50 - 0.9))


def test_a_champion_made_when_there_were_fewer_labels_is_compared_all_the_same(bench):
    ours = bench.trial("new", set(), labels=("a", "b", "c"))
    found = bench.compare("macro_f1", ours, bench.trial("old", {1, 2, 3}, labels=("a",)))
    assert found.challenger == 1.0
    assert found.difference > 0


def test_a_slice_is_compared_on_its_examples_alone(bench, ours, theirs):
    found = bench.compare("accuracy", ours, theirs, "channel=phone")
    assert (found.slice, found.n) == ("channel=phone", 50)
    assert (found.challenger, found.champion) == (49 / 50, 46 / 50)
    assert bench.compare("accuracy", ours, theirs, "channel=fax") is None
    assert bench.compare("p95_ms", ours, theirs, "channel=phone") is None


def test_a_trial_that_went_less_far_is_compared_on_what_both_have(bench, theirs):
    rows = [n for n in range(100) if n % 3 == 0]
    found = bench.compare("accuracy", bench.trial("new", {0, 1, 70}, rows=rows), theirs)
    assert found.n == len(rows) == 34
    assert (found.challenger, found.champion) == (33 / 34, 32 / 34)  # 0 against 3 and 81


def test_the_order_of_the_tables_is_no_matter(bench, ours, theirs):
    backwards = bench.trial("new", {0, 1, 70}, rows=range(99, -1, -1))
    for metric in ("accuracy", "macro_f1"):
        assert bench.compare(metric, backwards, theirs) == bench.compare(metric, ours, theirs)


def test_many_examples_come_in_chunks(tmp_path):
    bench = Bench(tmp_path, truth=TRUTH * 50)
    ours, theirs = bench.trial("new", set(range(0, 5000, 7))), bench.trial("old", set(range(0, 5000, 5)))
    found = bench.compare("accuracy", ours, theirs)
    both = len(range(0, 5000, 35))
    assert "discordant" in found.method
    assert f"{1000 - both} against {len(range(0, 5000, 7)) - both}" in found.method
    assert bench.compare("letters", ours, theirs).difference == 0.0


def test_related_examples_are_resampled_together(tmp_path, bench, ours, theirs):
    wrong_ours, wrong_theirs = set(range(0, 10)), set(range(5, 40))
    related = Bench(tmp_path / "related", group=lambda n: f"ticket {n // 5}")
    pairs = [(each.trial("new", wrong_ours), each.trial("old", wrong_theirs)) for each in (bench, related)]
    apart, together = (each.compare("accuracy", *pair) for each, pair in zip((bench, related), pairs, strict=True))
    assert (together.n, together.n_clusters, apart.n_clusters) == (100, 20, 0)
    assert together.p_value is None
    assert "20 groups" in together.method
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    assert (together.always_low, together.e_value) == (None, 1.0)  # of 20 groups a normal approximation says nothing


def test_enough_related_examples_get_evidence_too(tmp_path):
    bench = Bench(tmp_path, truth=TRUTH * 5, group=lambda n: f"ticket {n // 5}")
    found = bench.compare("accuracy", bench.trial("new", set()), bench.trial("old", set(range(0, 500, 3))))
    assert found.n_clusters == 100
    assert found.e_value > 20
    assert found.worse_e_value < 1
    assert 0 < found.always_low < found.difference < found.always_high


def test_related_examples_that_do_not_differ_do_not_claim_certainty(tmp_path):
    bench = Bench(tmp_path, truth=TRUTH * 2, group=lambda n: f"ticket {n // 2}")
    found = bench.compare("accuracy", bench.trial("new", {1, 2}), bench.trial("old", {1, 2}))
    assert (found.low, found.high) == tango_interval(0, 0, 100, 0.95)
    assert found.always_low < found.low < 0 < found.high < found.always_high


@pytest.mark.parametrize(("metric", "reach"), [("macro_f1", 1.0), ("cost", 12.0)])
def test_answers_that_do_not_differ_do_not_claim_certainty_on_any_metric_with_bounds(tmp_path, metric, reach):
    bench = Bench(tmp_path, truth=["a"] * 8 + ["b"] * 7)
    found = bench.compare(metric, bench.trial("new", set()), bench.trial("old", set()))
    assert found.difference == 0.0
    assert (found.low, found.high) == tuple(reach * end for end in tango_interval(0, 0, 15, 0.95))
    assert found.high > 0.1 * reach


def test_answers_that_all_differ_by_the_same_do_not_claim_certainty(tmp_path):
    bench = Bench(tmp_path, truth=["a"] * 8 + ["b"] * 7)
    found = bench.compare("cost", bench.trial("new", set()), bench.trial("old", set(range(15))))
    assert (found.low, found.high) == tuple(12 * end for end in tango_interval(0, 15, 15, 0.95))
    assert found.low == pytest.approx(found.difference) and found.high > -12


def test_repeats_are_averaged_and_may_differ_between_the_sides(bench, theirs):
    other = {"a": "b", "b": "a"}
    answers = [Answer(label if turn else other[label], 0.9) for label in TRUTH for turn in range(2)]
    halved = bench.tried("new", answers, [str(n) for n in range(100)], repeats=2)
    found = bench.compare("accuracy", halved, theirs)
    assert (found.challenger, found.champion, found.n) == (0.5, 0.93, 100)
    assert "paired bootstrap" in found.method
    assert found.worse_e_value > 1e3
    assert found.always_high < 0
    assert set(bench.paired("accuracy", halved, theirs).values) == {-0.5, 0.5}


def test_values_beyond_their_bounds_are_not_taken_for_bounded_ones(bench, ours, theirs):
    wide = Metric("wide", "min", cost, first, "EUR lost", bounds=(0.0, 1.0))
    values = paired_values(bench.vault, {"wide": wide}, "wide", ours, theirs, ORDER)
    assert values.bounds is None
    found = compare_trials(bench.vault, {"wide": wide}, "wide", ours, theirs, ORDER)
    assert found.always_low < found.low < found.high < found.always_high


def test_what_is_measured_is_compared_as_it_is(bench):
    ours, theirs = (a_trial(name, p95_ms=ms, n_items=100) for name, ms in (("new", 12.0), ("old", 20.0)))
    found = bench.compare("p95_ms", ours, theirs)
    assert (found.difference, found.low, found.high, found.p_value) == (-8.0, -8.0, -8.0, None)


@pytest.mark.parametrize("change", [{"dataset": "e"}, {"split": "guard"}, {"suite": "typos"}])
def test_trials_of_other_examples_are_not_compared(bench, ours, change):
    for metric in ("accuracy", "p95_ms"):
        with pytest.raises(GateError, match="new and old are not of the same examples"):
            bench.compare(metric, ours, bench.trial("old", set(), **change))


def test_trials_with_no_example_in_common_are_not_compared(bench):
    early, late = bench.trial("new", set(), rows=range(50)), bench.trial("old", set(), rows=range(50, 100))
    with pytest.raises(GateError, match="not of the same examples"):
        bench.compare("accuracy", early, late)


def test_metrics_that_read_the_input_see_what_the_candidates_saw(bench):
    trials = [bench.trial(name, set(), suite="typos") for name in ("new", "old")]
    slipped = bench.compare("letters", *trials)
    assert slipped.challenger != 4.0
    assert slipped.difference == 0.0


def test_a_trial_against_itself_differs_by_nothing(bench, ours):
    for metric in TASK.metrics:
        found = bench.compare(metric, ours, ours)
        assert found is None or found.difference == 0.0
        if found is not None:
            assert found.low <= 0.0 <= found.high
            assert found.always_low < 0.0 < found.always_high
            assert found.e_value <= 1.0
            assert np.isfinite([found.low, found.high]).all()


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)))
def test_the_exact_interval_and_the_evidence_never_disagree(tmp_path_factory, a, b):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    found = bench.compare("accuracy", bench.trial("new", a), bench.trial("old", b))
    assert found.difference == pytest.approx((len(b) - len(a)) / 100)
    assert found.always_low <= found.difference <= found.always_high
    assert min(found.e_value, found.worse_e_value) <= 1.0
    if found.e_value >= 20:
        assert found.low > 0
