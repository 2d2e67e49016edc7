"""Runs one function in a process of its own, and tells how much memory it took.

A candidate gets its own process so that its memory can be measured, so that a crash in native code or a kill for lack
of memory fails that candidate and not the run, and so that libraries with thread pools do not meet.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from msgspec import Struct

from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.core.progress import Progress
from lifeloop.engine.memory import peak_mb


class Outcome(Struct, frozen=True):
    """What a function gave, and what it took."""

    value: Any
    memory_mb: float
    """Peak resident memory of its process."""


def run_isolated(function: Callable[..., Any], *arguments: Any, progress: Progress, where: str) -> Outcome:
    """Return what `function(*arguments, progress=…)` gives, run in a fresh process.

    A LifeloopError comes through as it is. Any other error, or a death by signal, becomes a ModelError at `where`.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, os.getpid(), function, arguments), daemon=True)
    _start_deaf(child)
    theirs.close()
    try:
        return _listen(ours, progress, where)
    except EOFError:
        child.join()
        raise _death(child.exitcode, where) from None
    except BaseException:  # Ctrl-C: nobody will take what it gives
        child.kill()
        raise
    finally:
        if child.is_alive():
            child.join(timeout=5)
        if child.is_alive():
            child.kill()
        child.join()
        ours.close()


def _start_deaf(child: SpawnProcess) -> None:
    """Start a process that does not hear Ctrl-C, which a terminal sends to us and to it; it is ours to answer.

    Blocked rather than ignored: one that comes meanwhile reaches us afterwards. Native libraries' threads do not block
    it, so it is noted too: raised while the child reads what it is to do, it would leave the child with half of that.
    """
    resource_tracker.ensure_running()  # starting it unblocks the signal, so it must not happen below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    came: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if ours else None
    try:
        child.start()
    finally:
        if ours:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if came:
        raise KeyboardInterrupt


def _listen(pipe: Connection, progress: Progress, where: str) -> Outcome:
    while True:
        kind, content = pipe.recv()
        if kind == "progress":
            progress(*content)
        elif kind == "value":
            value, memory_mb = content
            return Outcome(value, memory_mb)
        elif kind == "error":
            raise content
        else:
            text, trace = content
            error = ModelError(
                text, where=where, fix="check its settings; the whole trace is in .lifeloop/failures.log"
            )
            error.add_note(trace)
            raise error


def _death(exit_code: int | None, where: str) -> ModelError:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        memory = exit_code == -signal.SIGKILL
        fix = "it may have run out of memory: try a smaller model" if memory else "native code crashed in it"
        return ModelError(f"its process was ended by {name}", where=where, fix=fix)
    return ModelError(f"its process ended with exit code {exit_code}", where=where, fix="run again")


def _child(pipe: Connection, parent: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    _die_with(parent)
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' bars would cross ours; read when tqdm is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also for processes of its own, which would inherit no handler
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def progress(done: int, total: int, note: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe.send(("progress", (done, total, note)))

    try:
        value = function(*arguments, progress=progress)
        pipe.send(("value", (value, peak_mb())))
    except LifeloopError as error:
        pipe.send(("error", error))
    except MemoryError:
        pipe.send(("crash", ("it ran out of memory", "")))
    except Exception as error:
        pipe.send(("crash", (f"{type(error).__name__}: {error}", traceback.format_exc())))
    pipe.close()
    sys.stdout.flush()
    os._exit(0)  # native libraries' thread pools can hang an orderly exit; everything of ours is written


def _die_with(parent: int) -> None:
    """Ask Linux to end this process when the parent dies, so that a killed run leaves nothing behind."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
