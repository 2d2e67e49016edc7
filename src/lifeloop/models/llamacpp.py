"""llama.cpp: a GGUF model in this process, through xllamacpp. Labels are scored, other outputs written under a schema.

Knows prompts and tokens. What the shots are and how the scores are calibrated was decided by `training.shots`.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.bounds import Count, Whole
from lifeloop.core.candidates import Answer, Candidate, Contract, Estimate, Machine, Message, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import prompting, scoring, turn_tokens
from lifeloop.models.language_files import GGUF
from lifeloop.models.llama_server import LlamaServer
from lifeloop.models.model import Model, Writing
from lifeloop.models.weights import find_gguf

FILE = "shots.json"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, which prompt, how it decodes."""

    model: str
    """Path of a GGUF file, "package:NAME" or "hub:ORG/NAME". What training made of it comes before it."""
    prompt: str = ""
    """Folder under prompts/; without one, the task's own instructions serve."""
    shots: Whole = 0
    """Training examples shown in the prompt, spread over the labels."""
    shot_words: Count = 40
    max_words: Count = 200
    """Longer inputs are cut to this many words."""
    cue: str = "Label:"
    """Beginning of the model's turn, before a label."""
    calibrate: Whole = 24
    """Unlabelled training inputs on which the model's liking for some labels is measured; 0 leaves it in."""
    context: Count = 4096
    threads: Whole = 0
    """0: one less than the machine's cores, which shares the machine better than all of them."""
    max_tokens: Whole = 0
    """0: as the task asks."""
    adapters: dict[str, str] = {}
    """LoRA files as GGUF by name, for requests that ask for one while serving; trials use none."""


class Learned(Struct, frozen=True):
    """What training decided: the file `shots.json`."""

    shots: list[tuple[str, str]] = []
    prior: list[float] = []


