"""A journal: frozen values appended to a file, one JSON line each, so that work done survives a kill.

A line cut short by a kill is left out when read. Lives only as long as the work it belongs to.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from lifeloop.core.errors import StoreError

T = TypeVar("T", bound=Struct)


class Journal(Generic[T]):
    """An open journal of one type. Use as a context manager."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(kind)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
        except OSError as error:
            raise StoreError(f"cannot be written ({error})", where=str(path), fix="check the disk") from error

    def read(self) -> list[T]:
        """Return the values written so far; ends the file after the last whole line."""
        self._file.seek(0)
        values, end = [], 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                values.append(self._decoder.decode(line))
            except msgspec.MsgspecError:  # torn by a crash of the machine: what follows is not trusted
                break
            end += len(line)
        self._file.truncate(end)
        return values

    def append(self, values: Sequence[T]) -> None:
        """Write values through to the operating system, which keeps them if this process is killed."""
        lines = b"".join(msgspec.json.encode(value) + b"\n" for value in values)
        try:
            self._file.write(lines)
            self._file.flush()
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error})", where=str(self.path), fix="free some space and run again"
            ) from error

    def __enter__(self) -> "Journal[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # append flushed what it promised; what a full disk refused is left out
            self._file.close()
