"""The process that holds one candidate: `python -m lifeloop.hosting.process FD NAME`, as `hosting.hosts` starts it.

Takes a job from the pipe FD, loads the candidate for serving, answers frames on a Unix socket, and pings on the pipe.
It ends when its parent does, whatever way that ends. NAME is for people who look at a list of processes.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

from lifeloop.core.candidates import Answer, Choices
from lifeloop.core.errors import LifeloopError
from lifeloop.hosting.desk import Call, Desk, Embedded, Result
from lifeloop.hosting.frames import (
    Answers,
    Ask,
    Cancel,
    Embed,
    Failed,
    Frame,
    Job,
    Line,
    Piece,
    Ping,
    Pong,
    Ready,
    Refused,
    Vectors,
)
from lifeloop.models.canary import with_canary
from lifeloop.models.loading import load_to_serve
from lifeloop.models.model import AnswersInLoop, Embeds, Model, Unanswered
from lifeloop.store.vault import Vault

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Hold the candidate that the parent names, until the parent hangs up."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    prefer_to_be_killed()
    die_with_the_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to all of a service at once; the parent says when it is time
    asyncio.run(_hold(socket.socket(fileno=int(sys.argv[1]))))


def die_with_the_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prefer_to_be_killed() -> None:
    """Ask the kernel, where memory runs out, to end this process rather than one that serves requests."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


async def _hold(pipe: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[Frame] = asyncio.Queue()
    holding: list[Host] = []

    def heard(line: Line, frame: Frame) -> None:
        if isinstance(frame, Ping):
            line.send(Pong(holding[0].seconds_stuck() if holding else 0.0))
        else:
            came.put_nowait(frame)

    def lost(line: Line) -> None:
        os._exit(0)  # native libraries can hang an orderly end, and nothing here is to be written

    _, line = await loop.create_unix_connection(lambda: Line(heard, lost), sock=pipe)
    job = await came.get()
    assert isinstance(job, Job)
    try:
        model = await asyncio.to_thread(_load, job)
    except LifeloopError as error:
        line.send(Refused(error.what, error.where, error.fix))
    except Exception as error:
        log.exception("loading failed")
        line.send(Refused(f"{type(error).__name__}: {error}", fix="the gateway's log has the whole trace"))
    else:
        holding.append(Host(model))
        partial = f"{job.socket}.{os.getpid()}"
        await loop.create_unix_server(holding[0].answer_to, partial)
        Path(partial).rename(job.socket)  # who finds it can connect
        line.send(Ready(job.socket, model.batch_size, model.concurrency, _passes_on(model), _embeds(model)))
    await asyncio.Event().wait()  # until the parent hangs up


def _load(job: Job) -> Model:
    prepare = partial(with_canary, word=job.canary) if job.canary else None
    return load_to_serve(Vault(job.vault, Path(job.cache)), job.candidate, job.slots, prepare)


def _passes_on(model: Model) -> bool:
    return bool(getattr(model, "passes_on", False))


def _embeds(model: Model) -> bool:
    return isinstance(model, Embeds) or hasattr(model, "embed_in_loop")


class Host:
    """A loaded model and the calls of its workers."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._desk = Desk(model)
        self._calls: dict[tuple[Line, int], Call | asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()

    def answer_to(self) -> Line:
        """Return the protocol of one worker's connection."""
        return Line(self._heard, self._lost)

    def seconds_stuck(self) -> float:
        """Return for how long the model has worked on something that nobody waits for."""
        return self._desk.seconds_stuck()

    def _heard(self, line: Line, frame: Frame) -> None:
        if isinstance(frame, Ask | Embed):
            self._take(line, frame)
        elif isinstance(frame, Cancel):
            self._give_up((line, frame.number))
        elif isinstance(frame, Ping):
            line.send(Pong(self.seconds_stuck()))

    def _take(self, line: Line, frame: Ask | Embed) -> None:
        key = (line, frame.number)
        if isinstance(self._model, AnswersInLoop):
            task = self._calls[key] = self._loop.create_task(self._answer_in_loop(line, frame))
            task.add_done_callback(lambda _: self._calls.pop(key, None))
            return

        def tell(result: Result) -> None:
            self._loop.call_soon_threadsafe(self._tell, line, frame.number, result)

        if isinstance(frame, Embed):
            call = Call(tell, texts=frame.texts)
        else:
            call = Call(tell, frame.requests, stream=frame.stream)
        self._calls[key] = call
        self._desk.ask(call)

    def _tell(self, line: Line, number: int, result: Result) -> None:
        if (line, number) not in self._calls:
            return
        frame = _framed(number, result)
        if not isinstance(frame, Piece):
            self._calls.pop((line, number), None)
        _send(line, frame)

    def _give_up(self, key: tuple[Line, int]) -> None:
        call = self._calls.pop(key, None)
        if isinstance(call, Call):
            self._desk.give_up(call)
        elif call is not None:
            call.cancel()

    def _lost(self, line: Line) -> None:
        for key in [key for key in self._calls if key[0] is line]:
            self._give_up(key)

    async def _answer_in_loop(self, line: Line, frame: Ask | Embed) -> None:
        model, number = self._model, frame.number
        try:
            if isinstance(frame, Embed):
                found = await model.embed_in_loop(frame.texts, frame.seconds)  # type: ignore[attr-defined]
                _send(line, _framed(number, Embedded(*found)))
            elif frame.stream:
                async with contextlib.aclosing(model.stream_in_loop(frame.requests[0], frame.seconds)) as pieces:  # type: ignore[attr-defined]
                    async for piece in pieces:
                        _send(line, _framed(number, [piece] if isinstance(piece, Answer) else piece))
            else:
                asked = [model.answer_in_loop(request, frame.seconds) for request in frame.requests]  # type: ignore[attr-defined]
                _send(line, _framed(number, list(await asyncio.gather(*asked))))
        except Unanswered as failure:
            _send(line, _framed(number, failure))
        except Exception as error:
            log.exception("the model failed")
            _send(line, Failed(number, "failed", f"{type(error).__name__}: {error}", passing=False))


def _framed(number: int, result: Result) -> Frame:
    if isinstance(result, Unanswered):
        return Failed(number, result.why, result.detail, result.passing, result.status, result.wait)
    if isinstance(result, str):
        return Piece(number, result)
    if isinstance(result, Choices):
        return Piece(number, result.text, result.raw)
    if isinstance(result, Embedded):
        return Vectors(number, result.vectors, result.answer.tokens_in, result.answer.usd)
    return Answers(number, tuple(result))


def _send(line: Line, frame: Frame) -> None:
    try:
        line.send(frame)
    except (ValueError, OverflowError, TypeError) as error:  # half a character, say
        line.send(Failed(getattr(frame, "number", 0), "failed", f"an answer that cannot be sent: {error}"))


if __name__ == "__main__":
    main()
