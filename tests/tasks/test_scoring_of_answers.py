import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.stats import variance
from lifeloop.stats.proportions import clopper_pearson
from lifeloop.tasks import classify, extract, generate
from lifeloop.tasks.classify import first
from lifeloop.tasks.scoring import Tally, blocks_for, large_slices, measure, measure_all, read, wide_scope
from lifeloop.tasks.task import Metric, Scope, is_average

LABELS = ("a", "b", "none")
SCOPE = Scope(labels=LABELS, out_of_scope="none", slices=("channel=mail", "channel=phone"))
METRICS = classify.TASK.metrics


def length(scored, scope):
    return np.array([[float(len(item.prediction or ""))] for item in scored])


LENGTH = Metric("length", "min", length, first, "letters of the answer", bounds=None)


def items_of(rows: list[tuple[str, str, str, float | None]], repeats: int = 1):
    """Read rows of reference, output, group and confidence, each `repeats` times in a row."""
    examples = [
        Example(str(n), "", reference, group, {"channel": ("mail", "phone")[n % 2]})
        for n, (reference, _, group, _) in enumerate(rows)
        for _ in range(repeats)
    ]
    answers = [Answer(said, confidence) for _, said, _, confidence in rows for _ in range(repeats)]
    return read(classify.TASK, examples, answers, SCOPE)


def tallied(items, *, sizes=(), repeats=1, metrics=METRICS, scope=SCOPE, limit=5000):
    """Tally items in chunks of those sizes, then the rest."""
    groups = [item.example.group for item in items[::repeats]]
    tally = Tally(metrics, scope, blocks_for(groups, limit), 0.95, repeats)
    start = 0
    for size in (*sizes, len(items)):
        tally.add(items[start : start + size])
        start += size
    return tally


def alone(pairs: list[tuple[str, str]]):
    return items_of([(reference, said, "", 0.75) for reference, said in pairs])


row = st.tuples(
    st.sampled_from(LABELS), st.sampled_from((*LABELS, "?")), st.sampled_from("xyz"), st.none() | st.floats(0, 1)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(row, min_size=1, max_size=40), st.lists(st.integers(0, 15), max_size=4), st.integers(1, 3))
def test_the_chunks_in_which_answers_come_are_no_matter(rows, sizes, repeats):
    items = items_of(rows, repeats)
    whole = tallied(items, repeats=repeats, limit=4)
    parts = tallied(items, sizes=[size * repeats for size in sizes], repeats=repeats, limit=4)
    assert parts.metrics() == whole.metrics()
    assert parts.slices() == whole.slices()
    assert parts.abstention() == whole.abstention()
    assert parts.n_failed == whole.n_failed
    for one, other in zip(parts.variance(), whole.variance(), strict=True):
        assert (one.between_items, one.within_items) == pytest.approx((other.between_items, other.within_items))


def test_a_share_gets_the_exact_interval():
    found = measure(METRICS["accuracy"], alone([("a", "a")] * 9 + [("b", "a")]), SCOPE, 0.95)
    assert (found.value, found.n) == (0.9, 10)
    assert (found.low, found.high) == clopper_pearson(9, 10, 0.95)


def test_any_other_metric_gets_a_bootstrap_interval_that_repeats():
    items = alone([("a", "a"), ("b", "b"), ("b", "a"), ("a", "b")] * 20)
    one, other = (measure(METRICS["macro_f1"], items, SCOPE, 0.95) for _ in range(2))
    assert one == other
    assert one.low < one.value < one.high


def test_a_share_of_something_dearer_than_one_is_not_taken_for_a_share():
    price = Metric("price", "min", METRICS["accuracy"].columns, lambda means: 12 * means[..., 0], "what it costs")
    found = measure(price, alone([("a", "a"), ("a", "b")] * 30), SCOPE, 0.95)
    assert found.value == 6.0
    assert 3 < found.low < 6 < found.high < 9


