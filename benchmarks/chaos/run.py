"""Chaos: upstreams fail, hang and restart, the database stops, a worker is killed each 20 s; nobody may notice.

`python benchmarks/chaos/run.py [SECONDS=300] [RATE=100]`. Starts `lifeloop serve --workers 2` on a project whose ledger
is a PostgreSQL of its own, asks RATE times a second, and prints what the clients were told and what the ledger holds.
The database is away for a fifth of the time. Ends with status 1 unless every request was answered or cleanly refused,
at most 0.1% were refused, and the events in the database are the answers received, exactly.
"""

import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from clients import Told, ask_for
from database import Database
from project import make_project

from lifeloop.store.ledger import open_ledger

HERE = Path(__file__).parent
MODES = ("ok", "error", "hang", "reset", "garbage", "slow", "ok")


class Upstream:
    """An endpoint in a process of its own that can be told to misbehave, and be killed."""

    def __init__(self, folder: Path, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._mode = folder / f"{name}.mode"
        self.behave("ok")
        self.start()

    def start(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen([sys.executable, HERE / "upstream.py", str(self.port), self._mode])

    def behave(self, mode: str) -> None:
        """Say how it is to answer from now on; in one step, since it may be reading."""
        new = self._mode.with_suffix(".new")
        new.write_text(mode)
        new.rename(self._mode)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def workers_of(supervisor: int) -> list[int]:
    """Return the ids of the processes that answer requests."""
    found = []
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"worker_process" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(int(child))
    return found


def misbehave(upstreams: list[Upstream], stop: threading.Event) -> None:
    """Give the upstreams another mode every few seconds, and kill and restart one now and then."""
    dice = random.Random(1)
    while not stop.wait(3.0):
        for upstream in upstreams:
            upstream.behave(dice.choice(MODES))
        if dice.random() < 0.3:
            upstream = dice.choice(upstreams)
            upstream.kill()
            stop.wait(1.0)
            upstream.start()


def kill_workers(supervisor: int, every: float, stop: threading.Event, killed: list[int]) -> None:
    """Kill a worker every so many seconds."""
    dice = random.Random(2)
    while not stop.wait(every):
        if workers := workers_of(supervisor):
            killed.append(dice.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)


def stop_database(database: Database, after: float, seconds: float, stop: threading.Event) -> None:
    """Have the database away for a while."""
    stop.wait(after)
    database.stop()
    print(f"the database is away for {seconds:.0f} s", flush=True)
    stop.wait(seconds)
    database.start()
    print("the database is back", flush=True)


def main() -> int:
    """Run it all; return the exit status."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 100.0
    told, killed, stop = Told(), [], threading.Event()
    database = Database()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upstreams = [Upstream(folder, "first"), Upstream(folder, "second")]
        ledger = open_ledger(database.url)
        make_project(folder / "project", ledger, upstreams[0].port, upstreams[1].port)
        command = [sys.executable, "-m", "lifeloop", "-C", str(folder / "project"), "serve", "--port", "0"]
        gateway = subprocess.Popen(
            [*command, "--workers", "2"],
            env=os.environ | {"LIFELOOP_LEDGER": database.url},
            stdout=subprocess.PIPE,
            stderr=(folder / "gateway.log").open("wb"),
            text=True,
        )
        try:
            gateway.stdout.readline()
            url = gateway.stdout.readline().split()[0].removesuffix("/v1")
            time.sleep(2.0)
            threads = [
                threading.Thread(target=misbehave, args=(upstreams, stop)),
                threading.Thread(target=kill_workers, args=(gateway.pid, min(20.0, seconds / 4), stop, killed)),
                threading.Thread(target=stop_database, args=(database, seconds * 0.3, seconds * 0.2, stop)),
            ]
            for thread in threads:
                thread.start()
            asyncio.run(ask_for(url, seconds, rate, told))
            stop.set()
            for thread in threads:
                thread.join()
            gateway.terminate()
            status = gateway.wait(60)
        finally:
            stop.set()
            gateway.kill()
            for upstream in upstreams:
                upstream.kill()
        fine = report(told, killed, set(_answered(ledger)), status, folder / "gateway.log")
        ledger.close()
    database.remove()
    return 0 if fine else 1


def _answered(ledger) -> list[str]:
    with ledger.reading() as read:
        return [row[0] for row in read("SELECT id FROM events WHERE output <> ''")]


def report(told: Told, killed: list[int], recorded: set[str], status: int, log: Path) -> bool:
    """Print what came out; return whether it is as it must be."""
    refused = sum(told.refused.values())
    cuts = statistics.quantiles(told.seconds, n=100)
    print(f"{told.n_asked} requests, {len(told.events)} answered by {told.by}, {told.tried_again} tried again")
    print(f"{refused} refused cleanly {told.refused} ({refused / told.n_asked:.3%}), {len(told.bad)} badly")
    print(f"p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.0f} ms; {len(killed)} workers killed, exit {status}")
    lost, more = told.events - recorded, recorded - told.events
    print(f"{len(recorded)} events with an answer in the database: {len(lost)} lost, {len(more)} too many")
    for line in told.bad[:5]:
        print(" ", line)
    fine = not told.bad and not lost and not more and refused <= told.n_asked / 1000 and status == 0
    if not fine:
        print("--- the gateway's log, its end\n" + "\n".join(log.read_text().splitlines()[-25:]))
    print("as it must be" if fine else "NOT as it must be")
    return fine


if __name__ == "__main__":
    sys.exit(main())
