"""Undoes the masking of personal data for who has the key: writes the rows that were masked as they were.

Reads ledger, vault and the key that the environment holds; writes one file, which only its owner may read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Split
from lifeloop.core.errors import DataError
from lifeloop.guards.personal.tokens import TOKEN
from lifeloop.guards.seal import VARIABLE, data_key, unmask_entities, unseal
from lifeloop.guards.seal import unmask as unmasked_text
from lifeloop.lifecycle.data_export import whole_file
from lifeloop.lifecycle.data_versions import opened_version
from lifeloop.place import data_key as data_key_text
from lifeloop.project import Project
from lifeloop.store.dataset_parts import tables_of
from lifeloop.store.vault import Vault

_COLUMNS = ("id", "input", "reference", "rejected", "group", "source")


class Unmasked(Struct, frozen=True):
    """What was written."""

    version: Id
    n_rows: int
    """Rows of which something was unmasked."""
    n_left: int
    """Masks in the rows looked at that no sealed value belongs to."""


def unmask(project: Project, name: str, to: Path, *, splits: Sequence[Split] = (), force: bool = False) -> Unmasked:
    """Write the masked examples of a version ("": the last) to a JSONL file, by default of all splits but guard.

    Raises DataError where there is no key, the key is another than the data was masked under, or nothing was masked
    under one; BriefError where it is too short.
    """
    if to.exists() and not force:
        raise DataError("the file is there already", where=str(to), fix="name another, or replace it with --force")
    if not data_key_text():
        fix = f"set {VARIABLE} to the key that the data was masked under"
        raise DataError("there is no key", where=VARIABLE, fix=fix)
    key = data_key(data_key_text())
    version, brief, vault = opened_version(project, name)
    dataset = vault.get_value(version.id, Dataset)
    if not dataset.sealed:
        raise DataError(
            "nothing of this version was masked under a key: what is masked is masked for good",
            where=version.id[:12],
            fix=f"set {VARIABLE} before `lifeloop data build`, and the next version can be unmasked",
        )
    tokens: dict[str, str] = {}
    for sealed in dataset.sealed:
        tokens |= unseal(vault.get(sealed), key)
    wanted = [split for split in SPLITS if (split in splits if splits else split != "guard")]
    n_rows = n_left = 0
    with whole_file(to) as path, path.open("wb") as file:
        for split in wanted:
            for row, left in _unmasked(vault, version.id, split, tokens, brief.project.task):
                n_left += left
                if row:
                    file.write(msgspec.json.encode(row) + b"\n")
                    n_rows += 1
    return Unmasked(version.id, n_rows, n_left)


def _unmasked(
    vault: Vault, dataset: Id, split: Split, tokens: Mapping[str, str], task: str
) -> Iterator[tuple[dict[str, str], int]]:
    """Yield each row with masks as it was, {} where nothing of it is known, and the number of masks that stay."""
    for table in tables_of(vault, dataset, split):
        for row in table.select(_COLUMNS).iter_rows(named=True):
            if not any(TOKEN.search(row[name]) for name in _COLUMNS):
                continue
            plain = {name: unmasked_text(text, tokens) for name, text in row.items()}
            if task == "extract":
                plain["input"], plain["reference"] = unmask_entities(row["input"], row["reference"], tokens)
            left = sum(len(TOKEN.findall(plain[name])) for name in ("input", "reference", "rejected"))
            yield (plain | {"split": split} if plain != row else {}), left
