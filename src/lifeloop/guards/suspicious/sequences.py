"""Rare words, runs of two or three words, and pairs of rare words, that stand with one label far beyond chance.

Takes words and labels, gives sequences and the texts they stand in. Most of them are natural: what a class is about has
its own words. Whether the rest of those texts supports the label is for others to ask.
"""

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.suspicious.words import Places, Words, presence

CHANCE = 1e-3
"""The probability that chance alone, with all sequences counted, makes one of them stand out."""
TIMES_EXPECTED = 3.0
"""A word must stand with the label so many times as often as it would by chance, or ..."""
PURE = 0.8
"""... so often with this label and no other. Runs and pairs must."""
MOST_SHARE = 0.05
"""A word in more of the texts than this with one label is not rare."""
RAREST = 8
"""Of each text, pairs are made of so many of its rarest words ..."""
LEANING = 1e-3
"""... that stand with its label more often than chance would have it with this probability."""
SLACK = 0.9
"""Before repeats within a text are left out, so much less purity will do."""


class Sequence(Struct, frozen=True):
    """Words that stand together with one label."""

    words: tuple[int, ...]
    """Places in the vocabulary."""
    adjacent: bool
    """Whether they follow each other; otherwise they stand anywhere in the text."""
    label: int
    texts: Places
    """The texts (n,) of this label that hold it, ascending."""
    n_others: int
    """Texts of other labels that hold it."""


def sequences(words: Words, labels: Places, least: int) -> list[Sequence]:
    """Return the sequences that stand in at least `least` texts of one label (n_texts,) and seldom elsewhere.

    Seldom: by the exact binomial test against the label's share of all texts, with Bonferroni's correction for the
    number of sequences of that length that occur so often.
    """
    if not len(words.word):
        return []
    n_words = words.vocabulary.len()
    scale = _Scale(np.bincount(labels) / words.n_texts, least, words.n_texts)
    holds = presence(words)
    text = np.repeat(np.arange(words.n_texts), np.diff(holds.indptr))
    singles = _occurring(text, holds.indices.astype(np.int64), labels)
    counts = _counts(singles, least)
    found = _standing_out(singles, counts, scale, pure=False)
    sought = [((each.key,), True, each) for each in found]

    usable = np.zeros(n_words, dtype=bool)
    usable[counts["key"].unique().to_numpy()] = True
    usable[[each.key for each in found if each.pure]] = False  # those speak for themselves
    sought += _runs(words, labels, usable, scale)
    sought += _pairs(singles, counts, usable, n_words, scale)
    return [Sequence(key, adjacent, each.label, each.texts, each.n_others) for key, adjacent, each in sought]


class _Scale(Struct, frozen=True):
    base: NDArray[np.float64]
    """The share of texts (n_labels,) that have each label."""
    least: int
    n_texts: int


class _Found(Struct, frozen=True):
    """A key that stands with a label beyond chance."""

    key: int
    label: int
    texts: Places
    n_others: int

    @property
    def pure(self) -> bool:
        return len(self.texts) >= PURE * (len(self.texts) + self.n_others)


Sought = list[tuple[tuple[int, ...], bool, _Found]]


