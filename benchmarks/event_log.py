"""What recording an event costs the process that serves it, and how fast events get from the log to the ledger.

Append: `Recorder.add_event` (encode, one write, group fsync behind) beside a bare loop that writes the same bytes, both
with one process; median and 99th percentile of single calls as well. Ship: `Shipment.step` from segments to an SQLite
ledger beside a bare sqlite3 `executemany` of the same rows in batches of the same size, and to PostgreSQL where the
second argument gives its URL. Three rounds in turn, the best of each.
Run: `python benchmarks/event_log.py [EVENTS] [postgresql://…]`.
"""

import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from lifeloop.core.events import Event
from lifeloop.store.ledger import Ledger, open_ledger
from lifeloop.store.recorder import Recorder
from lifeloop.store.segments import SegmentLog
from lifeloop.store.served_lines import encode
from lifeloop.store.shipping import BATCH, Shipment

ROUNDS = 3


def some_events(n: int) -> list[Event]:
    """Return events of about 1 KB, each with an id of its own."""
    question, answer = "My parcel has not arrived, what can I do? " * 7, "Ask the carrier, then us. " * 12
    one = Event("", 1.7e9, "r" * 64, "c" * 64, "assistant", question, answer, 0.93, 0.0123, 96, 71, 0.00021)
    return [msgspec.structs.replace(one, id=secrets.token_hex(16)) for _ in range(n)]


def append_ours(events: Sequence[Event], folder: Path) -> list[float]:
    """Return the seconds that each call took."""
    recorder = Recorder(open_ledger(f"sqlite:///{folder}/ledger.db"), folder / "events", ship=False)
    took = [_timed(recorder.add_event, event) for event in events]
    recorder.close()
    return took


def append_bare(events: Sequence[Event], folder: Path) -> list[float]:
    """Return the seconds that encoding and writing took, without segments, locks or syncs."""
    descriptor = os.open(folder / "bare.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    encoder = msgspec.json.Encoder()
    took = [_timed(lambda event: os.write(descriptor, encoder.encode(event) + b"\n"), event) for event in events]
    os.close(descriptor)
    return took


def _timed(call: Callable[[Event], object], event: Event) -> float:
    started = time.perf_counter()
    call(event)
    return time.perf_counter() - started


def ship_ours(events: Sequence[Event], folder: Path, ledger: Ledger) -> float:
    """Return the seconds from segments to the ledger."""
    writer = SegmentLog(folder / "events")
    for event in events:
        writer.append(encode(event))
    writer.close()
    shipment = Shipment(ledger, folder / "events")
    started = time.perf_counter()
    while shipment.step():
        pass
    seconds = time.perf_counter() - started
    assert not list((folder / "events").glob("*.segment.jsonl")), "not all was shipped"
    return seconds


def ship_bare(events: Sequence[Event], folder: Path) -> float:
    """Return the seconds that sqlite3 takes for the rows alone, in the ledger's own table and settings."""
    open_ledger(f"sqlite:///{folder}/bare.db").close()
    names = Event.__struct_fields__
    query = f"INSERT INTO events ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT DO NOTHING"
    database = sqlite3.connect(folder / "bare.db")
    database.execute("PRAGMA synchronous=FULL")
    rows = [msgspec.structs.astuple(event) for event in events]
    started = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        with database:
            database.executemany(query, rows[start : start + BATCH])
    seconds = time.perf_counter() - started
    database.close()
    return seconds


def measure(n: int, server: str) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the seconds of each append and of each whole shipping, the best round of each, by what did it."""
    appends: dict[str, list[float]] = {}
    ships: dict[str, float] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="event-log-") as made:
            folder, events = Path(made), some_events(n)
            for name, append in (("ours", append_ours), ("bare write", append_bare)):
                took = append(events, folder)
                appends[name] = min(appends.get(name, took), took, key=sum)
            shutil.rmtree(folder / "events")
            ledgers = {"ours, SQLite": f"sqlite:///{folder}/ledger.db"} | (
                {"ours, PostgreSQL": server} if server else {}
            )
            for name, url in ledgers.items():
                seconds = ship_ours(events, folder, open_ledger(url))
                ships[name] = min(ships.get(name, seconds), seconds)
            seconds = ship_bare(events, folder)
            ships["bare sqlite3"] = min(ships.get("bare sqlite3", seconds), seconds)
    return appends, ships


def main() -> None:
    """Measure and print."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    appends, ships = measure(n, sys.argv[2] if len(sys.argv) > 2 else "")
    print(f"{n:,} events of {len(encode(some_events(1)[0]))} bytes")
    for name, took in appends.items():
        mean, ordered = sum(took) / n * 1e6, sorted(took)
        p50, p99, p999 = (ordered[int(n * q)] * 1e6 for q in (0.5, 0.99, 0.999))
        print(f"append  {name:16s} {1e6 / mean:10,.0f} items/s   us: mean {mean:.1f}", end="")
        print(f"   p50 {p50:.1f}   p99 {p99:.1f}   p99.9 {p999:.1f}")
    print(f"append  ours / bare      {sum(appends['ours']) / sum(appends['bare write']):10.2f} of the time")
    for name, seconds in ships.items():
        print(
            f"ship    {name:16s} {n / seconds:10,.0f} rows/s    {ships['bare sqlite3'] / seconds:.2f} of bare sqlite3"
        )


if __name__ == "__main__":
    main()
