"""Insults, slurs and obscene words, also in disguise: `sh1t`, `f*ck`, `f.u.c.k`.

Takes raw rows, gives them with what was found reported or set aside. A list of words (of better-profanity) and no
judgement: what is insulting without such a word passes, and who quotes one does not.
"""

import re
from functools import lru_cache

import polars as pl

from lifeloop.core.data_brief import Toxic
from lifeloop.core.errors import DataError
from lifeloop.guards.guard import Checked, finding, taken_out

REASON = "insulting or obscene words"
TEXTS = ("input", "reference")
"""What a model is to read and to write; of a preference pair, the answer liked less is there to be worse."""

STEMS = (
    "arsehole|asshole|ass-hole|ass hole|assfuck|bastard|bitch|blowjob|blow job|bollock|bollok|bullshit|chink|"
    "cocksuck|cumshot|cunt|"
    "dickhead|dumbass|dyke|fag|fuck|fuk|fux|gook|idiot|imbecile|jackass|jerkoff|jerk-off|kike|moron|motherf|"
    "nazi scum|nigg|"
    "piss off|pisspig|prick|pussy|raghead|retard|scum|shit|slut|spic|stfu|tosser|towelhead|tranny|twat|wank|"
    "wetback|whore"
)
"""The list names anatomy, drinks, faiths and loves as well; of it we take what holds one of these."""

_LIKE = {
    "a": "a4@",
    "b": "b8",
    "e": "e3",
    "g": "g9",
    "i": "i1!|",
    "l": "l1|",
    "o": "o0",
    "s": "s5$z",
    "t": "t7+",
    "u": "uv",
}
_VOWELS = "aeiou"
_BETWEEN = r"[.\-_*'’]?"


def check_toxic(table: pl.DataFrame, settings: Toxic) -> Checked:
    """Report or quarantine rows with insulting or obscene words.

    All rows are looked at by one compiled pattern. Raises DataError where better-profanity is not installed.
    """
    column = pl.concat_str([pl.col(name).str.replace_all(r"\\[nrt]", " ") for name in TEXTS], separator="\n")
    words = table.select("row", column.str.extract_all(_pattern()).alias("words")).filter(
        pl.col("words").list.len() > 0
    )
    counts = {row: sum(map(_is_word, found)) for row, found in words.iter_rows()}
    out = {row: (REASON, f"{count} of them") for row, count in counts.items() if count}
    if settings.action == "quarantine":
        return taken_out(table, out, "toxic", "quarantined")
    sources = table.filter(pl.col("row").is_in(list(out)))["source"].to_list()
    return Checked(table, {}, {}, (finding("toxic", "kept", REASON, sources),) if sources else ())


def _is_word(found: str) -> bool:
    """Say whether what matched holds two letters: codes are no disguise."""
    return sum(letter.isalpha() for letter in found) >= 2


@lru_cache(maxsize=1)
def _pattern() -> str:
    """Return one pattern, as polars reads it, of all words in all disguises."""
    words = sorted({word for word in _listed() if re.search(STEMS, word)})
    return rf"(?i)(?:^|[^\w])(?:{'|'.join(map(_disguised, words))})(?:$|[^\w])"


def _disguised(word: str) -> str:
    """Return the pattern of a word with letters repeated, parted, or written as signs that look like them."""
    return _BETWEEN.join(_letter(letter) for letter in word)


def _letter(letter: str) -> str:
    if letter in " -":
        return r"[\s.\-_]?"
    like = re.escape(_LIKE.get(letter, letter)) + ("*" if letter in _VOWELS else "")
    return f"[{like}]+"


def _listed() -> list[str]:
    """Return the list of better-profanity, in small letters."""
    from importlib.resources import files

    try:
        text = (files("better_profanity") / "profanity_wordlist.txt").read_text(encoding="utf-8")
    except ModuleNotFoundError:
        fix = "pip install 'lifeloop[toxic]', or set data.refine.toxic.on to false"
        raise DataError("better-profanity is not installed", where="data.refine.toxic", fix=fix) from None
    return [word.strip().lower() for word in text.splitlines() if word.strip()]
