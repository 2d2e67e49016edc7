"""A project in a temporary folder with small real models, and a real server before it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from openai import OpenAI

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.evidence import Release
from lifeloop.gateway.processes.serve import listen, make_server
from lifeloop.gateway.serving import Serving
from lifeloop.models.model import Model, whole
from lifeloop.store.ledger import open_ledger
from lifeloop.store.vault import Vault

LABELS = ("billing", "shipping", "other")


class Says:
    """Answers every request with the same text, after a while if asked to."""

    batch_size = 16
    concurrency = 1

    def __init__(self, output: str, seconds: float = 0.0, concurrency: int = 1) -> None:
        self.output = output
        self.seconds = seconds
        self.concurrency = concurrency
        self.closed = False
        self.batches: list[int] = []
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        assert not self.closed, "asked after it was closed"
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.batches.append(len(requests))
            self.requests.extend(requests)
        time.sleep(self.seconds)
        with self._lock:
            self._at_once -= 1
        return [Answer(output=self.output, confidence=0.75, tokens_in=7, tokens_out=2, usd=0.001) for _ in requests]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        return whole(self, request)

    def close(self) -> None:
        self.closed = True


class Echoes(Says):
    """Answers with the text it was asked."""

    def __init__(self) -> None:
        super().__init__("")

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        return [Answer(output=request.text) for request in requests]


class Raises(Says):
    """Fails on every request, by an exception that holds what nobody may see."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        raise RuntimeError(f"/srv/secret/model.bin failed on {requests[0].text!r}")

    def stream(self, request: Request) -> Iterator[str | Answer]:
        raise RuntimeError("/srv/secret/model.bin")


class Errs(Says):
    """Gives an answer that says that there is none; paid for all the same."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        return [Answer(output="", error=self.output, usd=0.01) for _ in requests]


class Hangs(Says):
    """Does not answer before it is let go; streams one piece and falls silent."""

    def __init__(self) -> None:
        super().__init__("billing")
        self.let_go = threading.Event()
        self.calls = 0

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        self.calls += 1
        self.let_go.wait(30)
        return super().answer(requests)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        yield "one "
        self.let_go.wait(30)


class Streams(Says):
    """Gives a text piece by piece; may break off before a piece of a given number."""

    def __init__(self, pieces: Sequence[str], seconds: float = 0.0, breaks_at: int = -1) -> None:
        super().__init__("".join(pieces))
        self.pieces = tuple(pieces)
        self.pause = seconds
        self.breaks_at = breaks_at
        self.given = 0
        self.stopped = threading.Event()

    def stream(self, request: Request) -> Iterator[str | Answer]:
        try:
            for place, piece in enumerate(self.pieces):
                if place == self.breaks_at:
                    raise RuntimeError("/srv/secret broke")
                time.sleep(self.pause)
                self.given += 1
                yield piece
            yield Answer(output="".join(self.pieces), tokens_in=5, tokens_out=len(self.pieces), usd=0.002)
        finally:
            self.stopped.set()


class Scene:
    """A project, its candidates and its releases."""

    def __init__(self, folder: Path, task: str = "classify") -> None:
        self.folder = folder
        self.ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        self.vault = Vault(str(folder / "vault"), folder / "cache")
        self.task = plugins.get("tasks", task)
        self.labels = {"classify": LABELS, "extract": ("person", "place")}.get(task, ())
        self.factories: dict[str, Callable[[], Model]] = {}
        self.ids: dict[str, str] = {}
        self.n_releases = 0

    def candidate(self, name: str, make: Callable[[], Model] | Model) -> str:
        candidate = Candidate(name=name, kind="scene", task=self.task.name, labels=self.labels, settings={})
        self.ids[name] = self.vault.put_value(candidate)
        self.factories[self.ids[name]] = make if callable(make) else lambda: make
        return self.ids[name]

    def release(self, name: str, *fallback: str, seconds: float = 10.0) -> str:
        self.n_releases += 1
        release = Release(
            cycle=self.n_releases,
            verdict="v",
            candidate=self.ids[name],
            name=name,
            fallback=tuple(self.ids[other] for other in fallback),
            timeout_seconds=seconds,
        )
        identifier = self.vault.put_value(release)
        self.ledger.add_release(id=identifier, verdict="v", candidate=self.ids[name], name=name, at=1700000000.0)
        return identifier

    def load(self, identifier: str) -> Model:
        return self.factories[identifier]()

    def serving(self) -> Serving:
        return Serving(
            project="desk", task=self.task, ledger=self.ledger, vault=self.vault, load=self.load, poll_seconds=0.05
        )

    @contextmanager
    def running(self, ready: bool = True) -> Iterator[str]:
        """Serve in a thread; give the URL; stop as SIGTERM would."""
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = make_server(self.serving())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: server.started)
            if ready:
                wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            yield url
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"

    def events(self, n: int) -> list:
        """Wait until the ledger has n events and give them, oldest first; there must never be more."""
        wait_for(lambda: self.ledger.count_events() >= n)
        events = self.ledger.latest_events(10_000)[::-1]
        assert len(events) == n
        return events


def client_of(url: str, **options) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, **options)


def said(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
