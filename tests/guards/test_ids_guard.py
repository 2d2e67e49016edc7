import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.guards.guard import examined, numbered, placed
from lifeloop.guards.ids import check_ids
from lifeloop.store.tables import RAW_SCHEMA


def table(rows):
    full = [
        {**dict.fromkeys(RAW_SCHEMA, ""), "id": id, "input": text, "reference": "a", "source": f"f:{number}"}
        for number, (id, text) in enumerate(rows, start=1)
    ]
    return examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0))


def test_the_same_row_twice_is_dropped():
    checked = check_ids(table([("1", "a"), ("2", "b"), ("1", "a")]))

    assert checked.table["id"].to_list() == ["1", "2"]
    assert [(fate.source, fate.fate, fate.detail) for fate in checked.fates.values()] == [("f:3", "dropped", "as f:1")]


def test_another_row_of_the_same_id_gets_an_id_that_does_not_depend_on_its_place():
    one = check_ids(table([("1", "a"), ("1", "b"), ("2", "c")]))
    other = check_ids(table([("2", "c"), ("1", "a"), ("3", "d"), ("1", "b")]))

    assert one.table["id"].to_list()[0] == "1"
    renamed = one.table["id"].to_list()[1]
    assert renamed.startswith("1~")
    assert other.table["id"].to_list()[3] == renamed
    assert renamed in one.notes[1]
    assert [(each.fate, each.n_rows, each.examples) for each in one.findings] == [("kept", 1, ("f:2",))]


@given(st.lists(st.tuples(st.sampled_from("12"), st.sampled_from("abc")), max_size=12))
def test_ids_are_unique_and_no_text_is_lost(rows):
    checked = check_ids(table(rows))
    assert checked.table["id"].is_unique().all()
    assert set(checked.table["input"]) == {text for _, text in rows}
    assert checked.table.height + len(checked.fates) == len(rows)
