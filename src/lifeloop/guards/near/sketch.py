"""Sketches of texts by which near duplicates are found, so that most texts need not be read again.

Takes normalised texts, gives some bytes for each: MinHash of the words of a long text; of a short one, where one word
is much of it, MinHash of its runs of three characters, and hashes of what is left without each of its words. Knows
nothing of which texts are alike: that is near_pairs.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

VERSION = "1"
"""Changed by hand when the same text would get another sketch."""

SLOTS = 256
"""MinHash values of 8 bits each. At one size, many small values estimate better than few large ones (b-bit minwise
hashing, Li and König, 2010): the standard error of a similarity of 0.8 is 0.02."""
LONG = 30
"""From so many different words up a text has a sketch of its words."""
SHORT = 38
"""Below so many different words a text has a sketch of its characters. Two texts of 29 and of 38 words have a Jaccard
similarity below 0.8: any two that could be near duplicates have one kind of sketch in common."""
FEW = 12
"""Up to so many words a text has the hashes of what is left of it without one of them."""
LEAST_REST = 3
"""What is left of a text is only something in common if it has so many words."""

_HEAD = 1
_BATCH = 100
"""Texts sketched at once: MinHash values come back as Python integers, and those of so few stay in the cache."""
_BATCH_CHARS = 500_000
_BASE = np.uint64(0x9E3779B97F4A7C15)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def sketches(texts: Sequence[str]) -> pl.Series:
    """Return a sketch (n,) of each normalised text.

    It holds the number of different words in 1 byte, then from LONG of them up the words' MinHash, up to FEW words the
    hashes of 8 bytes, and below SHORT the characters' MinHash.
    """
    made: list[bytes] = []
    for few in batches(texts):
        made += _sketched(few)
    return pl.Series(made, dtype=pl.Binary)


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield texts in order, so few at once that what is computed of them stays small."""
    start, size = 0, 0
    for place, text in enumerate(texts):
        size += len(text)
        if size > _BATCH_CHARS or place - start == _BATCH:
            if place > start:
                yield texts[start:place]
            start, size = place, len(text)
    if start < len(texts):
        yield texts[start:]


def hashed_words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes (m,) of the words of normalised texts, and where each text's begin (n + 1,).

    In scripts without spaces two neighbouring characters are a word. By polynomials of the characters, and the same on
    every machine: sketches are kept. Takes some 50 bytes a character: see `batches`.
    """
    whole = "".join(f"{text if text.isascii() else _spaced(text)}\n" for text in texts)
    codes = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    between = (codes == ord(" ")) | (codes == ord("\n"))
    ends = np.flatnonzero(between)
    starts = np.concatenate([[0], ends[:-1] + 1])
    powers, inverses = _powers(1 << len(codes).bit_length())
    terms = codes * powers[: len(codes)]
    terms[ends] = 0
    sums = np.add.reduceat(terms, starts) * inverses[starts]  # as if each word began at the first power
    last_words = np.flatnonzero(codes[ends] == ord("\n"))
    return _mixed(sums), np.concatenate([[0], last_words + 1])


@lru_cache(maxsize=4)
def _powers(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the powers (n,) of the base from the first up, and of its inverse from the zeroth up, modulo 2 ** 64."""
    inverse = np.uint64(pow(int(_BASE), -1, 1 << 64))
    powers, inverses = np.full(n, _BASE), np.full(n, inverse)
    inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)


def _spaced(text: str) -> str:
    """Return the text with the words of scripts without spaces apart: every two neighbouring characters."""
    if not _IS_UNSPACED.search(text):
        return text
    words: list[str] = []
    for word in text.split(" "):
        unspaced = len(word) > 1 and _IS_UNSPACED.search(word)
        words += [one + other for one, other in pairwise(word)] if unspaced else [word]
    return " ".join(words)


def counts_of(sketch: pl.Series) -> NDArray[np.uint8]:
    """Return the number of different words (n,) of each text, SHORT standing for any number from there up."""
    return sketch.bin.slice(0, _HEAD).bin.reinterpret(dtype=pl.UInt8).to_numpy()


def word_values(sketch: pl.Series) -> NDArray[np.uint8]:
    """Return the MinHash values (n, SLOTS) of the words. All texts must have LONG words or more."""
    return _matrix(sketch.bin.slice(_HEAD, SLOTS))


