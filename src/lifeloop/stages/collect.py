"""What data do we have? The rows of the brief's sources and those that feedback taught, as one table in parts.

Takes the data section of the brief, gives raw rows exactly as they came, each with where it came from. Trusts nothing
and drops nothing: that is for refine. What an earlier collection stored of the same bytes is not read again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.data import Raw, RawPart
from lifeloop.core.data_brief import Splits
from lifeloop.core.errors import DataError
from lifeloop.core.progress import Progress
from lifeloop.guards.guard import text_key
from lifeloop.guards.reviewed import NO, REVIEWS, YES
from lifeloop.sources.places import Place, places, source_of
from lifeloop.sources.source import START, Entry, Reading, Source
from lifeloop.store.tables import RAW_SCHEMA, to_parquet
from lifeloop.store.vault import Vault

VERSION = "2"
"""Changed by hand when the same source would give other rows."""


class SourcePart(Struct, frozen=True):
    """A part of one source, as it was stored."""

    table: Id
    n_rows: int
    bytes: Id
    """Of the source's bytes from the end of the part before to this one's; "" where it cannot be entered midway."""
    end: Entry | None


class SourceParts(Struct, frozen=True):
    """One source, as it was stored."""

    origin: str
    fingerprint: Id
    parts: tuple[SourcePart, ...]


class Collected(Struct, frozen=True):
    """The raw rows of a cycle."""

    raw: Id
    """A Raw value."""
    n_rows: int
    n_learned: int
    sources: tuple[SourceParts, ...]
    n_shared: int = 0
    """Rows in parts that an earlier collection had read."""


def section(data: Data, task: str) -> list[Any]:
    """Return what of the brief decides how any source is read."""
    columns = [data.input, data.reference, data.id, data.group, data.split, data.slices, data.splits.column]
    return [task, data.format, data.query, data.sheet, data.subset, data.revision, data.encoding, columns]


def collect(
    reading: Reading, vault: Vault, learned: pl.DataFrame, known: Sequence[SourceParts], progress: Progress
) -> Collected:
    """Return the raw rows of all sources, in order, and after them the learned ones (of RAW_SCHEMA).

    `known` are the sources of an earlier collection under the same settings: it changes what is read, never what is
    returned. Raises DataError where a source as a whole cannot be used.
    """
    earlier = {each.origin: each for each in known}
    found, n_shared, n_rows = [], 0, 0
    for place in places(reading):
        source = source_of(place)
        before = _standing(place, reading, earlier.get(place.origin))
        parts = list(before.parts)
        n_shared += sum(part.n_rows for part in parts)
        if not before.whole:
            for part in _read(place, source, reading, vault, parts[-1].end or START if parts else START):
                parts.append(part)
                progress(n_rows + sum(each.n_rows for each in parts), 0, place.origin)
        n_rows += sum(part.n_rows for part in parts)
        found.append(SourceParts(place.origin, before.fingerprint or _fingerprint(place, reading, parts), tuple(parts)))
    raw = [RawPart(part.table, part.n_rows, source.origin) for source in found for part in source.parts]
    if learned.height:
        table = learned.select(list(RAW_SCHEMA))
        raw.append(RawPart(vault.put(to_parquet(table)), table.height, "feedback"))
    return Collected(
        raw=vault.put_value(Raw(tuple(raw))),
        n_rows=n_rows + learned.height,
        n_learned=learned.height,
        sources=tuple(found),
        n_shared=n_shared,
    )


def fingerprint(reading: Reading) -> Id:
    """Return an id of what all sources hold now, and the files beside them that the brief names.

    Raises DataError where one is missing or cannot be read.
    """
    data = reading.data
    beside = [*data.refine.contamination.benchmarks, *filter(None, [data.refine.reviewed])]
    read = [reading, *(_beside(reading, path) for path in beside)]
    return content_id(
        [{place.origin: source_of(place).fingerprint(place.place, each) for place in places(each)} for each in read]
    )


def inputs_of(paths: Sequence[str], reading: Reading) -> list[str]:
    """Return the inputs of files beside the brief's own: known benchmark items. Raises DataError as `collect` does."""
    texts: list[str] = []
    for path in paths:
        asked = _beside(reading, path)
        data = asked.data
        for place in places(asked):
            source = source_of(place)
            columns = next(iter(source.sample(place.place, asked, 1)), {})
            column = next((name for name in (data.input, "text", *columns) if name in columns), data.input)
            wanted = msgspec.structs.replace(data, input=column, reference=column)
            for chunk in source.chunks(place.place, msgspec.structs.replace(asked, data=wanted)):
                texts += chunk.table.filter(pl.col("flaw") == "")["input"].to_list()
    return texts


