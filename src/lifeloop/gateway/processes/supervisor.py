"""Keeps worker processes behind one listening socket: starts them, replaces those that die or hang, stops them orderly.

Takes a command that starts a worker; gives each the listener and a pipe on which it tells that it serves and that it
lives. The socket stays open here, so that connections that wait for a worker outlive any of them. Knows nothing of what
workers serve.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

from msgspec import Struct

from lifeloop.core.errors import GatewayError, LifeloopError

log = logging.getLogger(__name__)

LISTENER, PIPE, WAIT = "LIFELOOP_LISTENER_FD", "LIFELOOP_PIPE_FD", "LIFELOOP_WAIT_FOR_MODELS"
"""Environment variables of a worker: the listener's number, the pipe's, and whether it is to take requests only once it
can answer them (where others take them meanwhile)."""
SERVING, LOADED, ALIVE = b"S", b"L", b"."
"""What a worker writes into its pipe: once when it takes requests, once when what it answers with is loaded, and every
second from its event loop."""

SILENT_SECONDS = 30.0
"""A worker whose event loop shows no sign of life for so long is killed."""
LOADING_SECONDS = 20.0
"""How long models may take to load before it is said that requests are taken and not answered yet."""
STARTING_SECONDS = 600.0
"""How long one may take to start: models are loaded meanwhile."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds before a worker that died is replaced: doubled with each that died young, up to the longest."""
YOUNG_SECONDS = 5.0
KILL_AFTER = 10.0
"""Seconds beyond the drain after which a worker that does not end is killed."""


class Command(Struct, frozen=True):
    """How a worker is started, and how long it may take to end."""

    words: tuple[str, ...]
    """The program and its arguments; the worker's place comes behind them."""
    drain_seconds: float = 30.0


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: int
    place: int
    started: float
    heard: float
    serving: bool = False
    leaving: bool = False
    """Told to stop; its end is no accident."""
    killed_at: float = field(default=float("inf"))


