"""Each raw part examined once: in the ledger's memory where it was before, else on all cores, a part at a time."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import Id, bytes_id, short
from lifeloop.core.data import RawPart
from lifeloop.core.errors import DataError
from lifeloop.core.progress import Progress
from lifeloop.lifecycle.runner import Runner
from lifeloop.stages import examine
from lifeloop.stages.examine import Examined
from lifeloop.store.vault import Vault

FEW_PARTS = 2
"""So many are examined here: starting processes would take longer."""


class _Timed(Struct, frozen=True):
    value: Examined
    seconds: float


def examined_parts(
    runner: Runner, parts: Sequence[RawPart], data: Data, task: str, key: bytes | None, progress: Progress
) -> tuple[Examined, ...]:
    """Return what each raw part came to, in order. What is finished is remembered, also if a later part fails."""
    # The key itself stays out of the ledger: by a hash of what was derived from it, a change of keys is seen.
    section = [examine.section(data, task), bytes_id(key)[:16] if key else ""]
    keys: dict[Id, Id] = {}
    found: dict[Id, Examined] = {}
    for part in parts:
        keys[part.table], known = runner.recall(
            "examine", version=examine.VERSION, inputs={"raw": part.table}, section=section, kind=Examined
        )
        if known is not None and runner.vault.has(known.table):
            found[part.table] = known
    wanted = list(dict.fromkeys(part.table for part in parts if part.table not in found))
    for table, made in _made(runner.vault, wanted, data, task, key):
        found[table] = made.value
        runner.remember(keys[table], "examine", short(table), {"raw": table}, made.value, made.seconds)
        progress(len(found), len(keys), "rows, one by one")
    return tuple(found[part.table] for part in parts)


def _made(vault: Vault, tables: Sequence[Id], data: Data, task: str, key: bytes | None) -> Iterator[tuple[Id, _Timed]]:
    if len(tables) <= FEW_PARTS:
        for table in tables:
            yield table, _examine(vault, table, data, task, key)
        return
    context = multiprocessing.get_context("spawn")
    workers = min(len(tables), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start) as pool:
        running: dict[Future[_Timed], Id] = {}
        for table in tables:
            running[pool.submit(_examine, vault, table, data, task, key)] = table
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool:
            raise DataError(
                "a process that examined rows died: most likely memory ran out",
                where="data",
                fix="free some memory and run again: what is finished is kept",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its children


def _examine(vault: Vault, table: Id, data: Data, task: str, key: bytes | None) -> _Timed:
    begun = time.monotonic()
    value = examine.examine(vault, table, data, task, key)
    return _Timed(value, time.monotonic() - begun)
