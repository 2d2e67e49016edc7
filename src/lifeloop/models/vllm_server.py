"""A `vllm serve` of our own: started, waited for, started again when it dies, ended with this process in any case.

Takes a command and a port, tells whether the server is healthy. Knows nothing of what it is asked.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

import httpx

from lifeloop.core.errors import ModelError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a server that died is started again; doubled with each that died young."""
YOUNG_SECONDS = 120.0
HEALTH_SECONDS = 1.0
"""How often it is asked whether it is healthy."""
SILENT_SECONDS = 60.0
"""One that was healthy and is not for so long is killed."""
TOLD_SECONDS = 30.0
"""How often the log says that it still loads."""
LAST_LINES = 5
"""Of what it printed, for the error."""

# The child asks the kernel to be killed when the thread that started it ends, which is ours for as long as we live.
LAUNCH = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)


class VllmServer:
    """One server on this machine, supervised by a thread. `command` is run with `--host` and `--port` added."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], where: str) -> None:
        """Raises ModelError where the command is not installed. Nothing is started yet."""
        if shutil.which(command[0]) is None:
            raise ModelError(
                f"{command[0]} is not installed",
                where=where,
                fix="pip install 'lifeloop[vllm]', or name a running server: url = \"http://HOST:PORT/v1\"",
            )
        self.port = _free_port()
        self._command = [*command, "--host", "127.0.0.1", "--port", str(self.port)]
        self._environment = os.environ | environment
        self._where = where
        self._changed = threading.Condition()
        self._healthy = self._was_healthy = self._stopping = False
        self._ended = ""
        self._printed: deque[str] = deque(maxlen=LAST_LINES)
        self._thread = threading.Thread(target=self._supervise, name="vllm", daemon=True)
        self.pid = 0
        self.starts = 0

    @property
    def healthy(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._healthy

    def start(self, seconds: float) -> None:
        """Return once it is healthy. Raises ModelError with its last words where it ends, or is not in time."""
        self._thread.start()
        begun = time.monotonic()
        with self._changed:
            while not (self._healthy or self._ended):
                spent = time.monotonic() - begun
                if spent > seconds:
                    break
                if not self._changed.wait(min(TOLD_SECONDS, seconds - spent + 0.01)):
                    log.warning("%s is still loading after %.0f s", self._command[0], time.monotonic() - begun)
            if self._healthy:
                return
            what = self._ended or f"was not healthy after {seconds:.0f} s"
        self.stop()
        raise ModelError(f"{self._command[0]} {what}", where=self._where, fix=" | ".join(self._printed)[-600:])

    def stop(self) -> None:
        """End it and wait for that. Calling it twice does no harm."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # below: the thread

    def _supervise(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            begun = time.monotonic()
            problem = self._run()
            with self._changed:
                first = not self._ended and self.starts == 1 and not self._was_healthy
                self._healthy, self._ended = False, problem
                self._changed.notify_all()
                if self._stopping or first:
                    return
                pause = FIRST_PAUSE if time.monotonic() - begun > YOUNG_SECONDS else min(pause * 2, LONGEST_PAUSE)
                log.error("%s %s; another starts in %.1f s", self._command[0], problem, pause)
                self._changed.wait_for(lambda: self._stopping, pause)

    def _run(self) -> str:
        """Run one server; return why it ended, or had to be ended."""
        self.starts += 1
        child = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(os.getpid()), *self._command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.pid = child.pid
        reader = threading.Thread(target=self._listen, args=(child,), daemon=True)
        reader.start()
        self._was_healthy = False
        try:
            return self._watch(child)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            reader.join(1.0)
            self.pid = 0

    def _watch(self, child: "subprocess.Popen[str]") -> str:
        heard = time.monotonic()
        with httpx.Client(trust_env=False, timeout=HEALTH_SECONDS * 5) as client:
            while not self._stopping:
                if (code := child.poll()) is not None:
                    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                if self._asks(client):
                    heard = time.monotonic()
                elif self._was_healthy and time.monotonic() - heard > SILENT_SECONDS:
                    return f"was not healthy for {SILENT_SECONDS:.0f} s"
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, HEALTH_SECONDS)
        return "was stopped"

    def _asks(self, client: httpx.Client) -> bool:
        try:
            healthy = client.get(f"http://127.0.0.1:{self.port}/health").status_code == 200
        except httpx.HTTPError:
            healthy = False
        with self._changed:
            self._was_healthy = self._was_healthy or healthy
            self._healthy = healthy
            self._changed.notify_all()
        return healthy

    def _listen(self, child: "subprocess.Popen[str]") -> None:
        for line in child.stdout or ():
            self._printed.append(line.rstrip())
            log.debug("%s", line.rstrip())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
