"""The words of a text as a tagger sees them: where they are, how they are written, and the shape of the whole.

Takes a text, gives places, shapes and characters as plain numbers. An encoder that lower-cases never sees the capitals,
digits and marks that names are known by; these numbers carry them. Knows nothing of encoders and entities.
"""

import re
from collections.abc import Sequence
from typing import Literal

Split = Literal["spaces", "marks"]
"""How a text falls into words: at spaces alone, or at marks (commas, hyphens, apostrophes) too, where characters of
scripts that are written without spaces (Han, kana, Thai) are words of their own."""

Span = tuple[int, int]
"""Start and end of a word in characters; the end is the place after the last."""

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_THAI, _THAI_SIGNS = "\u0e01-\u0e4f", "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
_UNSPACED = f"{_HAN}{_KANA}{_THAI}"
_SPACED = rf"[^\W{_UNSPACED}]"  # a character that makes one word with others like it beside it

_WORDS = {
    "spaces": re.compile(r"\S+"),
    "marks": re.compile(rf"{_SPACED}+|[{_UNSPACED}][{_THAI_SIGNS}]*|[^\w\s]"),
}

SHAPES = ("lower", "Title", "UPPER", "miXed", "digits", "d1gits", "mark", "@name", "#tag", "link", "caseless", "Single")
"""The shapes of words; a word has one."""
N_CHARACTERS = 102
"""Numbers that `characters` uses: 0 fills up, 1 to 95 are printable ASCII, then sorts of other characters."""
LONGEST = 20
"""Characters of a word that are looked at: the first 12 and the last 8 of longer ones."""
N_FACTS = 8
"""Length of what `facts` gives for a word."""

_SHAPE = {name: number for number, name in enumerate(SHAPES)}


def spans(text: str, split: Split) -> list[Span]:
    """Return the places of the words, in order; white space belongs to none."""
    return [match.span() for match in _WORDS[split].finditer(text)]


def stands_alone(name: str) -> re.Pattern[str]:
    """Return the pattern of a name where no word goes on before or after it."""
    before = f"(?<!{_SPACED})" if not re.match(f"[{_UNSPACED}]", name) else ""
    after = f"(?!{_SPACED})" if not re.search(f"[{_UNSPACED}]$", name) else ""
    return re.compile(f"{before}{re.escape(name)}{after}")


def shape(word: str) -> int:
    """Return the number of the word's shape in SHAPES."""
    return _SHAPE[_shape(word)]


def _shape(word: str) -> str:
    if word[0] in "@#" and len(word) > 1:
        return "@name" if word[0] == "@" else "#tag"
    if word.startswith(("http://", "https://", "www.")):
        return "link"
    letters = "".join(letter for letter in word if letter.isalpha())
    if any(letter.isdigit() for letter in word):
        return "d1gits" if letters else "digits"
    return _case(letters) if letters else "mark"


def _case(letters: str) -> str:
    capitals = [letter.isupper() for letter in letters]
    if not any(capitals):
        return "lower" if any(letter.islower() for letter in letters) else "caseless"
    if all(capitals):
        return "UPPER" if len(letters) > 1 else "Single"
    return "Title" if capitals[0] and not any(capitals[1:]) else "miXed"


def characters(word: str) -> list[int]:
    """Return the numbers of the word's characters: LONGEST of them, filled up with 0."""
    looked_at = word if len(word) <= LONGEST else word[:12] + word[-8:]
    numbers = [_character(letter) for letter in looked_at]
    return numbers + [0] * (LONGEST - len(numbers))


def _character(letter: str) -> int:
    code = ord(letter)
    if 32 <= code < 127:
        return code - 31
    if letter.isalpha():
        return 96 if letter.islower() else 97 if letter.isupper() else 98
    return 99 if letter.isdigit() else 100 if letter.isprintable() else 101


def facts(text: str, words: Sequence[Span]) -> list[list[float]]:
    """Return N_FACTS numbers in [0, 1] about each word: its place, its marks, and how the whole text is written.

    Capitals say little in a text that shouts or that has none: so the shares of words with each are told to every word.
    """
    written = [text[start:end] for start, end in words]
    alphabetic = [word for word in written if word[0].isalpha()] or ["a"]
    capital = sum(word[0].isupper() for word in alphabetic) / len(alphabetic)
    shouted = sum(word.isupper() and len(word) > 1 for word in alphabetic) / len(alphabetic)
    found = []
    for place, ((start, _), word) in enumerate(zip(words, written, strict=True)):
        before = written[place - 1] if place else ""
        found.append(
            [
                float(place == 0),
                float(before[-1:] in (".", "!", "?", ":", '"', "“", "|")),
                float(start == 0 or text[start - 1].isspace()),
                float("-" in word[1:-1] or "." in word[1:-1]),
                float("'" in word or "’" in word),
                min(len(word), LONGEST) / LONGEST,
                capital,
                shouted,
            ]
        )
    return found
