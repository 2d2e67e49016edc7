"""Exports a version of the data into a folder: its splits in a format of an exporter, and its card as README.md.

Written beside the folder and renamed at the end, so that a crash leaves what was there. The guard split goes along only
where it is named. Reads ledger and vault; changes neither.
"""

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Split
from lifeloop.core.errors import DataError
from lifeloop.exporters.exporter import Exporter
from lifeloop.lifecycle.data_card import data_record
from lifeloop.lifecycle.data_texts import texts_of
from lifeloop.project import Project
from lifeloop.reports.data_card import data_document
from lifeloop.reports.data_record import DataRecord
from lifeloop.reports.hub_card import front_matter
from lifeloop.reports.markdown import markdown_page
from lifeloop.store.dataset_parts import fates_of, paired_parts, tables_of
from lifeloop.store.tables import scan
from lifeloop.store.vault import Vault

MANIFEST = "lifeloop.json"
"""The file by which a folder is known to be an export, which another may replace."""
LOADABLE = ("jsonl", "parquet")
"""Formats whose files the hub loads by itself."""


class Export(Struct, frozen=True):
    """What was exported: also what MANIFEST holds."""

    version: Id
    project: str
    task: str
    format: str
    counts: dict[str, int]
    """Split to examples."""
    files: dict[str, tuple[str, ...]]
    """Split to files, relative to the folder."""
    n_quarantined: int
    """Rows in quarantined.jsonl."""


def export(
    project: Project,
    name: str,
    to: Path,
    format: str,
    *,
    splits: Sequence[Split] = (),
    quarantined: bool = False,
    force: bool = False,
) -> Export:
    """Export a version ("": the last) into the folder `to`, by default all splits but guard.

    Raises DataError where the folder is not empty, or with `force` is not an earlier export, and where a split that is
    named has no examples.
    """
    exporter: Exporter = plugins.get("exporters", format, where="--format")
    _check_folder(to, force=force)
    record, vault = data_record(project, name), project.open_vault()
    dataset = vault.get_value(record.version.id, Dataset)
    wanted = [split for split in SPLITS if (split in splits if splits else split != "guard" and dataset.counts[split])]
    if empty := [split for split in wanted if not dataset.counts[split]]:
        raise DataError(f"the split {empty[0]} has no examples", where="--split", fix="leave it out")
    partial = to.parent / f".{to.name}.{secrets.token_hex(4)}.partial"
    partial.mkdir(parents=True)
    try:
        shape = _Shape(
            slices=record.data.slices,
            rejected=record.task in ("generate", "chat") and any(_has_rejected(vault, dataset, s) for s in wanted),
        )
        tables = {split: _shaped(vault, record.version.id, split, shape) for split in wanted}
        files = exporter.write(partial, tables)
        n_quarantined = _write_quarantined(partial, vault, dataset, record) if quarantined else 0
        counts = {split: dataset.counts[split] for split in wanted}
        made = Export(record.version.id, record.project, record.task, format, counts, files, n_quarantined)
        head = front_matter(record, counts, files if format in LOADABLE else {})
        (partial / "README.md").write_text(f"{head}\n{markdown_page(data_document(record))}", encoding="utf-8")
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
        _put_in_place(partial, to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


class _Shape(Struct, frozen=True):
    """Which columns an export has besides those that every one has."""

    slices: tuple[str, ...]
    rejected: bool


def _check_folder(to: Path, *, force: bool) -> None:
    if not to.exists():
        return
    if not to.is_dir():
        raise DataError("is a file", where=str(to), fix="name a folder with --to")
    if not any(to.iterdir()):
        return
    if not force:
        raise DataError("the folder is not empty", where=str(to), fix="name another, or replace an export with --force")
    if not (to / MANIFEST).exists():
        raise DataError(
            "the folder holds something else than an export", where=str(to), fix="name another, or empty it yourself"
        )


def _put_in_place(partial: Path, to: Path) -> None:
    if not to.exists():
        partial.rename(to)
        return
    old = partial.with_suffix(".old")
    to.rename(old)
    partial.rename(to)
    shutil.rmtree(old)


def _has_rejected(vault: Vault, dataset: Dataset, split: Split) -> bool:
    tables = dataset.tables[split]
    return any(
        scan((vault.get(table),)).select((pl.col("rejected") != "").any()).collect().item() or False for table in tables
    )


def _shaped(vault: Vault, dataset: Id, split: Split, shape: _Shape) -> Iterator[pl.DataFrame]:
    """Yield the tables of a split with the columns of an export."""
    columns: list[str | pl.Expr] = ["id", "input", "reference"]
    columns += ["rejected"] if shape.rejected else []
    columns.append("group")
    if shape.slices:
        values = (pl.col("slices").str.json_path_match(f"$[{_quoted(name)}]").fill_null("") for name in shape.slices)
        named = (value.alias(name) for value, name in zip(values, shape.slices, strict=True))
        columns.append(pl.struct(*named).alias("slices"))
    columns.append("source")
    for table in tables_of(vault, dataset, split):
        yield table.select(columns)


def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _write_quarantined(folder: Path, vault: Vault, dataset: Dataset, record: DataRecord) -> int:
    """Write quarantined rows with their reasons, personal data masked, and return how many there are."""
    n_rows = 0
    with (folder / "quarantined.jsonl").open("wb") as file:
        for raw, part in paired_parts(vault, dataset):
            rows = fates_of(vault, part).filter(pl.col("fate") == "quarantined")
            if not rows.height:
                continue
            texts = texts_of(vault, raw, part, rows["row"].to_list(), record.data, record.task)
            found = rows.select("source", "reason", "detail").with_columns(
                pl.Series("input", [texts[row] for row in rows["row"]], dtype=pl.String)
            )
            found.write_ndjson(file)
            n_rows += found.height
    return n_rows


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to that only its owner may read, and rename it to `path` once all went well."""
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.touch(mode=0o600)
        yield partial
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
