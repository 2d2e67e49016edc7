"""A vault with one small data set, and what a cycle would make in it, for tests of the stages that work on both."""

from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.candidates import Candidate, Recipe
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.progress import Progress, silent
from lifeloop.engine.trial import CLEAN, Allowance, TrialOrder, Workplace
from lifeloop.stages.make import make
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.vault import Vault

WORDS = {"billing": "refund invoice charge", "delivery": "parcel courier box", "greeting": "hello morning evening"}
N = 24
"""Examples in every split."""


def examples_of(split: str) -> list[Example]:
    labels = sorted(WORDS)
    return [
        Example(
            id=f"{split}{n}",
            input=f"{WORDS[labels[n % 3]].split()[n // 3 % 3]} number {n} {split}",
            reference=labels[n % 3],
            group=f"{split}{n}",
            slices={"channel": ("mail", "phone")[n % 2], "day": f"day {n // 4}"},
        )
        for n in range(N)
    ]


class World:
    """A vault in a folder, with its data set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        tables = {split: (self.vault.put(to_parquet(examples_to_table(examples_of(split)))),) for split in SPLITS}
        self.labels = tuple(sorted(WORDS))
        counts = dict.fromkeys(SPLITS, N)
        self.dataset = self.vault.put_value(Dataset(tables, counts, self.labels, raw=""))

    def use(self, split: str, examples: list[Example]) -> None:
        """Put other examples into a split."""
        dataset = self.vault.get_value(self.dataset, Dataset)
        tables = dataset.tables | {split: (self.vault.put(to_parquet(examples_to_table(examples))),)}
        counts = dataset.counts | {split: len(examples)}
        self.dataset = self.vault.put_value(msgspec.structs.replace(dataset, tables=tables, counts=counts))

    def recipe(self, table: dict[str, Any], name: str = "one", **changes: Any) -> Recipe:
        return Recipe(name, "classify", self.labels, table, self.dataset, **changes)

    def make(
        self, table: dict[str, Any], name: str = "one", max_items: int = 0, progress: Progress = silent, **changes: Any
    ) -> Id:
        return make(self.vault, self.recipe(table, name, **changes), max_items, self.workplace(), progress=progress)

    def candidate(self, identifier: Id) -> Candidate:
        return self.vault.get_value(identifier, Candidate)

    def order(self, candidate: Id, **changes: Any) -> TrialOrder:
        values = {
            "dataset": self.dataset,
            "split": "validation",
            "suite": CLEAN,
            "max_items": 0,
            "out_of_scope": "",
            "confidence": 0.95,
            "usd_per_hour": 0.36,
            "seed": 0,
        }
        return TrialOrder(candidate=candidate, **values | changes)

    def workplace(self, **changes: Any) -> Workplace:
        values = {"responses": self.folder / "responses.sqlite", "folder": self.folder, "cycle": 1}
        return Workplace(**values | {"allowance": Allowance()} | changes)
