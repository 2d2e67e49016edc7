"""One process that holds a model, from its start to its end, as its keeper sees it.

Takes a job, says why the process ended or has to be ended: it died, hangs, grew too big, or works for nobody. Knows
nothing of workers, and does not start again.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lifeloop.core.content import short
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.frames import Frame, Job, Line, Ping, Pong, Ready, Refused

LOOK_SECONDS = 0.5
"""How often a process is asked whether it lives, and its memory is read."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Child:
    """A started process. Made on the loop's thread, which must outlive it: it dies with the thread that started it."""

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
