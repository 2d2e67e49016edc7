"""The words of many texts as numbers, for guards that count them.

Takes texts, gives which word stands where. Reads texts a block at a time and of long ones only the ends, so that memory
depends on how many characters were asked for. Knows nothing of labels. Languages written without spaces are read as one
word a phrase.
"""

from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.guard import Texts

WORD = r"\w+|[^\w\s]+"
"""A word, or a run of marks."""
BLOCK_ROWS = 20_000
LEAST_CHARS = 200
"""Of each text at least so many characters are read."""

Places = NDArray[np.int64]


class Words(Struct, frozen=True):
    """Words in the order in which they stand in texts."""

    text: Places
    """The text (n,) of each word, ascending."""
    word: Places
    """Its place (n,) in the vocabulary."""
    vocabulary: pl.Series
    """Distinct words, sorted."""
    n_texts: int

    def named(self, places: Any) -> tuple[str, ...]:
        """Return words by their places."""
        return tuple(self.vocabulary[int(place)] for place in places)


def shortened(reference: str) -> str:
    """Return a label, or the beginning of an answer, to show."""
    return reference if len(reference) <= 60 else f"{reference[:59]}…"


def read_texts(texts: Texts, rows: pl.Series, most_chars: int) -> pl.Series:
    """Return the texts (n,) of rows, which ascend; of those that are too long for `most_chars` in all, both ends."""
    each = max(LEAST_CHARS, most_chars // max(rows.len(), 1))
    blocks = []
    for start in range(0, rows.len(), BLOCK_ROWS):
        found = texts(rows[start : start + BLOCK_ROWS].to_list())
        long = found.str.len_bytes() > each
        if long.any():
            found = found.to_frame("text").select(
                pl.when(pl.col("text").str.len_chars() > each)
                .then(
                    pl.concat_str(
                        pl.col("text").str.head(each - each // 2), pl.lit(" "), pl.col("text").str.tail(each // 2)
                    )
                )
                .otherwise("text")
                .alias("text")
            )["text"]
        blocks.append(found.alias("text"))
    return pl.concat(blocks) if blocks else pl.Series("text", [], dtype=pl.String)


def words_of(texts: pl.Series) -> Words:
    """Return the words of texts, lower-case; a run of marks is a word too."""
    found = pl.DataFrame({"text": np.arange(texts.len()), "word": texts.str.to_lowercase().str.extract_all(WORD)})
    found = found.explode("word").drop_nulls()
    vocabulary = found["word"].unique().sort()
    places = pl.DataFrame({"word": vocabulary, "place": np.arange(vocabulary.len())})
    word = found.select("word").join(places, on="word", how="left", maintain_order="left")["place"]
    return Words(found["text"].to_numpy(), word.to_numpy(), vocabulary, texts.len())


def spaced(texts: pl.Series) -> pl.Series:
    """Return texts as their words with a space before, between and after, to look for sequences of words in."""
    return (
        texts.str.to_lowercase()
        .str.extract_all(WORD)
        .list.join(" ")
        .to_frame("text")
        .select(pl.format(" {} ", "text").alias("text"))["text"]
    )


def presence(words: Words) -> Any:
    """Return which words each text holds: (n_texts, n_vocabulary) sparse, 1.0 where it does."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(words.word), dtype=np.float32)
    found = csr_matrix((ones, (words.text, words.word)), shape=(words.n_texts, max(words.vocabulary.len(), 1)))
    found.sum_duplicates()
    found.data[:] = 1.0
    return found
