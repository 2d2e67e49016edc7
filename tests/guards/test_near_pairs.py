import random
import string
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.guards.near.candidates import MOST_PAIRS, Asked
from lifeloop.guards.near.lsh import FAMILY_FIRSTS, FIRSTS, NEIGHBOURS, linked, width
from lifeloop.guards.near.pairs import near_pairs
from lifeloop.guards.near.similarity import jaccard, short_similarity, word_sets
from lifeloop.guards.near.sketch import LONG, SHORT, sketches

VOCABULARY = [f"{a}{b}{number}" for number in range(40) for a in "bdfgklmnprstvz" for b in "aeiou"]


def pairs_of(texts, similarity=0.8, rank=None, read=None):
    """Return the pairs found among texts, with their similarity."""

    def reader(places):
        if read is not None:
            read.extend(places.tolist())
        return [texts[place] for place in places]

    rank = np.arange(len(texts)) if rank is None else rank
    found = near_pairs(
        sketches(texts), Asked(similarity, rank, lambda left, right: np.ones(len(left), np.int8), reader)
    )
    ends = zip(found.left.tolist(), found.right.tolist(), strict=True)
    return dict(zip(ends, found.similarity.tolist(), strict=True))


def overlap(one, other):
    one, other = set(one.split(" ")), set(other.split(" "))
    return len(one & other) / len(one | other)


def edited(words, share, chance):
    words = list(words)
    for place in chance.sample(range(len(words)), max(1, int(share * len(words)))):
        words[place] = chance.choice(VOCABULARY)
    return words


def planted(n, length, chance):
    """Return n texts, a fifth of them edited copies of others, and the places of copies and originals."""
    texts, copies = [], []
    for place in range(n):
        if place % 5 == 4:
            original = place - chance.randrange(1, 5)
            texts.append(" ".join(edited(texts[original].split(" "), chance.uniform(0.01, 0.1), chance)))
            copies.append((original, place))
        else:
            texts.append(" ".join(chance.choices(VOCABULARY, k=length)))
    return texts, copies


@pytest.mark.parametrize("length", [LONG - 4, LONG + 2, SHORT + 2, 100])
def test_nearly_all_planted_copies_are_found_and_nothing_else(length):
    texts, copies = planted(3000, length, random.Random(length))
    true = {pair for pair in copies if overlap(*(texts[place] for place in pair)) >= 0.8}
    found = pairs_of(texts)

    assert len(true & set(found)) / len(true) >= 0.99
    alike = [overlap(texts[one], texts[other]) >= 0.8 for one, other in found]
    assert np.mean(alike) >= (0.99 if length > SHORT else 0.9)  # short ones may also be near by their characters


def test_of_long_texts_only_those_in_doubt_are_read():
    chance = random.Random(3)
    texts, _ = planted(2000, 100, chance)
    read = []
    found = pairs_of(texts, read=read)

    sure = {pair for pair, similarity in found.items() if similarity > 0.95}
    assert len(sure) > 50
    assert not {place for pair in sure for place in pair} & set(read)


