import polars as pl
import pytest

from lifeloop.guards.guard import numbered
from lifeloop.guards.text import check_flaws, check_text
from lifeloop.store.tables import RAW_SCHEMA


def table(inputs, flaws=None):
    rows = [
        {**dict.fromkeys(RAW_SCHEMA, ""), "input": text, "reference": "a", "source": f"f:{number}", "flaw": flaw}
        for number, (text, flaw) in enumerate(zip(inputs, flaws or [""] * len(inputs), strict=True), start=1)
    ]
    return numbered(pl.DataFrame(rows, schema_overrides=RAW_SCHEMA))


def test_flaws_become_fates_with_their_detail():
    checked = check_flaws(table(["a", "b", "c"], ["", "not valid JSON: at byte 3", "not valid JSON: at byte 9"]))

    assert checked.table["input"].to_list() == ["a"]
    assert [(fate.source, fate.reason, fate.detail) for fate in checked.fates.values()] == [
        ("f:2", "not valid JSON", "at byte 3"),
        ("f:3", "not valid JSON", "at byte 9"),
    ]
    assert [(each.n_rows, each.examples) for each in checked.findings] == [(2, ("f:2", "f:3"))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty input"),
        (" \t\n\u00a0", "an empty input"),
        ("x" * 11, "an input that is too long"),
        ("a\0b", "control characters"),
        ("a\x1b[2Jb", "control characters"),
    ],
)
def test_a_text_that_cannot_be_used_is_quarantined(text, reason):
    checked = check_text(table(["fine", text]), max_chars=10)
    assert [(row, fate.fate, fate.reason) for row, fate in checked.fates.items()] == [(1, "quarantined", reason)]


def test_white_space_and_the_longest_length_allowed_pass():
    checked = check_text(table(["a\tb\nc\r\n", "ä" * 10, "a\x0cb"]), max_chars=10)
    assert checked.table.height == 3
    assert checked.findings == ()


def test_a_finding_names_five_rows_and_counts_all():
    (finding,) = check_text(table([""] * 8), max_chars=10).findings
    assert (finding.n_rows, len(finding.examples)) == (8, 5)
