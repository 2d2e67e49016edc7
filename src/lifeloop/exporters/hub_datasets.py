"""Exports as a folder that Hugging Face `datasets` loads: a DatasetDict as `save_to_disk` writes it.

A split is written as an Arrow stream a table at a time and then mapped into memory, so that no split has to fit there.
"""

import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from lifeloop.core.errors import DataError
from lifeloop.exporters.exporter import Tables


class HubDatasets:
    """What `--format datasets` names."""

    def write(self, folder: Path, tables: Tables) -> dict[str, tuple[str, ...]]:
        """Write a DatasetDict; see `Exporter.write`."""
        try:
            import datasets
            import pyarrow as pa
        except ImportError as error:
            raise DataError(
                f"{error.name} is not installed",
                where="--format datasets",
                fix="pip install 'lifeloop[hub]', or export as parquet or jsonl",
            ) from None
        shown = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                found = {}
                for split, parts in tables.items():
                    path, writer = Path(scratch) / f"{split}.arrow", None
                    for table in parts:
                        arrow = _plain(table)
                        writer = writer or pa.ipc.new_stream(str(path), arrow.schema)
                        writer.write_table(arrow)
                    assert writer is not None
                    writer.close()
                    found[split] = datasets.Dataset.from_file(str(path), split=datasets.NamedSplit(split))
                datasets.DatasetDict(found).save_to_disk(str(folder))
                del found  # unmaps the files before they are removed
        finally:
            if not shown:
                datasets.enable_progress_bars()
        files = {split: sorted(path.name for path in (folder / split).glob("*.arrow")) for split in tables}
        return {split: tuple(f"{split}/{name}" for name in names) for split, names in files.items()}


def _plain(table: pl.DataFrame) -> Any:
    """Return a table with Arrow's usual strings, which every reader of `datasets` takes for text."""
    import pyarrow as pa

    def usual(kind: Any) -> Any:
        if pa.types.is_struct(kind):
            return pa.struct([(field.name, usual(field.type)) for field in kind])
        return pa.string() if pa.types.is_large_string(kind) else kind

    arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    return arrow.cast(pa.schema([(field.name, usual(field.type)) for field in arrow.schema]))


EXPORTER = HubDatasets()
