import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import (
    FIELD,
    alone,
    board_of,
    compared,
    crowded,
    promoted,
    rejected,
    trial,
    undecided,
    verdict_of,
)

from lifeloop.core.evidence import ObjectiveResult
from lifeloop.reports import numbers
from lifeloop.reports.scope import narrow_or_broad
from lifeloop.reports.sentence import verdict_sentence


def with_verdict(decision: str, **changes):
    changes = {"guards": (), "objectives": ()} | changes
    return msgspec.structs.replace(
        promoted(), verdict=verdict_of(decision, "the gate's words", **changes), release=None
    )


def test_the_sentence_says_what_goes_to_production_and_why():
    assert verdict_sentence(promoted()) == (
        "minilm-tuned goes to production: it is 5.1 points better than tfidf on accuracy and meets every objective."
    )
    assert verdict_sentence(rejected()) == (
        "Nothing new goes to production, and tfidf stays: "
        "p95 latency of hosted-large is 1,310 ms, and at most 50.0 ms was asked."
    )
    assert verdict_sentence(undecided()) == (
        "Nothing new goes to production yet: the examples at hand cannot show whether accuracy of minilm-tuned is "
        "at least 90.0%; about 1,350 further test examples would."
    )
    assert verdict_sentence(alone()) == "minilm-tuned goes to production: it meets every objective."


@pytest.mark.parametrize(
    ("decision", "changes", "words"),
    [
        (
            "promote",
            {"comparisons": (compared("accuracy", 0.86, 0.861, low=-0.006, high=0.004),), "usd_per_1000": (0.5, 2.0)},
            "it is as good as tfidf on accuracy, costs 75% less",
        ),
        ("promote", {"comparisons": ()}, "the gate's words"),
        (
            "reject",
            {"comparisons": (compared("accuracy", 0.83, 0.861, low=-0.05, high=-0.01),)},
            "minilm-tuned is 3.1 points worse than tfidf on accuracy",
        ),
        (
            "reject",
            {"comparisons": (compared("accuracy", 0.861, 0.861, low=-0.005, high=0.005),)},
            "minilm-tuned is as good as tfidf on accuracy, but neither better nor cheaper",
        ),
        (
            "reject",
            {"comparisons": (compared("accuracy", 0.861, 0.861, low=-0.02, high=0.02),)},
            "whatever minilm-tuned gains over tfidf on accuracy is less than the 3.0 points that are worth a change",
        ),
        (
            "reject",
            {"guards": (ObjectiveResult("accuracy", None, "max", -0.04, -0.05, -0.03, "broken"),)},
            "minilm-tuned is 4.0 points worse than tfidf on accuracy, more than the guard allows",
        ),
        (
            "undecided",
            {"comparisons": (compared("accuracy", 0.87, 0.861, low=-0.02, high=0.05),), "more_examples": 12_000},
            "whether minilm-tuned is better than tfidf on accuracy; about 12,000 further test examples would",
        ),
        (
            "undecided",
            {"guards": (ObjectiveResult("accuracy", None, "max", -0.01, -0.05, 0.03, "undecided"),)},
            "cannot show whether minilm-tuned is worse than tfidf on accuracy",
        ),
    ],
)
def test_the_reason_is_in_plain_words(decision, changes, words):
    assert words in verdict_sentence(with_verdict(decision, **changes))


def test_a_promotion_without_a_release_is_not_called_production():
    sentence = verdict_sentence(with_verdict("promote"))
    assert "goes to production" not in sentence and "no release is recorded yet" in sentence


def scope_of(**field) -> str:
    names = {"narrow": "tfidf", "broad": "hosted-large", "local": "smollm", "cascade": "first-cheap"}
    trials = {names[side]: trial(names[side], accuracy, **rest) for side, (accuracy, rest) in field.items()}
    record = msgspec.structs.replace(promoted(), leaderboard=board_of(trials, next(iter(trials))))
    text = narrow_or_broad(record)
    return f"{text.lead} {text.text}"


def test_a_specialist_that_is_better_and_takes_less_wins_outright():
    text = scope_of(
        narrow=(0.9, {"p95": 2.0, "memory": 100.0, "usd": 0.001}),
        local=(0.4, {"p95": 400.0, "memory": 320.0, "usd": 0.1}),
    )
    assert text.startswith("Narrow wins: it is better")
    assert "by 50.0 points" in text
    assert "p95 latency is 200 times lower (2.0 ms against 400 ms)" in text
    assert "memory is 3.2 times lower (100 MB against 320 MB)" in text
    assert "cost of 1,000 requests is 100 times lower (USD 0.0010 against USD 0.10)" in text
    assert "Of these, tfidf reaches the target of 85.0%" in text


