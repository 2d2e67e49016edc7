"""Reads texts into the numbers a tagger's network takes: tokens, words, shapes and characters, window by window.

Takes texts and an encoder's tokeniser, gives rows of plain numbers and, of some rows, the arrays of one batch. Knows
nothing of tags and weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.models.tagger_windows import Window, windows
from lifeloop.models.tagger_words import LONGEST, N_FACTS, Span, Split, characters, facts, shape, spans


class Row(Struct, frozen=True):
    """One window of a text: a value a word in each field."""

    tokens: list[list[int]]
    """Token ids of each word, at least one."""
    shapes: list[int]
    characters: list[list[int]]
    facts: list[list[float]]

    @property
    def n_tokens(self) -> int:
        """Number of tokens of all words."""
        return sum(map(len, self.tokens))


class Reading(Struct, frozen=True):
    """A text as it was read."""

    words: list[Span]
    windows: list[Window]
    rows: list[Row]
    """One a window."""


class Batch(Struct, frozen=True):
    """Rows side by side, filled up with zeros: n rows, at most w words and s tokens each."""

    ids: NDArray[np.int64]
    """(n, s)"""
    mask: NDArray[np.int64]
    """(n, s): 1 for tokens."""
    cases: NDArray[np.int64]
    """(n, s): 1 + the shape of the token's word; 0 for the encoder's own marks."""
    average: NDArray[np.float32]
    """(n, w, s): the share of each token in its word's vector."""
    shapes: NDArray[np.int64]
    """(n, w)"""
    characters: NDArray[np.int64]
    """(n, w, LONGEST)"""
    facts: NDArray[np.float32]
    """(n, w, N_FACTS)"""
    held: NDArray[np.bool_]
    """(n, w): whether there is such a word."""


def read(texts: Sequence[str], tokeniser: Any, split: Split, max_tokens: int) -> list[Reading]:
    """Return each text in windows of at most `max_tokens`, the encoder's own two marks included."""
    if not texts:
        return []
    found = tokeniser(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
    )
    room = max(1, max_tokens - 2)
    readings = []
    for text, ids, places in zip(texts, found["input_ids"], found["offset_mapping"], strict=True):
        words = spans(text, split)
        tokens = [own[:room] for own in _by_word(words, ids, places, tokeniser.unk_token_id or 0)]
        whole = Row(
            tokens,
            [shape(text[start:end]) for start, end in words],
            [characters(text[start:end]) for start, end in words],
            facts(text, words),
        )
        cut = windows([len(own) for own in tokens], room)
        readings.append(Reading(words, cut, [_part(whole, window) for window in cut]))
    return readings


def _by_word(words: Sequence[Span], ids: Sequence[int], places: Sequence[Span], unknown: int) -> list[list[int]]:
    """Return the tokens of each word, by the word that a token's last character is in; unknown where it has none."""
    tokens: list[list[int]] = [[] for _ in words]
    place = 0
    for number, (start, end) in zip(ids, places, strict=True):
        while place < len(words) and words[place][1] < end:
            place += 1
        if start < end and place < len(words) and words[place][0] < end:
            tokens[place].append(number)
    return [own or [unknown] for own in tokens]


def _part(row: Row, window: Window) -> Row:
    if (window.first, window.end) == (0, len(row.tokens)):
        return row
    inside = slice(window.first, window.end)
    return Row(row.tokens[inside], row.shapes[inside], row.characters[inside], row.facts[inside])


def stack(rows: Sequence[Row], tokeniser: Any) -> Batch:
    """Return rows side by side, each between the encoder's own marks."""
    first = _known(tokeniser.cls_token_id, tokeniser.bos_token_id)
    last = _known(tokeniser.sep_token_id, tokeniser.eos_token_id)
    n_words = max(len(row.tokens) for row in rows)
    n_tokens = max(row.n_tokens for row in rows) + len(first) + len(last)
    n = len(rows)
    ids = np.full((n, n_tokens), tokeniser.pad_token_id or 0, dtype=np.int64)
    mask, cases = np.zeros((2, n, n_tokens), dtype=np.int64)
    average = np.zeros((n, n_words, n_tokens), dtype=np.float32)
    shapes = np.zeros((n, n_words), dtype=np.int64)
    letters = np.zeros((n, n_words, LONGEST), dtype=np.int64)
    about = np.zeros((n, n_words, N_FACTS), dtype=np.float32)
    held = np.zeros((n, n_words), dtype=bool)
    for place, row in enumerate(rows):
        length = len(row.tokens)
        ids[place, : len(first)] = first
        at = len(first)
        for word, own in enumerate(row.tokens):
            inside = slice(at, at + len(own))
            ids[place, inside], cases[place, inside] = own, 1 + row.shapes[word]
            average[place, word, inside] = 1.0 / len(own)
            at += len(own)
        ids[place, at : at + len(last)] = last
        mask[place, : at + len(last)] = 1
        shapes[place, :length], held[place, :length] = row.shapes, True
        letters[place, :length], about[place, :length] = row.characters, row.facts
    return Batch(ids, mask, cases, average, shapes, letters, about, held)


def _known(*numbers: int | None) -> list[int]:
    """Return the first number that there is, in a list; an empty one where there is none."""
    return [number for number in numbers if number is not None][:1]
