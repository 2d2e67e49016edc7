"""Exports as Parquet: one file a part of a split, named as readers of many files expect, compressed with zstd."""

from pathlib import Path

from lifeloop.exporters.exporter import Tables


class Parquet:
    """What `--format parquet` names."""

    def write(self, folder: Path, tables: Tables) -> dict[str, tuple[str, ...]]:
        """Write SPLIT-NNNNN.parquet for each part that has rows; see `Exporter.write`."""
        written: dict[str, tuple[str, ...]] = {}
        for split, parts in tables.items():
            files: list[str] = []
            for table in parts:
                if files and not table.height:
                    continue
                name = f"{split}-{len(files):05d}.parquet"
                table.write_parquet(folder / name, compression="zstd")
                files.append(name)
            written[split] = tuple(files)
        return written


EXPORTER = Parquet()
