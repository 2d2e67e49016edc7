"""The seam of filters: what looks at requests before they are answered and at answers before they go out.

To add one: a class, made of its argument in the brief (what follows the colon in "pattern:…", or ""), declared under
`lifeloop.filters`. `tests/contracts/test_filters.py` must pass.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class About(Struct, frozen=True):
    """What a filter may know besides the text."""

    systems: tuple[str, ...] = ()
    """The system prompts of the candidate that answers and of those it is composed of; none of a request."""
    canary: str = ""
    """The secret word in them, or ""."""


class Filter(Protocol):
    """A filter. It keeps nothing of what it sees, so one serves all requests."""

    what: frozenset[str]
    """What it can look at: "input", "output" or both."""

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return why a text may not pass, or "" where it may. The reason is for everybody: it quotes nothing.

        Where a text is not `whole` it is the beginning of one, or a part of it: of a word at its end nothing is said.
        """

    def open(self, text: str, about: About) -> int:
        """Return the place in a text that passed, from which on more text might still make it one that does not.

        What stands before it can go out; `len(text)` lets all of it go.
        """


FilterKind = Callable[[str], Filter]
"""What an entry point holds: takes the argument. Raises BriefError where that is none."""
