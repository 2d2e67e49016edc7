import sys

import pytest
from raw_rows import raw_rows

from lifeloop.core.data_brief import Toxic
from lifeloop.core.errors import DataError
from lifeloop.guards import toxic
from lifeloop.guards.toxic import check_toxic


@pytest.mark.parametrize("text", ["what the f*ck", "sh1t happens", "f.u.c.k you", "fuuuck", "You B!tch.", "a$$hole"])
def test_words_are_found_in_disguise(text):
    checked = check_toxic(raw_rows(["fine", text]), Toxic(action="quarantine"))
    assert [(row, fate.reason, fate.detail) for row, fate in checked.fates.items()] == [
        (1, "insulting or obscene words", "1 of them")
    ]


@pytest.mark.parametrize(
    "text",
    ["Scunthorpe", "shiitake with spice", "code 455", "cocktails by Dickens", "god bless gay rights", "assess it"],
)
def test_words_that_hold_one_or_name_no_insult_pass(text):
    assert check_toxic(raw_rows([text]), Toxic(action="quarantine")).fates == {}


def test_reporting_keeps_the_rows_and_looks_at_references_but_not_at_rejected_answers():
    table = raw_rows(["a", "b", "c"], reference=["shit", "", ""], rejected=["", "shit", ""])
    checked = check_toxic(table, Toxic())
    assert checked.table.equals(table)
    assert [(each.fate, each.n_rows, each.examples) for each in checked.findings] == [("kept", 1, ("f:1",))]


def test_a_word_after_an_escaped_line_end_of_a_conversation_is_found():
    table = raw_rows(['[{"role": "user", "content": "hi\\nshit"}]'])
    assert check_toxic(table, Toxic()).findings != ()


def test_without_the_list_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "better_profanity", None)
    toxic._pattern.cache_clear()
    with pytest.raises(DataError, match=r"lifeloop\[toxic\]"):
        check_toxic(raw_rows(["a"]), Toxic())
    toxic._pattern.cache_clear()
