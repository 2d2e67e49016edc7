"""Mending one text: letters that were decoded wrongly, control characters, characters that nobody sees.

Takes a text, gives the text and what was done to it. A text that is fine comes back as it is, in whatever script, and
a text that was mended is fine. Knows nothing of rows.
"""

import itertools
import re
import unicodedata
from functools import lru_cache

import ftfy
from ftfy.badness import BADNESS_RE, badness, is_bad
from msgspec import Struct

MOJIBAKE = "letters decoded wrongly"
CONTROL = "control characters"
HIDDEN = "characters that nobody sees"

LOST = "letters lost by a wrong decoding"
DISORDER = "a text that shows in another order than it is written"
GARBLED = "letters decoded wrongly that cannot be made out"

MOST_PASSES = 8
SURELY_BAD = 3
"""So many places that look decoded wrongly, in a text that cannot be mended, are no accident."""

_UNSEEN = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x{9f}\x{61c}\x{180e}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}"
    r"\x{fdd0}-\x{fdef}\x{feff}\x{fff9}-\x{fffd}\x{fffe}\x{ffff}\x{e0000}-\x{e007f}]"
    r"|[\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]{2}"
)

_CONFIG = ftfy.TextFixerConfig(replace_lossy_sequences=False, explain=False)
_SEPARATORS = re.compile("[\x1c-\x1f]")  # they part words: fields and records of old formats
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufdd0-\ufdef\ufffe\uffff\ufff9-\ufffb]|[\x80-\x84\x86-\x9f]")
_ESCAPES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_OVERRIDES = re.compile("[\u202d\u202e]")
_NEVER_SEEN = re.compile("[\u2060-\u2064\u206a-\u206f\ufeff\u180e]")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202c\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_JOINERS = re.compile("[\u200b-\u200d]+")
_SELECTORS = re.compile("([\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_TAGS = re.compile("(\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{3,6}\U000e007f)|[\U000e0000-\U000e007f]+")


_UNSHAPED = ("LATIN", "GREEK", "CYRILLIC")


class Mended(Struct, frozen=True):
    """A text after mending."""

    text: str
    done: tuple[str, ...] = ()
    """What was mended, of MOJIBAKE, CONTROL and HIDDEN."""
    doubt: str = ""
    """Why it cannot be mended without doubt, of LOST, DISORDER and GARBLED; or ""."""


def mend(text: str) -> Mended:
    """Return a text without wrongly decoded letters (as ftfy, Speer 2019, finds them), control or hidden characters.

    Joiners stay where scripts and emoji need them, marks of direction where something is written from right to left.
    """
    done: dict[str, None] = {}
    for _ in range(MOST_PASSES):
        before = text
        for name, step in _STEPS:
            after = step(text)
            if after != text:
                done[name] = None
                text = after
        if text == before:
            break
    return Mended(text, tuple(done), _doubt(text))


@lru_cache(maxsize=1)
def suspicious() -> str:
    """Return a pattern, as polars reads it, that some part of every text matches that `mend` would change or doubt."""
    return f"{_UNSEEN}|{_one_line(BADNESS_RE.pattern)}"


def _one_line(verbose: str) -> str:
    """Return a verbose pattern of `re` as one that Rust's regex reads: blanks count, no remarks, classes escaped."""
    pattern, in_class, in_remark = [], False, False
    for before, letter in itertools.pairwise(f" {verbose}"):
        if in_remark:
            in_remark = letter != "\n"
        elif in_class:
            in_class = letter != "]" or before == "\\"
            pattern.append(f"\\{letter}" if letter in "[&~" and before != "\\" else letter)
        elif letter == "#":
            in_remark = True
        elif not letter.isspace():
            in_class = letter == "["
            pattern.append(letter)
    return "".join(pattern)


def _doubt(text: str) -> str:
    if "\ufffd" in text:
        return LOST
    if _OVERRIDES.search(text):
        return DISORDER
    if not text.isascii() and badness(text) >= SURELY_BAD:
        return GARBLED
    return ""


def _decoded(text: str) -> str:
    """Return the text with each line decoded as it was meant to be: one wrong line says nothing of the others."""
    if text.isascii() or not is_bad(text):
        return text
    return "\n".join(ftfy.fix_encoding(line, _CONFIG) for line in text.split("\n"))


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("", _SEPARATORS.sub(" ", _ESCAPES.sub("", text)))


def _without_hidden(text: str) -> str:
    if text.isascii():
        return text
    text = _NEVER_SEEN.sub("", text)
    if _BIDI.search(text) and not _RIGHT_TO_LEFT.search(text):
        text = _BIDI.sub("", text)
    text = _SELECTORS.sub(r"\1", text)
    text = _TAGS.sub(lambda found: found.group(1) or "", text)
    return _JOINERS.sub(_joiner, text)


def _joiner(run: re.Match[str]) -> str:
    """Return the joiner of a run that the characters around it need, or "".

    A joiner or non-joiner shapes letters of the scripts that have shapes, and emoji; a zero-width space parts words in
    scripts that write none. Between two Latin letters each of them only hides.
    """
    text = run.string
    before = text[run.start() - 1] if run.start() else " "
    after = text[run.end()] if run.end() < len(text) else " "
    joiner = run.group()[0]
    needs = _spaceless if joiner == "\u200b" else _shaped
    return joiner if needs(before) or needs(after) else ""


@lru_cache(maxsize=4096)
def _shaped(character: str) -> bool:
    """Say whether a character may be joined to its neighbour: not Latin, Greek, Cyrillic, digits, marks or spaces."""
    kind = unicodedata.category(character)
    if kind[0] == "L" or kind in {"Mn", "Mc"}:
        return ord(character) >= 0x0590 and not unicodedata.name(character, "").startswith(
            ("LATIN", "GREEK", "CYRILLIC")
        )
    return kind in {"So", "Sk"} or character in "\ufe0f\u2640\u2642" or ord(character) >= 0x1F000


@lru_cache(maxsize=4096)
def _spaceless(character: str) -> bool:
    """Say whether a character is of a script that writes no spaces between words."""
    code = ord(character)
    return 0x0E00 <= code <= 0x109F or 0x1780 <= code <= 0x17FF or 0x1950 <= code <= 0x1AAF or 0x2E80 <= code <= 0x9FFF


# Wrongly decoded letters come first: their second halves look like control characters.
_STEPS = ((MOJIBAKE, _decoded), (CONTROL, _without_controls), (HIDDEN, _without_hidden))
