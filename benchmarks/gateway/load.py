"""Load: wrk for the most that a server can do, and a client of its own for what wrk cannot tell.

wrk (a Debian package of that name) waits for an answer before it sends again, so it measures rates. What requests wait
for at a given rate is measured by clients that send by the clock, whether or not answers come (`paced`), and so is the
time to a stream's first piece. Run as a program, this file does the latter in a process of its own.
"""

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

import msgspec
import uvloop
from msgspec import Struct

from lifeloop.models.model import Unanswered
from lifeloop.models.upstream import Upstream

QUESTION = "Where is my parcel? I ordered it nine days ago and have heard nothing since."
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def body_of(model: str, stream: bool) -> bytes:
    """Return the body of a request."""
    asked = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    return msgspec.json.encode(asked | ({"stream": True} if stream else {}))


class Rate(Struct, frozen=True):
    """What wrk saw."""

    rate: float
    """Answers a second."""
    p50: float
    """Milliseconds."""
    p99: float
    bad: int
    """Answers other than 2xx, and broken connections."""
    n: int


def wrk(url: str, body: bytes, connections: int, seconds: float, on: set[int], headers: Mapping[str, str]) -> Rate:
    """Return what wrk gets from a URL with so many connections; a `{n}` in the body is the request's number."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    script = [
        'wrk.method = "POST"',
        'wrk.headers["Content-Type"] = "application/json"',
        *(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
        f"local body, n = [==[{body.decode()}]==], 0",
        "wrk.body = body",
    ]
    if b"{n}" in body:
        numbered = 'wrk.format(nil, nil, nil, (body:gsub("{n}", n)))'
        script.append(f"request = function() n = n + 1; return {numbered} end")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        pinned = ["taskset", "-c", ",".join(map(str, on)), program]
        options = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s", "--latency", "-s", file.name]
        said = subprocess.run([*pinned, *options, url], capture_output=True, text=True, check=True).stdout
    counts = r"Non-2xx or 3xx responses: (\d+)|(?:connect|read|write|timeout) (\d+)"
    bad = sum(int(one or other) for one, other in re.findall(counts, said))
    cuts = {
        share: float(value) * UNITS[unit] for share, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s|m)", said)
    }
    rate, n = _number(r"Requests/sec:\s+([\d.]+)", said), _number(r"(\d+) requests in", said)
    return Rate(rate, cuts["50"], cuts["99"], bad, int(n))


def _number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"wrk said nothing that is understood: {said}")
    return float(found[1])


class Waits(Struct, frozen=True):
    """What requests waited for, in milliseconds: for a stream until the first piece of its body."""

    n: int
    p50: float
    p99: float
    most: float
    bad: int


def paced(
    url: str, body: bytes, rate: float, seconds: float, on: set[int], key: str = "", *, stream: bool = False
) -> Waits:
    """Return what requests wait for that are sent at a rate; 0: one after another on one connection."""
    command = [sys.executable, __file__, url, "--rate", str(rate), "--seconds", str(seconds), "--key", key]
    if stream:
        command.append("--stream")
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, on)), *command], input=body, capture_output=True, check=True
    )
    return msgspec.json.decode(done.stdout, type=Waits)


async def _measure(url: str, body: bytes, rate: float, seconds: float, key: str, stream: bool) -> Waits:
    client = Upstream(url, key, connections=2048)
    waits: list[float] = []
    bad = 0

    async def ask(due: float) -> None:
        nonlocal bad
        try:
            if stream:
                answer = await client.stream(body, 30.0)
                waits.append(time.perf_counter() - due)
                bad += answer.status != 200
                async for _ in answer:
                    pass
            else:
                status, _, _ = await client.post(body, 30.0)
                waits.append(time.perf_counter() - due)
                bad += status != 200
        except Unanswered:
            bad += 1

    begun = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()
    n = 0
    while (now := time.perf_counter()) - begun < seconds:
        if not rate:
            await ask(now)
            continue
        due = begun + n / rate
        if due > now:
            await asyncio.sleep(due - now if due - now > 0.002 else 0)
            continue
        n += 1
        task = asyncio.create_task(ask(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    client.close()
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    return Waits(len(waits), cuts[49] * 1e3, cuts[98] * 1e3, max(waits, default=0.0) * 1e3, bad)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--key", default="")
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    asked = sys.stdin.buffer.read()
    found = uvloop.run(_measure(options.url, asked, options.rate, options.seconds, options.key, options.stream))
    sys.stdout.buffer.write(msgspec.json.encode(found))
