"""Raw rows from a few columns, as guards of one row get them."""

import polars as pl

from lifeloop.guards.guard import numbered
from lifeloop.store.tables import RAW_SCHEMA


def raw_rows(inputs, **columns):
    """Return a table of RAW_SCHEMA with `row`; what is not named is empty, sources are f:1, f:2 and so on."""
    n = len(inputs)
    filled = {name: [""] * n for name in RAW_SCHEMA}
    filled |= {"input": list(inputs), "source": [f"f:{number}" for number in range(1, n + 1)], **columns}
    return numbered(pl.DataFrame(filled, schema=RAW_SCHEMA))
