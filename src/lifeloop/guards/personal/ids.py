"""National numbers of persons in a text: social security, tax and identity numbers, by country.

Takes a text and countries, gives the spans where one stands. What a number must satisfy is python-stdnum's; how it is
written, and whether a word must call it one because its check is weak, is here.
"""

import importlib
import re
from collections.abc import Sequence

from msgspec import Struct

from lifeloop.guards.personal.context import Span, called, miscalled

NATIONAL_ID_HINT = r"(?:[0-9][ .\-/]?){6}|[A-Za-z]{3} ?[A-Za-z]{2,3} ?[0-9]{2}(?:[0-9]{2})?[A-Za-z]"

_NUMBER_WORDS = r"national id\w*|identity (?:card|number)|id (?:card|number)|personal number|tax (?:id\w*|number)|tin"
_CALLED_ELSE = (
    r"order|invoice|ref|reference|isbn|issn|tracking|ticket|serial|sku|item|model|version|price|batch|article|"
    r"booking|part|"
    r"confirmation|product|parcel|upc|ean|transaction|receipt|phone|tel|mobile|fax|call|flight|lot|po|rma|imei|"
    r"meter|claim"
)


class NationalId(Struct, frozen=True):
    """One kind of national number."""

    module: str
    """In stdnum: the check it must pass."""
    written: str
    """How it is written (a pattern) where no word calls it one; "" where it must be called one."""
    loosely: str
    """How it may be written where a word calls it one."""
    words: str
    """What calls it one (a pattern)."""


_SSN_WORDS = r"ssn|social security|social"
_TAX_DE = r"steuer\w*|idnr|tax|tin|identifikationsnummer"
_DNI = r"dni|nif|nie|documento|identidad"

NATIONAL_IDS: dict[str, tuple[NationalId, ...]] = {
    "US": (
        NationalId("us.ssn", r"\d{3}-\d{2}-\d{4}", r"\d{3}[- .]?\d{2}[- .]?\d{4}", _SSN_WORDS),
        NationalId("us.itin", r"9\d{2}-\d{2}-\d{4}", r"9\d{2}[- ]?\d{2}[- ]?\d{4}", r"itin|taxpayer|tax"),
    ),
    "GB": (
        NationalId(
            "", r"[A-Z]{2}(?: ?\d{2}){3} ?[A-D]", r"[A-Za-z]{2}(?:[ -]?\d{2}){3}[ -]?[A-Da-d]", "ni|nino|insurance"
        ),
        NationalId("gb.nhs", r"", r"\d{3}[ -]?\d{3}[ -]?\d{4}", r"nhs"),
    ),
    "DE": (NationalId("de.idnr", r"\d{2} \d{3} \d{3} \d{3}|\d{11}", r"\d(?:[ /]?\d){10}", _TAX_DE),),
    "FR": (
        NationalId(
            "fr.nir",
            r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
            r"[1-478][ .-]?\d{2}[ .-]?\d{2}[ .-]?(?:\d{2}|2[ABab])[ .-]?\d{3}[ .-]?\d{3}[ .-]?\d{2}",
            r"nir|sécurité sociale|securite sociale|insee|sécu|social security",
        ),
    ),
    "ES": (
        NationalId("es.dni", r"\d{8}-?[A-Z]", r"\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Za-z]", _DNI),
        NationalId("es.nie", r"[XYZ]-?\d{7}-?[A-Z]", r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]", _DNI),
    ),
    "IT": (
        NationalId(
            "it.codicefiscale",
            r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]",
            r"[A-Za-z]{3} ?[A-Za-z]{3} ?\d{2}[A-Za-z]\d{2} ?[A-Za-z]\d{3}[A-Za-z]",
            r"codice fiscale|fiscal code|cf",
        ),
    ),
    "NL": (
        NationalId(
            "nl.bsn", r"", r"\d{4}[. ]?\d{2}[. ]?\d{3}|\d{3}[. ]?\d{3}[. ]?\d{3}", r"bsn|burgerservice\w*|sofi\w*"
        ),
    ),
    "BE": (
        NationalId(
            "be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", r"\d(?:[ .-]?\d){10}", r"rijksregister\w*|registre|niss"
        ),
    ),
    "AT": (NationalId("at.vnr", r"", r"\d{4} ?\d{6}", r"svnr|sozialversicherung\w*|versicherungsnummer"),),
    "CH": (NationalId("ch.ssn", r"756\.\d{4}\.\d{4}\.\d{2}", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", r"ahv|avs|ssn"),),
    "PL": (NationalId("pl.pesel", r"\d{11}", r"\d{11}", r"pesel"),),
    "PT": (NationalId("pt.nif", r"", r"\d{3} ?\d{3} ?\d{3}", r"nif|contribuinte"),),
    "SE": (NationalId("se.personnummer", r"\d{6}[-+]\d{4}", r"(?:\d{2})?\d{6}[-+]?\d{4}", r"person\w*"),),
    "NO": (NationalId("no.fodselsnummer", r"\d{6} ?\d{5}", r"\d{6} ?\d{5}", r"fødsels\w*|personnummer"),),
    "DK": (NationalId("dk.cpr", r"\d{6}-\d{4}", r"\d{6}[- ]?\d{4}", r"cpr"),),
    "FI": (NationalId("fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Y]", r"\d{6}[-+Aa]\d{3}\w", r"hetu|henkilötunnus"),),
    "IE": (NationalId("ie.pps", r"\d{7}[A-W][A-IW]?", r"\d{7}[A-Wa-w][A-Ia-iWw]?", r"pps\w*"),),
    "CA": (NationalId("ca.sin", r"\d{3}-\d{3}-\d{3}", r"\d{3}[- ]?\d{3}[- ]?\d{3}", r"sin|social insurance"),),
    "AU": (NationalId("au.tfn", r"", r"\d{3} ?\d{3} ?\d{2,3}", r"tfn|tax file"),),
    "BR": (NationalId("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", r"cpf"),),
    "IN": (
        NationalId("in_.aadhaar", r"\d{4} \d{4} \d{4}", r"\d{4}[ -]?\d{4}[ -]?\d{4}", r"aadhaar|aadhar|uidai"),
        NationalId("in_.pan", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", r"[A-Za-z]{5}\d{4}[A-Za-z]", r"pan"),
    ),
    "CN": (NationalId("cn.ric", r"\d{17}[\dX]", r"\d{17}[\dXx]", r"身份证\w*"),),
}
"""By country (ISO 3166): the numbers of its people."""

_NINO_PREFIX = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]")


def national_ids(text: str, regions: Sequence[str]) -> list[Span]:
    """Return the spans of national numbers of the regions."""
    found = []
    for region in regions:
        for kind in NATIONAL_IDS.get(region, ()):
            for each in _pattern(kind.loosely).finditer(text):
                asked = called(f"{kind.words}|{_NUMBER_WORDS}", text, each.start())
                plain = bool(kind.written) and re.fullmatch(kind.written, each.group()) is not None
                if not asked and (not plain or miscalled(_CALLED_ELSE, text, each.start())):
                    continue
                if _valid(kind.module, each.group()):
                    found.append(each.span())
    return found


def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w])(?<!\d[.,:/-])(?:{written})(?![\w]|[-.,/]\d)")  # re keeps what it compiled


def _valid(module: str, words: str) -> bool:
    if not module:
        return _NINO_PREFIX.match(words.upper()) is not None
    return bool(importlib.import_module(f"stdnum.{module}").is_valid(re.sub(r"[ .]", "", words.upper())))
