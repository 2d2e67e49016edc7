"""A model kind for processes that hold models: it does what the text of a request says."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.errors import ModelError


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many requests it takes at once."""

    batch_size: int = 1
    concurrency: int = 1
    refuses: bool = False
    dies: bool = False


class Odd:
    """Answers "hello 3" with "hello 3" and its process's number; other words are orders."""

    passes_on = True

    def __init__(self, settings: Settings) -> None:
        self.batch_size, self.concurrency = settings.batch_size, settings.concurrency
        self.held: list[bytearray] = []
        self.let_go = threading.Event()

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        return [self._answer(request, len(requests)) for request in requests]

    def _answer(self, request: Request, n: int) -> Answer:
        order, _, rest = request.text.partition(" ")
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif order == "raise":
            raise RuntimeError(rest)
        elif order == "err":
            return Answer(output="", error=rest)
        elif order == "sleep":
            time.sleep(float(rest))
        elif order == "eat":
            self.held.append(bytearray(os.urandom(1 << 20) * int(rest)))
        elif order == "hang":
            self.let_go.wait()
        return Answer(output=request.text, confidence=0.5, tokens_in=n, tokens_out=os.getpid())

    def stream(self, request: Request) -> Iterator[str | Answer]:
        order, _, rest = request.text.partition(" ")
        if order == "count":
            pieces = []
            for number in range(int(rest)):
                pieces.append(f"{number} ")
                yield pieces[-1]
                time.sleep(0.01)
            yield Answer(output="".join(pieces), tokens_out=len(pieces))
            return
        (answer,) = self.answer([request])
        if not answer.error:
            yield answer.output
        yield answer

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(map(len, texts))

    def close(self) -> None:
        self.held.clear()


class OddKind:
    """Model kind "odd"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def load(self, candidate: Any, folder: Any, members: Any) -> Odd:
        settings = Settings(**candidate.settings)
        if settings.refuses:
            raise ModelError("it refuses", where="candidates.odd", fix="ask another")
        if settings.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return Odd(settings)


KIND = OddKind()
