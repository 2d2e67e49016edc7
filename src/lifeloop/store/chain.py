"""The chain of verdicts: each row's hash covers its content and the hash before, so that no row changes unnoticed.

Takes rows as plain values, gives hashes. A row names its verdict by the hash of the whole verdict, so the chain covers
every number that a verdict holds. The formula may never change: ledgers in use rest on it.
"""

from typing import Any

from lifeloop.core.content import Id, bytes_id, canonical

START: Id = ""
"""What the first row has in place of a hash before it."""
COVERED = ("sequence", "id", "cycle", "decision", "challenger", "champion", "reason", "at", "override_by")
"""The columns that a hash covers, in the order in which it reads them."""


def chained(previous: Id, row: dict[str, Any]) -> Id:
    """Return the hash of a row: SHA-256 of the canonical JSON of the hash before it and its covered columns."""
    return bytes_id(canonical([previous, *(row[column] for column in COVERED)]))
