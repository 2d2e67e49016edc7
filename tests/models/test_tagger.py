"""The parts of a tagger that need no weights: words, tags, windows, and the chain over tags."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.models.tagger_bio import Found, decode, encode, may_follow, repaired, tag_names
from lifeloop.models.tagger_crf import Chain, best_tags, path_score, probability, rules, sums, totals
from lifeloop.models.tagger_windows import windows
from lifeloop.models.tagger_words import (
    LONGEST,
    N_CHARACTERS,
    N_FACTS,
    SHAPES,
    characters,
    facts,
    shape,
    spans,
    stands_alone,
)

TYPES = ("person", "place")
TAGS = tag_names(TYPES)
any_tags = st.lists(st.sampled_from(TAGS), max_size=12)


def words_of(n: int) -> list[tuple[int, int]]:
    """Return places of n words of three characters with a space between them."""
    return [(4 * place, 4 * place + 3) for place in range(n)]


@given(any_tags)
def test_repaired_tags_keep_the_rules_and_are_not_changed_again(tags):
    mended = repaired(tags)
    assert all(itertools.starmap(may_follow, itertools.pairwise(["", *mended])))
    assert repaired(mended) == mended
    assert [tag[2:] for tag in mended] == [tag[2:] for tag in tags]


def test_an_inside_without_a_beginning_begins_and_a_change_of_type_splits():
    assert repaired(["O", "I-place", "I-place"]) == ["O", "B-place", "I-place"]
    assert repaired(["B-place", "I-person", "I-person"]) == ["B-place", "B-person", "I-person"]


@given(any_tags)
def test_entities_become_tags_and_tags_the_same_entities(tags):
    found = decode(tags)
    words = words_of(len(tags))
    again, lost = encode(words, [(one.type, words[one.first][0], words[one.end - 1][1]) for one in found])
    assert (again, lost) == (repaired(tags), 0)
    assert decode(again) == found


@settings(deadline=None)
@given(any_tags)
def test_entities_are_counted_as_seqeval_counts_them(tags):
    pytest.importorskip("seqeval")
    from seqeval.metrics.sequence_labeling import get_entities

    assert [(one.type, one.first, one.end - 1) for one in decode(tags)] == get_entities(tags)


def test_what_overlaps_or_has_no_word_is_lost_and_counted():
    places = [("person", 0, 7), ("place", 4, 7), ("place", 11, 12)]  # the third is the space after the third word
    assert encode(words_of(3), places) == (["B-person", "I-person", "O"], 2)


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 20), st.floats(0, 0.9))
def test_windows_own_every_word_once_and_keep_within_the_room(tokens, room, overlap):
    cut = windows(tokens, room, overlap)
    owned = [word for window in cut for word in range(window.owned_first, window.owned_end)]
    assert owned == list(range(len(tokens)))
    for window in cut:
        assert window.first <= window.owned_first < window.owned_end <= window.end
        assert sum(tokens[window.first : window.end]) <= room or window.end == window.first + 1


def test_a_word_between_two_windows_is_judged_where_it_has_context_on_both_sides():
    first, second = windows([1] * 15, 10, 0.5)
    assert (first.first, first.end, second.first, second.end) == (0, 10, 5, 15)
    assert first.owned_end == second.owned_first == 8


@given(st.text(max_size=60), st.sampled_from(["spaces", "marks"]))
def test_words_are_in_order_without_spaces_and_leave_nothing_out(text, split):
    words = spans(text, split)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(words))
    assert "".join(text[start:end] for start, end in words).split() == "".join(text.split()).split()
    for start, end in words:
        assert 0 <= shape(text[start:end]) < len(SHAPES)
        numbers = characters(text[start:end])
        assert len(numbers) == LONGEST
        assert all(0 <= number < N_CHARACTERS for number in numbers)
    found = facts(text, words)
    assert len(found) == len(words)
    assert all(len(own) == N_FACTS and all(0 <= fact <= 1 for fact in own) for own in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我在东京工作", list("我在东京工作")),
        ("スマホで東京Towerへ2回。", [*"スマホで東京", "Tower", "へ", "2", "回", "。"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("서울에 살아요", ["서울에", "살아요"]),
        ("l'été à Saint-Malo", ["l", "'", "été", "à", "Saint", "-", "Malo"]),
    ],
)
def test_characters_of_scripts_without_spaces_are_words_where_marks_are(text, words):
    assert [text[start:end] for start, end in spans(text, "marks")] == words
    assert [text[start:end] for start, end in spans(text, "spaces")] == text.split()


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Ann", "Ann and Anna, Ann", [0, 14]),
        ("东京", "我在东京工作", [2]),
        ("Ann", "我Ann工作", [1]),
        ("东京", "in东京x", [2]),
        ("东Ann", "x东Anna 东Ann", [7]),
        ("@ann", "x@ann @ann", [6]),
    ],
)
def test_a_name_stands_alone_where_no_word_goes_on(name, text, found):
    assert [match.start() for match in stands_alone(name).finditer(text)] == found


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("paris", "lower"),
        ("Paris", "Title"),
        ("NASA", "UPPER"),
        ("A", "Single"),
        ("iPhone", "miXed"),
        ("2017", "digits"),
        ("k9", "d1gits"),
        ("...", "mark"),
        ("@ann", "@name"),
        ("#Paris", "#tag"),
        ("http://a.b", "link"),
        ("東京", "caseless"),
    ],
)
def test_the_shape_of_a_word_says_how_it_is_written(word, expected):
    assert SHAPES[shape(word)] == expected


@pytest.fixture(scope="module")
def chain() -> Chain:
    chance = np.random.default_rng(0)
    hard = rules(TAGS)
    n = len(TAGS)
    return Chain(
        hard.start + chance.normal(size=n), hard.after + chance.normal(size=(n, n)), hard.stop + chance.normal(size=n)
    )


def every_way(scores: np.ndarray, chain: Chain) -> dict[tuple[int, ...], float]:
    """Return the probability of every way of tagging, by trying them all."""
    ways = list(itertools.product(range(len(TAGS)), repeat=len(scores)))
    powers = np.exp([path_score(scores, chain, way) for way in ways])
    return dict(zip(ways, powers / powers.sum(), strict=True))


def test_the_chain_finds_what_trying_every_way_finds(chain):
    texts = [np.random.default_rng(n).normal(size=(n, len(TAGS))) for n in (4, 1, 3, 0)]
    paths, logs = best_tags(texts, chain), totals(texts, chain)
    assert paths[3] == []
    for scores, path, log in zip(texts[:3], paths, logs, strict=False):
        ways = every_way(scores, chain)
        assert tuple(path) == max(ways, key=ways.__getitem__)
        assert np.exp(path_score(scores, chain, path) - log) == pytest.approx(ways[tuple(path)])
        assert sums(scores, chain).total == pytest.approx(log)


def test_the_probability_of_an_entity_is_that_of_all_ways_that_have_it(chain):
    scores = np.random.default_rng(7).normal(size=(4, len(TAGS)))
    ways, known = every_way(scores, chain), sums(scores, chain)
    for found in (Found("person", 0, 1), Found("place", 1, 3), Found("person", 2, 4), Found("place", 0, 4)):
        having = sum(p for way, p in ways.items() if found in decode([TAGS[place] for place in way]))
        assert probability(found, TAGS, scores, chain, known) == pytest.approx(having)
