import random
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.content import normalise
from lifeloop.guards.near.sketch import (
    FEW,
    LONG,
    SHORT,
    SLOTS,
    character_values,
    counts_of,
    hashed_words,
    rests_of,
    sketches,
    word_values,
)

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])).map(normalise), max_size=6)


def words(n, seed=0):
    chance = random.Random(seed)
    return [f"w{chance.randrange(10**9)}" for _ in range(n)]


def alike(values):
    return (values[0] == values[1]).mean()


@given(texts)
def test_the_sketch_of_a_text_does_not_depend_on_the_texts_beside_it(some):
    together = sketches(some)
    assert together.to_list() == [sketches([text])[0] for text in some]


def test_a_sketch_is_the_same_in_a_year_and_on_any_machine():
    found = sketches(["what is my balance", " ".join(f"word{n}" for n in range(100)), "今天的天气很好", "?!", ""])
    assert sha256(b"".join(found)).hexdigest()[:16] == "10ac5a2b48465250"  # another one needs another VERSION


def test_the_order_of_words_and_how_often_they_come_do_not_count_in_a_long_text():
    some = words(50)
    values = word_values(sketches([" ".join(some), " ".join([*reversed(some), *some])]))
    assert alike(values) == 1


@pytest.mark.parametrize("common", [30, 45, 54])
def test_the_share_of_equal_values_estimates_the_jaccard_similarity(common):
    errors = []
    for seed in range(30):
        some = words(120 - common, seed)
        values = word_values(sketches([" ".join(some[:60]), " ".join(some[60 - common :])]))
        errors.append((alike(values) - 1 / 256) / (1 - 1 / 256) - common / (120 - common))
    assert abs(np.mean(errors)) < 0.015
    assert np.std(errors) < 0.04


def test_what_a_sketch_holds_depends_on_the_number_of_different_words():
    sizes = {n: len(sketches([" ".join(words(n))])[0]) for n in (2, 8, FEW + 1, LONG - 1, LONG, SHORT - 1, SHORT, 200)}
    assert sizes == {
        2: 1 + SLOTS,
        8: 1 + 9 * 8 + SLOTS,
        FEW + 1: 1 + SLOTS,
        LONG - 1: 1 + SLOTS,
        LONG: 1 + 2 * SLOTS,
        SHORT - 1: 1 + 2 * SLOTS,
        SHORT: 1 + SLOTS,
        200: 1 + SLOTS,
    }


def test_any_two_long_enough_to_be_alike_at_four_fifths_have_a_kind_of_sketch_in_common():
    for fewer in range(1, 60):
        most = int(fewer / 0.8)
        assert fewer >= LONG or most < SHORT


def test_texts_that_are_the_same_but_for_one_word_share_what_is_left():
    found = sketches(
        ["what is my balance", "what is my name", "is my balance", "please what is my balance", "is what my balance"]
    )
    hashes, places = rests_of(found)
    own = [set(hashes[places == place].tolist()) for place in range(len(found))]
    assert all(own[0] & other for other in own[1:])
    assert not own[1] & own[3]


def test_characters_are_read_from_texts_of_every_length():
    found = sketches(["what is my balance", "what is my balence", " ".join(words(LONG))])
    values = character_values(found)
    assert values.shape == (3, SLOTS)
    assert 0.6 < alike(values[:2]) < 0.9
    assert counts_of(found).tolist() == [4, 4, LONG]


def test_in_a_script_without_spaces_two_neighbours_are_a_word():
    hashes, starts = hashed_words(["天气很好", "一天", "hi there"])
    assert np.diff(starts).tolist() == [3, 1, 2]
    assert hashed_words(["气很"])[0][0] == hashes[1]


def test_no_texts_have_no_sketches():
    assert sketches([]).equals(pl.Series([], dtype=pl.Binary))
