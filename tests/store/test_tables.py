import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example, RowFate
from lifeloop.store.tables import (
    answers_to_table,
    examples_to_table,
    fates_to_table,
    from_parquet,
    table_to_answers,
    table_to_examples,
    table_to_fates,
    to_parquet,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
examples = st.builds(
    Example,
    id=texts,
    input=texts,
    reference=texts,
    group=texts,
    slices=st.dictionaries(texts, texts, max_size=3),
    source=texts,
)
answers = st.builds(
    Answer,
    output=texts,
    confidence=st.none() | st.floats(0, 1),
    tokens_in=st.integers(0, 2**40),
    tokens_out=st.integers(0, 2**40),
    usd=st.floats(0, 100),
    error=texts,
    by=texts,
)
fates = st.builds(
    RowFate, source=texts, fate=st.sampled_from(["kept", "dropped", "quarantined"]), reason=texts, detail=texts
)


@settings(max_examples=60)
@given(st.lists(examples, max_size=5))
def test_examples_come_back_as_they_were(given_):
    data = to_parquet(examples_to_table(given_))
    assert table_to_examples(from_parquet(data)) == given_
    assert to_parquet(examples_to_table(table_to_examples(from_parquet(data)))) == data


@settings(max_examples=60)
@given(st.lists(fates, max_size=5))
def test_fates_come_back_as_they_were(given_):
    assert table_to_fates(from_parquet(to_parquet(fates_to_table(given_)))) == given_


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, answers), max_size=5))
def test_answers_come_back_as_they_were_each_with_its_example(given_):
    ids, said = [identifier for identifier, _ in given_], [answer for _, answer in given_]
    table = from_parquet(to_parquet(answers_to_table(ids, said)))
    assert table_to_answers(table) == said
    assert table["example"].to_list() == ids


def test_equal_tables_give_equal_bytes_however_they_came_about():
    rows = [Example(id=str(n), input=f"text {n}", reference="ab"[n % 2], group="") for n in range(3000)]
    whole = examples_to_table(rows)
    pieces = pl.concat([whole[:1000], whole[1000:1001], whole[1001:]], rechunk=False)
    filtered = pl.concat([whole, whole]).filter(pl.int_range(pl.len()) < 3000)
    assert to_parquet(whole) == to_parquet(pieces) == to_parquet(filtered) == to_parquet(examples_to_table(rows))


def test_the_order_of_slices_does_not_matter():
    one, other = (Example("1", "a", "b", "", slices=slices) for slices in ({"x": "1", "y": "2"}, {"y": "2", "x": "1"}))
    assert to_parquet(examples_to_table([one])) == to_parquet(examples_to_table([other]))


def test_a_table_that_lacks_a_column_is_no_table_of_examples():
    table = examples_to_table([Example("1", "a", "b", "")]).drop("reference")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        table_to_examples(table)


def test_an_unknown_fate_is_not_let_in():
    table = pl.DataFrame({"source": ["a"], "fate": ["eaten"], "reason": [""], "detail": [""]})
    with pytest.raises(msgspec.ValidationError):
        table_to_fates(table)


def test_repeats_of_an_example_are_numbered():
    said = [Answer(str(n)) for n in range(6)]
    table = answers_to_table(["a", "a", "a", "b", "b", "b"], said, repeats=3)
    assert table["repeat"].to_list() == [0, 1, 2, 0, 1, 2]
    assert answers_to_table(["a", "b"], said[:2])["repeat"].to_list() == [0, 0]
    assert table_to_answers(from_parquet(to_parquet(table))) == said
