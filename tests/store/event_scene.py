"""Events, a folder of the segment log and its ledger, for the tests of recording."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lifeloop.core.events import Event, Feedback
from lifeloop.store.ledger import Ledger
from lifeloop.store.segments import SUFFIX


def event(id, **changes) -> Event:
    values = {
        "id": str(id),
        "at": 1.0,
        "release": "r",
        "candidate": "c",
        "name": "n",
        "input": "in",
        "output": "out",
        "confidence": None,
        "seconds": 0.1,
        "tokens_in": 1,
        "tokens_out": 1,
        "usd": 0.0,
    }
    return Event(**values | changes)


def feedback(id, event, **changes) -> Feedback:
    return Feedback(**{"id": str(id), "event": str(event), "at": 2.0, "rating": 1.0} | changes)


def ids(ledger: Ledger) -> list[str]:
    return [found.id for found in ledger.latest_events(1_000_000)[::-1]]


def segments_in(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an SQLite ledger so that nobody else can write to it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


@contextlib.contextmanager
def full_disk(folder: Path, kilobytes: int = 64) -> Iterator[Path]:
    """Yield a folder on a file system of its own that is soon full; skip the test where none may be mounted."""
    import pytest

    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system of a given size cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is; return the file that holds it."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            pass
    return path


@contextlib.contextmanager
def another_process(script: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """Run a script in a process of its own, which dies with the test."""
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": here},
        process_group=0,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        process.stdout.close()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