def test_a_broad_model_that_is_better_but_dearer_wins_on_quality_only():
    text = scope_of(
        narrow=(0.8, {"p95": 2.0, "memory": 100.0, "usd": 0.001}),
        broad=(0.95, {"p95": 600.0, "memory": 50.0, "usd": 0.4}),
    )
    assert text.startswith("Broad wins on quality, but not on everything.")
    assert "the broad model clearly wins, by 15.0 points" in text
    assert "memory is 2 times higher (100 MB against 50.0 MB)" in text


def test_quality_too_close_to_call_is_said_and_the_rest_decides():
    text = scope_of(narrow=(0.9, {"p95": 2.0}), broad=(0.91, {"p95": 600.0, "memory": 900.0, "usd": 0.4}))
    assert text.startswith("Narrow wins: quality is too close to call, and it takes less.")
    assert "they differ by 1.0 points" in text


def test_one_side_alone_is_not_compared():
    assert "No broad model gave a result" in scope_of(narrow=(0.9, {}))
    assert "No specialist gave a result" in scope_of(broad=(0.9, {}))
    assert "Neither a specialist nor a broad model" in scope_of(cascade=(0.9, {}))


def test_a_cascade_is_held_against_the_better_side():
    text = scope_of(narrow=(0.9, {"p95": 10.0}), local=(0.4, {"p95": 400.0}), cascade=(0.97, {"p95": 20.0}))
    assert "That is 7.0 points better than tfidf, clearly. Against tfidf: p95 latency 2 times higher" in text


def test_costing_nothing_makes_no_factor():
    text = scope_of(narrow=(0.9, {"usd": 0.0}), broad=(0.6, {"usd": 0.3}))
    assert "cost of 1,000 requests is nothing (USD 0 against USD 0.30)" in text


def test_an_adapted_candidate_counts_as_trained_on_the_task():
    record = promoted()
    assert "The best specialist, minilm-tuned (finetune of minilm)" in narrow_or_broad(record).text
    assert "No broad model" in narrow_or_broad(crowded()).lead
    assert set(FIELD) == set(record.brief.candidates)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (numbers.percent(0.912), "91.2%"),
        (numbers.percent(0.99996), ">99.9%"),
        (numbers.percent(0.0001), "<0.1%"),
        (numbers.percent(1.0), "100.0%"),
        (numbers.points(-0.032), "−3.2 points"),
        (numbers.points(0.0), "0.0 points"),
        (numbers.points(0.0004), "+0.04 points"),
        (numbers.milliseconds(1310.4), "1,310 ms"),
        (numbers.milliseconds(0.0123), "0.012 ms"),
        (numbers.megabytes(412.34), "412 MB"),
        (numbers.usd(0), "USD 0"),
        (numbers.usd(0.000031), "USD 0.000031"),
        (numbers.usd(1234.5), "USD 1,234.50"),
        (numbers.duration(0.42), "0.42 s"),
        (numbers.duration(59.9), "60 s"),
        (numbers.duration(200), "3 min 20 s"),
        (numbers.duration(7500), "2 h 5 min"),
        (numbers.count(1, "row"), "1 row"),
        (numbers.count(1200, "row"), "1,200 rows"),
        (numbers.times(3.0), "3 times"),
        (numbers.probability(0.00004), "p < 0.001"),
        (numbers.moment(1_794_000_000.0), "2026-11-06 21:20 UTC"),
        (numbers.moment(math.inf), "at an unknown time"),
    ],
)
def test_numbers_are_written_with_their_unit(written, text):
    assert written == text


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_breaks_its_writing(value):
    writers = (numbers.percent, numbers.points, numbers.plain, numbers.milliseconds, numbers.megabytes, numbers.usd)
    for write in (*writers, numbers.duration, numbers.moment):
        text = write(value)
        assert text and "nan" not in text and "inf" not in text and len(text) < 40


def test_a_metric_beyond_one_is_not_a_share():
    found = numbers.amounts_of([("accuracy", 0.4), ("accuracy", 1.0), ("judge", 0.9), ("judge", 4.2), ("p95_ms", 0.5)])
    assert found.value("accuracy", 1.0) == "100.0%" and found.value("judge", 0.9) == "0.900"
    assert found.value("p95_ms", 0.5) == "0.50 ms"
    assert found.values("accuracy", 0.8997, 0.9) == ("89.97%", "90.00%")
    assert found.difference("judge", -1.5) == "−1.50"
