"""Keeps one process for each local candidate that workers want: starts it for the first, shares it among all, ends it
some seconds after the last has let it go, and starts it again when it dies, hangs or grows too big.

Runs in the gateway's supervisor, on an event loop in a thread of its own. Workers ask on the socket `control`. Knows
nothing of what models answer.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.frames import Frame, Hold, Job, Line, Ping, Pong, Ready, Refused

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often a process is asked whether it lives, and its memory is read."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
"""Before a process is started again; doubled with each that died young."""
YOUNG_SECONDS = 60.0
LINGER_SECONDS = 10.0
"""How long a candidate that nobody holds is kept: a worker that was replaced comes back for it."""
PAGE = os.sysconf("SC_PAGE_SIZE")


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

    def __init__(self, control: Path, vault_url: str, cache: Path, settings: Hosting) -> None:
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
            job = Job(self._vault, str(self._cache), candidate, place, self._settings.slots)
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
        self._process: _Process | None = None
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
            process = self._process = _Process(self._job)
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


class _Process:
    """One process from its start to its end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._line: Line | None = None
        self._heard_at = time.monotonic()
        self._stuck = 0.0
        self._gone = asyncio.Event()
        self.is_ready = False
        self.refused: Refused | None = None
        ours, theirs = socket.socketpair()
        self._pipe = ours
        try:
            command = [sys.executable, "-m", "lifeloop.hosting.process", str(theirs.fileno()), short(job.candidate)]
            # In a session of its own: a terminal's Ctrl-C is for the supervisor, and the end takes its children along.
            self._child = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
        finally:
            theirs.close()
        self.pid = self._child.pid

    async def run(self, settings: Hosting, ready: Callable[[Ready], None]) -> str:
        """Return why it ended, or has to be ended."""
        loop = asyncio.get_running_loop()
        begun = time.monotonic()

        def heard(line: Line, frame: Frame) -> None:
            self._heard_at = time.monotonic()
            if isinstance(frame, Ready):
                self.is_ready = True
                ready(frame)
            elif isinstance(frame, Refused):
                self.refused = frame
                self._gone.set()
            elif isinstance(frame, Pong):
                self._stuck = frame.seconds_stuck

        _, self._line = await loop.create_unix_connection(
            lambda: Line(heard, lambda line: self._gone.set()), sock=self._pipe
        )
        self._line.send(self._job)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._gone.wait()
            if self._gone.is_set():
                return await self._last_words()
            if problem := self._problem(settings, time.monotonic() - begun):
                return problem
            self._line.send(Ping())

    def _problem(self, settings: Hosting, seconds: float) -> str:
        silent = time.monotonic() - self._heard_at
        if settings.memory_gb and (held := memory_gb(self.pid)) > settings.memory_gb:
            return f"held {held:.2f} GB of memory, more than hosting.memory_gb = {settings.memory_gb:g}"
        if not self.is_ready:
            return f"was not ready after {seconds:.0f} s" if seconds > settings.start_seconds else ""
        if silent > settings.silent_seconds:
            return f"showed no sign of life for {silent:.1f} s"
        if self._stuck > settings.stuck_seconds:
            return f"was at work for {self._stuck:.0f} s on a request that had been given up"
        return ""

    async def _last_words(self) -> str:
        if self.refused is not None:
            return self.refused.what
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = await asyncio.to_thread(self._child.wait, 2.0)
            return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return "hung up"

    async def kill(self) -> None:
        """End it and what it started, and take its socket away."""
        if self._line is not None:
            self._line.close()
        else:
            self._pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self._child.wait)
        Path(self._job.socket).unlink(missing_ok=True)


def memory_gb(pid: int) -> float:
    """Return the resident memory of a process; 0 where there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e9
    except (OSError, IndexError):
        return 0.0
