"""Lists of words and phrases that people know to matter: whether, and how often, a text has any of each list.

The words are kept with the candidate, so that a list that changes later changes nothing that is in production.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Request
from lifeloop.core.errors import BriefError
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_blocks.scaling import Scale, load_scale, scale_of
from lifeloop.models.feature_settings import Settings
from lifeloop.models.project_files import inside

WORDS, SCALE = "lexicons.json", "lexicons.npy"
WHERE = "candidates.lexicons"
_TOKEN = re.compile(r"\w+|[^\w\s]")

Lexicons = Mapping[str, Sequence[str]]


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text.casefold()))


class Finder:
    """Finds the entries of lists in texts: whole words, in any case, phrases in their order."""

    def __init__(self, lexicons: Lexicons) -> None:
        self.n_lists = len(lexicons)
        self._lists: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, words in enumerate(lexicons.values()):
            for entry in dict.fromkeys(map(_tokens, words)):
                self._lists[entry].append(number)
        self._lengths = sorted({len(entry) for entry in self._lists})

    def count(self, text: str) -> NDArray[np.float32]:
        """Return how often each list has an entry in a text (n_lists,), and of how many tokens the text is."""
        tokens = _tokens(text)
        counts = np.zeros(self.n_lists, dtype=np.float32)
        for length in self._lengths:
            for start in range(len(tokens) - length + 1):
                for number in self._lists.get(tokens[start : start + length], ()):
                    counts[number] += 1
        share = counts / max(1, len(tokens))
        return np.concatenate([counts > 0, np.log1p(counts), share]).astype(np.float32)


class LexiconBlock:
    """Lists of words, on the scale of the training texts."""

    def __init__(self, lexicons: Lexicons, scale: Scale | None = None) -> None:
        self._lexicons = lexicons
        self._finder = Finder(lexicons)
        self._scale = scale

    def raw(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return of each list whether, how often (a logarithm) and in what share of the text: (n, 3 * n_lists)."""
        return np.stack([self._finder.count(request.text) for request in requests])

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return the same on the scale of training."""
        assert self._scale is not None, "a fitted block has a scale"
        return self._scale.apply(self.raw(requests))

    def save(self, folder: Path) -> None:
        """Write the words and the scale."""
        assert self._scale is not None, "a fitted block has a scale"
        (folder / WORDS).write_bytes(msgspec.json.encode(self._lexicons))
        self._scale.save(folder / SCALE)


class LexiconKind:
    """Block "lexicons"."""

    name = "lexicons"

    def wanted(self, settings: Settings) -> bool:
        """Return whether there is any list."""
        return bool(settings.lexicons)

    def fit(self, fitting: Fitting) -> tuple[LexiconBlock, Matrix]:
        """Read the lists and look for them in the training texts. Raises BriefError where a list cannot be read."""
        lexicons = {
            name: _listed(name, words, fitting.project) for name, words in sorted(fitting.settings.lexicons.items())
        }
        raw = LexiconBlock(lexicons).raw(fitting.requests)
        scale = scale_of(raw)
        return LexiconBlock(lexicons, scale), scale.apply(raw)

    def load(self, folder: Path, settings: Settings) -> LexiconBlock:
        """Return the block with the words that it was trained with."""
        words = msgspec.json.decode((folder / WORDS).read_bytes(), type=dict[str, tuple[str, ...]])
        return LexiconBlock(words, load_scale(folder / SCALE))


def _listed(name: str, words: Sequence[str] | str, project: Path | None) -> tuple[str, ...]:
    where = f"{WHERE}.{name}"
    if isinstance(words, str):
        file = inside(project or Path(), words, where)
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise BriefError(f"{words!r} is not UTF-8", where=where, fix="save it as UTF-8, one word a line") from None
        words = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    kept = tuple(word for word in words if _tokens(word))
    if not kept:
        raise BriefError("the list is empty", where=where, fix='write words = ["refund", "money back"], say')
    return kept


KIND = LexiconKind()
