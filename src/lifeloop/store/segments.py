"""The segment log: what one process appends to a folder, one line an item, in files that it alone writes.

Takes lines and puts each into the operating system's hands before it returns, so that `kill -9` loses none; a thread
sees them to the disk about every 20 ms, for all writes of that time at once. Gives nothing back and knows nothing of
ledgers: `tails` reads what all writers of a folder left.

A writer holds the lock of the segment it writes. Whoever finds a segment unlocked knows that it is finished: its writer
turned to the next one, stopped or was killed.
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import threading
import time
from pathlib import Path

from lifeloop.core.errors import StoreError

log = logging.getLogger(__name__)

SUFFIX = ".segment.jsonl"
"""How the names of segments end. Other files of the folder belong to others."""
SEGMENT_BYTES = 16 << 20
"""How large a segment becomes before the writer turns to the next one."""
SEGMENT_SECONDS = 60.0
"""How old a segment with anything in it becomes: what has been shipped should not lie around for long."""
SYNC_SECONDS = 0.02
"""How long a written line waits for others before all of them are seen to the disk."""
TRIES = 100
"""How often a writer picks another name for a segment before it gives up."""


class SegmentLog:
    """One writer's segments in a folder. Safe to append to from any thread."""

    def __init__(
        self,
        folder: Path,
        writer: str = "",
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        sync_seconds: float = SYNC_SECONDS,
    ) -> None:
        """Make the folder and start the thread. `writer` is how the names begin; it need not be unique.

        Raises StoreError where the folder cannot be made for another reason than a full disk.
        """
        self.folder = folder
        self._writer = re.sub(r"[^A-Za-z0-9-]", "-", writer) or "writer"
        self._segment_bytes, self._segment_seconds, self._sync_seconds = segment_bytes, segment_seconds, sync_seconds
        self._lock = threading.Lock()
        self._descriptor = -1
        self._name = ""
        self._size = 0
        self._opened = 0.0  # time.monotonic(), which no change of the clock moves
        self._finished: list[int] = []  # descriptors of segments that nothing more goes to, to be synced and closed
        self._unshipped: dict[str, int] = {}  # sizes of own segments that may still be there
        self._dirty = False
        self._named = -1  # the descriptor whose segment's name is known to be on the disk
        self._wake, self._stop = threading.Event(), threading.Event()
        self._ended = False
        self._make_folder()
        self._thread = threading.Thread(target=self._run, name="lifeloop-sync", daemon=True)
        self._thread.start()

    def append(self, line: bytes) -> None:
        """Write a line, its line break included. It is the operating system's when this returns.

        Raises OSError where the disk does not take all of it; then none of it is there.
        """
        with self._lock:
            if self._descriptor < 0 or self._size >= self._segment_bytes:
                self._turn()
            written = os.write(self._descriptor, line)
            if written != len(line):
                self._undo()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += written
            if self._ended:  # a straggler: no thread comes after us to see it to the disk
                self._finish()
                self._sync()
            elif not self._dirty:
                self._dirty = True
                self._wake.set()

    def written(self) -> dict[str, int]:
        """Return the names of the segments written here that may still be there, and their sizes in bytes."""
        with self._lock:
            return self._still_there() | ({self._name: self._size} if self._size else {})

    def close(self) -> None:
        """See what is written to the disk and let go of the last segment. A second call does nothing."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    # below: turning to another segment, under the lock

    def _turn(self) -> None:
        """Open the next segment. Where that fails, the one that is open goes on; raises OSError where none is."""
        try:
            descriptor, name = self._open()
        except OSError:
            if self._descriptor < 0:
                raise
            return
        self._finish()
        self._descriptor, self._name, self._size = descriptor, name, 0
        self._opened = time.monotonic()

    def _open(self) -> tuple[int, str]:
        for _ in range(TRIES):
            name = f"{self._writer}-{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
            try:
                descriptor = os.open(
                    self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
            except FileExistsError:
                continue
            except FileNotFoundError:  # somebody removed the folder
                self.folder.mkdir(parents=True, exist_ok=True)
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return descriptor, name
            except BlockingIOError:
                pass  # a shipper looks whether it is finished, and will remove it as empty
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise OSError(errno.EAGAIN, "no segment could be opened")

    def _finish(self) -> None:
        if self._descriptor >= 0:
            self._finished.append(self._descriptor)
            self._unshipped = self._still_there()
            if self._size:
                self._unshipped[self._name] = self._size
        self._descriptor, self._size = -1, 0

    def _still_there(self) -> dict[str, int]:
        return {name: size for name, size in self._unshipped.items() if (self.folder / name).exists()}

    def _undo(self) -> None:
        """Take back the piece of a line that a full disk took; where that fails too, leave the segment at it."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._finish()

    # below: the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._segment_seconds)
            self._wake.clear()
            self._stop.wait(self._sync_seconds)
            self._age()
            self._dirty = False  # before the sync: a line written from here on wakes us again
            self._sync()
        with self._lock:
            self._finish()
            self._sync()
            self._ended = True

    def _age(self) -> None:
        """Finish a segment that is old, or that somebody removed from under us."""
        with self._lock:
            if self._descriptor < 0:
                return
            if not os.fstat(self._descriptor).st_nlink:
                log.error("somebody removed %s while it was written; the log goes on in another", self._name)
                self._finish()
            elif self._size and time.monotonic() - self._opened >= self._segment_seconds:
                self._finish()

    def _sync(self) -> None:
        """See everything to the disk. Descriptors are closed here alone, so the current one stays open meanwhile."""
        finished, self._finished = self._finished, []
        current = self._descriptor
        try:
            for descriptor in (*finished, *([current] if current >= 0 else [])):
                os.fdatasync(descriptor)
            if finished or current != self._named:
                _sync_folder(self.folder)
            self._named = current
        except OSError as error:  # what was written is with the operating system still, and goes on to the ledger
            log.error("the event log in %s cannot be seen to the disk: %s", self.folder, error)
        for descriptor in finished:
            os.close(descriptor)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return
            raise StoreError(
                f"the folder of the event log cannot be made ({error.strerror})",
                where=str(self.folder),
                fix="check the path and its permissions",
            ) from error


def _sync_folder(folder: Path) -> None:
    """See the names in a folder to the disk: without its name a file is gone with the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
