"""The texts that an endpoint's choices, or a request's options, hold: what filters read of JSON.

Takes JSON, gives texts as whoever receives it may put them together: pieces of a stream one after the other, names
twice in an object both, escapes inside a string (a tool's arguments are JSON in JSON) as the characters they stand
for. Knows nothing of filters.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

Place = tuple[str | int, ...]
"""Where in the JSON a text stands: names, and in lists the `index` of an item."""

CONTENT: Place = (0, "delta", "content")
"""Where a stream's texts stand that come without choices."""
_ESCAPE = re.compile(
    r"\\+(?:u([dD][89abAB][0-9a-fA-F]{2})\\+u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([nrtbf\"/]))"
)
_UNFINISHED = re.compile(r"\\+(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\+(?:u[0-9a-fA-F]{0,3})?)?))?\Z")
_MEANT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "/": "/"}


class Unreadable(ValueError):
    """JSON that is none, or is nested too deeply."""


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its names, those that it holds twice too."""


class Texts:
    """Collects texts; those of one place belong together.

    Items of a list that say no `index` follow each other, or continue what stood at their position: both are read.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[Place, list[str]] = {}
        self._by_position: dict[Place, list[str]] = {}
        self._names: dict[str, None] = {}

    def add(self, text: str, place: Place) -> None:
        """Add what a place holds, or what is appended to it."""
        for known in (self._in_a_row, self._by_position):
            known.setdefault(place, []).append(text)

    def read(self, raw: str) -> None:
        """Add all that JSON holds. Raises Unreadable."""
        try:
            value = json.loads(raw, object_pairs_hook=_Object)
            self._walk(value, (), self._in_a_row, 0)
            self._walk(value, (), self._by_position, 1)
        except (ValueError, RecursionError):
            raise Unreadable("what the endpoint sent cannot be read") from None

    def all(self) -> list[str]:
        """Return the texts, each once: of a place that holds several, put together as pieces and as words."""
        found = dict.fromkeys(self._names)
        for texts in (*self._in_a_row.values(), *self._by_position.values()):
            found["".join(texts)] = None
            if len(texts) > 1:
                found[" ".join(texts)] = None
        return list(found)

    def _walk(self, value: Any, place: Place, known: dict[Place, list[str]], step: int) -> None:
        if isinstance(value, str):
            known.setdefault(place, []).append(value)
        elif isinstance(value, _Object):
            for name, held in value:
                self._names[name] = None
                self._walk(held, (*place, name), known, step)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                self._walk(item, (*place, _index(item, position * step)), known, step)


def strings_in(value: Any) -> Iterator[str]:
    """Yield the strings and names of a value that JSON was decoded to."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            rest += [*value, *value.values()]
        elif isinstance(value, list):
            rest += value


def with_unescaped(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts, and of those that hold escapes what they stand for too."""
    for text in texts:
        yield text
        if "\\" in text:
            yield unescaped(text)


def unescaped(text: str) -> str:
    """Return a text with JSON's escapes, however often they are escaped themselves, as the characters they mean."""
    return _ESCAPE.sub(_character, text)


def place_before(text: str, place: int) -> int:
    """Return where in a text stands what is at a place of `unescaped(text)`."""
    for found in _ESCAPE.finditer(text):
        if found.start() >= place:
            break
        place += found.end() - found.start() - 1  # an escape is one character
    return place


def unfinished(text: str) -> int:
    """Return where the escape begins that a text ends in the middle of; its end where there is none."""
    found = _UNFINISHED.search(text, max(0, text.rfind("\\", 0) - 16))
    return found.start() if found else len(text)


def _character(found: re.Match[str]) -> str:
    high, low, code, letter = found.groups()
    if letter:
        return _MEANT[letter]
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    character = chr(int(code, 16))
    return "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else character


def _index(item: Any, otherwise: int) -> int:
    """Return the place that an item of a list gives itself."""
    if isinstance(item, _Object):
        for name, held in item:
            if name == "index" and isinstance(held, int):
                return held
    return otherwise
