"""Personal data and secrets in rows: reported, masked, or a reason to set the row aside.

Takes raw rows and, where what is masked may be unmasked, a key; gives the rows without the data, and the data by the
token that stands for it. Nothing of it is in a fate, a note or a finding.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import phonenumbers
import polars as pl
from msgspec import Struct

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import PersonalData
from lifeloop.core.errors import BriefError
from lifeloop.guards.guard import Checked, finding, taken_out
from lifeloop.guards.personal.ids import NATIONAL_IDS
from lifeloop.guards.personal.kinds import find_personal, hint_of
from lifeloop.guards.personal.tokens import KINDS, alias, token
from lifeloop.guards.rewriting import Edit, edited, moved_entities, replaced, rewritten

TEXTS = ("input", "reference", "rejected")
NAMING = ("id", "group")
"""Columns that tell rows apart: two values never become one."""
IN_NAMES = ("mail", "iban", "phone")
"""Kinds looked for in ids, groups and slices: a bare number there is a number."""

_WHERE = "data.refine.personal_data"


class Masked(Struct, frozen=True):
    """Rows after masking."""

    checked: Checked
    sealed: dict[str, str]
    """Token to what it stands for; empty without a key."""


class Masking(Struct, frozen=True):
    """What is looked for in one text, and what stands in its place."""

    kinds: Sequence[str]
    regions: Sequence[str]
    key: bytes | None
    sealed: dict[str, str]
    """Filled as values are masked."""
    apart: bool = False
    """Without a key too, different values get different tokens."""


def check_kinds(settings: PersonalData, where: str = _WHERE, key: str = "kinds") -> None:
    """Raise BriefError where the brief names a kind or a region that nothing is known of.

    `where` is the table that names them, and `key` its key that names the kinds.
    """
    unknown = sorted(set(settings.kinds) - set(KINDS))
    if unknown:
        what = f"no such kind: {', '.join(unknown)}"
        raise BriefError(what, where=f"{where}.{key}", fix=f"one of {', '.join(KINDS)}")
    unknown = sorted(set(settings.regions) - set(phonenumbers.SUPPORTED_REGIONS) - set(NATIONAL_IDS))
    if unknown:
        fix = "two capital letters as in ISO 3166: US, GB, DE"
        raise BriefError(f"no such region: {', '.join(unknown)}", where=f"{where}.regions", fix=fix)


def mask_personal(table: pl.DataFrame, settings: PersonalData, task: str, key: bytes | None) -> Masked:
    """Return rows whose personal data is reported, masked or a reason for quarantine, as `settings.action` says.

    Inputs are looked at, and what a generated text should be; a label is not. The places of entities move with their
    text. In ids, groups and slices, mail addresses, accounts and international phone numbers are masked too: ids and
    groups so that different ones stay different, without a key by a pseudonym. Raises BriefError as `check_kinds` does.
    """
    check_kinds(settings)
    if settings.action != "mask":
        return Masked(_told(table, settings, task), {})
    sealed: dict[str, str] = {}
    masking = Masking(settings.kinds, settings.regions, key, sealed)
    changed: dict[int, tuple[str, ...]] = {}
    counts: dict[int, Counter[str]] = {}
    for row, texts, kinds in _hinted(table, settings.kinds, task):
        masked, found = _masked_row(texts, msgspec.structs.replace(masking, kinds=kinds), task)
        if found:
            changed[row], counts[row] = masked, found
    masked_table, in_names = _masked_names(replaced(table, TEXTS, changed) if changed else table, masking)
    for row, found in in_names.items():
        counts[row] = counts.get(row, Counter()) + found
    notes = {row: f"masked: {_listed(found)}" for row, found in sorted(counts.items())}
    return Masked(Checked(masked_table, {}, notes, _findings(table, counts, "masked")), sealed)


def masked_text(text: str, masking: Masking) -> tuple[str, list[list[Edit]], Counter[str]]:
    """Return a text without its personal data, the edits that made it so, pass after pass, and how many of each kind.

    It is looked through until nothing is found, so that a masked text is never masked again.
    """
    passes: list[list[Edit]] = []
    counts: Counter[str] = Counter()
    while found := find_personal(text, masking.kinds, masking.regions):
        edits = []
        for each in found:
            value = text[each.start : each.end]
            stands = token(each.kind, value, masking.key)
            if masking.key is not None:
                masking.sealed[stands] = value
            elif masking.apart:
                stands = alias(each.kind, value)
            edits.append(Edit(each.start, each.end, stands))
            counts[each.kind] += 1
        text = edited(text, edits)
        passes.append(edits)
    return text, passes, counts


def _told(table: pl.DataFrame, settings: PersonalData, task: str) -> Checked:
    """Return the rows with what was found in them said, or without them."""
    counts: dict[int, Counter[str]] = {}
    for row, texts, kinds in _hinted(table, settings.kinds, task):
        _, found = _masked_row(texts, Masking(kinds, settings.regions, None, {}), task)
        if found:
            counts[row] = found
    if settings.action == "report":
        return Checked(table, {}, {}, _findings(table, counts, "found"))
    out = {row: ("personal data", _listed(found)) for row, found in counts.items()}
    return taken_out(table, out, "personal data", "quarantined")


def _hinted(
    table: pl.DataFrame, kinds: Sequence[str], task: str
) -> Iterator[tuple[int, tuple[str, str, str], list[str]]]:
    """Yield the rows that may hold personal data: row, texts, and the kinds that it may be.

    Polars looks for what every text with such data must hold, so that most texts are never looked at in Python.
    """
    columns = TEXTS if task in {"generate", "chat"} else TEXTS[:1]
    hints = []
    for kind in kinds:
        seen = [_as_read(column, task).str.contains(hint_of(kind)) for column in columns]
        if task == "chat":
            seen += [pl.col(column).str.contains(r"\\u", literal=False) for column in columns]
        hints.append(pl.any_horizontal(seen).alias(f"hint:{kind}"))
    hinted = table.select("row", *TEXTS, *hints).filter(pl.any_horizontal(pl.col("^hint:.*$")))
    for row, text, reference, rejected, *flags in hinted.iter_rows():
        yield row, (text, reference, rejected), [kind for kind, flag in zip(kinds, flags, strict=True) if flag]


def _as_read(column: str, task: str) -> pl.Expr:
    """Return a column as hints read it: in JSON a line's end is written as a letter, which hides a word's start."""
    return pl.col(column).str.replace_all(r"\\[nrt]", " ") if task == "chat" else pl.col(column)


def _masked_row(texts: tuple[str, str, str], masking: Masking, task: str) -> tuple[tuple[str, str, str], Counter[str]]:
    """Return a row's input, reference and rejected answer without personal data, and how many of each kind it was."""
    text, reference, rejected = texts
    counts: Counter[str] = Counter()

    def change(words: str) -> str:
        masked, _, found = masked_text(words, masking)
        counts.update(found)
        return masked

    if task == "chat":
        return (rewritten(text, change), rewritten(reference, change), rewritten(rejected, change)), counts
    if task == "generate":
        return (change(text), change(reference), change(rejected)), counts
    masked, passes, counts = masked_text(text, masking)
    if task == "extract":
        for edits in passes:
            text = edited(text, edits)
            reference = moved_entities(reference, edits, text)
    return (masked, reference, rejected), counts


