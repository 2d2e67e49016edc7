"""Texts of CoNLL files: a token and its BIO tag a line, a blank line between texts.

The input is the tokens with single spaces between them; the reference is the JSON list of entities, each with its
place in characters. A text with a line that cannot be read becomes a flaw.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.core.content import canonical
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import MOST_DAMAGED, read_bytes, read_text, wrong_encoding
from lifeloop.sources.rows import Record, check_columns, raw_table, share_damaged


class Conll:
    """What `format = "conll"` names."""

    suffixes = (".conll", ".bio", ".iob")

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return the raw rows of a file; see `Source.read`. `data.input` and `data.reference` name nothing here."""
        check_columns((data.input, data.reference), data, path.name)
        records = list(_records(path, data.encoding, data.input, data.reference))
        table = raw_table(records, data)
        if share_damaged(table) > MOST_DAMAGED:
            raise wrong_encoding(path, read_bytes(path), data.encoding)
        if all(record.flaw for record in records):
            fix = "write TOKEN, a tab and a tag (O, B-TYPE, I-TYPE) on each line, and a blank line between texts"
            raise DataError("no text with tokens and tags", where=path.name, fix=fix)
        return table

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first texts, as `text`, and their entities, as `label`; see `Source.sample`."""
        records = (record for record in _records(path, encoding, "text", "label") if not record.flaw)
        return [dict(record.cells) for record in itertools.islice(records, limit)]


def _records(path: Path, encoding: str, input: str, reference: str) -> Iterator[Record]:
    lines = read_text(path, encoding).split("\n")
    for blank, block in itertools.groupby(enumerate(lines, start=1), key=lambda each: _is_boundary(each[1])):
        if blank:
            continue
        numbered = list(block)
        place = f"{path.name}:{numbered[0][0]}"
        pairs = [_pair(line) for _, line in numbered]
        bad = next((number for (number, _), pair in zip(numbered, pairs, strict=True) if pair is None), 0)
        if bad:
            raw = "\n".join(line for _, line in numbered)
            yield Record(place, {}, f"a line that is not a token and a BIO tag: line {bad}", raw)
        else:
            text, entities = _entities([pair for pair in pairs if pair])
            yield Record(place, {input: text, reference: entities})


def _is_boundary(line: str) -> bool:
    return not line.strip() or line.startswith("-DOCSTART-")


def _pair(line: str) -> tuple[str, str] | None:
    """Return the token, which is the first column, and the tag, which is the last; None where it is no such line."""
    columns = line.rstrip("\r").split("\t") if "\t" in line else line.split()
    token, tag = columns[0].strip(), columns[-1].strip()
    whole = len(columns) > 1 and token and (tag == "O" or (tag[:2] in ("B-", "I-") and tag[2:]))
    return (token, tag) if whole else None


def _entities(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the text of tokens and tags, and its entities as JSON; `end` is the place after the last character."""
    text = " ".join(token for token, _ in pairs)
    found: list[dict[str, str | int]] = []
    place, inside = 0, ""
    for token, tag in pairs:
        end = place + len(token)
        kind = tag[2:]
        if tag.startswith("I-") and kind == inside:
            found[-1]["end"] = end
        elif tag != "O":  # an I- that follows nothing of its type begins an entity, as in the first CoNLL files
            found.append({"start": place, "end": end, "type": kind})
        inside = kind
        place = end + 1
    for entity in found:
        entity["text"] = text[int(entity["start"]) : int(entity["end"])]
    return text, canonical(found).decode()


SOURCE = Conll()
