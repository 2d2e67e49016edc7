"""The spill file: events and feedback that the ledger could not take, kept as lines of JSON until it can.

Takes and gives items; knows nothing of queues or of when the ledger is back. Several processes may share one file:
every write and every taking-over holds the file's lock.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.events import Event, Feedback

log = logging.getLogger(__name__)

Item = Event | Feedback


class _Line(Struct, frozen=True, omit_defaults=True):
    """One line of the file; exactly one of the two is there."""

    event: Event | None = None
    feedback: Feedback | None = None


class SpillFile:
    """An append-only JSONL file at a path; beside it stand the parts that are being read back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, items: Iterable[Item]) -> None:
        """Write items after those that are there and see them to the disk. Raises OSError."""
        self._write(self.path, b"".join(_encode(item) for item in items))

    def refuse(self, items: Iterable[Item]) -> Path:
        """Write items that no ledger will take to a file of their own, which nothing reads back; return its path."""
        path = self.path.with_name(self.path.name + ".refused")
        self._write(path, b"".join(_encode(item) for item in items))
        return path

    def parts(self) -> list[Path]:
        """Set the file aside for reading and return all parts set aside so far, also by a process that died."""
        if self.path.exists():
            aside = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.replay")
            with suppress(FileNotFoundError):  # another process was quicker
                self.path.rename(aside)
        return sorted(self.path.parent.glob(f"{self.path.name}.*.replay"))

    def read(self, part: Path) -> list[Item]:
        """Return the items of a part. Lines that cannot be read are kept in a `.damaged` file, with a warning."""
        try:
            with part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # whoever opened it before the rename may still be writing
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []  # another process was quicker
        items: list[Item] = []
        damaged: list[bytes] = []
        for line in lines:
            try:
                found = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                damaged.append(line)
                continue
            item = found.event or found.feedback
            if item is not None:
                items.append(item)
        if damaged:
            aside = self.path.with_name(self.path.name + ".damaged")
            self._write(aside, b"".join(line + b"\n" for line in damaged))
            log.warning("%d lines of %s cannot be read; they are kept in %s", len(damaged), part.name, aside)
        return items

    def discard(self, part: Path) -> None:
        """Remove a part whose items are all in the ledger."""
        part.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as descriptor:
            before = os.fstat(descriptor).st_size
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            except OSError:  # a full disk takes a piece; half a line would spoil the next one
                os.ftruncate(descriptor, before)
                raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file for appending under its lock; open it anew if it was set aside while we waited."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _encode(item: Item) -> bytes:
    line = _Line(event=item) if isinstance(item, Event) else _Line(feedback=item)
    return msgspec.json.encode(line) + b"\n"
