"""Keeps one process for each local candidate that workers want: starts it for the first, shares it among all, ends it
some seconds after the last has let it go, and starts it again when it dies, hangs or grows too big.

Runs in the gateway's supervisor, on an event loop in a thread of its own. Workers ask on the socket `control`. Knows
nothing of what models answer.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.child import Child, memory_gb
from lifeloop.hosting.frames import Frame, Hold, Job, Line, Ready, Refused

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
"""Before a process is started again; doubled with each that died young."""
YOUNG_SECONDS = 60.0
LINGER_SECONDS = 10.0
"""How long a candidate that nobody holds is kept: a worker that was replaced comes back for it."""


class HostState(Struct, frozen=True):
    """How one candidate's process is."""

    candidate: Id
    pid: int
    """0 while there is none."""
    ready: bool
    holders: int
    """Workers that want it."""
    starts: int
    memory_gb: float
    problem: str
    """Why the process before it ended; "" for the first."""


class Hosts:
    """The processes of one gateway. `start` and `stop` are for the thread that owns it."""

    def __init__(self, control: Path, vault_url: str, cache: Path, settings: Hosting, canary: str = "") -> None:
        """`canary` is put into the system prompts of what is loaded, so that answers that repeat it are known."""
        self._canary = canary
        self._control, self._settings = control, settings
        self._vault, self._cache = vault_url, cache
        self._kept: dict[Id, _Kept] = {}
        self._asked = 0
        self._loop = asyncio.new_event_loop()
        self._begun = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hosts", daemon=True)

    def start(self) -> None:
        """Listen for workers. No process is started before one asks. Raises OSError for a socket that cannot be had."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(self._control))
        except OSError:
            listener.close()
            raise
        self._control.chmod(0o600)
        self._listener = listener
        self._thread.start()
        self._begun.wait()

    def stop(self) -> None:
        """End all processes and wait for that. Calling it twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
        self._control.unlink(missing_ok=True)

    def states(self) -> list[HostState]:
        """Return how each process is, by candidate."""
        return [kept.state() for _, kept in sorted(self._kept.items())]

    # below: the loop's thread, which must outlive the processes: they die with the thread that started them

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await self._loop.create_unix_server(self._answer_to, sock=self._listener)
        self._begun.set()
        await self._end.wait()
        server.close()
        await asyncio.gather(*(kept.end() for kept in self._kept.values()))
        self._kept.clear()

    def _answer_to(self) -> Line:
        held: list[_Kept] = []

        def heard(line: Line, frame: Frame) -> None:
            if isinstance(frame, Hold) and not held:
                held.append(self._keep(frame.candidate))
                held[0].hold(line)

        def lost(line: Line) -> None:
            for kept in held:
                kept.let_go(line)

        return Line(heard, lost)

    def _keep(self, candidate: Id) -> "_Kept":
        kept = self._kept.get(candidate)
        if kept is None or kept.over:
            self._asked += 1  # a name of its own: the one before it may be ending still
            place = str(self._control.with_name(f"{candidate[:16]}-{self._asked}.sock"))
            job = Job(self._vault, str(self._cache), candidate, place, self._settings.slots, self._canary)
            kept = self._kept[candidate] = _Kept(job, self._settings, self._forget)
        return kept

    def _forget(self, kept: "_Kept") -> None:
        if self._kept.get(kept.candidate) is kept:
            del self._kept[kept.candidate]


class _Kept:
    """One candidate, and the process that holds it now."""

    def __init__(self, job: Job, settings: Hosting, forget: Callable[["_Kept"], None]) -> None:
        self.candidate, self._job, self._settings, self._forget = job.candidate, job, settings, forget
        self._holders: set[Line] = set()
        self._process: Child | None = None
        self._ready: Ready | None = None
        self._starts, self._problem = 0, ""
        self._empty: asyncio.TimerHandle | None = None
        self.over = False
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    def hold(self, line: Line) -> None:
        """Count a worker, and tell it what the candidate can do as soon as that is known."""
        if self._empty is not None:
            self._empty.cancel()
        self._holders.add(line)
        if self._ready is not None:
            line.send(self._ready)

    def let_go(self, line: Line) -> None:
        """Count a worker no more."""
        self._holders.discard(line)
        if not self._holders and not self.over:
            loop = asyncio.get_running_loop()
            self._empty = loop.call_later(LINGER_SECONDS, lambda: loop.create_task(self.end()))

    async def end(self) -> None:
        """End the process, and this; whoever still waits for it hears no more."""
        self.over = True
        for line in list(self._holders):
            line.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._forget(self)

    def state(self) -> HostState:
        """Return how it is."""
        process = self._process
        pid = process.pid if process is not None else 0
        ready = process is not None and process.is_ready
        return HostState(
            self.candidate, pid, ready, len(self._holders), self._starts, memory_gb(pid), self._problem
        )  # fmt: skip

    async def _go_on(self) -> None:
        """Run one process after the other."""
        pause = FIRST_PAUSE
        while not self.over:
            begun = time.monotonic()
            self._starts += 1
            process = self._process = Child(self._job)
            try:
                self._problem = await process.run(self._settings, self._is_ready)
            finally:
                self._process = None
                await process.kill()
            if self._ready is None:
                self._refuse(process.refused or Refused(self._problem, fix="the gateway's log has what it printed"))
                return
            pause = FIRST_PAUSE if time.monotonic() - begun > YOUNG_SECONDS else min(pause * 2, LONGEST_PAUSE)
            log.error(
                "the process of candidate %s %s; another starts in %.1f s", short(self.candidate), self._problem, pause
            )
            await asyncio.sleep(pause)

    def _is_ready(self, ready: Ready) -> None:
        first, self._ready = self._ready is None, ready
        for line in self._holders if first else ():
            line.send(ready)

    def _refuse(self, refused: Refused) -> None:
        """A candidate that never could be loaded is not tried again until somebody asks again."""
        self.over = True
        self._forget(self)
        for line in self._holders:
            line.send(refused)