def _runs(words: Words, labels: Places, usable: NDArray[np.bool_], scale: _Scale) -> Sought:
    """Return runs of two, then of three of which both twos are frequent."""
    n_words = len(usable)
    at = np.flatnonzero(usable[words.word])
    text, key = words.text[at], words.word[at]
    first = np.flatnonzero((at[1:] == at[:-1] + 1) & (text[1:] == text[:-1]))
    twos = _occurring(text[first], key[first] * n_words + key[first + 1], labels)
    counts = _counts(twos, scale.least)
    found: Sought = [
        ((each.key // n_words, each.key % n_words), True, each)
        for each in _standing_out(twos, counts, scale, pure=True)
    ]
    begins = np.zeros(len(key) + 1, dtype=bool)
    begins[first[twos.with_row_index("n").join(counts, on=["key", "label"], how="semi")["n"].to_numpy()]] = True
    start = np.flatnonzero(begins[:-1] & begins[1:])
    if n_words >= 2_000_000 or not len(start):  # three places would not fit in 63 bits
        return found
    threes = _occurring(text[start], (key[start] * n_words + key[start + 1]) * n_words + key[start + 2], labels)
    return found + [
        ((each.key // n_words**2, each.key // n_words % n_words, each.key % n_words), True, each)
        for each in _standing_out(threes, _counts(threes, scale.least), scale, pure=True)
    ]


def _pairs(
    singles: pl.DataFrame, counts: pl.DataFrame, usable: NDArray[np.bool_], n_words: int, scale: _Scale
) -> Sought:
    """Return pairs of rare words that stand in the same texts, wherever."""
    from scipy.special import bdtrc  # the upper tail of a binomial; scipy.stats takes a second to import

    rare = counts.filter(pl.col("all") <= MOST_SHARE * scale.n_texts)
    rare = rare.filter(pl.Series(usable[rare["key"].to_numpy()], dtype=pl.Boolean))
    share = scale.base[rare["label"].to_numpy()]
    leaning = bdtrc(rare["here"].to_numpy() - 1, rare["all"].to_numpy(), share) < LEANING
    rarest = (
        singles.join(rare.filter(pl.Series(leaning, dtype=pl.Boolean)), on=["key", "label"])
        .sort("text", "all", "key")
        .group_by("text", maintain_order=True)
        .agg(pl.col("key").head(RAREST).sort(), pl.col("label").first())
    )
    keys = rarest["key"]
    made = [
        rarest.select(
            "text",
            (keys.list.get(i, null_on_oob=True) * n_words + keys.list.get(j, null_on_oob=True)).alias("key"),
            "label",
        ).drop_nulls()
        for i in range(RAREST)
        for j in range(i + 1, RAREST)
    ]
    pairs = pl.concat(made)
    return [
        ((each.key // n_words, each.key % n_words), False, each)
        for each in _standing_out(pairs, _counts(pairs, scale.least), scale, pure=True)
    ]


def _occurring(text: Places, key: Places, labels: Places) -> pl.DataFrame:
    return pl.DataFrame({"text": text, "key": key, "label": labels[text]})


def _counts(occurring: pl.DataFrame, least: int) -> pl.DataFrame:
    """Return key, label and how often it occurs with it (`here`, `least` or more) and with any label (`all`)."""
    counts = occurring.group_by("key", "label").len("here").cast({"here": pl.Int64})
    often = counts.filter(pl.col("here") >= least)
    totals = counts.join(often, on="key", how="semi").group_by("key").agg(pl.col("here").sum().alias("all"))
    return often.join(totals, on="key")


def _standing_out(occurring: pl.DataFrame, counts: pl.DataFrame, scale: _Scale, *, pure: bool) -> list[_Found]:
    """Return what stands with a label beyond chance; a text that holds a key twice counts once."""
    from scipy.special import bdtrc  # the upper tail of a binomial; scipy.stats takes a second to import

    n_keys = counts["key"].n_unique()
    likely = counts
    if pure:
        likely = counts.filter(pl.col("here") >= SLACK * PURE * pl.col("all"))
    if not likely.height:
        return []
    once = occurring.join(likely, on="key", how="semi").unique(["text", "key"])
    again = _counts(once, scale.least).filter(pl.col("here") <= MOST_SHARE * scale.n_texts)
    here, everywhere = again["here"].to_numpy(), again["all"].to_numpy()
    share = scale.base[again["label"].to_numpy()]
    stands_out = here >= PURE * everywhere
    if not pure:
        stands_out |= here >= TIMES_EXPECTED * everywhere * share
    stands_out &= bdtrc(here - 1, everywhere, share) * n_keys < CHANCE
    kept = again.filter(pl.Series(stands_out, dtype=pl.Boolean)).sort("key", "label")
    where = once.join(kept, on=["key", "label"], how="semi").group_by("key", "label").agg(pl.col("text").sort())
    kept = kept.join(where, on=["key", "label"], how="left", maintain_order="left")
    return [
        _Found(key, label, texts.to_numpy(), total - n)
        for key, label, n, total, texts in zip(
            kept["key"], kept["label"], kept["here"], kept["all"], kept["text"], strict=True
        )
    ]
