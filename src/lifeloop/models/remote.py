"""Remote: any OpenAI-compatible endpoint, paid by the token. Retries what may pass, reports what will not.

The key comes from the environment variable that the brief names, never from the brief itself.
"""

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Contract, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import prompting
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.models.model import Model

PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
LONGEST_WAIT = 30.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which endpoint and model, what a token costs, how to decode."""

    url: str
    """Base URL, ending in /v1."""
    model: str
    """The model's name there."""
    api_key_env: str = ""
    """Environment variable that holds the key; without one, none is sent."""
    prompt: str = ""
    shots: int = 0
    shot_words: int = 200
    max_words: int = 2000
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    concurrency: int = 8
    timeout_seconds: float = 60.0
    retries: int = 4
    temperature: float = 0.0
    max_tokens: int = 0
    """0: as the task asks."""


class Remote:
    """A client of one endpoint."""

    def __init__(self, candidate: Candidate, learned: Learned, key: str) -> None:
        self._settings = msgspec.convert(candidate.settings, Settings)
        self._prompt = candidate.prompt or prompting.PLAIN
        self._contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self._shots = [(prompting.cut(text, self._settings.shot_words), said) for text, said in learned.shots]
        self.batch_size = self.concurrency = max(1, self._settings.concurrency)
        self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="remote")
        self._http = httpx.Client(
            base_url=self._settings.url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=self._settings.timeout_seconds,
            limits=httpx.Limits(max_connections=self.concurrency),
        )

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers, asked for at the same time up to the concurrency."""
        if len(requests) == 1:
            return [self._ask(requests[0])]
        return list(self._pool.map(self._ask, requests))

    def _ask(self, request: Request) -> Answer:
        try:
            reply = self._post(self._body(request))
        except LifeloopError as error:
            return Answer(output="", error=error.what)
        said = _said(reply)
        if said is None:
            return self._priced("", reply.get("usage"), "the endpoint's reply is not a chat completion")
        return self._priced(said, reply.get("usage"))

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the reply; waits and tries again after errors that may pass, as long as the endpoint asks for."""
        failure = ""
        for attempt in range(self._settings.retries + 1):
            wait = min(LONGEST_WAIT, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                reply = self._http.post("chat/completions", json=body)
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__} at the endpoint"
            else:
                if reply.is_success:
                    return _decoded(reply)
                failure = f"the endpoint answered {reply.status_code}"
                if reply.status_code not in PASSING:
                    raise ModelError(failure)
                wait = max(wait, _asked_wait(reply))
            if attempt < self._settings.retries:
                time.sleep(wait)
        raise ModelError(f"{failure}, {self._settings.retries + 1} times")

    def _body(self, request: Request) -> dict[str, Any]:
        turns = prompting.messages(self._prompt, self._contract, self._shots, request, self._settings.max_words)
        return {
            "model": self._settings.model,
            "messages": [msgspec.structs.asdict(turn) for turn in turns],
            "temperature": self._settings.temperature,
            "max_tokens": request.max_tokens or self._settings.max_tokens or self._contract.max_tokens,
        }

    def _priced(self, output: str, usage: object, error: str = "") -> Answer:
        read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        usd = (read * self._settings.usd_per_million_in + written * self._settings.usd_per_million_out) / 1e6
        return Answer(output=output, tokens_in=read, tokens_out=written, usd=usd, error=error)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield pieces as the endpoint sends them, then the answer. A failure on the way is the answer's error."""
        pieces: list[str] = []
        usage: object = None
        failure = ""
        try:
            body = self._body(request) | {"stream": True, "stream_options": {"include_usage": True}}
            with self._http.stream("POST", "chat/completions", json=body) as reply:
                if not reply.is_success:
                    raise ModelError(f"the endpoint answered {reply.status_code}")
                for chunk in _chunks(reply):
                    usage = chunk.get("usage") or usage
                    if text := _piece(chunk):
                        pieces.append(text)
                        yield text
        except LifeloopError as error:
            failure = error.what
        except httpx.HTTPError as error:
            failure = f"{type(error).__name__} at the endpoint"
        yield self._priced("".join(pieces), usage, failure)

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()


def _decoded(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelError("the endpoint's reply is not a JSON object")
    return found


def _said(reply: dict[str, Any]) -> str | None:
    """Return the content of a reply's message ("" where it says nothing), or None where there is no message."""
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return _whole(content or "") if isinstance(content, str | None) else None


def _asked_wait(reply: httpx.Response) -> float:
    try:
        return min(LONGEST_WAIT, float(reply.headers.get("retry-after", 0)))
    except ValueError:  # a date: rare among model endpoints, and our own backoff will do
        return 0.0


def _chunks(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in reply.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise ModelError("the endpoint's stream holds what is not a JSON object")
        if chunk.get("error"):
            raise ModelError("the endpoint broke its answer off with an error")
        yield chunk


def _piece(chunk: dict[str, Any]) -> str:
    """Return the text that a chunk of a stream adds."""
    try:
        added = chunk["choices"][0]["delta"]["content"] if chunk.get("choices") else ""
    except (KeyError, IndexError, TypeError):  # the first and the last chunk have no content
        added = ""
    return _whole(added) if isinstance(added, str) else ""


def _whole(text: str) -> str:
    """Return the text with halves of characters, which JSON can hold and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _count(usage: object, key: str) -> int:
    """Return a number of tokens that an endpoint reports, or 0 where it reports none."""
    count = usage.get(key) if isinstance(usage, dict) else None
    return int(count) if isinstance(count, int | float) and 0 <= count < float("inf") else 0


class RemoteKind:
    """Model kind "remote"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the client. Nothing is sent yet."""
        settings = msgspec.convert(candidate.settings, Settings)
        learned = msgspec.json.decode((folder / FILE).read_bytes(), type=Learned) if folder else Learned()
        key = os.environ.get(settings.api_key_env, "") if settings.api_key_env else ""
        if settings.api_key_env and not key:
            raise ModelError(
                f"the environment variable {settings.api_key_env} is not set",
                where=f"candidates.{candidate.name}.api_key_env",
                fix=f"export {settings.api_key_env}=…",
            )
        return Remote(candidate, learned, key)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the price of the tokens; a second a request is assumed."""
        words = min(profile.mean_chars / 6.0, settings.max_words) + settings.shots * settings.shot_words / 2
        read = words * 1.4 + 60
        written = 5 if profile.n_labels else 150
        usd = (read * settings.usd_per_million_in + written * settings.usd_per_million_out) / 1e6
        return Estimate(
            memory_gb=0.15,
            build_seconds=0.1,
            seconds_per_item=1.0 / max(1, settings.concurrency),
            usd_per_item=usd,
            basis=f"{read:.0f} tokens in and {written} out an item",
        )


KIND = RemoteKind()
