"""How many requests and streams a second the gateway passes on, beside a bare pass-through and LiteLLM's proxy.

One run: wrk → gateway → stub upstream. The gateway (all of its processes) has one core, stub and clients the other.
Ours runs as its users run it: `lifeloop serve`, an API key with limits, circuit breaker, every request an event in the
log before its answer is sent, and the log brought to the ledger behind it (by the supervisor, on the same core; "the
worker alone" is measured with the supervisor on the other one). The bare pass-through has the same server
library and the same client and writes one line a request to a file; LiteLLM has no database and writes such a line.

    python benchmarks/gateway [--seconds 5] [--peers .venv/peers/bin/python] [--only lifeloop,bare,litellm] [--million]

`--million` asks our gateway a million times instead, and prints the memory of its processes on the way.
"""

import argparse
import tempfile
from pathlib import Path

import gateways
from gateways import OURS, THEIRS, Server
from load import Rate, Waits, body_of, paced, wrk
from msgspec import Struct

CONNECTIONS = (1, 32, 64)
GAP = 0.0013
"""Seconds between the pieces of a stream, as of a fast model."""
STREAMS = 64
"""Connections that stream at the same time."""
MOST_PACED = 12_000
"""Requests a second that the client by the clock can keep up with."""


class Figures(Struct):
    """What one server reached."""

    best: float
    """Whole answers a second."""
    worker: float
    """The same with the processes beside the worker on another core; of a server that has none, as before."""
    alone: Waits
    """Of requests one after another."""
    half: Waits
    """At half of its best rate."""
    streams: float
    """Streams a second."""
    first: Waits
    """Until a stream's first piece, at half of its rate or 500 a second."""


def ask(server: Server, connections: int, seconds: float, *, stream: bool = False) -> tuple[Rate, str]:
    """Return what wrk saw, and it in words."""
    before = server.process.cpu_seconds()
    seen = wrk(server.url, body_of(server.model, stream), connections, seconds, OURS, server.headers)
    used = server.process.cpu_seconds() - before
    bad = f"  {seen.bad} BAD" if seen.bad else ""
    rate = f"{seen.rate:>9.0f}/s {seen.n / used if used else 0:>9.0f} per CPU s"
    return seen, f"{rate}   p50 {seen.p50:>7.2f} ms  p99 {seen.p99:>7.2f} ms{bad}"


def measure(server: Server, seconds: float) -> Figures:
    """Return what a server reaches; print it as it comes."""
    print(f"\n{server.name}")
    ask(server, 16, 1.0)
    best = 0.0
    for connections in CONNECTIONS:
        seen, words = ask(server, connections, seconds)
        best = max(best, seen.rate)
        print(f"  answers, {connections:>2} connections {words}", flush=True)
    worker = best
    if len(server.process.pids()) > 1:
        server.process.pin(OURS)
        seen, words = ask(server, max(CONNECTIONS), seconds)
        server.process.pin(THEIRS)
        worker = max(best, seen.rate)
        print(f"  the worker alone on it     {words}", flush=True)
    whole, streamed = body_of(server.model, False), body_of(server.model, True)
    alone = paced(server.url, whole, 0, seconds, OURS, server.key)
    half = paced(server.url, whole, min(best / 2, MOST_PACED), seconds, OURS, server.key)
    print(f"  answers, one after another{_words(alone)}")
    print(f"  answers at {half.n / seconds:>6.0f} a second   {_words(half)}", flush=True)
    seen, words = ask(server, STREAMS, seconds, stream=True)
    print(f"  streams, {STREAMS} connections {words}")
    first = paced(server.url, streamed, min(500.0, seen.rate / 2), seconds, OURS, server.key, stream=True)
    print(f"  first piece at {first.n / seconds:>4.0f} streams/s {_words(first)}", flush=True)
    return Figures(best, worker, alone, half, seen.rate, first)


def _words(waits: Waits) -> str:
    bad = f"  {waits.bad} BAD" if waits.bad else ""
    return f"{'':>28}p50 {waits.p50:>7.3f} ms  p99 {waits.p99:>7.3f} ms{bad}"


def compare(found: dict[str, Figures]) -> None:
    """Print what the gateway adds, and how it stands to the others."""
    stub, ours = found["stub alone"], found.get("lifeloop")
    columns = (
        f"{'added, one request':>20}{'first piece, p50':>18}{'p99':>8}{'streams of stub':>17}{'lifeloop / it':>15}"
    )
    print(f"\n{'':12}{columns}")
    for name, figures in found.items():
        if figures is stub:
            continue
        added = figures.alone.p50 - stub.alone.p50
        first = figures.first.p50 - stub.first.p50, figures.first.p99 - stub.first.p99
        ratio = f"{ours.best / figures.best:>11.2f}x ({ours.worker / figures.worker:.2f}x)" if ours else ""
        print(
            f"{name:12}{added:>+17.3f} ms{first[0]:>+15.2f} ms{first[1]:>+5.2f} ms"
            f"{figures.streams / stub.streams:>17.2f}{ratio}"
        )


def million(server: Server) -> None:
    """Ask a million times, and print the memory of each process on the way."""
    asked, steps = 0, [10_000, 100_000, 500_000, 1_000_000]
    while steps:
        seen, _ = ask(server, 32, 1.0 if asked < 10_000 else 5.0)
        asked += seen.n
        if asked >= steps[0]:
            steps.pop(0)
            memory = "  ".join(f"{mb:.1f} MB" for mb in server.process.memory_mb().values())
            print(f"after {asked:>9} requests ({seen.rate:.0f}/s): {memory}", flush=True)


def main() -> None:
    """Start each in turn, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peers", type=Path, default=Path(".venv/peers/bin/python"))
    parser.add_argument("--only", default="bare,lifeloop,litellm")
    parser.add_argument("--million", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, gateways.stub(Path(place), gap=GAP) as stub:
        folder, upstream = Path(place), stub.url.removesuffix("/chat/completions")
        starts = {
            "bare": lambda: gateways.bare(folder, upstream),
            "lifeloop": lambda: gateways.lifeloop(folder, upstream),
            "litellm": lambda: gateways.litellm(folder, upstream, options.peers.absolute()),
        }
        if options.million:
            with starts["lifeloop"]() as ours:
                million(ours)
            return
        found = {stub.name: measure(stub, options.seconds)}
        for name in options.only.split(","):
            with starts[name]() as server:
                found[name] = measure(server, options.seconds)
        compare(found)


if __name__ == "__main__":
    main()
