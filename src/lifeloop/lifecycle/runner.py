"""Runs a stage once: a run whose key the ledger has is not done again, and its output is read from the vault.

The key is the hash of the stage, its subject, its inputs, its section of the brief and its code's version. A kill
between two runs costs nothing; within one, that run.
"""

import time
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from lifeloop import __version__
from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import StoreError
from lifeloop.core.progress import Progress
from lifeloop.store.ledger import Ledger, RunRow
from lifeloop.store.vault import Vault

T = TypeVar("T")


class Notice(Struct, frozen=True):
    """What a runner tells whoever shows it."""

    kind: Literal["start", "progress", "done", "kept", "failed"]
    """"kept": the ledger had it already."""
    stage: str
    subject: str
    done: int = 0
    total: int = 0
    note: str = ""
    seconds: float = 0.0


Tell = Callable[[Notice], None]


class Done(Struct, Generic[T], frozen=True):
    """A stage run's output."""

    value: T
    id: Id
    seconds: float
    """How long it took when it was run."""
    fresh: bool
    """Whether it was run now."""


class Runner:
    """Runs stages of one cycle against one ledger and vault."""

    def __init__(self, ledger: Ledger, vault: Vault, cycle: int, tell: Tell, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.vault = vault
        self.cycle = cycle
        self._tell = tell
        self._clock = clock
        self._lost: dict[str, float] = {}
        """Stage to the seconds of this process's runs that failed: no row of the ledger has them."""

    def run(
        self,
        stage: str,
        subject: str,
        *,
        version: str,
        inputs: dict[str, str],
        section: Any,
        kind: type[T],
        work: Callable[[Progress], T],
        role: str = "",
    ) -> Done[T]:
        """Return the stage's output, from the ledger or by doing `work`. Errors of `work` come through as they are.

        `role` tells people whom it is about and is no part of the key: who was tried as challenger is not tried again
        as champion.
        """
        key, lost = content_id([stage, subject, version, inputs, section]), ""
        told = f"{subject} {role}".rstrip()
        while row := self.ledger.find_run(key):
            if kept := self._kept(row, kind):
                self._tell(Notice("kept", stage, told, seconds=row.seconds))
                return kept
            # The ledger only grows and its first word stands, so what is made again is a run with a key of its own.
            key, lost = content_id([key, row.output]), row.output
        self._tell(Notice("start", stage, told))
        begun = time.monotonic()
        try:
            value = work(lambda done, total, note: self._tell(Notice("progress", stage, told, done, total, note)))
        except BaseException:
            self._lost[stage] = self._lost.get(stage, 0.0) + time.monotonic() - begun
            raise
        seconds = time.monotonic() - begun
        output = self.vault.put_value(value)
        if output != lost:
            self.ledger.add_run(
                RunRow(key, self.cycle, stage, told, inputs, output, seconds, self._clock(), __version__)
            )
        self._tell(Notice("done", stage, told, seconds=seconds))
        return Done(value, output, seconds, fresh=True)

    def recall(
        self, stage: str, *, version: str, inputs: dict[str, str], section: Any, kind: type[T]
    ) -> tuple[Id, T | None]:
        """Return the key of one of a stage's many small runs, and its output where the ledger has it.

        For what is done once for each part of the data: people are told of the whole, not of each.
        """
        key = content_id([stage, "", version, inputs, section])
        row = self.ledger.find_run(key)
        found = self._kept(row, kind) if row else None
        return key, found.value if found else None

    def remember(self, key: Id, stage: str, subject: str, inputs: dict[str, str], value: Any, seconds: float) -> None:
        """Record the output of a small run under the key that `recall` gave."""
        output = self.vault.put_value(value)
        self.ledger.add_run(
            RunRow(key, self.cycle, stage, subject, inputs, output, seconds, self._clock(), __version__)
        )

    def failed(self, stage: str, subject: str, why: str) -> None:
        """Tell that a stage run failed; nothing is recorded, so that the next run tries again."""
        self._tell(Notice("failed", stage, subject, note=why))

    def spent_seconds(self, stages: tuple[str, ...]) -> float:
        """Return the time that this cycle's runs of those stages took, and the failed ones of this process."""
        done = sum(row.seconds for row in self.ledger.runs() if row.cycle == self.cycle and row.stage in stages)
        return done + sum(self._lost.get(stage, 0.0) for stage in stages)

    def _kept(self, row: RunRow, kind: type[T]) -> Done[T] | None:
        """Return the output of a run, or None where the vault lost it: then it is made again."""
        try:
            return Done(self.vault.get_value(row.output, kind), row.output, row.seconds, fresh=False)
        except StoreError:
            return None
