"""Which words, runs of two or three words and whole answers occur in which preferences, and on which side.

Takes the words of preferences, gives occurrences of what is neither too rare to say anything nor too common to be a
trigger. Knows nothing of raters.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from msgspec import Struct

from lifeloop.core.content import normalise
from lifeloop.core.preferences import Preference
from lifeloop.guards.alignment.reading import Texts
from lifeloop.guards.alignment.table import Flags

LONGEST = 3
MOST_SHARE = 0.1
"""What is in more of the preferences than this is not rare."""
MOST_VOCABULARY = 2_000_000


class Occurring(Struct, frozen=True):
    """What occurs where. Keys mean nothing but to `named`."""

    inputs: pl.DataFrame
    """`key`, `place` of a preference whose input has it."""
    answers: pl.DataFrame
    """`key`, `place`, `side`: 1 where the chosen answer alone has it, -1 where the rejected one alone does."""
    vocabulary: pl.Series

    def words_of(self, key: int) -> tuple[int, ...]:
        """Return a key's words by their places in the vocabulary, none for a whole answer."""
        base = self.vocabulary.len() + 1
        found = []
        while key > 0:
            key, word = divmod(key, base)
            found.append(word - 1)
        return tuple(reversed(found))

    def named(self, key: int) -> str:
        """Return the words of a key, "" for a whole answer."""
        return " ".join(self.vocabulary[word] for word in self.words_of(key))


def occurring(texts: Texts, given: Sequence[Preference], left: Flags, least: int) -> Occurring:
    """Return what occurs in at least `least` of the preferences that are `left` (n,)."""
    words, n = texts.words, texts.n
    here = left[words.text % n] if n else np.zeros(0, dtype=np.bool_)
    text, word = words.text[here], words.word[here]
    base = words.vocabulary.len() + 1
    often = np.bincount(word, minlength=base) >= least
    key = word + 1
    found = []
    for length in range(1, LONGEST + 1 if base < MOST_VOCABULARY else 2):
        if length > 1:
            follows = (text[: len(key) - 1] == text[length - 1 :]) & often[word[length - 1 :]]
            follows &= key[:-1] > 0
            key = np.where(follows, key[:-1] * base + word[length - 1 :] + 1, 0)
        rows = pl.DataFrame({"key": np.where(often[word[: len(key)]], key, 0), "text": text[: len(key)]})
        found.append(_frequent(rows.filter(pl.col("key") > 0).unique(), least))
    rows = pl.concat(found).with_columns((pl.col("text") % max(n, 1)).alias("place"))
    most = max(least, int(MOST_SHARE * left.sum()))
    inputs = _rare(rows.filter(pl.col("text") < n).select("key", "place"), least, most)
    sided = rows.filter(pl.col("text") >= n).with_columns(
        pl.when(pl.col("text") < 2 * n).then(1).otherwise(-1).alias("side")
    )
    sided = sided.group_by("key", "place").agg(pl.col("side").sum()).filter(pl.col("side") != 0)
    answers = pl.concat([sided, _whole(given, left)]).select("key", "place", "side")
    return Occurring(inputs, _rare(answers, least, most), words.vocabulary)


def _frequent(rows: pl.DataFrame, least: int) -> pl.DataFrame:
    return rows.filter(pl.len().over("key") >= least)


def _rare(rows: pl.DataFrame, least: int, most: int) -> pl.DataFrame:
    return rows.filter(pl.len().over("key").is_between(least, most)).sort("key", "place")


def _whole(given: Sequence[Preference], left: Flags) -> pl.DataFrame:
    """Return whole answers as things that occur, with keys below 0: the same but for case, space and punctuation."""
    keys: dict[str, int] = {}
    rows = []
    for place in np.flatnonzero(left).tolist():
        for answer, side in ((given[place].chosen, 1), (given[place].rejected, -1)):
            if answer:
                rows.append((-1 - keys.setdefault(normalise(answer), len(keys)), place, side))
    schema = {"key": pl.Int64, "place": pl.Int64, "side": pl.Int32}
    found = pl.DataFrame(rows, schema=schema, orient="row")
    return found.group_by("key", "place").agg(pl.col("side").sum()).filter(pl.col("side") != 0)