def test_related_examples_widen_the_interval():
    pairs = [("a", "a"), ("a", "b"), ("a", "a"), ("a", "a")] * 25
    apart = measure(METRICS["accuracy"], items_of([(*pair, "", 0.5) for pair in pairs]), SCOPE, 0.95)
    copies = [(*pairs[n // 5], f"ticket {n // 5}", 0.5) for n in range(len(pairs))]
    together = measure(METRICS["accuracy"], items_of(copies), SCOPE, 0.95)
    assert together.n == apart.n == 100
    assert together.high - together.low > 1.6 * (apart.high - apart.low)


def test_related_examples_that_are_all_right_do_not_claim_certainty():
    found = measure(METRICS["accuracy"], items_of([("a", "a", f"{n // 2}", 0.5) for n in range(40)]), SCOPE, 0.95)
    assert (found.value, found.low, found.high) == (1.0, *clopper_pearson(20, 20, 0.95))


def test_few_answers_that_are_all_right_do_not_claim_certainty_on_any_metric_with_bounds():
    items = alone([("a", "a")] * 8 + [("b", "b")] * 7)
    found = measure(METRICS["macro_f1"], items, Scope(("a", "b"), "", ()), 0.95)
    assert (found.value, found.low, found.high) == (1.0, 1 - clopper_pearson(0, 15, 0.95)[1], 1.0)
    assert found.low < 0.8
    cost = Metric("cost", "min", lambda scored, scope: np.zeros((len(scored), 1)), first, "EUR", bounds=(0.0, 12.0))
    free = measure(cost, items, SCOPE, 0.95)
    assert (free.value, free.low, free.high) == (0.0, 0.0, 12 * clopper_pearson(0, 15, 0.95)[1])


def test_more_groups_than_the_limit_share_blocks_and_give_nearly_the_same_interval():
    chance = np.random.default_rng(0)
    rows = [("a", "aab"[chance.integers(3)], f"{n // 2}", 0.5) for n in range(6000)]
    exact, bagged = (tallied(items_of(rows), limit=limit).metrics()[0] for limit in (5000, 300))
    assert exact.value == bagged.value
    assert bagged.high - bagged.low == pytest.approx(exact.high - exact.low, rel=0.15)


def test_repeats_of_an_example_count_once_with_their_mean():
    examples = [Example(str(n), "", "a", "") for n in range(40) for _ in range(2)]
    answers = [Answer("ab"[n % 2]) for n in range(80)]  # each right once in twice
    found = tallied(read(classify.TASK, examples, answers, SCOPE), repeats=2).metrics()[0]
    assert (found.metric, found.value, found.n) == ("accuracy", 0.5, 40)
    # Every example is right half the time; but of one that was never seen, nothing is known.
    reach = clopper_pearson(0, 40, 0.95)[1]
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach))


def test_the_variance_is_split_as_on_the_whole_table():
    chance = np.random.default_rng(0)
    hard = chance.random(60)
    right = chance.random((60, 4)) > hard[:, None]
    examples = [Example(str(n), "", "a", "") for n in range(60) for _ in range(4)]
    items = read(classify.TASK, examples, [Answer("ba"[int(hit)]) for hit in right.ravel()], SCOPE)
    split = {each.metric: each for each in tallied(items, repeats=4).variance()}
    found = split["accuracy"]
    assert (found.between_items, found.within_items) == pytest.approx(variance.split(right.astype(float)))
    assert "macro_f1" not in split  # no average over examples
    assert tallied(items[::4]).variance() == ()


def test_answers_that_are_not_whole_examples_are_refused():
    with pytest.raises(ValueError, match="3 answers are not 2 for every example"):
        tallied(alone([("a", "a")] * 4), sizes=[3], repeats=2)


def test_slices_are_scored_like_the_whole():
    items = alone([("a", "a"), ("b", "a"), ("a", "a"), ("b", "b")] * 10)
    found = tallied(items).slices()
    assert set(found) == {"channel=mail", "channel=phone"}
    mail = [item for item in items if item.example.slices["channel"] == "mail"]
    assert found["channel=mail"] == measure_all(classify.TASK, mail, SCOPE, 0.95)
    assert tallied(items, scope=Scope(labels=LABELS)).slices() == {}


def test_slices_that_are_too_small_are_not_named():
    slices = [{"channel": "mail", "day": str(n)} for n in range(12)] + [{"channel": "phone"}] * 9
    assert large_slices(slices) == ("channel=mail",)


def test_the_scope_holds_every_label_that_a_chunk_might():
    scope = wide_scope(["b", "a"], ("c", "a"), "none", ["x=2", "x=1"])
    assert scope == Scope(labels=("a", "b", "c"), out_of_scope="none", slices=("x=1", "x=2"))


def test_withholding_less_sure_answers_makes_the_rest_more_right():
    confidences = [n / 100 for n in range(100)]
    items = items_of([("a", "a" if n >= 40 else "b", "", sure) for n, sure in enumerate(confidences)])
    curve = tallied(items).abstention()
    assert len(curve) == 20
    assert (curve[0].threshold, curve[0].coverage, curve[0].accuracy) == (0.0, 1.0, 0.6)
    assert [spot.accuracy for spot in curve] == sorted(spot.accuracy for spot in curve)
    for spot in curve:
        kept = [sure for sure in confidences if sure >= spot.threshold]
        assert spot.coverage == pytest.approx(len(kept) / 100)
        assert spot.accuracy == pytest.approx(sum(sure >= 0.4 for sure in kept) / len(kept))


def test_what_is_not_answered_is_not_covered():
    curve = tallied(items_of([("a", "a", "", 0.9), ("a", "?", "", 0.9), ("a", "a", "", None)])).abstention()
    assert (curve[0].coverage, curve[0].accuracy) == (pytest.approx(1 / 3), 1.0)


def test_without_confidence_or_right_answers_there_is_no_curve():
    items = items_of([("a", "a", "", None)] * 5)
    assert tallied(items).abstention() == ()
    assert tallied(alone([("a", "a")]), metrics={"length": LENGTH}).abstention() == ()


def test_what_a_metric_has_to_say_is_said_once():
    def remark(means):
        return f"the mean is {means[0]:.1f}" if means[0] > 1 else ""

    chatty = Metric("chatty", "min", length, first, "letters", remark=remark)
    items = alone([("none", "none"), ("a", "a")])
    assert tallied(items, metrics={"chatty": chatty}).remarks() == ("the mean is 2.5",)
    assert tallied(alone([("a", "a")]), metrics={"chatty": chatty}).remarks() == ()
    assert tallied(items).remarks() == ()


def test_failed_answers_are_counted():
    assert tallied(alone([("a", "?"), ("a", "a"), ("b", "?")])).n_failed == 2


def test_answers_out_of_step_with_the_examples_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        read(classify.TASK, [Example("1", "", "a", "")], [], SCOPE)


def test_of_no_example_there_is_no_metric():
    assert measure_all(classify.TASK, [], SCOPE, 0.95) == ()
    assert tallied([]).slices() == {}
    assert tallied([]).abstention() == ()


def test_columns_that_depend_on_the_chunk_are_refused():
    seen = Metric("seen", "max", lambda scored, scope: np.zeros((len(scored), len(scored))), first, "nothing")
    with pytest.raises(ValueError, match="3 columns after 2"):
        tallied(alone([("a", "a")] * 5), sizes=[2], metrics={"seen": seen})


@pytest.mark.parametrize("task", [classify.TASK, extract.TASK, generate.TASK])
def test_a_metric_of_many_is_the_metric_of_their_mean_columns(task):
    """What lets one bootstrap serve every metric: the columns of a part and the rest add up to those of the whole."""
    reference = {"classify": "a", "extract": '[{"type":"a","start":0,"end":2}]', "generate": "a word"}[task.name]
    outputs = [reference, "b", "[]", "", reference, "a"]
    examples = [Example(str(n), "", reference, "") for n in range(len(outputs))]
    items = read(task, examples, [Answer(output=said, confidence=0.5) for said in outputs], SCOPE)
    for metric in task.metrics.values():
        columns = metric.columns(items, SCOPE)
        columns = columns[~np.isnan(columns).any(axis=1)]
        if not len(columns):
            continue
        stacked = np.stack([columns.mean(axis=0), columns[:3].mean(axis=0)])
        values = metric.combine(stacked)
        assert values.shape == (2,)
        assert values[0] == pytest.approx(measure(metric, items, SCOPE, 0.95).value)
        assert ((values >= 0) & (values <= 1 + 1e-9)).all()


def test_only_the_plain_mean_of_a_column_is_an_average():
    assert is_average(METRICS["accuracy"], 1)
    assert is_average(LENGTH, 1)
    assert not is_average(METRICS["macro_f1"], 9)
    assert not is_average(METRICS["calibration_error"], 20)
    assert not is_average(extract.TASK.metrics["entity_precision"], 3)
