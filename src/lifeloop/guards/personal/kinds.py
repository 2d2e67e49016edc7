"""Every kind of personal data: what a text that holds one must hold, and what finds it. All kinds of one text at once.

Takes a text and kinds, gives what was found, without overlaps. Knows nothing of rows or of masking.
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from lifeloop.guards.personal.contacts import IP_HINT, MAIL_HINT, ips, mails
from lifeloop.guards.personal.context import Span
from lifeloop.guards.personal.dates import BIRTH_DATE_HINT, birth_dates
from lifeloop.guards.personal.ids import NATIONAL_ID_HINT, national_ids
from lifeloop.guards.personal.name_cues import NAME_HINT
from lifeloop.guards.personal.names import names
from lifeloop.guards.personal.numbers import CARD_HINT, IBAN_HINT, cards, ibans
from lifeloop.guards.personal.phones import PHONE_HINT, phones
from lifeloop.guards.personal.places import ADDRESS_HINT, addresses
from lifeloop.guards.personal.secrets import SECRET_HINT, secrets
from lifeloop.guards.personal.tokens import TOKEN


class Kind(Struct, frozen=True):
    """One kind of personal data."""

    hint: str
    """See `hint_of`; its boundaries of words are between letters of ASCII."""
    find: Callable[[str, Sequence[str]], list[Span]]
    """From a text and regions to the spans of such data."""


FINDERS: dict[str, Kind] = {
    "secret": Kind(SECRET_HINT, secrets),
    "mail": Kind(MAIL_HINT, mails),
    "iban": Kind(IBAN_HINT, ibans),
    "card": Kind(CARD_HINT, cards),
    "national_id": Kind(NATIONAL_ID_HINT, national_ids),
    "ip": Kind(IP_HINT, ips),
    "phone": Kind(PHONE_HINT, phones),
    "address": Kind(ADDRESS_HINT, addresses),
    "birth_date": Kind(BIRTH_DATE_HINT, birth_dates),
    "name": Kind(NAME_HINT, names),
}
"""In the order of their certainty: where two overlap, the first is what it is."""


_BOUNDARY = re.compile(r"(?<!\\)\\b")


def hint_of(kind: str) -> str:
    """Return the pattern, as polars reads it, that every text with such data matches, and hardly any other.

    Boundaries of words are those of ASCII: Rust's regex is a hundred times slower with Unicode's.
    """
    return _BOUNDARY.sub(r"(?-u:\\b)", FINDERS[kind].hint)


_BLANK = "\ue000"
"""Stands for each sign of a token while others are looked for: no letter, no digit, no space, and no end of a text."""


class Found(Struct, frozen=True):
    """Personal data in a text."""

    kind: str
    start: int
    end: int


def find_personal(text: str, kinds: Sequence[str], regions: Sequence[str]) -> list[Found]:
    """Return the personal data of a text in order; what stands in tokens already is none."""
    text = TOKEN.sub(lambda token: _BLANK * len(token.group()), text)
    found: list[Found] = []
    taken: list[Span] = []
    for kind, finder in FINDERS.items():
        if kind not in kinds:
            continue
        for start, end in sorted(finder.find(text, regions), key=lambda span: (span[0] - span[1], span[0])):
            free = all(end <= other[0] or other[1] <= start for other in taken)
            if start < end and free and _BLANK not in text[start:end]:
                taken.append((start, end))
                found.append(Found(kind, start, end))
    return sorted(found, key=lambda each: each.start)
