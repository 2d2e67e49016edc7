import polars as pl

from lifeloop.core.content import normalise
from lifeloop.guards.guard import EXAMINED, Checked, examined, numbered, placed, taken_out
from lifeloop.guards.reviewed import NOT_REVIEWED, REVIEWS, apply_reviews, unless_reviewed
from lifeloop.store.tables import RAW_SCHEMA


def table(*rows):
    full = [
        {**dict.fromkeys(RAW_SCHEMA, ""), "input": text, "reference": label, "source": f"f:{number}", "slices": "{}"}
        for number, (text, label) in enumerate(rows)
    ]
    return examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0)).select(list(EXAMINED))


def reviews(*rows):
    """Rows are (text, keep, label)."""
    keys = table(*((normalise(text), "") for text, *_ in rows))["key"]
    return pl.DataFrame(
        {"key": keys, "keep": [keep for _, keep, _ in rows], "label": [label for *_, label in rows]}, schema=REVIEWS
    )


def everything_is_suspicious(rows: pl.DataFrame) -> Checked:
    return taken_out(rows, dict.fromkeys(rows["row"], ("suspected", "")), "suspicion", "quarantined")


def test_a_label_that_a_person_gave_replaces_the_one_that_came():
    checked = apply_reviews(table(("hello", "bye"), ("so", "x")), reviews(("Hello!", True, "greeting")))
    assert checked.table["reference"].to_list() == ["greeting", "x"]
    assert checked.notes == {0: "its label 'bye' is 'greeting', says a person"}
    assert checked.findings[0].examples == ("f:0",)


def test_a_row_that_a_person_took_out_goes():
    checked = apply_reviews(table(("hello", "a"), ("so", "x")), reviews(("hello", False, "")))
    assert checked.fates[0].fate == "dropped"
    assert checked.table["source"].to_list() == ["f:1"]


def test_a_row_that_a_person_kept_is_not_suspected_again():
    rows = table(("one", "a"), ("two", "a"), ("three", "a"))
    checked = unless_reviewed(everything_is_suspicious, reviews(("two", True, "")))(rows)
    assert checked.table["row"].to_list() == [1]
    assert set(checked.fates) == {0, 2}


def test_an_answer_that_fits_no_row_is_told_of():
    checked = apply_reviews(table(("hello", "a")), reviews(("hello", True, ""), ("another text", True, "")))
    assert [(each.n_rows, each.reason) for each in checked.findings] == [(1, "an answer of a person that fits no row")]


def test_without_reviews_nothing_changes():
    rows = table(("one", "a"))
    assert apply_reviews(rows, NOT_REVIEWED).table.equals(rows)
    assert unless_reviewed(everything_is_suspicious, NOT_REVIEWED) is everything_is_suspicious
