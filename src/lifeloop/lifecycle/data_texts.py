"""Rows as people are shown them: what became of them, and a text with personal data masked.

Whatever refining did with personal data, and at whatever step a row was taken out: what is shown goes through the step
that masks, with the brief's kinds. A guard row's text is not shown. Takes sources, gives rows; reads their parts.
"""

from collections.abc import Collection, Sequence

import msgspec
import polars as pl

from lifeloop.core.data import DatasetPart, RawPart
from lifeloop.core.data_brief import Data
from lifeloop.guards.guard import numbered
from lifeloop.reports.data_record import ShownRow
from lifeloop.store.dataset_parts import examined_of, fates_of
from lifeloop.store.tables import RAW_SCHEMA, from_parquet
from lifeloop.store.vault import Vault

MOST_LETTERS = 160
"""Letters of a text that is shown as an example."""


def shown_rows(
    vault: Vault, parts: Sequence[tuple[RawPart, DatasetPart]], sources: Collection[str], data: Data, task: str
) -> dict[str, ShownRow]:
    """Return the rows of these sources, by source; of several of one source the first."""
    found: dict[str, ShownRow] = {}
    wanted = set(sources)
    for raw, part in parts:
        if not wanted:
            break
        rows = fates_of(vault, part).filter(pl.col("source").is_in(list(wanted)))
        if not rows.height:
            continue
        texts = texts_of(vault, raw, part, rows["row"].to_list(), data, task)
        for row in rows.iter_rows(named=True):
            text = "" if row["split"] == "guard" else shortened(texts[row["row"]], task)
            shown = ShownRow(row["source"], row["fate"], row["detail"], text, row["split"])
            found.setdefault(row["source"], shown)
        wanted -= set(rows["source"])
    return found


def texts_of(
    vault: Vault, raw: RawPart, part: DatasetPart, rows: Collection[int], data: Data, task: str
) -> dict[int, str]:
    """Return the inputs of rows of a part, masked."""
    texts = dict(examined_of(vault, part, ["row", "input"]).filter(pl.col("row").is_in(list(rows))).iter_rows())
    if left := [row for row in rows if row not in texts]:
        inputs = from_parquet(vault.get(raw.table))["input"]
        texts |= {row: inputs[row] for row in left}
    return dict(zip(texts, masked_texts(list(texts.values()), data, task), strict=True))


def masked_texts(texts: Sequence[str], data: Data, task: str) -> list[str]:
    """Return inputs with personal data masked, for good, whatever the brief does with it."""
    from lifeloop.guards.personal.masking import mask_personal

    columns = {name: [""] * len(texts) for name in RAW_SCHEMA} | {"input": list(texts)}
    table = numbered(pl.DataFrame(columns, schema=RAW_SCHEMA))
    settings = msgspec.structs.replace(data.refine.personal_data, on=True, action="mask")
    read_as = "classify" if task == "extract" else task  # there are no entities here whose places would have to move
    return mask_personal(table, settings, read_as, None).checked.table["input"].to_list()


def shortened(text: str, task: str = "", most: int = MOST_LETTERS) -> str:
    """Return a text on one line, at most so many letters of it; a conversation as who says what."""
    line = " ".join((conversation(text) if task == "chat" else text).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def conversation(text: str) -> str:
    """Return a chat's input in words: `role: content`, one message a line. What is no list of messages stays."""
    try:
        messages = msgspec.json.decode(text, type=list[dict[str, object]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return text
    return "\n".join(f"{each.get('role', '?')}: {each.get('content', '')}" for each in messages)
