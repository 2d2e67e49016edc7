"""Postal addresses in a text: a street with a number, and the town behind it. Takes a text, gives their spans.

Knows how English, German, French, Spanish, Italian and Dutch write a street; a town or a country alone is no address.
"""

import re
from collections.abc import Sequence

from lifeloop.guards.personal.context import Span

ADDRESS_HINT = (
    r"[0-9][A-Za-z]?,? +(?:[A-Z][\w'’.-]+ +){1,4}[A-Z][a-z]+|(?i)p\.? ?o\.? ?box|"
    r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein|gracht|kade|dijk) +[0-9]|"
    r"[0-9],?(?: ?bis| ?ter)?,? +(?:rue|avenue|boulevard|bd|place|chemin|allée|impasse|quai|cours|route|square)\b|"
    r"\b(?:calle|c/|avenida|avda|av\.|plaza|paseo|via|viale|piazza|corso|largo) .{2,40}[0-9]"
)

_W = r"[A-ZÀ-Þ][\w'’.-]{0,30}"  # bounded, as all here: a text may be made to take long
_STREET = (
    r"Street|St|Road|Rd|Avenue|Ave|Av|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way|Court|Ct|Place|Pl|Square|Sq|Terrace|"
    r"Ter|Close|"
    r"Crescent|Cres|Circle|Cir|Parkway|Pkwy|Highway|Hwy|Gardens|Gdns|Grove|Row|Mews|Hill|Trail|Trl|Loop|Walk|"
    r"Alley|Quay|Park|Rise"
)
_NAME = r"(?:[A-ZÀ-Þ][\w'’-]{0,30}|[A-Z][a-z]{0,2}\.)"
_UNIT = r"(?:,? ?(?:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|Room|Rm|#)\.? ?#?\w{1,5})"
_UK_CODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_TOWN = rf"(?:{_W}(?: (?:{_W}|am|an der|upon|on|of|sur|de|del|la|le|les|in)){{0,3}})"
_TAIL = (
    rf"(?:,? {_TOWN}(?=,| {_UK_CODE}| [A-Z]{{2}}\b| \d)){{0,2}}(?:,? [A-Z]{{2}})?"
    rf"(?:,? (?:\d{{5}}(?:-\d{{4}})?|{_UK_CODE}))"
)
_PLACE = rf",? (?:[A-Z]{{1,3}}-)?\d{{4,5}}(?: ?[A-Z]{{2}})? {_TOWN}"
_SUFFIXES = r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein|gracht|kade|dijk)"
_CODE = re.compile(rf", (?:[A-Z]{{1,3}}-)?\d{{4,5}} (?:[A-Z]{{2}} )?{_W}|\d{{5}}(?:-\d{{4}})?\Z|{_UK_CODE}\Z")
_YEAR = re.compile(r"\A(?:19|20)\d\d\b|\b(?:19|20)\d\d\Z")
_WEAK = re.compile(
    r"ring \d+\w?\Z|\b(?:Park|Hill|Row|Rise|Walk|Loop|Way|Place|Gardens|(?:High|Supreme|Crown|County|Federal|"
    r"District) Court)\Z"
)
_SMALL = r"(?:d[eu]|des|la|le|les|l['’]|d['’]|del|dell[ao]|di|da|los|las|el|san|santa|von|zum|zur|der|am)"
_NAMES = rf"(?:(?:{_SMALL}[ ]?){{0,3}}(?:{_W}|\d{{1,2}})(?: (?:{_SMALL}[ ]?){{0,3}}{_W}){{0,4}})"

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # 221B Baker Street, Flat 3, London NW1 6XE
        rf"(?<![\w.,/-])(?:(?:Flat|Apartment|Unit|Suite) \w{{1,4}},? )?\d{{1,5}}[A-Za-z]?,? (?:(?:N|S|E|W|NE|NW|"
        rf"SE|SW|North|South|East|"
        rf"West)\.? )?(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,3}}(?:{_STREET})\b\.?{_UNIT}?(?:{_TAIL})?",
        # P.O. Box 123
        rf"(?i:p\.? ?o\.? ?box) \d{{1,6}}(?:{_TAIL})?",
        # Hauptstraße 12a, 10115 Berlin; Alte Gasse 4; Prinsengracht 263
        rf"(?<![\w.-])(?:{_W} ){{0,2}}(?:{_W}(?i:{_SUFFIXES})|[A-ZÀ-Þ](?:{_SUFFIXES[3:-1]})|(?:Stra(?:ß|ss)e|Str\.|"
        rf"Weg|Platz|Allee|Gasse))"
        rf" \d{{1,4}}(?: ?[a-zA-Z])?(?![\w])(?:{_PLACE})?",
        # 12 bis, rue de la Paix, 75002 Paris
        rf"(?<![\w.,/-])\d{{1,4}}(?: ?(?:bis|ter))?,? (?i:rue|avenue|boulevard|bd|place|chemin|allée|impasse|"
        rf"quai|cours|route|square)"
        rf" {_NAMES}(?:{_PLACE})?",
        # Calle de Alcalá, 45, 28014 Madrid; Via Roma 10
        rf"\b(?:Calle|C/|Avenida|Avda\.?|Av\.|Plaza|Paseo|Via|Viale|Piazza|Corso|"
        rf"Largo) ?{_NAMES},? (?:n[º°.]? ?)?\d{{1,4}}[A-Za-z]?\b"
        rf"(?:{_PLACE})?",
        # Am Markt 5, 20095 Hamburg: no word for a street, but a number, a postal code and a town
        rf"\b(?:{_W} ){{1,3}}\d{{1,4}}[a-z]?, (?:[A-Z]{{1,3}}-)?\d{{5}} {_TOWN}",
    )
)


def addresses(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of postal addresses, with postal code and town where they follow."""
    del regions
    return [each.span() for pattern in _PATTERNS for each in pattern.finditer(text) if not _is_talk(each.group())]


def _is_talk(words: str) -> bool:
    """Say whether a street without a town behind it may be none: a number that is a year, or an English word.

    `In 2004 Wall Street fell`, `six Grand Park events`, `During 2004`.
    """
    if _CODE.search(words):
        return False
    return bool(_YEAR.search(words) or _WEAK.search(words))
