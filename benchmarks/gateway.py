"""How much the gateway adds to answering: beside a bare Starlette endpoint, in one run, on the same server settings.

Both run under uvicorn (uvloop, httptools) in a process of their own and are asked in turn over keep-alive connections
by this process, with a model that answers instantly: what remains is the gateway's own work (validation, the thread
of the model, the event for the ledger). Run: `python benchmarks/gateway.py [SECONDS]`.
"""

import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.evidence import Release
from lifeloop.gateway.serve import listen, make_server
from lifeloop.gateway.serving import Serving
from lifeloop.models.model import whole
from lifeloop.store.ledger import open_ledger
from lifeloop.store.vault import Vault

ROUNDS = 3
BODY = msgspec.json.encode({"text": "My parcel has not arrived and the invoice is wrong, what can I do?"})
PATH = "/v1/tasks/bench"


class Instant:
    """A model that always gives the same label."""

    batch_size = 256
    concurrency = 64

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the label."""
        return [Answer(output="billing", confidence=0.5) for _ in requests]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Return the label as one piece."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


def serve_gateway(pipe: Connection, folder: str) -> None:
    """Serve our gateway, with a ledger on disk."""
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    vault = Vault(f"{folder}/vault", Path(folder) / "cache")
    candidate = vault.put_value(Candidate("majority", "instant", "classify", ("billing", "other"), {}))
    release = vault.put_value(Release(cycle=1, verdict="v", candidate=candidate, name="majority"))
    ledger.add_release(id=release, verdict="v", candidate=candidate, name="majority", at=time.time())
    task = plugins.get("tasks", "classify")
    _run(pipe, make_server(Serving("bench", task, ledger, vault, load=lambda _: Instant())))


def serve_bare(pipe: Connection, folder: str) -> None:
    """Serve an endpoint that reads its body and answers as many bytes as ours."""
    said = {"label": "billing", "confidence": 0.5, "event": "0" * 32, "candidate": "majority", "release": "0" * 64}
    body = msgspec.json.encode(said)

    async def endpoint(request: HttpRequest) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route(PATH, endpoint, methods=["POST"])])
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", ws="none", log_config=None, access_log=False, server_header=False
    )
    _run(pipe, uvicorn.Server(config))


def _run(pipe: Connection, server: uvicorn.Server) -> None:
    listener = listen("127.0.0.1", 0)
    pipe.send(listener.getsockname()[1])
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


async def ask(port: int, concurrency: int, seconds: float) -> list[float]:
    """Return the seconds of each request that `concurrency` connections got answered in a time."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    request = head.encode() + BODY
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(concurrency)))
    return taken


async def until_ready(port: int) -> None:
    """Wait until requests are answered with 200."""
    for _ in range(200):
        try:
            await ask(port, 1, 0.05)
            return
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
    raise RuntimeError("the server did not get ready")


async def measure(ports: dict[str, int], seconds: float) -> None:
    """Ask both in turn and print what they did."""
    for port in ports.values():
        await until_ready(port)
        await ask(port, 16, 0.5)
    print(f"{'':10}{'concurrency':>12}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for concurrency in (1, 16):
        rates: dict[str, list[float]] = {name: [] for name in ports}
        times: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(ROUNDS):
            for name, port in ports.items():
                taken = await ask(port, concurrency, seconds)
                rates[name].append(len(taken) / seconds)
                times[name] += taken
        for name in ports:
            cuts = statistics.quantiles(times[name], n=100)
            rate = statistics.median(rates[name])
            print(f"{name:10}{concurrency:>12}{rate:>10.0f}{cuts[49] * 1e3:>9.2f}{cuts[98] * 1e3:>9.2f}")
        ratio = statistics.median(rates["gateway"]) / statistics.median(rates["bare"])
        print(f"gateway serves {ratio:.2f} of the bare endpoint's requests at concurrency {concurrency}\n")


def main() -> None:
    """Start both servers, measure, stop them."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes, ports = [], {}
        for name, target in (("bare", serve_bare), ("gateway", serve_gateway)):
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(theirs, folder))
            process.start()
            processes.append(process)
            ports[name] = ours.recv()
        try:
            asyncio.run(measure(ports, seconds))
        finally:
            for process in processes:
                process.terminate()
                process.join(30)
        n = open_ledger(f"sqlite:///{folder}/ledger.db").count_events()
        print(f"{n} events in the ledger")


if __name__ == "__main__":
    main()
