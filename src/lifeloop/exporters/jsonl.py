"""Exports as JSON Lines: one file a split, one object a line, keys as the columns are called."""

from pathlib import Path

from lifeloop.exporters.exporter import Tables


class JsonLines:
    """What `--format jsonl` names."""

    def write(self, folder: Path, tables: Tables) -> dict[str, tuple[str, ...]]:
        """Write SPLIT.jsonl for each split; see `Exporter.write`."""
        for split, parts in tables.items():
            with (folder / f"{split}.jsonl").open("wb") as file:
                for table in parts:
                    table.write_ndjson(file)
        return {split: (f"{split}.jsonl",) for split in tables}


EXPORTER = JsonLines()
