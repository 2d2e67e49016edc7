"""The seam of exporters: what writes the splits of a dataset into a folder, for other programs to read.

To add a format: one module with an object that has these members, declared under `lifeloop.exporters`. It knows how
its format looks; which rows go where, and the card beside them, is not its concern.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import polars as pl

Tables = Mapping[str, Iterator[pl.DataFrame]]
"""Split to its tables, in order, all of one schema; some may be without rows, never all. Each can be read once."""


class Exporter(Protocol):
    """What the registry holds for each format."""

    def write(self, folder: Path, tables: Tables) -> dict[str, tuple[str, ...]]:
        """Write every split into an empty folder, and return split to the files it is in, relative to the folder.

        Holds no more than one table in memory at a time. Raises DataError where a library that it needs is missing.
        """