class Supervisor:
    """Runs `n_workers` of a command until it is told to stop.

    The command is asked for at the start and at each SIGHUP; a worker that died is started as the others were. Where it
    raises a LifeloopError at a SIGHUP, that is logged and the workers go on.
    """

    def __init__(self, listener: socket.socket, command: Callable[[], Command], n_workers: int) -> None:
        self._listener = listener
        self._ask_command = command
        self._command = command()
        self._n_workers = n_workers
        self._workers: list[_Worker] = []
        self._due: dict[int, float] = {}  # place to when a worker is to be started there
        self._pause = [FIRST_PAUSE] * n_workers
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._stopping = False
        self._served = self._loaded = False  # whether any worker ever took requests, or could answer them
        self._patience, self._patient_until = LOADING_SECONDS, float("inf")
        self._n_ended = 0

    def run(self, announce: Callable[[bool], None] | None = None, *, patience_seconds: float = LOADING_SECONDS) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP replaces the workers. Must be called in the main thread.

        `announce` is called once a worker can answer (True), or takes requests and has not loaded its models for
        `patience_seconds` (False). Raises GatewayError where all workers die before one ever took requests.
        """
        self._patience = patience_seconds
        with self._hearing_signals():
            try:
                for place in range(self._n_workers):
                    self._start(place)
                while self._workers or (self._due and not self._stopping):
                    self._turn()
                    if announce is not None and (self._loaded or time.monotonic() > self._patient_until):
                        announce(self._loaded)
                        announce = None
                    if not (self._served or self._stopping or self._workers) and self._n_ended:
                        raise GatewayError(
                            "the gateway's workers end before they take requests",
                            where="lifeloop serve",
                            fix="what they printed above says why",
                        )
            finally:
                self._kill_all()
                self._selector.close()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers, by place."""
        return [worker.process.pid for worker in sorted(self._workers, key=lambda worker: worker.place)]

    def _turn(self) -> None:
        """Wait a moment for news, then act on it."""
        for key, _ in self._selector.select(self._next_due()):
            if key.data is None:
                os.read(key.fd, 4096)
            else:
                self._listen_to(key.data)
        now = time.monotonic()
        while self._signals:
            self._heed(self._signals.pop(0))
        for worker in list(self._workers):
            if worker.process.poll() is not None:
                self._bury(worker, now)
            elif now > worker.killed_at or self._is_silent(worker, now):
                log.error("worker %d does not end or shows no sign of life; killed", worker.process.pid)
                worker.process.kill()
                worker.heard = now
        for place, due in list(self._due.items()):
            if now >= due and not self._stopping:
                del self._due[place]
                self._start(place)

    def _next_due(self) -> float:
        soonest = min(self._due.values(), default=float("inf"))
        return max(0.0, min(0.2, soonest - time.monotonic()))

    def _is_silent(self, worker: _Worker, now: float) -> bool:
        return not worker.leaving and now - worker.heard > (SILENT_SECONDS if worker.serving else STARTING_SECONDS)

    def _start(self, place: int) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        environment = os.environ | {LISTENER: str(self._listener.fileno()), PIPE: str(theirs)}
        environment["LIFELOOP_SUPERVISOR"] = str(os.getpid())
        if self._served or place:  # others take the requests meanwhile; the very first says what is missing
            environment[WAIT] = "1"
        try:
            process = subprocess.Popen(
                [*self._command.words, str(place)],
                env=environment,
                pass_fds=(self._listener.fileno(), theirs),
                start_new_session=True,  # a terminal's Ctrl-C is ours to answer
            )
        except OSError as error:  # no memory or no more processes for now: the others go on
            log.error("no worker can be started, trying again in %g s: %s", LONGEST_PAUSE, error.strerror)
            os.close(ours)
            self._due[place] = time.monotonic() + LONGEST_PAUSE
            return
        finally:
            os.close(theirs)
        now = time.monotonic()
        worker = _Worker(process, ours, place, started=now, heard=now)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _listen_to(self, worker: _Worker) -> None:
        try:
            said = os.read(worker.pipe, 4096)
        except BlockingIOError:
            return
        if not said:
            self._unhear(worker)
            return
        worker.heard = time.monotonic()
        self._loaded = self._loaded or LOADED in said
        if SERVING in said and not worker.serving:
            worker.serving = True
            if not self._served:
                self._served, self._patient_until = True, time.monotonic() + self._patience
            self._retire_others(worker)

    def _retire_others(self, new: _Worker) -> None:
        """Tell those to stop whom a worker that now takes requests was started to replace."""
        for worker in self._workers:
            if worker.place == new.place and worker.started < new.started and not worker.leaving:
                self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        worker.leaving = True
        worker.killed_at = time.monotonic() + self._command.drain_seconds + KILL_AFTER
        with contextlib.suppress(ProcessLookupError):
            worker.process.terminate()

    def _bury(self, worker: _Worker, now: float) -> None:
        self._unhear(worker)
        os.close(worker.pipe)
        self._workers.remove(worker)
        self._n_ended += 1
        replaced = any(other.place == worker.place and not other.leaving for other in self._workers)
        if worker.leaving or self._stopping or replaced:
            return
        place = worker.place
        if not self._served:  # nothing works yet: what is wrong is said once, not for ever
            self._due[place] = now + LONGEST_PAUSE
            return
        young = now - worker.started < YOUNG_SECONDS
        self._pause[place] = min(LONGEST_PAUSE, self._pause[place] * 2) if young else FIRST_PAUSE
        log.error(
            "worker %d ended with %s; another starts in %.2f s", worker.process.pid, worker.process.returncode,
            self._pause[place],
        )  # fmt: skip
        self._due[place] = now + self._pause[place]

    def _unhear(self, worker: _Worker) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.pipe)

    # below: signals

    @contextlib.contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        wakeup = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ, None)
        try:
            for number in before:
                signal.signal(number, self._note)
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(ours)
            os.close(theirs)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP:
            if not self._stopping:
                self._replace_all()
            return
        again = self._stopping
        self._stopping = True
        self._due.clear()
        for worker in self._workers:
            if again:  # the second signal: requests in flight are cut short
                with contextlib.suppress(ProcessLookupError):
                    worker.process.terminate()
                worker.killed_at = time.monotonic() + KILL_AFTER
            elif not worker.leaving:
                self._dismiss(worker)

    def _replace_all(self) -> None:
        try:
            self._command = self._ask_command()
        except LifeloopError as error:
            log.error("SIGHUP changes nothing, the workers go on as they are: %s", error)
            return
        log.warning("SIGHUP: new workers take over")
        for place in {worker.place for worker in self._workers if not worker.leaving}:
            self._start(place)

    def _kill_all(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
            worker.process.wait()
            self._unhear(worker)
            os.close(worker.pipe)
        self._workers.clear()
