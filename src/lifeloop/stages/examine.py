"""Can this row be trusted? The steps of refining that look at one row alone, over one part of the raw rows.

Takes a raw part and the settings, gives the rows that passed with what later steps need to know of them. Depends on
nothing else, so that a part that was examined once never is again.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.content import Id
from lifeloop.core.data import Finding, RowFate
from lifeloop.guards.encoding import check_encoding
from lifeloop.guards.guard import Checked, examined, merged, numbered, placed, taken_out
from lifeloop.guards.language import check_language
from lifeloop.guards.near import sketch
from lifeloop.guards.personal.masking import mask_personal
from lifeloop.guards.seal import seal
from lifeloop.guards.text import check_flaws, check_text
from lifeloop.guards.toxic import check_toxic
from lifeloop.store.tables import from_parquet, to_parquet
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Task

VERSION = f"2/{sketch.VERSION}"
"""Its first number is changed by hand when the same raw rows would be examined otherwise."""

DECIDED = {"row": pl.Int64, "fate": pl.String, "reason": pl.String, "detail": pl.String, "note": pl.String}
"""Columns of what was decided of some rows: `fate` is "kept" where a row was only changed, as `note` says."""


class Examined(Struct, frozen=True):
    """What one raw part came to."""

    table: Id
    """Parquet of guard.EXAMINED, `input` and `rejected`: the rows that passed; `row` is the place in the part."""
    decided: Id
    """Parquet of DECIDED: the rows that did not pass, and those that were changed."""
    findings: tuple[Finding, ...]
    sealed: Id = ""
    """What was masked, encrypted, where there was a key."""


def section(data: Data, task: str) -> list[Any]:
    """Return what of the brief decides how a row is examined."""
    steps = data.refine
    about = [steps.encoding, steps.language, steps.personal_data, steps.toxic]
    return [task, data.max_chars, data.seed, [msgspec.to_builtins(step) for step in about]]


def examine(vault: Vault, raw: Id, data: Data, task: str, key: bytes | None) -> Examined:
    """Return what became of one raw part. With `key`, personal data is masked so that its holder can unmask it."""
    table, done, sealed = numbered(from_parquet(vault.get(raw))), [], {}
    for step in _steps(data, plugins.get("tasks", task, where="project.task")):
        checked = step(table)
        table = checked.table
        done.append(checked)
    table = placed(table, data.seed)
    if data.refine.personal_data.on:
        masked = mask_personal(table, data.refine.personal_data, task, key)
        table, sealed = masked.checked.table, masked.sealed
        done.append(masked.checked)
    return Examined(
        table=vault.put(to_parquet(examined(table))),
        decided=vault.put(to_parquet(decided(done))),
        findings=merged(each for checked in done for each in checked.findings),
        sealed=vault.put(seal(sealed, key)) if sealed and key else "",
    )


def decided(done: Iterable[Checked]) -> pl.DataFrame:
    """Return what guards decided as a table of DECIDED, by row."""
    fates: dict[int, RowFate] = {}
    notes: dict[int, list[str]] = {}
    for checked in done:
        fates.update(checked.fates)
        for row, note in checked.notes.items():
            notes.setdefault(row, []).append(note)
    rows = [(row, fate.fate, fate.reason, fate.detail, "") for row, fate in fates.items()] + [
        (row, "kept", "", "", "; ".join(said)) for row, said in notes.items() if row not in fates
    ]
    return pl.DataFrame(rows, schema=DECIDED, orient="row").sort("row")


def _steps(data: Data, task: Task) -> list[Callable[[pl.DataFrame], Checked]]:
    """Return the guards in the order in which rows meet them."""
    refine = data.refine
    steps: list[Callable[[pl.DataFrame], Checked]] = [check_flaws]
    if refine.encoding.on:
        steps.append(partial(check_encoding, settings=refine.encoding, task=task.name))
    steps.append(partial(check_text, max_chars=data.max_chars))
    if refine.language.on and refine.language.allowed:
        steps.append(partial(check_language, settings=refine.language))
    if refine.toxic.on:
        steps.append(partial(check_toxic, settings=refine.toxic))
    steps.append(partial(_check_references, task=task))
    return steps


def _check_references(table: pl.DataFrame, task: Task) -> Checked:
    """Quarantine rows whose reference the task cannot use."""
    flaws = {reference: task.flaw(reference) for reference in set(table["reference"])}
    out = {}
    for row, reference in table.select("row", "reference").iter_rows():
        if flaws[reference]:
            reason, _, detail = flaws[reference].partition(": ")
            out[row] = (reason, detail)
    return taken_out(table, out, "references", "quarantined")
