"""Texts of CoNLL files: a token and its BIO tag a line, a blank line between texts.

The input is the tokens with single spaces between them; the reference is the JSON list of entities, each with its
place in characters. A text with a line that cannot be read becomes a flaw.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from lifeloop.core.content import Id, canonical
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import repaired
from lifeloop.sources.files import file_at, fingerprint_of, name_of
from lifeloop.sources.lines import TOO_LONG, Line, damage_in, lines
from lifeloop.sources.rows import Record, check_columns, chunked
from lifeloop.sources.source import START, Chunk, Entry, Reading

MOST_LINES = 20_000
MOST_CHARS = 8_000_000
"""A text of more lines or characters is not held: the blank lines between texts are missing."""


class Conll:
    """What `format = "conll"` names."""

    suffixes = (".conll", ".bio", ".iob")

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the texts of a file; see `Source.chunks`. `data.input` and `data.reference` name nothing here."""
        path, name, data = file_at(place, reading), name_of(place, reading), reading.data
        check_columns((data.input, data.reference), data, name)
        found = _records(lines(path, data.encoding, entry, name), name, data.input, data.reference)
        wrong = partial(damage_in, path, data.encoding, name)
        good = False
        for chunk in chunked(found, data, entry, wrong):
            good = good or bool((chunk.table["flaw"] == "").any())
            yield chunk
        if not good and entry != START:  # then what stands before it decides
            above = itertools.takewhile(lambda line: line.number <= entry.lines, lines(path, data.encoding, name=name))
            good = not all(record.flaw for record in _records(above, name, data.input, data.reference))
        if not good:
            fix = "write TOKEN, a tab and a tag (O, B-TYPE, I-TYPE) on each line, and a blank line between texts"
            raise DataError("no text with tokens and tags", where=name, fix=fix)

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the file's bytes; see `Source.fingerprint`."""
        return fingerprint_of(file_at(place, reading), name_of(place, reading))

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first texts, as `text`, and their entities, as `label`; see `Source.sample`."""
        name = name_of(place, reading)
        found = lines(file_at(place, reading), reading.data.encoding, name=name)
        records = (record for record in _records(found, name, "text", "label") if not record.flaw)
        return [
            {name: repaired(text) for name, text in record.cells.items()} for record in itertools.islice(records, limit)
        ]


def _records(found: Iterable[Line], name: str, input: str, reference: str) -> Iterator[Record]:
    for block, end in _blocks(found):
        place = f"{name}:{block[0].number}"
        long = next((line.number for line in block if line.cut), 0)
        pairs = [_pair(line.text) for line in block]
        bad = next((line.number for line, pair in zip(block, pairs, strict=True) if pair is None), 0)
        flaw = f"a line that is not a token and a BIO tag: line {bad}" if bad else ""
        if long:
            flaw = f"{TOO_LONG}: line {long}"
        elif _is_too_long(block):
            flaw = "a text that is too long: no blank line ends it"
        if flaw:
            yield Record(place, {}, flaw, "".join(line.text for line in block).rstrip("\r\n"), end=end)
        else:
            text, entities = _entities([pair for pair in pairs if pair])
            yield Record(place, {input: text, reference: entities}, end=end)


def _blocks(found: Iterable[Line]) -> Iterator[tuple[list[Line], Entry | None]]:
    """Yield the lines of each text, and where what is below it begins: after the line that shows that it has ended.

    Of a text that is too long, the lines are those up to where it became so.
    """
    block: list[Line] = []
    n_chars, end = 0, None
    for line in found:
        end = line.end
        if _is_boundary(line.text):
            if block:
                yield block, end
            block, n_chars = [], 0
        elif n_chars <= MOST_CHARS and len(block) <= MOST_LINES:
            block.append(line)
            n_chars += len(line.text)
    if block:
        yield block, end


def _is_too_long(block: Sequence[Line]) -> bool:
    return len(block) > MOST_LINES or sum(len(line.text) for line in block) > MOST_CHARS


def _is_boundary(line: str) -> bool:
    return not line.strip() or line.startswith("-DOCSTART-")


def _pair(line: str) -> tuple[str, str] | None:
    """Return the token, which is the first column, and the tag, which is the last; None where it is no such line."""
    columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
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
