"""How soon `lifeloop rollback` takes effect under load, for `lifeloop serve` with several workers.

Makes a project with two releases, each of which says its own label, serves it and asks without a pause over keep-alive
connections while the command runs. For each rollback it prints when the command had returned, when the last answer
of the release that was taken back came, both counted from the moment that the ledger has the decision, and the requests
that failed. Set LIFELOOP_LEDGER for a ledger on PostgreSQL. Run: `python benchmarks/rollback.py [ROLLBACKS] [WORKERS]`.
"""

import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.project import Project, open_project

CONNECTIONS = 8
BODY = b'{"text": "My parcel has not arrived."}'
LABELS = ("before", "after")
BRIEF = """
[project]
name = "desk"
task = "classify"
problem = "Which of two releases answers?"
[data]
source = "data.csv"
[[objectives]]
metric = "accuracy"
target = 0.5
[candidates.majority]
kind = "majority"
"""

Answered = tuple[float, int, bytes]
"""When it came, its status, and which release gave it."""


def main(n_rollbacks: int, n_workers: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "desk"
        project = _project(folder)
        releases = [_release(project, label) for label in LABELS]
        print(f"{n_workers} workers, {CONNECTIONS} connections, ledger {project.ledger_url.split(':')[0]}")
        with _serving(folder, n_workers) as url:
            for number in range(n_rollbacks):
                _promote(project, *releases[1])
                _wait_until_warm(url, releases[1][0], releases[0][0], n_workers)
                answers, decided, returned = asyncio.run(_roll_back_under_load(project, url))
                last = max(at for at, _, release in answers if release == releases[1][0].encode())
                n_failed = sum(status != 200 for _, status, _ in answers)
                seconds = answers[-1][0] - answers[0][0]
                print(
                    f"rollback {number + 1}: command back after {returned - decided:.2f} s, last answer of the release "
                    f"taken back after {max(0.0, last - decided):.3f} s, {n_failed} of {len(answers):,} requests "
                    f"failed ({len(answers) / seconds:,.0f} a second)"
                )


def _project(folder: Path) -> Project:
    folder.mkdir()
    (folder / "lifeloop.toml").write_text(BRIEF)
    (folder / "data.csv").write_text("text,label\nx,before\ny,after\n")
    return open_project(folder)


def _release(project: Project, label: str) -> tuple[str, Release]:
    """Put a release in production whose only answer is a label."""
    files = project.folder / label
    files.mkdir()
    (files / "majority.json").write_bytes(msgspec.json.encode((label, 0.5)))
    vault = project.open_vault()
    candidate = vault.put_value(
        Candidate(
            name=label,
            kind="majority",
            task="classify",
            labels=LABELS,
            settings={},
            files=vault.put_folder(files),
        )
    )
    release = Release(cycle=1, verdict="none", candidate=candidate, name=label)
    identifier = vault.put_value(release)
    _promote(project, identifier, release)
    return identifier, release


def _promote(project: Project, identifier: str, release: Release) -> None:
    with contextlib.closing(project.open_ledger()) as ledger:
        current = ledger.current_release()
        if current is None or current.id != identifier:
            ledger.add_release(
                id=identifier, verdict=release.verdict, candidate=release.candidate, name=release.name, at=time.time()
            )


@contextlib.contextmanager
def _serving(folder: Path, n_workers: int) -> Iterator[str]:
    command = [sys.executable, "-m", "lifeloop", "-C", str(folder), "serve", "--port", "0", "--workers", str(n_workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        try:
            assert gateway.stdout is not None
            said = ""
            while (found := re.search(r"http://\S+?:\d+", said)) is None:
                said = gateway.stdout.readline()
                if not said:
                    raise SystemExit("the gateway did not start")
            yield found[0]
        finally:
            gateway.terminate()


def _wait_until_warm(url: str, production: str, previous: str, n_workers: int) -> None:
    """Wait until every worker serves a release and holds the one before; each new connection meets any of them."""
    in_a_row = 0
    end = time.monotonic() + 60.0
    while in_a_row < 20 * n_workers:
        ready = httpx.get(f"{url}/readyz").json()
        in_a_row = in_a_row + 1 if (ready.get("release"), ready.get("previous")) == (production, previous) else 0
        if time.monotonic() > end:
            raise SystemExit(f"not warm after a minute: {ready}")


async def _roll_back_under_load(project: Project, url: str) -> tuple[list[Answered], float, float]:
    """Return all answers, when the rollback was on record, and when its command had returned."""
    host, port = url.removeprefix("http://").split(":")
    answers: list[Answered] = []
    stop = asyncio.Event()
    clients = [asyncio.create_task(_ask(host, int(port), answers, stop)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(1.0)
    command = [sys.executable, "-m", "lifeloop", "-C", str(project.folder), "rollback", "--by", "benchmark"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    if await process.wait():
        raise SystemExit("the rollback failed")
    returned = time.time()
    await asyncio.sleep(2.0)
    stop.set()
    await asyncio.gather(*clients)
    with contextlib.closing(project.open_ledger()) as ledger:
        return sorted(answers), ledger.rollouts()[-1].at, returned


async def _ask(host: str, port: int, answers: list[Answered], stop: asyncio.Event) -> None:
    """Ask over one connection, one request after another."""
    reader, writer = await asyncio.open_connection(host, port)
    request = b"POST /v1/tasks/desk HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
    while not stop.is_set():
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        await reader.readexactly(int(headers[b"content-length"]))
        answers.append((time.time(), int(head[9:12]), headers.get(b"x-lifeloop-release", b"")))
    writer.close()


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [3, 2][len(arguments) :]))