class LlamaCpp:
    """A loaded GGUF model. One thread at a time: the same work in the same order gives the same numbers."""

    batch_size = 1
    concurrency = 1

    def __init__(
        self, candidate: Candidate, learned: Learned, server: LlamaServer, lock: AbstractContextManager[Any]
    ) -> None:
        self._settings = msgspec.convert(candidate.settings, Settings)
        self._prompt = candidate.prompt or prompting.PLAIN
        self._contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self._prior = learned.prior
        self._shots = [(server.without_markers(text), server.without_markers(said)) for text, said in learned.shots]
        self._server = server
        self._lock = lock
        if self._contract.choices:
            end = self._end_of_turn()
            self._sequences = [(*server.tokens(f" {label}"), *end) for label in self._contract.choices]

    def prompted(self, candidate: Candidate, folder: Path) -> "LlamaCpp":
        """Return the same weights under another candidate's prompt and shots. Closing either frees both."""
        return LlamaCpp(candidate, learned_in(folder), self._server, self._lock)

    def _end_of_turn(self) -> list[int]:
        """Return the token that ends the model's turn, which keeps one label from being the beginning of another."""
        return turn_tokens.end_of_turn(self._server.tokens, self._server.template)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers, one after the other."""
        with self._lock:
            return [self._safely(request) for request in requests]

    def _safely(self, request: Request) -> Answer:
        try:
            return self._label(request) if self._contract.choices else self._write(request)
        except LifeloopError as error:  # a prompt's template may fail on one input alone
            return Answer(output="", error=error.what)

    def probabilities(self, request: Request) -> list[float]:
        """Return the uncalibrated probability of each label, in the order of the task's choices."""
        with self._lock:
            return self._score(request)[0]

    def _label(self, request: Request) -> Answer:
        chances, tokens = self._score(request)
        if self._prior:
            chances = scoring.calibrated(chances, self._prior)
        best = max(range(len(chances)), key=chances.__getitem__)
        return Answer(output=self._contract.choices[best], confidence=chances[best], tokens_in=tokens, tokens_out=1)

    def _score(self, request: Request) -> tuple[list[float], int]:
        head, body, tail = self._parts(request)
        self._server.prime(head)
        base = [*head, *body, *tail]
        chances = scoring.label_probabilities(
            self._sequences, lambda prefix, allowed: self._server.next_token([*base, *prefix], allowed)
        )
        return chances, len(base)

    def _parts(self, request: Request) -> tuple[list[int], list[int], list[int]]:
        """Return the tokens before, of and after the user's own words, which cannot end their own turn."""
        turns = self._messages(request)
        return turn_tokens.parts(self._server.tokens, self._server.template, turns, self._settings.cue)

    def _messages(self, request: Request) -> list[Message]:
        cue = f"{self._settings.cue} " if self._contract.choices else ""
        shots = [
            (prompting.cut(text, self._settings.shot_words), f"{cue}{reference}") for text, reference in self._shots
        ]
        return prompting.messages(self._prompt, self._contract, shots, request, self._settings.max_words)

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return texts of the model's own, one after the other. What a writing quotes cannot end its own turn."""
        with self._lock:
            return [self._freely(writing) for writing in writings]

    def _freely(self, writing: Writing) -> Answer:
        try:
            turns = [Message(turn.role, self._server.without_markers(turn.content)) for turn in writing.messages]
            body = _chat_body(turns, writing.max_tokens, writing.schema)
            return self._server.chat(body | {"temperature": writing.temperature, "seed": writing.seed})
        except LifeloopError as error:  # longer than the context, say
            return Answer(output="", error=error.what)

    def _write(self, request: Request) -> Answer:
        return self._server.chat(self._body(request))

    def _body(self, request: Request) -> dict[str, Any]:
        limit = request.max_tokens or self._settings.max_tokens or self._contract.max_tokens
        harmless = msgspec.structs.replace(
            request,
            text=self._server.without_markers(request.text),
            messages=tuple(Message(turn.role, self._server.without_markers(turn.content)) for turn in request.messages),
        )
        return _chat_body(self._messages(harmless), limit, self._contract.schema)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield text as it is written; a label comes whole. Closing the iterator stops the model within a token."""
        if self._contract.choices:
            answer = self.answer([request])[0]
            if not answer.error:
                yield answer.output
            yield answer
            return
        with self._lock:
            yield from self._stream_written(request)

    def _stream_written(self, request: Request) -> Iterator[str | Answer]:
        try:
            body = self._body(request)
        except LifeloopError as error:
            yield Answer(output="", error=error.what)
            return
        pieces: Queue[str | Answer] = Queue()
        stop = threading.Event()
        worker = threading.Thread(
            target=lambda: pieces.put(self._server.chat_stream(body, pieces.put, stop)), daemon=True
        )
        worker.start()
        try:
            while True:
                piece = pieces.get()
                yield piece
                if isinstance(piece, Answer):
                    return
        finally:
            stop.set()
            worker.join()

    def close(self) -> None:
        """Free the model."""
        self._server.close()


class LlamaCppKind:
    """Model kind "llamacpp"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "2"
    writes = True

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model in this process."""
        return LlamaCpp(candidate, learned_in(folder), open_server(candidate, folder), threading.Lock())

    def load_to_serve(self, candidate: Candidate, folder: Path | None, members: Sequence[Model], slots: int) -> Model:
        """Return the model for as many requests at once."""
        from lifeloop.models.llamacpp_serving import ServingLlamaCpp

        adapters = msgspec.convert(candidate.settings, Settings).adapters
        files = [find_gguf(file, f"candidates.{candidate.name}.adapters.{name}") for name, file in adapters.items()]
        server = open_server(candidate, folder, slots=slots, adapters=files)
        return ServingLlamaCpp(candidate, learned_in(folder), server, slots)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the weights' size, and the time to read an input: two operations a parameter and token.

        Quantised kernels on a CPU reach about half the speed of a float matrix product.
        """
        try:
            size = find_gguf(settings.model, "").stat().st_size
        except ModelError:
            size = 100_000_000
        parameters = size / 0.7  # four-bit weights with their scales, and an eight-bit output layer
        words = min(profile.mean_chars / 6.0, settings.max_words)
        tokens = words * 1.4 + 25
        share = max(1, machine.cores - 1) / machine.cores
        seconds = 2 * parameters * tokens / (machine.gflops * share * 0.45 * 1e9)
        shown = settings.shots * settings.shot_words * 1.4 * seconds / tokens
        written = 0.0 if profile.n_labels else 2.0
        return Estimate(
            memory_gb=0.25 + 1.3 * size / 1e9,
            build_seconds=2.0 + shown + settings.calibrate * seconds,
            seconds_per_item=seconds + written,
            basis=f"{parameters / 1e6:.0f}M parameters, {tokens:.0f} tokens an item",
        )


def open_server(
    candidate: Candidate, folder: Path | None, *, slots: int = 1, adapters: Sequence[Path] = ()
) -> LlamaServer:
    """Return the weights of a candidate, loaded: those that training made, or else the setting's. Raises ModelError."""
    settings = msgspec.convert(candidate.settings, Settings)
    where = f"candidates.{candidate.name}.model"
    threads = settings.threads or max(1, (os.cpu_count() or 2) - 1)
    weights = _weights(settings, folder, where)
    return LlamaServer(weights, settings.context, threads, where, slots=slots, adapters=adapters)


def _chat_body(turns: Sequence[Message], max_tokens: int, schema: dict[str, Any] | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "seed": 1,
        "cache_prompt": False,  # a warm cache changes the batches, and so the last digits
    }
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
    return body


def _weights(settings: Settings, folder: Path | None, where: str) -> Path:
    """Return the GGUF file that training made, or else the one that the setting names."""
    tuned = folder / GGUF if folder is not None else None
    return tuned if tuned is not None and tuned.exists() else find_gguf(settings.model, where)


def learned_in(folder: Path | None) -> Learned:
    """Return what training decided; no shots and no prior where it left nothing."""
    file = folder / FILE if folder is not None else None
    return msgspec.json.decode(file.read_bytes(), type=Learned) if file is not None and file.exists() else Learned()


KIND = LlamaCppKind()