def reviews_of(path: str, reading: Reading) -> pl.DataFrame:
    """Return what people decided of rows, as guards.reviewed.REVIEWS: from a table with the columns `keep`, `label` and
    `key` or `text`. Rows where `keep` is empty were not looked at.

    Raises DataError where a column is missing, or a row says something else than yes or no.
    """
    asked = _beside(reading, path)
    asked = msgspec.structs.replace(asked, data=msgspec.structs.replace(asked.data, encoding="utf-8"))
    found: dict[str, tuple[bool, str]] = {}
    for place in places(asked):
        source = source_of(place)
        columns = next(iter(source.sample(place.place, asked, 1)), {})
        if not columns:  # a header alone: nobody has said anything yet
            continue
        column = "text" if "text" in columns else "key"
        slices = ("keep", "key") if "key" in columns else ("keep",)
        wanted = msgspec.structs.replace(asked.data, input=column, reference="label", slices=slices)
        for chunk in source.chunks(place.place, msgspec.structs.replace(asked, data=wanted)):
            for row in chunk.table.iter_rows(named=True):
                said = msgspec.json.decode(row["slices"])
                keep = said.get("keep", "").strip().casefold()
                if row["flaw"] or (keep and keep not in (*YES, *NO)):
                    what = row["flaw"] or f"the column keep says {keep!r}"
                    raise DataError(what, where=row["source"], fix='write "yes" or "no", or leave it empty')
                if not keep:
                    continue
                key, answer = said.get("key", "") or text_key(row["input"]), (keep in YES, row["reference"].strip())
                if found.setdefault(key, answer) != answer:
                    fix = "leave one of them: of one text there is one answer"
                    raise DataError("another answer than a row above it has", where=row["source"], fix=fix)
    rows = [(key, keep, label) for key, (keep, label) in found.items()]
    return pl.DataFrame(rows, schema=REVIEWS, orient="row")


def _beside(reading: Reading, path: str) -> Reading:
    """Return what sources are told of a file that is not the brief's data."""
    data = msgspec.structs.replace(
        reading.data, source=path, format="auto", id="", group="", split="", slices=(), splits=Splits()
    )
    return msgspec.structs.replace(reading, data=data)


class _Standing(Struct, frozen=True):
    """What of an earlier collection of a source still stands."""

    parts: tuple[SourcePart, ...] = ()
    whole: bool = False
    """Whether nothing else is to be read."""
    fingerprint: Id = ""
    """Of the source now, where it had to be taken."""


def _standing(place: Place, reading: Reading, before: SourceParts | None) -> _Standing:
    """Return the parts stored earlier whose bytes are still there; all, where the source is as it was."""
    if before is None:
        return _Standing()
    same = list(_same_bytes(_path(place, reading), before.parts))
    if all(part.bytes for part in before.parts):
        end = before.parts[-1].end if before.parts else None
        whole = (
            len(same) == len(before.parts) and end is not None and _path(place, reading).stat().st_size == end.offset
        )
        return (
            _Standing(before.parts, True, before.fingerprint)
            if whole
            else _Standing(tuple(same[: len(before.parts) - 1]))
        )
    fingerprint = source_of(place).fingerprint(place.place, reading)
    if fingerprint == before.fingerprint:
        return _Standing(before.parts, True, fingerprint)
    # the last part may have been cut short by the end of the source
    return _Standing(tuple(same[: len(before.parts) - 1]), False, fingerprint)


def _same_bytes(path: Path, parts: Sequence[SourcePart]) -> Iterator[SourcePart]:
    """Yield the parts from the first on for as long as a file's bytes are those that they were read from."""
    begin = 0
    for part in parts:
        if part.end is None or not part.bytes or _bytes_id(path, begin, part.end.offset) != part.bytes:
            return
        yield part
        begin = part.end.offset


def _fingerprint(place: Place, reading: Reading, parts: Sequence[SourcePart]) -> Id:
    """Return an id of what a source holds: of its parts' bytes, where they are known, so that it is not read again."""
    if parts and all(part.bytes for part in parts):
        return content_id([part.bytes for part in parts])
    return source_of(place).fingerprint(place.place, reading)


def _read(place: Place, source: Source, reading: Reading, vault: Vault, entry: Entry) -> Iterator[SourcePart]:
    """Yield the parts from an entry on, each once it is stored."""
    begin = entry.offset
    for chunk in source.chunks(place.place, reading, entry):
        digest = ""
        if chunk.end is not None:
            digest = _bytes_id(_path(place, reading), begin, chunk.end.offset)
            begin = chunk.end.offset
        yield SourcePart(vault.put(to_parquet(chunk.table)), chunk.table.height, digest, chunk.end)


def _path(place: Place, reading: Reading) -> Path:
    return reading.root / place.place


def _bytes_id(path: Path, begin: int, end: int) -> Id:
    """Return the id of a span of a file's bytes, or "" where the file is shorter now."""
    digest, left = hashlib.sha256(), end - begin
    with path.open("rb") as file:
        file.seek(begin)
        while left > 0:
            block = file.read(min(left, 1 << 20))
            if not block:
                return ""
            digest.update(block)
            left -= len(block)
    return digest.hexdigest() if end > begin else bytes_id(b"")
