"""Payment cards and bank accounts in a text, by their check digits.

Takes a text, gives the spans where one stands. One digit wrong, and it is none: Luhn's sum and ISO 7064 find every
single one.
"""

import re
from collections.abc import Sequence
from functools import cache

from lifeloop.guards.personal.context import Span

CARD_HINT = r"(?:[0-9][ .\-\x{a0}\x{2010}-\x{2013}]?){12}[0-9]"
IBAN_HINT = r"(?i)\b[a-z]{2}[0-9]{2}[ \-.\x{a0}]?[a-z0-9]{4}"

_RUN = re.compile(r"[0-9]+(?:[ .\-\u00a0\u2010-\u2013][0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_LEAST, _MOST = 13, 19
"""Digits of a card."""
_IN_WORD = re.compile(r"\w")
_POINT_BEFORE = re.compile(r"(?<=[0-9])\.")
_POINT_AFTER = re.compile(r"\.[0-9]")
_NO_START = re.compile(r"\w|(?<=[0-9])/|(?<=\b0),")  # in a word, in a path, after the sign of a decimal
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?=[ \-.\u00a0]?[A-Za-z0-9]{4})")
_BETWEEN_SIGNS = re.compile(r"[ \-.\u00a0]")

_ISSUERS = (  # what a card's number begins with (ISO/IEC 7812), and how many digits it then has
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|65|64[4-9]"), (16, 19)),
    (re.compile(r"30[0-5]|309|36|3[89]"), (14, 16)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"62|81"), (16, 17, 18, 19)),
    (re.compile(r"50|5[6-8]|6[37]"), (16, 18, 19)),
    (re.compile(r"220[0-4]"), (16,)),
)


def cards(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of card numbers: an issuer's beginning and length, and Luhn's sum."""
    del regions
    found = []
    for run in _RUN.finditer(text):
        if run.end() - run.start() < _LEAST:
            continue
        groups = [each.span() for each in _GROUP.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            after = _card_from(text, groups, first)
            if after:
                found.append((groups[first][0], groups[after - 1][1]))
            first = after or first + 1
    return found


def ibans(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of account numbers of any country: its length, its form and the check digits (python-stdnum)."""
    del regions
    found = []
    done = 0
    for each in _IBAN.finditer(text):
        if each.start() < done:
            continue
        end = _iban_end(text, each.start())
        if end:
            found.append((each.start(), end))
            done = end
    return found


def _card_from(text: str, groups: Sequence[Span], first: int) -> int:
    """Return the number of the group after the longest card that begins with a group, or 0 where none does.

    Other numbers may stand before and after it: a line's number, the month it ends in, the code on its back.
    """
    start, stop = groups[first]
    size = stop - start
    if text[start] in "0179" or (size % 4 and size < _LEAST) or (start and _NO_START.match(text, start - 1)):
        return 0
    digits: list[str] = []
    length, ends = 0, []
    for place in range(first, len(groups)):
        digits.append(text[slice(*groups[place])])
        length += len(digits[-1])
        if length > _MOST:
            break
        if length >= _LEAST:
            ends.append(place + 1)
    for after in reversed(ends):
        words = digits[: after - first]
        grouped = _grouped_as_card(words) if len(words) > 1 else not _in_decimal(text, groups[first])
        end = groups[after - 1][1]
        if grouped and not _IN_WORD.match(text, end) and _is_card("".join(words)):
            return after
    return 0


def _in_decimal(text: str, group: Span) -> bool:
    """Say whether a group of digits stands before or behind the point of a decimal."""
    start, end = group
    return _POINT_BEFORE.match(text, max(0, start - 1)) is not None or _POINT_AFTER.match(text, end) is not None


def _grouped_as_card(groups: Sequence[str]) -> bool:
    """Say whether digits stand in groups as on a card: fours, or 4-6-5 and 4-6-4."""
    lengths = [len(group) for group in groups]
    return lengths in ([4, 6, 5], [4, 6, 4]) or (
        len(lengths) >= 2 and all(length % 4 == 0 for length in lengths[:-1]) and lengths[-1] <= 8
    )


def _is_card(digits: str) -> bool:
    from stdnum import luhn

    issued = any(len(digits) in lengths and begins.match(digits) for begins, lengths in _ISSUERS)
    return issued and len(set(digits)) > 1 and luhn.is_valid(digits)


def _iban_end(text: str, start: int) -> int:
    """Return where the account number that begins at a place ends, or 0 where there is none.

    Words may follow it that could be its signs; its country says how many it has.
    """
    from stdnum import iban

    form = _iban_form(text[start : start + 2].upper())
    signs = form.match(text, start) if form else None
    return signs.end() if signs and iban.is_valid(_BETWEEN_SIGNS.sub("", signs.group())) else 0


@cache
def _iban_form(country: str) -> re.Pattern[str] | None:
    """Return as many signs as the account numbers of a country have, up to the end of a word; None for no country."""
    length = _iban_length(country)
    return re.compile(rf"(?:[A-Za-z0-9][ \-.\u00a0]?){{{length - 1}}}[A-Za-z0-9](?![^\W_])") if length else None


@cache
def _iban_length(country: str) -> int:
    """Return how many signs a country's account numbers have, 0 for no country (the registry is python-stdnum's)."""
    from stdnum import numdb

    _, properties = numdb.get("iban").info(country)[0]
    form = re.findall(r"(\d+)!", properties.get("bban", ""))
    return 4 + sum(map(int, form)) if form else 0
