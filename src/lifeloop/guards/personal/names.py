"""Names of persons in a text: by title, introduction, greeting, signature or field; and a known first name with a last.

Takes a text, gives the spans of names. Knows some 20,000 first names of many countries (from Faker) and no person. A
first name alone, that nothing introduces, is left: too many are words, towns and clubs.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from lifeloop.core.errors import DataError
from lifeloop.guards.personal.context import Span
from lifeloop.guards.personal.name_cues import (
    FIELD,
    FIELD_NAMES,
    FULL,
    GREETED,
    IN_GREETED,
    IN_MAYBE_NAMED,
    IN_NAMED,
    IN_SIGNED,
    LAST,
    LETTERS,
    MAYBE_NAMED,
    NAMED,
    SIGNED,
    SMALL,
    TITLED,
    WORD,
    WORD_END,
)
from lifeloop.guards.personal.name_words import AMBIGUOUS, NO_NAMES, ORGANISATIONS

_RUN = re.compile(rf"{WORD}(?: (?:[A-ZÀ-Þ]\.?(?![\w'’])|{LAST})){{1,5}}")
_WORD = re.compile(r"[^\s]+")
_CAPITALS = re.compile(FULL + WORD_END)
_LETTERS = re.compile(LETTERS)
_POSSESSIVE = re.compile(r"['’]s?\Z")
_PARTICLES = frozenset(
    ("van", "von", "der", "den", "de", "del", "della", "di", "da", "du", "la", "bin", "ibn", "al", "el")
)


def names(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of names of persons, without titles. Raises DataError where the list of names is missing."""
    del regions
    found = [_trimmed(text, *each.span(1)) for each in TITLED.finditer(text)]
    folded = text.casefold()
    for pattern, accepts, cues in _RULES:
        if any(cue in folded for cue in cues):
            for each in pattern.finditer(text):
                span = accepts(text, each.end())
                if span:
                    found.append(_trimmed(text, *span))
    for run in _RUN.finditer(text):
        found += _in_run(text, run)
    return [span for span in found if text[slice(*span)].casefold() not in NO_NAMES]


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """Return first and last names, folded, of all countries that Faker knows."""
    import pkgutil
    from importlib import import_module

    try:
        from faker.providers import person
    except ModuleNotFoundError:
        fix = "pip install 'lifeloop[names]', or leave name out of data.refine.personal_data.kinds"
        raise DataError("Faker is not installed: it has the list of first names", where="data", fix=fix) from None
    first: set[str] = set()
    last: set[str] = set()
    for module in pkgutil.iter_modules(person.__path__):
        lists = vars(import_module(f"{person.__name__}.{module.name}").Provider)
        for name, words in lists.items():
            if isinstance(words, (list, tuple, dict)) and name.startswith(("first_names", "last_names")):
                (first if name.startswith("first") else last).update(
                    word.casefold() for word in words if isinstance(word, str) and len(word) > 2
                )
    return frozenset(first - NO_NAMES), frozenset(last - NO_NAMES)


def _is_first(word: str) -> bool:
    folded = word.casefold()
    return folded in _known()[0] or ("-" in folded and folded.split("-")[0] in _known()[0])


def _is_last(word: str) -> bool:
    folded = word.casefold()
    return folded in _known()[1] or any(part in _known()[1] for part in folded.split("-"))


def _named(text: str, start: int) -> Span | None:
    """Return the name after words that announce one: with capitals whatever it is, else where it begins as known."""
    capitals = _CAPITALS.match(text, start)
    if capitals:
        return None if capitals.group().split()[0].casefold() in NO_NAMES else capitals.span()
    small = SMALL.match(text, start)
    if small and not {word.casefold() for word in small.group(1).split()} & NO_NAMES:
        return small.span(1)
    return _known_to_begin(text, start)


def _in_field(text: str, start: int) -> Span | None:
    """Return the name after the colon or equals sign of a field that holds one."""
    sign = max(text.rfind(":", 0, start), text.rfind("=", 0, start))
    return _named(text, start) if FIELD_NAMES.search(text, max(0, sign - 16), sign) else None


