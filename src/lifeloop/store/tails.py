"""What the writers of a folder left in it: its segments, how far each has been shipped, and what is still to ship.

Takes a folder of the segment log; gives lines and sizes. Knows nothing of ledgers, and of lines only how they end.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lifeloop.store.segments import SUFFIX

SHIPPED = "shipped.json"
"""The file of a folder that says how far each segment has been shipped, in bytes."""
READ_BYTES = 1 << 20
"""How much of a segment is read at once, unless a single line is longer."""


def segments(folder: Path) -> dict[str, int]:
    """Return the names of a folder's segments and their sizes in bytes, by name; nothing where there is no folder."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    try:
                        found[entry.name] = entry.stat().st_size
                    except FileNotFoundError:  # just shipped and removed
                        continue
    except FileNotFoundError:
        return {}
    return dict(sorted(found.items()))


def shipped(folder: Path) -> dict[str, int]:
    """Return how many bytes of each segment are in the ledger; a file that cannot be read says nothing of any."""
    try:
        return msgspec.json.decode((folder / SHIPPED).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def remember(folder: Path, offsets: Mapping[str, int]) -> None:
    """Write down how far each segment has been shipped. Raises OSError.

    Not synced: should the power go, some is shipped again, and the ledger leaves out what it has.
    """
    new = folder / f".{SHIPPED}"
    new.write_bytes(msgspec.json.encode(offsets))
    new.replace(folder / SHIPPED)


def is_shipped(folder: Path, sizes: Mapping[str, int]) -> bool:
    """Return whether each of the segments has been shipped up to a size. One that is gone has been."""
    offsets = shipped(folder)
    behind = [name for name, size in sizes.items() if offsets.get(name, 0) < size]
    return not any((folder / name).exists() for name in behind)


def read(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    """Return at most `limit` whole lines of a segment from an offset on, without line breaks, and the offset after.

    A line that is still being written, or was cut off by a crash, is not whole. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = _up_to_line_break(descriptor, offset)
    finally:
        os.close(descriptor)
    lines = data.split(b"\n", limit)[:-1]
    return lines, offset + sum(map(len, lines)) + len(lines)


def holds(folder: Path, start: bytes) -> bool:
    """Return whether a line with that start is among what has not been shipped yet, whoever wrote it."""
    offsets = shipped(folder)
    for name, size in segments(folder).items():
        if size > (offset := offsets.get(name, 0)) and _finds(folder / name, offset, start):
            return True
    return False


def remove_if_finished(path: Path, offset: int) -> bytes | None:
    """Remove a segment that nobody writes to any more and that has no whole line after an offset.

    Returns what was cut off at its end, mostly nothing; None where the segment stays.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # to write, else a network's file system locks nothing
    except FileNotFoundError:
        return b""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        rest = _up_to_end(descriptor, offset)
        if b"\n" in rest:
            return None
        path.unlink(missing_ok=True)
        return rest
    except BlockingIOError:
        return None
    finally:
        os.close(descriptor)


def _up_to_line_break(descriptor: int, offset: int) -> bytes:
    """Read up to the last line break within reach; further where a line is longer than that."""
    data = b""
    while piece := os.pread(descriptor, READ_BYTES, offset + len(data)):
        data += piece
        if b"\n" in piece:
            break
    return data


def _up_to_end(descriptor: int, offset: int) -> bytes:
    data = bytearray()
    while piece := os.pread(descriptor, READ_BYTES, offset + len(data)):
        data += piece
    return bytes(data)


def _finds(path: Path, offset: int, start: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # shipped and removed since
        return False
    try:
        while len(piece := os.pread(descriptor, READ_BYTES, offset)) >= len(start):
            if start in piece:
                return True
            offset += len(piece) - len(start) + 1
        return False
    finally:
        os.close(descriptor)
