"""What a text looks like, whatever it says: its length, and the shares of digits, capitals, punctuation and more."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Request
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_blocks.scaling import Scale, load_scale, scale_of
from lifeloop.models.feature_settings import Settings

FILE = "statistics.npy"
READ = 20_000
"""Characters of a text that are looked at; its whole length counts all the same."""
NAMES = (
    "characters",
    "words",
    "letters a word",
    "share of digits",
    "share of capitals among letters",
    "share of punctuation",
    "share beyond ASCII",
    "share of words in capitals",
    "share of distinct words",
    "numbers",
    "links and addresses",
    "questions",
    "exclamations",
    "lines",
    "begins with a capital",
)

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LINK = re.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\w+|[@#]\w+")


def statistics(text: str) -> tuple[float, ...]:
    """Return the statistics of a text, as `NAMES` lists them. Counts are logarithms of one more."""
    begin = text[:READ]
    words = _WORD.findall(begin)
    letters = sum(map(str.isalpha, begin))
    capitals = sum(map(str.isupper, begin))
    size, n_words = max(1, len(begin)), max(1, len(words))
    counts = (len(_NUMBER.findall(begin)), len(_LINK.findall(begin)), begin.count("?"), begin.count("!"))
    return (
        np.log1p(len(text)),
        np.log1p(len(words) * len(text) / size),
        sum(map(len, words)) / n_words,
        sum(map(str.isdigit, begin)) / size,
        capitals / max(1, letters),
        sum(unicodedata.category(letter).startswith("P") for letter in begin) / size,
        sum(letter > "\x7f" for letter in begin) / size,
        sum(word.isupper() and len(word) > 1 for word in words) / n_words,
        len({word.casefold() for word in words}) / n_words,
        *np.log1p(counts),
        np.log1p(begin.count("\n")),
        float(begin.lstrip()[:1].isupper()),
    )


def _table(requests: Sequence[Request]) -> NDArray[np.float32]:
    return np.array([statistics(request.text) for request in requests], dtype=np.float32)


class StatisticsBlock:
    """Statistics on the scale of the training texts."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return (n, 15)."""
        return self._scale.apply(_table(requests))

    def save(self, folder: Path) -> None:
        """Write the scale."""
        self._scale.save(folder / FILE)


class StatisticsKind:
    """Block "statistics"."""

    name = "statistics"

    def wanted(self, settings: Settings) -> bool:
        """Return what the setting says."""
        return settings.statistics

    def fit(self, fitting: Fitting) -> tuple[StatisticsBlock, Matrix]:
        """Measure the training texts."""
        raw = _table(fitting.requests)
        scale = scale_of(raw)
        return StatisticsBlock(scale), scale.apply(raw)

    def load(self, folder: Path, settings: Settings) -> StatisticsBlock:
        """Return the block from its scale."""
        return StatisticsBlock(load_scale(folder / FILE))


KIND = StatisticsKind()
