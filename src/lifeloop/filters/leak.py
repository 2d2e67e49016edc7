"""Withholds answers that repeat the system prompt word for word.

Twelve words in a row that stand so in the system prompt are no accident; spacing, case and punctuation make no
difference. A prompt that is put in other words is not recognised.
"""

import re
from functools import lru_cache

from lifeloop.filters.filter import About

WORDS = 12
"""In a row."""
UNSEEN = 4
"""So many words in a row may go out of a prompt before an answer is held back; common turns of phrase are as long."""
REPEATED = "it repeats its system prompt"
_WORD = re.compile(r"\w+")


class Leak:
    """Looks for words that follow each other as they do in the system prompt."""

    what = frozenset({"output"})

    def __init__(self, argument: str = "") -> None:
        del argument

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return why a text may not pass."""
        for system in about.systems:
            if _runs(text, _rows(system), whole)[0] >= WORDS:
                return REPEATED
        return ""

    def open(self, text: str, about: About) -> int:
        """Return where a row of words of the system prompt begins that has not ended yet."""
        found = len(text)
        for system in about.systems:
            _, run, start = _runs(text, _rows(system), False)
            if run >= UNSEEN:
                found = min(found, start)
        return found


def _runs(text: str, rows: frozenset[str], whole: bool) -> tuple[int, int, int]:
    """Return the longest row of words that is in `rows`, the one that the text ends with, and where that begins."""
    longest = 0
    run: list[tuple[str, int]] = []
    for word in _WORD.finditer(text):
        if not whole and word.end() == len(text):
            break  # it may go on
        said = word.group().casefold()
        if said not in rows:
            run.clear()
            continue
        run.append((said, word.start()))
        while len(run) > 1 and " ".join([each for each, _ in run]) not in rows:
            run.pop(0)
        longest = max(longest, len(run))
        if longest >= WORDS:
            break
    return longest, len(run), run[0][1] if run else len(text)


@lru_cache(maxsize=64)
def _rows(system: str) -> frozenset[str]:
    """Return all rows of up to WORDS words that follow each other in a prompt."""
    words = [word.casefold() for word in _WORD.findall(system)]
    return frozenset(
        " ".join(words[start : start + size]) for start in range(len(words)) for size in range(1, WORDS + 1)
    )
