"""The cache of responses: bytes under short keys, in one SQLite file, and what a cycle has paid for them.

Takes and gives bytes; what a key stands for is its caller's business. A `put` that returned survives a kill of the
process. Several processes, and several threads of one, may use the same file.
"""

import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from lifeloop.core.errors import StoreError

TABLES = """
CREATE TABLE IF NOT EXISTS responses (sequence INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS spending (cycle INTEGER PRIMARY KEY, usd REAL NOT NULL, tokens INTEGER NOT NULL);
"""
AT_ONCE = 900
"""Keys of one query: older builds of SQLite allow 999 parameters."""
PATIENCE = 30.0
"""Seconds to wait for another process that is writing."""
ROOM = 1_000_000
"""Bytes without which a failure to write is that of a full disk, whatever SQLite calls it."""


class Spent(Struct, frozen=True):
    """What a cycle has paid to endpoints."""

    usd: float
    tokens: int


class Responses:
    """An open cache. Use as a context manager. Raises StoreError where the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=16
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        # NORMAL gives to the operating system what is committed, which a kill of this process cannot take back; only a
        # power cut can, and then the answers are asked for again. A checkpoint waits for the disk, and an endpoint
        # would stand idle meanwhile: one every 64 MB.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=16000", "cache_size=-6000"):
            self._connection.execute(f"PRAGMA {pragma}")
        known = self._connection.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('responses', 'spending')")
        if known.fetchone()[0] < 2:
            self._connection.executescript(f"BEGIN IMMEDIATE;{TABLES}COMMIT;")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that are there."""
        found: dict[bytes, bytes] = {}
        with self._lock, self._explained():
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(f"SELECT key, value FROM responses WHERE key IN ({marks})", part)
                found.update(rows)
        return found

    def put(self, rows: Sequence[tuple[bytes, bytes]], *, cycle: int = 0, usd: float = 0.0, tokens: int = 0) -> None:
        """Keep values under their keys, and add to a cycle what they cost: all of it or, where it fails, nothing."""
        with self._lock, self._explained(), self._writing():
            self._connection.executemany("INSERT OR REPLACE INTO responses (key, value) VALUES (?, ?)", rows)
            if usd or tokens:
                self._connection.execute(
                    "INSERT INTO spending VALUES (?, ?, ?) ON CONFLICT (cycle)"
                    " DO UPDATE SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens",
                    (cycle, usd, tokens),
                )

    def spent(self, cycle: int) -> Spent:
        """Return what a cycle has paid so far."""
        with self._lock, self._explained():
            row = self._connection.execute("SELECT usd, tokens FROM spending WHERE cycle = ?", (cycle,)).fetchone()
        return Spent(*row) if row else Spent(0.0, 0)

    def close(self) -> None:
        """Close the file. Calling it twice does no harm."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Responses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have ended it already
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _error(error, self.path) from None


def _error(error: Exception, path: Path) -> StoreError:
    text = str(error)
    if "locked" in text:
        what, fix = "the cache of responses is locked by another process", "wait until that one is done, or end it"
    elif "full" in text or "No space" in text or ("I/O" in text and shutil.disk_usage(path.parent).free < ROOM):
        what, fix = "the disk is full", "free some space and run again: finished work is kept"
    elif "not a database" in text or "malformed" in text:
        what, fix = f"the cache of responses is damaged ({text})", "delete it: what it held is asked for again"
    else:
        what, fix = f"the cache of responses cannot be read or written ({text})", "check the path and its permissions"
    return StoreError(what, where=str(path), fix=fix)
