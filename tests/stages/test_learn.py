import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.events import Event, Feedback
from lifeloop.stages.learn import learn
from lifeloop.store.ledger import FeedbackRow
from lifeloop.store.tables import RAW_SCHEMA

EVENT = Event(
    id="e1",
    at=0.0,
    release="r",
    candidate="c",
    name="tfidf",
    input="where is my parcel",
    output="delivery",
    confidence=0.4,
    seconds=0.01,
    tokens_in=0,
    tokens_out=0,
    usd=0.0,
)


def said(*each: dict, event: Event = EVENT) -> list[FeedbackRow]:
    return [
        FeedbackRow(number, Feedback(id=f"f{number}", event=event.id, at=float(number), **values), event)
        for number, values in enumerate(each, start=1)
    ]


def taught(rows: list[FeedbackRow], task: str = "classify") -> list[tuple[str, str]]:
    return [(row["reference"], row["flaw"]) for row in learn(rows, task).to_dicts()]


def test_a_correction_teaches_a_row():
    (row,) = learn(said({"label": "tracking", "rater": "ann"}), "classify").to_dicts()
    assert row == {
        "id": "feedback:e1",
        "input": "where is my parcel",
        "reference": "tracking",
        "group": "",
        "split": "",
        "slices": "{}",
        "source": "feedback:e1",
        "flaw": "",
        "rejected": "",
        "time": "",
    }


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ([{"label": "a"}, {"label": "b"}], [("b", "")]),
        ([{"label": "a", "rater": "ann"}, {"label": "b", "rater": "ann"}], [("b", "")]),
        ([{"label": "a", "rater": "ann"}, {"label": "a ", "rater": "bob"}], [("a", "")]),
        ([{"label": "a", "rater": "ann"}, {"label": "b", "rater": "bob"}], [("b", "raters disagree")]),
        ([{"rating": 1.0}], [("delivery", "")]),
        ([{"rating": 0.4}], []),
        ([{"rating": -1.0}], []),
        ([{"comment": "slow"}], []),
        ([{"label": "  "}], []),
        ([{"rating": 1.0}, {"rating": -1.0}], []),
        ([{"label": "a"}, {"rating": -1.0}], [("a", "")]),
        ([{"label": "a"}, {"comment": "sure"}], [("a", "")]),
        ([{"rating": -1.0, "label": "a"}], [("a", "")]),
        ([{"rating": 1.0, "rater": "ann"}, {"rating": -1.0, "rater": "bob"}], [("delivery", "raters disagree")]),
        ([{"rating": 1.0, "rater": "ann"}, {"label": "a", "rater": "bob"}], [("a", "raters disagree")]),
        ([{"label": "a", "rater": "ann"}, {"rating": -1.0, "rater": "bob"}], [("a", "")]),
    ],
)
def test_what_raters_say_decides_what_is_learned(feedback, expected):
    assert taught(said(*feedback)) == expected


def test_an_event_that_nobody_answered_is_learned_from_its_label_alone():
    failed = msgspec.structs.replace(EVENT, output="", error="timed out")
    assert taught(said({"label": "tracking"}, event=failed)) == [("tracking", "")]
    assert taught(said({"rating": 1.0}, event=failed)) == []


def test_entities_are_compared_whatever_their_layout():
    one, other = '[{"type": "person", "start": 0, "end": 3}]', '[{"end":3,"start":0,"type":"person"}]'
    rows = said({"label": one, "rater": "ann"}, {"label": other, "rater": "bob"})
    assert taught(rows, "extract") == [(other, "")]
    assert taught(said({"label": "no list"}), "extract") == [("no list", "")]


def test_no_feedback_teaches_an_empty_table():
    assert learn([], "classify").schema == RAW_SCHEMA
    assert learn([], "classify").height == 0


feedbacks = st.fixed_dictionaries(
    {"rater": st.sampled_from(["", "ann", "bob"])},
    optional={"label": st.sampled_from(["a", "b", "delivery"]), "rating": st.floats(-1, 1)},
)


@given(st.lists(st.tuples(st.sampled_from("xyz"), feedbacks), max_size=12), st.randoms(use_true_random=False))
def test_an_event_teaches_one_row_at_most_in_whatever_order_feedback_is_handed_over(given_, chance):
    rows = [
        FeedbackRow(
            number,
            Feedback(id=f"f{number}", event=event, at=0.0, **values),
            msgspec.structs.replace(EVENT, id=event),
        )
        for number, (event, values) in enumerate(given_)
    ]
    table = learn(rows, "classify")
    assert table["source"].is_unique().all()
    assert set(table["reference"]) <= {"a", "b", "delivery"}
    chance.shuffle(rows)
    assert learn(rows, "classify").equals(table)