def _known_to_begin(text: str, start: int) -> Span | None:
    """Return the name at a place where its first word is a known first name that is not a usual word too."""
    capitals = _CAPITALS.match(text, start)
    if capitals:
        words = capitals.group().split()
        sure = _is_first(words[0]) and (
            words[0].casefold() not in AMBIGUOUS or (len(words) > 1 and _is_last(words[-1]))
        )
        return capitals.span() if sure else None
    letters = _LETTERS.match(text, start)
    if not letters:
        return None
    words = letters.group().split()
    if not _is_first(words[0]) or words[0].casefold() in AMBIGUOUS:
        return None
    taken = 1
    while taken < len(words) and taken < 3 and (words[taken].casefold() in _PARTICLES or _is_last(words[taken])):
        taken += 1
    return start, start + len(" ".join(words[:taken]))


def _greeted(text: str, start: int) -> Span | None:
    """Return the name that a greeting addresses: one or two words with capitals before a comma or the line's end."""
    capitals = _CAPITALS.match(text, start)
    if capitals and re.match(r"\s*(?:[,!:;.–—-]|\n|\\n|\Z)", text[capitals.end() : capitals.end() + 4]):
        words = [word.casefold() for word in capitals.group().split()]
        return None if any(word in NO_NAMES for word in words) or len(words) > 3 else capitals.span()
    return _known_to_begin(text, start)


def _signed(text: str, start: int) -> Span | None:
    """Return the name that signs: what stands alone between a closing and the end of the line or the sentence."""
    capitals = _CAPITALS.match(text, start)
    if not capitals or not re.match(r"\s*(?:[,.|]|\n|\\n|\Z)", text[capitals.end() : capitals.end() + 3]):
        return None
    words = capitals.group().split()
    if any(word.casefold() in NO_NAMES for word in words):
        return None
    alone = "\n" in text[max(0, start - 3) : start] or text[max(0, start - 2) : start].strip() in {"-", "–", "—", ","}
    return capitals.span() if _is_first(words[0]) or (alone and len(words) > 1) else None


def _in_run(text: str, run: re.Match[str]) -> list[Span]:
    """Return the names within words with capitals: a known first name, perhaps a middle one, and a last one."""
    words = list(_WORD.finditer(text, run.start(), run.end()))
    found: list[Span] = []
    place = 0
    while place < len(words) - 1:
        end = _name_end([word.group() for word in words[place:]])
        before = text[max(0, words[place].start() - 7) : words[place].start()].split()
        if end and not (before and before[-1] in {"St", "St.", "San", "Santa", "Saint", "the", "The"}):
            found.append(_trimmed(text, words[place].start(), words[place + end - 1].end()))
            place += end
        else:
            place += 1
    return found


def _name_end(words: Sequence[str]) -> int:
    """Return of how many words the name is that the words begin with, or 0."""
    first, rest = words[0], words[1:]
    if not _is_first(first) or first.casefold() in NO_NAMES or _POSSESSIVE.search(first):
        return 0
    middle = 0
    while middle < len(rest) - 1 and middle < 2 and (len(rest[middle].rstrip(".")) == 1 or _is_first(rest[middle])):
        middle += 1
    if middle and rest[middle].casefold() in ORGANISATIONS:
        middle -= 1
    end = middle
    while end < len(rest) - 1 and rest[end] in _PARTICLES:
        end += 1
    last = _POSSESSIVE.sub("", rest[end])
    following = rest[end + 1].casefold() if end + 1 < len(rest) else ""
    if len(last.rstrip(".")) < 2 or last.casefold() in ORGANISATIONS or last.casefold() in NO_NAMES:
        return 0
    if following in ORGANISATIONS and not _POSSESSIVE.search(rest[end]):
        return 0
    sure = _is_last(last) or _is_first(last)
    if first.casefold() in AMBIGUOUS and not (sure and last.casefold() not in AMBIGUOUS):
        return 0
    return end + 2


def _trimmed(text: str, start: int, end: int) -> Span:
    """Return a span up to the first word that is part of no name, and without the mark of the genitive at its end."""
    for word in list(_WORD.finditer(text, start, end))[1:]:
        if word.group().rstrip(".").casefold() in NO_NAMES:
            end = start + len(text[start : word.start()].rstrip())
            break
    possessive = _POSSESSIVE.search(text[start:end])
    return start, end - (len(possessive.group()) if possessive else 0)


_RULES: tuple[tuple[re.Pattern[str], Callable[[str, int], Span | None], tuple[str, ...]], ...] = (
    (NAMED, _named, IN_NAMED),
    (FIELD, _in_field, (":", "=")),
    (MAYBE_NAMED, _known_to_begin, IN_MAYBE_NAMED),
    (GREETED, _greeted, IN_GREETED),
    (SIGNED, _signed, IN_SIGNED),
)
"""What introduces a name, what takes what follows as one, and small letters that must be there."""