def test_pairs_across_the_boundary_of_long_and_short_are_found():
    chance = random.Random(5)
    for length in range(LONG - 3, SHORT + 3):
        words = chance.sample(VOCABULARY, length)
        fewer = words[: -(length // 6)]
        assert overlap(" ".join(words), " ".join(fewer)) >= 0.8
        assert pairs_of([" ".join(words), " ".join(fewer), " ".join(chance.sample(VOCABULARY, length))]).keys() == {
            (0, 1)
        }


SHORT_TEXT = "how much money do i have on my savings account"


@pytest.mark.parametrize(
    "other",
    [
        "how much mony do i have on my savings account",  # a letter left out
        "how much moeny do i have on my savigns account",  # two pairs of letters swapped
        "how much cash do i have on my savings account",  # a word replaced
        "how much money do i have on savings account",  # a word left out
        "hey how much money do i have on my savings account",  # a word put in
        "how much money i do have on my savings account",  # neighbours swapped
    ],
)
def test_small_edits_of_a_short_text_are_near(other):
    assert (0, 1) in pairs_of([SHORT_TEXT, other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("close my account", "open my account"),
        ("yes", "no"),
        ("how do i close my account", "how do i open an account today"),
        ("play some music", "stop the music"),
        ("?!", "..."),
    ],
)
def test_neighbours_that_ask_for_something_else_are_left_alone(one, other):
    assert not pairs_of([one, other])


def test_chinese_texts_are_compared_by_their_characters():
    short = "我想知道我的账户里还有多少钱可以用"
    long = "".join(chr(0x4E00 + random.Random(number).randrange(3000)) for number in range(300))
    texts = [
        short,
        short.replace("钱", "币"),
        "今天的天气怎么样会不会下雨呢",
        long,
        long.replace(long[40], "好"),
        long[::-1],
    ]
    assert pairs_of(texts).keys() == {(0, 1), (3, 4)}


def test_a_pair_is_as_similar_as_its_words_are_where_it_is_long():
    sets = word_sets([["a b c d", "b c d e"], ["a a b"], ["x"]])
    found = jaccard(sets, np.array([0, 0, 1, 3]), np.array([1, 2, 3, 3]))
    assert found.tolist() == [3 / 5, 2 / 4, 0, 1]


words = st.lists(st.sampled_from(["a", "bb", "my", "name", "balance", "is"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(words, min_size=2, max_size=8))
def test_how_alike_two_texts_are_does_not_depend_on_which_comes_first(some):
    left, right = np.triu_indices(len(some))
    there, back = (short_similarity(some, *ends, 0.0) for ends in ((left, right), (right, left)))
    assert there.tolist() == back.tolist()
    assert ((there >= 0) & (there <= 1)).all()
    assert (there[left == right] == 1).all()


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(chance):
    texts, _ = planted(60, 34, random.Random(7))
    texts += ["what is my balance please", "what is my balanse please", "so what is my balance please", "yes", "no"]
    content = np.argsort(np.argsort(texts))
    order = list(range(len(texts)))
    chance.shuffle(order)
    mixed = pairs_of([texts[place] for place in order], rank=content[order])
    back = {tuple(sorted((order[one], order[other]))): alike for (one, other), alike in mixed.items()}
    assert back == pairs_of(texts, rank=content)


def test_texts_that_are_nearly_all_the_same_are_linked_without_comparing_every_two():
    n = 1500
    base = ["".join(random.Random(place).choices(string.ascii_lowercase, k=6)) for place in range(60)]
    texts = [" ".join([*base, f"number{place}"]) for place in range(n)]
    found = pairs_of(texts)

    assert len(found) <= MOST_PAIRS * n  # all pairs would be 1,124,250
    reached, new = {0}, {0}
    links: dict[int, set[int]] = {}
    for one, other in found:
        links.setdefault(one, set()).add(other)
        links.setdefault(other, set()).add(one)
    while new:
        new = set().union(*(links[place] for place in new)) - reached
        reached |= new
    assert len(reached) == n


@given(st.lists(st.integers(0, 6), max_size=40))
def test_a_bucket_is_linked_whole_and_never_to_another(keys):
    ones, others = linked(np.array(keys, dtype=np.uint64), np.arange(len(keys)))
    assert all(keys[one] == keys[other] and one != other for one, other in zip(ones, others, strict=True))
    assert len(ones) <= (NEIGHBOURS + FIRSTS) * len(keys)
    for key in set(keys):
        members = [place for place, own in enumerate(keys) if own == key]
        pairs = {(min(pair), max(pair)) for pair in zip(ones.tolist(), others.tolist(), strict=True)}
        assert all((one, other) in pairs for one, other in pairwise(members))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), max_size=60), st.randoms(use_true_random=False))
def test_each_is_linked_with_the_first_ones_of_its_family_whoever_else_is_in_the_bucket(items, chance):
    keys, family = np.array(items, dtype=np.int64).reshape(-1, 2).T
    rank = np.array(chance.sample(range(len(items)), len(items)), dtype=np.int64)
    ones, others = linked(keys.astype(np.uint64), rank, family)
    assert (keys[ones] == keys[others]).all()
    assert len(ones) <= (NEIGHBOURS + FIRSTS + FAMILY_FIRSTS) * len(items)
    pairs = {frozenset(pair) for pair in zip(ones.tolist(), others.tolist(), strict=True)}
    for own in set(items):
        members = sorted((place for place, item in enumerate(items) if item == own), key=lambda place: rank[place])
        for first in members[:FAMILY_FIRSTS]:
            assert all(frozenset((first, other)) in pairs for other in members if other != first)


def test_the_width_of_a_key_finds_nearly_all_at_the_similarity_asked_for():
    assert width(0.8, 256) == 8
    for similarity in (0.2, 0.5, 0.7, 0.8, 0.95, 1.0):
        r = width(similarity, 256)
        assert 1 <= r <= 8
        assert r == 1 or 1 - (1 - similarity**r) ** (256 // r) >= 0.995


def test_no_texts_and_one_text_have_no_pairs():
    assert not pairs_of([])
    assert not pairs_of(["a text"])