def _masked_names(table: pl.DataFrame, masking: Masking) -> tuple[pl.DataFrame, dict[int, Counter[str]]]:
    """Return rows with ids, groups and slices without personal data, and how many of each kind by row."""
    kinds = [kind for kind in IN_NAMES if kind in masking.kinds]
    counts: dict[int, Counter[str]] = {}
    if not kinds:
        return table, counts
    for column in (*NAMING, "slices"):
        looked_for = pl.any_horizontal(pl.col(column).str.contains(hint_of(kind)) for kind in kinds)
        values = table.filter(looked_for)[column].unique().to_list()
        rule = msgspec.structs.replace(masking, kinds=kinds, regions=(), apart=column in NAMING)
        changed: dict[str, str] = {}
        found: dict[str, Counter[str]] = {}
        for value in values:
            masked, number = _masked_slices(value, rule) if column == "slices" else masked_text(value, rule)[::2]
            if number:
                changed[value], found[value] = masked, number
        if not changed:
            continue
        for row, value in table.filter(pl.col(column).is_in(list(changed))).select("row", column).iter_rows():
            counts[row] = counts.get(row, Counter()) + found[value]
        table = table.with_columns(pl.col(column).replace(changed))
    return table, counts


def _masked_slices(value: str, masking: Masking) -> tuple[str, Counter[str]]:
    """Return the JSON object of slices with its values masked."""
    counts: Counter[str] = Counter()
    slices = msgspec.json.decode(value, type=dict[str, str])
    for name, each in slices.items():
        slices[name], _, found = masked_text(each, masking)
        counts.update(found)
    return msgspec.json.encode(slices).decode(), counts


def _listed(found: Counter[str]) -> str:
    return ", ".join(f"{found[kind]} {kind}" for kind in KINDS if found[kind])


def _findings(table: pl.DataFrame, counts: dict[int, Counter[str]], what: str) -> tuple[Finding, ...]:
    """Return a finding for each kind, in the order of the kinds."""
    rows = table.filter(pl.col("row").is_in(list(counts))).select("row", "source")
    sources = dict(rows.iter_rows())
    found = {kind: [sources[row] for row in sources if counts[row][kind]] for kind in KINDS}
    return tuple(finding("personal data", "kept", f"{kind} {what}", each) for kind, each in found.items() if each)
