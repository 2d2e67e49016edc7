"""Ids that several rows have: a row that is there twice, or two rows that must be told apart."""

import polars as pl

from lifeloop.core.content import content_id
from lifeloop.guards.guard import Checked, finding, taken_out

_SAME = ("exact", "rejected_key", "reference", "group", "split", "slices")


def check_ids(table: pl.DataFrame) -> Checked:
    """Drop rows that repeat an id and all else; give rows that share an id but differ ids of their own.

    The first row keeps the id; another's is made from its content, so that it does not depend on its place.
    """
    twice = table.filter(pl.col("id").is_duplicated())
    if not twice.height:
        return Checked(table, {}, {}, ())
    first: dict[str, str] = {}
    seen: set[tuple[str, ...]] = set()
    taken = set(table["id"])
    out: dict[int, tuple[str, str]] = {}
    renamed: dict[int, str] = {}
    for row in twice.iter_rows(named=True):
        same = (row["id"], *(row[name] for name in _SAME))
        if same in seen:
            out[row["row"]] = ("the same row with the same id", f"as {first[row['id']]}")
        elif row["id"] in first:
            renamed[row["row"]] = _free(row["id"], content_id(same), taken)
        else:
            first[row["id"]] = row["source"]
        seen.add(same)
    checked = taken_out(table, out, "ids", "dropped")
    if not renamed:
        return checked
    changed = checked.table.with_columns(
        pl.col("row").replace_strict(renamed, default=pl.col("id"), return_dtype=pl.String).alias("id")
    )
    sources = table.filter(pl.col("row").is_in(list(renamed)))["source"].to_list()
    told = finding("ids", "kept", "an id that another row has: given one of its own", sources)
    notes = {row: f"its id is now {name!r}" for row, name in renamed.items()}
    return Checked(changed, checked.fates, notes, (*checked.findings, told))


def _free(name: str, digest: str, taken: set[str]) -> str:
    """Return the name with as many digits of the digest as make it unique, and mark it as taken."""
    length = 8
    while f"{name}~{digest[:length]}" in taken:
        length += 1
    found = f"{name}~{digest[:length]}"
    taken.add(found)
    return found
