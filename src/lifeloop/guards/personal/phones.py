"""Phone numbers in a text: international ones of any country, national ones of the regions asked for.

Takes a text, gives the spans where one stands. A run of digits is a phone number where some country's plan holds it
(phonenumbers, the port of Google's library) and it is written like one, or the words before it call it one.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from lifeloop.guards.personal.context import Span, called, miscalled

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

PHONE_HINT = r"(?:[0-9][ \t\x{a0}().\-/\x{2009}\x{202f}\x{2010}-\x{2014}]{0,3}){7}"

_GAP = r"[ \t\u00a0().\-/\u2009\u202f\u2010-\u2014]"
_NUMBER = re.compile(rf"(?<![\w+])(?<![^\W_][.,:/-])(?:\+ ?|\(\+?)?\d(?:{_GAP}{{0,3}}\d){{6,}}(?!\w)")
_GROUP = re.compile(r"\d+")
_WORD = re.compile(r"(?<=[ \t\u00a0\u2009\u202f])\(?\d")
_JOINED = re.compile(r"[-.]\d")
_DECIMALS = re.compile(r"\d\.\d+\s+\d\.\d")  # of a vector
_MOST = 17
"""Digits of a phone number, with those that dial abroad."""
_EXTENSION = re.compile(r"(?i)(?:\s?#|,?\s?(?:ext(?:ension)?|x|dw|poste|durchwahl)\.?:?\s?)\d{1,6}\b")
_CALLED_PHONE = (
    r"(?:tele)?phone|tel|fon|(?:mobile|cell|handy|mobil|fax|whats\s?app|sms|signal|telegram)\w*|call(?:ed|ing)?|ring|"
    r"dial|text(?:ed)?|reach|hotline|landline|callback|téléphone|portable|appele[rz]|joindre|anruf\w*|rufen|ruf|"
    r"erreich\w*|"
    r"telefon\w*|telefono|teléfono|llam\w+|móvil|cellulare|chiam\w+|bel|bellen|contact\w*|pager|voicemail|"
    r"(?:my|her|his|their|our|your) number"
)
_CALLED_ELSE = (
    r"order|invoice|ref|reference|isbn|issn|tracking|track|ticket|case|serial|sku|item|model|account|acct|policy|"
    r"id|part|"
    r"code|version|price|batch|article|art|doi|bug|issue|booking|reservation|confirmation|customer|member|"
    r"product|parcel|"
    r"shipment|upc|ean|asin|bestellung|bestellnummer|rechnung|rechnungsnummer|commande|facture|factura|pedido|receipt|"
    r"transaction|claim|chapter|page|imei|iccid|vin|meter|po|rma|lot|nhs|ssn|siret|siren|vat|tax|patent|flight"
)


def phones(text: str, regions: Sequence[str]) -> list[Span]:
    """Return the spans of phone numbers."""
    found: list[Span] = []
    for run in _NUMBER.finditer(text):
        begin = run.start()
        while begin < run.end() - 6:
            span = _phone(text, begin, run.end(), regions)
            if span is None:  # another number may stand before it, but not in the same word: `room 4 415-555-2671`
                following = _WORD.search(text, begin + 1, run.end())
                begin = following.start() if following else run.end()
                continue
            extension = _EXTENSION.match(text, span[1])
            found.append((span[0], extension.end()) if extension else span)
            following = _GROUP.search(text, span[1], run.end())
            begin = following.start() if following else run.end()
    return found


def _phone(text: str, start: int, end: int, regions: Sequence[str]) -> Span | None:
    """Return the span of the phone number that a run of digits and gaps begins with, or None."""
    asked = called(_CALLED_PHONE, text, start)
    if not asked and (_DECIMALS.match(text, start) or miscalled(_CALLED_ELSE, text, start)):
        return None
    for words in _beginnings(text, start, end):
        # What a word calls a phone number is not a part of a longer `12 415-555-2671`.
        whole = _JOINED.match(text, start + len(words)) is None
        if _is_phone(words, regions, asked=asked and whole):
            first = start + (1 if words.startswith("(") and ")" not in words else 0)
            return first, start + len(words)
    return None


def _beginnings(text: str, start: int, end: int) -> Iterator[str]:
    """Yield a run of digits with its last groups left out one by one: it may go on into another number."""
    ends, length = [], 0
    for group in _GROUP.finditer(text, start, end):
        length += group.end() - group.start()
        if length > _MOST:
            break
        if length >= 7:
            ends.append(group.end())
    for each in reversed(ends[-6:]):
        yield text[start:each]


def _is_phone(words: str, regions: Sequence[str], *, asked: bool) -> bool:
    """Say whether words are a phone number as a whole; `asked` where the text calls it one."""
    bare = words.lstrip("( ")
    if bare.startswith("+"):
        # The zero of `+44 (0)20` is only for callers at home.
        return any(_valid(each, None) for each in (bare, bare.replace("(0)", "")))
    groups = _GROUP.findall(words)
    if bare.startswith("00") and _valid("+" + "".join(groups)[2:], None) and (asked or len(groups) > 1):
        return True
    for region in regions:
        number = _valid(words, region) if asked or _may_be_written_as_phone(groups, region) else None
        if number and (asked or _written_as_phone(number, words, groups)):
            return True
    return False


def _valid(words: str, region: str | None) -> "PhoneNumber | None":
    """Return the number that a plan holds, or None."""
    import phonenumbers

    try:
        number = phonenumbers.parse(words, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _may_be_written_as_phone(groups: Sequence[str], region: str) -> bool:
    """Say what `_written_as_phone` may say yes to, in a twentieth of the time: a table is full of numbers."""
    if groups[0].startswith("0") and len(groups[0]) > 1:
        return True
    if len(groups) == 1:
        return False
    plan = _plan(region)
    return bool(plan.fullmatch("".join(groups)) or plan.fullmatch("".join(groups[1:])))


@cache
def _plan(region: str) -> re.Pattern[str]:
    """Return the form of a country's numbers as they are officially written, without gaps.

    With the prefix that callers at home dial where it belongs to them.
    """
    import phonenumbers

    main = phonenumbers.region_code_for_country_code(phonenumbers.country_code_for_region(region))
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(main, None)
    if metadata is None:
        return re.compile(r"(?!)")
    number, prefix = metadata.general_desc.national_number_pattern, metadata.national_prefix
    forms = []
    for each in metadata.number_format:
        dialled = f"(?:{prefix}|{metadata.national_prefix_for_parsing})" if prefix else ""
        begins = "".join(f"(?={form})" for form in each.leading_digits_pattern[-1:])
        written = prefix and prefix in (each.national_prefix_formatting_rule or "")
        forms.append(rf"{dialled if written else ''}{begins}(?=(?:{number})\Z)(?:{each.pattern})")
    return re.compile("|".join(forms) or number)


def _written_as_phone(number: "PhoneNumber", words: str, groups: Sequence[str]) -> bool:
    """Say whether a national number stands in groups as phone numbers do, so that no word need call it one.

    In the official groups of its country; or with the zero before the area that callers at home dial, and a group for
    the area. A bare run of digits is one where it begins with that zero and is a mobile number.
    """
    import phonenumbers

    if len(groups) == 2 and re.search(r"\d\.\d", words):  # a decimal
        return False
    official = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    dialled_zero = words.lstrip("(").startswith("0") and official.lstrip("(").startswith("0")
    if len(groups) == 1:
        return dialled_zero and phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
    if "".join(groups[:-1]).isdigit() and list(groups[-len(_GROUP.findall(official)) :]) == _GROUP.findall(official):
        return len(groups) - len(_GROUP.findall(official)) in {0, 1}
    return dialled_zero and 3 <= len(groups[0]) <= 6 and all(len(group) >= 2 for group in groups[1:])
