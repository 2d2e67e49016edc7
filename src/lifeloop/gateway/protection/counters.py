"""Counters that the processes of one machine share: each writes its own cells and reads everybody's, without a lock.

A small file is mapped into memory. Every counted name has a slot in it, with rings of one cell a second and process,
and one cell a process for the day. A cell holds its own time beside its count, in one word that is written at once, so
that nobody has to clear what is old. A process takes its place by a lock that the system lifts when it dies; what it
counted stays, and whoever takes the place counts on from there. Knows nothing of limits.
"""

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PROCESSES = 64
"""Processes of one machine at most."""
SLOTS = 2048
"""Names at most."""
SECONDS = 64
"""Cells of a ring: more than the seconds of a window."""
RINGS = 2

_WORD = 8
_RING = SECONDS * PROCESSES
_SLOT = RINGS * _RING + PROCESSES
_HEADER = 4 + SLOTS * 2  # magic, boot, number of places ever taken, number of names; of each name 16 bytes of its hash
_MOST = 0xFFFFFFFF
_MAGIC = int.from_bytes(b"LLCOUNT1", "little")


class Counters:
    """The cells. Whoever adds does so from one thread."""

    def __init__(self, path: Path | None) -> None:
        """Map the file at `path`, made where there is none; None, or a file that cannot be had: count here alone."""
        self._locks: list[int] = []
        self._file = -1
        self.place = 0
        self._slots: dict[str, int] = {}
        self._finding = threading.Lock()
        if path is not None:
            try:
                self._open(path)
            except OSError as error:
                log.error("limits hold for each process alone: %s cannot be used: %s", path, error.strerror or error)
                self._release()
        if self._file < 0:
            self._map = mmap.mmap(-1, (_HEADER + SLOTS * _SLOT) * _WORD)
        self.cells: Any = memoryview(self._map).cast("Q")
        if self._file < 0:
            self.cells[2] = 1

    def close(self) -> None:
        """Give the place back; what was counted stays."""
        self.cells.release()
        self._map.close()
        self._release()

    def slot(self, name: str) -> int:
        """Return where the cells of a name begin, found once and remembered."""
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = self._find(name)
        return slot

    def ring(self, slot: int, number: int, window: int) -> "Ring":
        """Return one of a name's rings, to be read over `window` seconds and the one under way."""
        return Ring(self.cells, slot + number * _RING, self.place, window)

    def day(self, slot: int) -> "Day":
        """Return a name's counter of the day."""
        return Day(self.cells, slot + RINGS * _RING, self.place)

    # below: the file

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(Path(f"{path}.lock")):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _ours(file):  # of an earlier boot or version: those who still map it keep it under no name
                os.close(file)
                path.unlink()
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                _make(file)
            self._file = file
            self.place = self._take_place(path)
            self._map = mmap.mmap(file, os.fstat(file).st_size)
            n_places = struct.unpack_from("=Q", self._map, 2 * _WORD)[0]
            struct.pack_into("=Q", self._map, 2 * _WORD, max(n_places, self.place + 1))

    def _take_place(self, path: Path) -> int:
        for place in range(PROCESSES):
            lock = os.open(f"{path}.{place}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            self._locks.append(lock)
            return place
        raise OSError(0, f"{PROCESSES} processes share it already")

    def _find(self, name: str) -> int:
        """Return a name's slot, a new one where it has none.

        Raises OSError on a full disk, OverflowError where there are SLOTS names already.
        """
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        with self._finding:
            if self._file < 0:
                return self._numbered(digest)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                return self._numbered(digest)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _numbered(self, digest: bytes) -> int:
        n_names = self.cells[3]
        for number in range(n_names):
            start = (4 + 2 * number) * _WORD
            if self._map[start : start + 16] == digest:
                return _HEADER + number * _SLOT
        if n_names == SLOTS:
            raise OverflowError
        slot = _HEADER + n_names * _SLOT
        if self._file >= 0:  # on a full disk, a page that is not there yet would end the process
            os.posix_fallocate(self._file, slot * _WORD, _SLOT * _WORD)
        start = (4 + 2 * n_names) * _WORD
        self._map[start : start + 16] = digest
        self.cells[3] = n_names + 1
        return slot

    def _release(self) -> None:
        for file in [*self._locks, *([self._file] if self._file >= 0 else [])]:
            os.close(file)
        self._locks, self._file, self.place = [], -1, 0


class Ring:
    """One name's counts by the second (of the monotonic clock, whole)."""

    __slots__ = ("_base", "_before", "_cells", "_first", "_mine", "_now", "_old", "_place", "_places", "_second",
                 "_window")  # fmt: skip

    def __init__(self, cells: Any, first: int, place: int, window: int) -> None:
        self._cells, self._first, self._place, self._window = cells, first, place, window
        self._second = -1
        self._places = 0

    def total(self, second: int) -> int:
        """Return what all processes counted in a second and the window before it."""
        if second != self._second or self._cells[2] != self._places:
            self._turn(second)
        total, base, cells = self._old, self._base, self._cells
        for place in self._now:
            if (word := cells[place]) >= base:
                total += word - base
        base -= 1 << 32
        for place in self._before:  # of a process that was held up between its look at the clock and its count
            if (word := cells[place]) >= base:
                total += word - base
        return total

    def add(self, second: int, n: int) -> None:
        """Count n, which may be negative, in a second."""
        if second != self._second:
            self._turn(second)
        base, cells, mine = self._base, self._cells, self._mine
        word = cells[mine]
        count = (word - base if word >= base else 0) + n
        cells[mine] = base + (count if 0 <= count <= _MOST else min(max(count, 0), _MOST))

    def at(self, second: int) -> int:
        """Return what all processes counted in one second."""
        base = second << 32
        return sum(word - base for place in self._of(second) if (word := self._cells[place]) >> 32 == second)

    def _turn(self, second: int) -> None:
        """Sum the seconds that are over for good: once a second, and when a process joins."""
        self._second, self._places = second, self._cells[2]
        self._base = second << 32
        self._now, self._before = self._of(second), self._of(second - 1)
        self._mine = self._first + second % SECONDS * PROCESSES + self._place
        self._old = sum(self.at(other) for other in range(second - self._window, second - 1))

    def _of(self, second: int) -> range:
        """Return which cells hold a second, of the places that were ever taken."""
        start = self._first + second % SECONDS * PROCESSES
        return range(start, start + self._cells[2])


class Day:
    """One name's count of the day (since the epoch)."""

    __slots__ = ("_cells", "_first", "_place")

    def __init__(self, cells: Any, first: int, place: int) -> None:
        self._cells, self._first, self._place = cells, first, place

    def total(self, day: int) -> int:
        """Return what all processes counted in a day."""
        base = day << 48
        cells = self._cells
        total = 0
        for place in range(self._first, self._first + cells[2]):
            if (word := cells[place]) >> 48 == day:
                total += word - base
        return total

    def add(self, day: int, n: int) -> None:
        """Count n in a day."""
        base = day << 48
        word = self._cells[self._first + self._place]
        count = (word - base if word >> 48 == day else 0) + n
        self._cells[self._first + self._place] = base + min(count, (1 << 48) - 1)


@contextlib.contextmanager
def _locked(path: Path) -> Any:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _ours(file: int) -> bool:
    head = os.pread(file, 2 * _WORD, 0)
    return len(head) == 2 * _WORD and struct.unpack("=QQ", head) == (_MAGIC, _boot())


def _make(file: int) -> None:
    os.ftruncate(file, (_HEADER + SLOTS * _SLOT) * _WORD)
    os.posix_fallocate(file, 0, _HEADER * _WORD)
    os.pwrite(file, struct.pack("=QQ", _MAGIC, _boot()), 0)


def _boot() -> int:
    """Return a number of this start of the machine, with which its monotonic clock began anew."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        boot = b""
    return int.from_bytes(hashlib.blake2b(boot, digest_size=8).digest(), "little")
