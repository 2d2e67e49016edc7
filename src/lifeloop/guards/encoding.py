"""Texts that were decoded wrongly somewhere before, and characters that are no text.

Takes raw rows, gives them with what can be mended without doubt mended, and quarantines the others. Rows without any
suspicious character are never looked at in Python.
"""

from collections.abc import Iterable

import msgspec
import polars as pl

from lifeloop.core.data_brief import Encoding
from lifeloop.guards.guard import Checked, finding, taken_out
from lifeloop.guards.mending import mend, suspicious
from lifeloop.guards.rewriting import Change, objects, replaced, rewritten

TEXTS = ("input", "reference", "rejected")
MISPLACED = "entities that cannot be placed in the mended text"

_ESCAPED = r"\\[ub]"
"""In JSON a suspicious character may be written as an escape."""


def check_encoding(table: pl.DataFrame, settings: Encoding, task: str) -> Checked:
    """Mend wrongly decoded letters and control, zero-width and bidi characters, or quarantine their rows.

    With `settings.repair`, rows are mended where that is possible without doubt; a note says what was done. Texts that
    are fine come back as they are. The places of entities move with their text.
    """
    pattern = f"{suspicious()}|{_ESCAPED}" if task in {"chat", "extract"} else suspicious()
    looked_at = table.select("row", *TEXTS).filter(pl.any_horizontal(pl.col(*TEXTS).str.contains(pattern)))
    out: dict[int, tuple[str, str]] = {}
    changed: dict[int, tuple[str, ...]] = {}
    done: dict[int, tuple[str, ...]] = {}
    for row, *texts in looked_at.iter_rows():
        mended, what, doubt = _mended(texts, task)
        if doubt:
            out[row] = (doubt, "")
        elif what and settings.repair:
            changed[row], done[row] = mended, what
        elif what:
            out[row] = (what[0], "data.refine.encoding.repair is false")
    checked = taken_out(table, out, "encoding", "quarantined")
    if not changed:
        return checked
    return _with_mended(checked, changed, done)


def _with_mended(checked: Checked, changed: dict[int, tuple[str, ...]], done: dict[int, tuple[str, ...]]) -> Checked:
    """Return the rows with their mended texts, with notes and a finding for each kind of mending."""
    sources = dict(checked.table.filter(pl.col("row").is_in(list(done))).select("row", "source").iter_rows())
    by_kind: dict[str, list[str]] = {}
    for row, what in done.items():
        for kind in what:
            by_kind.setdefault(kind, []).append(sources[row])
    findings = [finding("encoding", "kept", f"{kind}: mended", found) for kind, found in by_kind.items()]
    notes = {row: f"mended: {', '.join(what)}" for row, what in done.items()}
    return Checked(replaced(checked.table, TEXTS, changed), checked.fates, notes, (*checked.findings, *findings))


def _mended(texts: Iterable[str], task: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return a row's texts after mending, what was done, and why it is in doubt, or ""."""
    text, reference, rejected = texts
    done: dict[str, None] = {}
    doubts: dict[str, None] = {}

    def change(words: str) -> str:
        mended = mend(words)
        done.update(dict.fromkeys(mended.done))
        if mended.doubt:
            doubts[mended.doubt] = None
        return mended.text

    if task == "extract":
        after = change(text)
        moved = _entities(reference, text, after, change)
        if moved is None:
            doubts[MISPLACED] = None
        return (after, moved or reference, change(rejected)), tuple(done), next(iter(doubts), "")
    within = rewritten if task == "chat" else _whole
    after, *others = within(text, change), within(reference, change), within(rejected, change)
    return (after, *others), tuple(done), next(iter(doubts), "")


def _whole(text: str, change: Change) -> str:
    return change(text)


def _entities(reference: str, before: str, after: str, change: Change) -> str | None:
    """Return the entities of a mended text, or None where it cannot be said for sure where one of them is now.

    It can where the text mends to the same in three pieces, before, in and after the entity, as in one.
    """
    entities = objects(reference)
    if entities is None:
        return reference
    moved = []
    for entity in entities:
        start, end, words = entity.get("start"), entity.get("end"), entity.get("text", "")
        new = {**entity, "text": change(words)} if isinstance(words, str) and words else entity
        if before != after and isinstance(start, int) and isinstance(end, int) and 0 <= start < end:
            head, body, tail = (mend(piece).text for piece in (before[:start], before[start:end], before[end:]))
            if head + body + tail != after:
                return None
            new = {**new, "start": len(head), "end": len(head) + len(body)}
        moved.append(new)
    return reference if moved == entities else msgspec.json.encode(moved).decode()
