"""Refuses requests, or withholds answers, that hold personal data or secrets: those that refining masks.

Its argument names the kinds, as in "personal:mail,phone"; without one they are those of data.refine.personal_data.
"""

from collections.abc import Sequence

from lifeloop.core.data_brief import PersonalData
from lifeloop.filters.filter import About
from lifeloop.guards.personal.kinds import find_personal
from lifeloop.guards.personal.masking import check_kinds

HELD = 80
"""Characters at the end of a stream that may be the beginning of an address or a number."""
LONGEST_WORD = 256


class Personal:
    """Looks for personal data."""

    what = frozenset({"input", "output"})

    def __init__(self, argument: str = "") -> None:
        settings = PersonalData()
        kinds: Sequence[str] = [kind.strip() for kind in argument.split(",")] if argument else settings.kinds
        check_kinds(PersonalData(kinds=tuple(kinds)))
        self._kinds = kinds
        self._regions = settings.regions

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return which kinds of personal data a text holds."""
        del about
        settled = text if whole else text[: _word_start(text, len(text))]
        found = dict.fromkeys(each.kind for each in find_personal(settled, self._kinds, self._regions))
        return f"it holds personal data ({', '.join(found)})" if found else ""

    def open(self, text: str, about: About) -> int:
        """Return where the last characters begin, whole words of them."""
        del about
        return _word_start(text, max(len(text) - HELD, 0))


def _word_start(text: str, place: int) -> int:
    """Return where the word begins that a place is in or after, or the place itself where that is far away."""
    start = place
    while start > 0 and not text[start - 1].isspace():
        start -= 1
        if place - start > LONGEST_WORD:
            return place
    return start
