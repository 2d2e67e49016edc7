import pytest

from lifeloop.core.data import Example
from lifeloop.suites.lowercase import SUITE as LOWERCASE
from lifeloop.suites.typos import RATE
from lifeloop.suites.typos import SUITE as TYPOS

TEXT = "Where is the parcel that I ordered last Monday, please? " * 20


def typed(text: str, identifier: str = "1", seed: int = 0) -> str:
    return TYPOS.change([Example(identifier, text, "a", "")], seed)[0].input


def edits(one: str, other: str) -> int:
    """Return the optimal string alignment distance: a swap of neighbours counts once."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            best = min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def test_about_one_letter_in_twenty_five_slips():
    letters = sum(character.isalpha() for character in TEXT)
    slips = sum(edits(TEXT[:400], typed(TEXT[:400], str(n))) for n in range(10))
    expected = RATE * letters * 10 * 400 / len(TEXT)
    assert 0.6 * expected < slips < 1.3 * expected


def test_slips_depend_on_the_seed_and_the_example_alone():
    assert typed(TEXT) == typed(TEXT)
    assert typed(TEXT, seed=1) != typed(TEXT)
    assert typed(TEXT, identifier="2") != typed(TEXT)
    alone = TYPOS.change([Example("7", TEXT, "a", "")], 0)
    among = TYPOS.change([Example(str(n), TEXT, "a", "") for n in range(10)], 0)
    assert among[7].input == alone[0].input


@pytest.mark.parametrize("text", ["", "12345 67!", "🎉🎉", "\0"])
def test_what_has_no_letters_stays(text):
    assert typed(text) == text


def test_lower_case_has_no_capitals():
    (changed,) = LOWERCASE.change([Example("1", "WHERE is My ÄRGER?", "A", "")], 0)
    assert changed.input == "where is my ärger?"
    assert changed.reference == "A"
