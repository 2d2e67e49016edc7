"""Dates of birth in a text: full dates that the words beside them call so. Takes a text, gives their spans."""

import re
from collections.abc import Sequence

from lifeloop.guards.personal.context import Span

BIRTH_DATE_HINT = (
    r"(?i)\bborn\b|birth|\bd\.?o\.?b\b|\bb\.\s*[0-9]|gebor|\bgeb\.|geburt|\bn[ée]e?[ (]|\bnaissance|\bnaci|"
    r"\bnato\b|\bnata\b|nascita|"
    r"\bgeboren|geboorte|\bnascid|nascimento|fødd|född"
)

_MONTHS = (
    r"jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]v(?:rier)?|mar(?:ch|s)?|märz|apr(?:il)?|avr(?:il)?|may|mai|"
    r"june?|juin|juni|july?|"
    r"juil(?:let)?|juli|aug(?:ust)?|août|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|"
    r"de[cz](?:ember)?|"
    r"d[ée]c(?:embre)?|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|"
    r"gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre"
)
_YEAR = r"(?:1[89]|20)\d\d"
_DATE = (
    rf"(?:{_YEAR}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\s?\d{{1,2}}[-/.]\s?(?:{_YEAR}|\d\d)|\d{{1,2}}(?:st|"
    rf"nd|rd|th|er|\.)?[ -]"
    rf"(?:of |de |di )?(?:{_MONTHS})\.?,?[ -](?:de |del )?{_YEAR}|(?:{_MONTHS})\.? \d{{1,2}}(?:st|nd|rd|"
    rf"th)?,? {_YEAR})(?!\d)"
)
_BEFORE = (
    r"date of birth|birth ?date|birthday|day of birth|dob|d\.o\.b\.?|born|b\.|geburtsdatum|geburtstag|geboren|"
    r"geb\.|née?\(?e?\)?|"
    r"date de naissance|naissance|fecha de nacimiento|nacid[oa]|nació|nat[oa]|data di nascita|geboortedatum|nascid[oa]|"
    r"data de nascimento|fødd|född"
)
_BORN = re.compile(
    rf"(?i)(?<![^\W_])(?:{_BEFORE})(?![^\W_])(?![^.;\n]{{0,30}}\b(?:after|before|since|until|"
    rf"between)\b)[^.;!?\n\d]{{0,40}}?(?<!\d)({_DATE})"
    rf"|(?<!\d)({_DATE})[ ,]{{1,2}}(?:is|was|being) (?:my|his|her|their|your|the) (?:date of birth|"
    rf"birth ?da(?:te|y)|dob|day of birth)"
)


def birth_dates(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of dates of birth, in the ways that English, German, French, Spanish and others write them."""
    del regions
    return [each.span(1) if each.group(1) else each.span(2) for each in _BORN.finditer(text)]
