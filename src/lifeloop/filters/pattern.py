"""Refuses requests, or withholds answers, in which a pattern of the brief's own is found: "pattern:(?i)project falcon".

The pattern is a regular expression as Python's `re` knows it. It runs on every request: one that takes long on some
texts (nested repeats) makes everybody wait.
"""

import re

from lifeloop.core.errors import BriefError
from lifeloop.filters.filter import About

HELD = 200
"""Characters at the end of a stream that may be the beginning of a match; what is longer is seen too late."""


class Pattern:
    """Looks for a regular expression."""

    what = frozenset({"input", "output"})

    def __init__(self, argument: str = "") -> None:
        try:
            self._pattern = re.compile(argument)
        except re.error as error:
            what = f"{argument!r} is no regular expression: {error}"
            raise BriefError(what, where="gateway.protection", fix="see Python's re") from None
        if self._pattern.search(""):
            fix = 'write it after the name, as in "pattern:(?i)project falcon"'
            raise BriefError("a pattern that is found in every text", where="gateway.protection", fix=fix)

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return whether the pattern is found."""
        del about, whole
        return "it holds what this project keeps to itself" if self._pattern.search(text) else ""

    def open(self, text: str, about: About) -> int:
        """Return where the last characters begin."""
        del about
        return max(len(text) - HELD, 0)
