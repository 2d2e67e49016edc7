"""Changing the texts of a row without breaking what it is: a conversation stays JSON, an entity stays in its place.

Takes texts and edits, gives texts. Knows nothing of why a text is changed.
"""

import bisect
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

MEANINGLESS = frozenset({"role", "id", "type", "tool_call_id"})
"""Keys of a message whose values are names of the protocol, not words of anybody."""

Change = Callable[[str], str]


class Edit(Struct, frozen=True):
    """One replacement in a text."""

    start: int
    """Of the first character replaced."""
    end: int
    """Of the one after the last."""
    text: str
    """What stands there now."""


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with edits made. They ascend and do not overlap."""
    pieces, done = [], 0
    for edit in edits:
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join((*pieces, text[done:]))


def moved_entities(reference: str, edits: Sequence[Edit], text: str) -> str:
    """Return a JSON list of entities of an edited text, each with its new place; `text` is the text after the edits.

    An entity that an edit cuts grows to all of what stands there now, so that it still begins and ends with words. An
    entity without a place, or whose words are not those at its place, keeps its words. What is no list of entities is
    returned as it is: other guards say so.
    """
    entities = objects(reference)
    if entities is None:
        return reference
    starts = [edit.start for edit in edits]
    moved = []
    for entity in entities:
        start, end = entity.get("start"), entity.get("end")
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end:
            moved.append(entity)
            continue
        place = {"start": _moved(start, edits, starts, to_end=False), "end": _moved(end, edits, starts, to_end=True)}
        words = {"text": text[place["start"] : place["end"]]} if entity.get("text") else {}
        moved.append({**entity, **place, **words})
    return _json(moved)


def objects(text: str) -> list[dict[str, Any]] | None:
    """Return the objects of a JSON list, or None where a text is something else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def said(text: str) -> list[str]:
    """Return the words of a conversation's messages, in order; of any other text, the text."""
    found: list[str] = []

    def note(words: str) -> str:
        found.append(words)
        return words

    messages = objects(text)
    if messages is None:
        return [text]
    _walked(messages, note)
    return found


def rewritten(text: str, change: Change) -> str:
    """Return a conversation with each of its strings changed, and any other text changed as a whole.

    A conversation that does not change is returned as it was, to the byte.
    """
    messages = objects(text)
    if messages is None:
        return change(text)
    changed = _walked(messages, change)
    return text if changed == messages else _json(changed)


def replaced(table: pl.DataFrame, columns: tuple[str, ...], changed: dict[int, tuple[str, ...]]) -> pl.DataFrame:
    """Return the table with the columns of some rows replaced; `changed` is row to the new values."""
    rows = [(row, *values) for row, values in changed.items()]
    new = pl.DataFrame(rows, schema={"row": pl.Int64, **dict.fromkeys(columns, pl.String)}, orient="row")
    return table.update(new, on="row", how="left").select(table.columns)


def _walked(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_walked(each, change) for each in value]
    if isinstance(value, dict):
        return {key: each if key in MEANINGLESS else _walked(each, change) for key, each in value.items()}
    return value


def _moved(place: int, edits: Sequence[Edit], starts: Sequence[int], *, to_end: bool) -> int:
    """Return where a place of the text is after the edits; inside an edit, its beginning or its end.

    Edits before the place are those whose replaced characters end at it or before.
    """
    before = bisect.bisect_left(starts, place)
    shift = sum(len(edit.text) - (edit.end - edit.start) for edit in edits[:before])
    if before and edits[before - 1].end > place:
        last = edits[before - 1]
        shift -= len(last.text) - (last.end - last.start)
        return last.start + shift + (len(last.text) if to_end else 0)
    return place + shift


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
