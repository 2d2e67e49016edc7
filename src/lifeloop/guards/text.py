"""Rows whose text cannot be used: those the source could not read, empty ones, too long ones, control characters."""

import polars as pl

from lifeloop.guards.guard import Checked, taken_out

# Tab, line feed, vertical tab, form feed and carriage return are white space; the others are no part of a text.
_CONTROL = r"[\x00-\x08\x0e-\x1f\x7f]"


def check_flaws(table: pl.DataFrame) -> Checked:
    """Quarantine rows that the source could not read, each with the flaw the source gave."""
    flawed = table.filter(pl.col("flaw") != "").select("row", "flaw")
    out = {}
    for row, flaw in flawed.iter_rows():
        reason, _, detail = flaw.partition(": ")
        out[row] = (reason, detail)
    return taken_out(table, out, "read", "quarantined")


def check_text(table: pl.DataFrame, max_chars: int) -> Checked:
    """Quarantine rows with an empty input, an input of more than `max_chars` characters, or control characters."""
    found = table.select(
        "row",
        pl.col("input").str.len_chars().alias("length"),
        (pl.col("input").str.strip_chars() == "").alias("empty"),
        (pl.col("input").str.contains(_CONTROL) | pl.col("reference").str.contains(_CONTROL)).alias("control"),
    ).filter(pl.col("empty") | pl.col("control") | (pl.col("length") > max_chars))
    out: dict[int, tuple[str, str]] = {}
    for row, length, empty, _ in found.iter_rows():
        if empty:
            out[row] = ("an empty input", "")
        elif length > max_chars:
            out[row] = ("an input that is too long", f"{length} characters, where data.max_chars is {max_chars}")
        else:
            out[row] = ("control characters", "")
    return taken_out(table, out, "text", "quarantined")