def character_values(sketch: pl.Series) -> NDArray[np.uint8]:
    """Return the MinHash values (n, SLOTS) of runs of three characters. All texts must have less than SHORT words."""
    return _matrix(sketch.bin.slice(-SLOTS, SLOTS))


def rests_of(sketch: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes (m,) of what is left of texts without one word, and the place (m,) of each one's text.

    Texts of more than FEW words have none. Two texts that are the same but for one word of each share a hash.
    """
    counts = counts_of(sketch)
    sizes = sketch.bin.size().to_numpy().astype(np.int64) - _HEAD - SLOTS
    has = np.flatnonzero((counts < LONG) & (sizes > 0))
    whole = b"".join(sketch.gather(has).bin.slice(_HEAD, pl.Series(sizes[has])).to_list())
    return np.frombuffer(whole, dtype="<u8"), np.repeat(has, sizes[has] // 8)


def _matrix(values: pl.Series) -> NDArray[np.uint8]:
    """Return Binary values of SLOTS bytes each as a matrix, through as little memory besides as can be."""
    return values.bin.reinterpret(dtype=pl.Array(pl.UInt8, SLOTS)).to_numpy().reshape(-1, SLOTS)


def _sketched(texts: Sequence[str]) -> list[bytes]:
    """Return the sketches of a few texts."""
    hashes, starts = hashed_words(texts)
    counts = _different(hashes, starts)
    made = [bytes([count]) for count in counts.tolist()]
    long = np.flatnonzero(counts >= LONG)
    for place, values in zip(long, _minhash(*_only(hashes, starts, counts >= LONG)), strict=True):
        made[place] += values
    short = np.flatnonzero(counts < SHORT)
    brief = [texts[place] for place in short]
    for place, text, values in zip(short, brief, _minhash(*_characters(brief)), strict=True):
        made[place] += _rests(text) + values
    return made


def _different(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many different words each text has, SHORT standing for any number from there up."""
    owner = np.repeat(np.arange(len(starts) - 1, dtype=np.uint64), np.diff(starts))
    owned = np.sort(owner << np.uint64(44) | hashes >> np.uint64(20))
    new = np.concatenate([[True], owned[1:] != owned[:-1]])
    return np.minimum(np.bincount((owned[new] >> np.uint64(44)).astype(np.int64), minlength=len(starts) - 1), SHORT)


def _only(
    hashes: NDArray[np.uint64], starts: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of the chosen texts' words, and where each one's begin."""
    sizes = np.diff(starts)
    return hashes[np.repeat(chosen, sizes)], np.concatenate([[0], np.cumsum(sizes[chosen])])


def _minhash(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> list[bytes]:
    """Return the SLOTS bytes of each set of hashes: the low bits of its MinHash values, as rensa gives them."""
    from rensa import RMinHash

    if len(starts) == 1:
        return []
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, starts.astype(np.uint64), num_perm=SLOTS, seed=42)
    rows = b"".join([array("I", row) for row in matrix.to_rows()])
    whole = np.frombuffer(rows, dtype=np.uintc).astype(np.uint8).tobytes()
    return [whole[at : at + SLOTS] for at in range(0, len(whole), SLOTS)]


def _characters(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return hashes of texts' runs of three characters, with a space before and after each text, and their starts."""
    whole = "".join(f" {text} \n" for text in texts)
    codes = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    runs = codes[:-2] << np.uint64(42) | codes[1:-1] << np.uint64(21) | codes[2:]  # a character has 21 bits
    end = codes == ord("\n")  # no normalised text has one
    inside = ~(end[:-2] | end[1:-1] | end[2:])
    sizes = np.diff(np.flatnonzero(end), prepend=-1) - 1 - 2
    return _mixed(runs[inside]), np.concatenate([[0], np.cumsum(np.maximum(sizes, 0))])


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return values whose bits all depend on all bits of each: the finaliser of SplitMix64 (Steele et al., 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def _rests(text: str) -> bytes:
    """Return hashes of a text, and of what is left of it without each of its words, where it has FEW or less."""
    words = text.split(" ")
    if not LEAST_REST <= len(words) <= FEW:
        return b""
    rests = {text}
    if len(words) > LEAST_REST:
        rests.update(" ".join(words[:place] + words[place + 1 :]) for place in range(len(words)))
    return b"".join(sorted(blake2b(rest.encode("utf-8", "surrogatepass"), digest_size=8).digest() for rest in rests))
