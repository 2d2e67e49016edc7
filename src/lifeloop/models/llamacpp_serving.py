"""llama.cpp for serving: several requests worked on together, and what OpenAI's clients ask for besides a text.

The same prompts, tokens and scores as in a trial, but batched as requests come and with a warm prefix cache: a
confidence differs in its last digits, and so may a text or a label that was near to even.
"""

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import msgspec

from lifeloop.core.candidates import Answer, Candidate, Choices, Message, Request
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import scoring
from lifeloop.models.llama_server import LlamaServer
from lifeloop.models.llamacpp import Learned, LlamaCpp

PASSED = frozenset(
    {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "grammar",
        "stop",
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
    }
)
"""Options that llama.cpp's server takes as they are. Others are not heeded."""
LORA = "lora"
"""Option that names one of the settings' adapters, or several with their scales."""


class ServingLlamaCpp(LlamaCpp):
    """A loaded GGUF model with slots. As many threads as slots may ask at the same time."""

    passes_on = True

    def __init__(self, candidate: Candidate, learned: Learned, server: LlamaServer, slots: int) -> None:
        super().__init__(candidate, learned, server, threading.BoundedSemaphore(slots))
        self.concurrency = slots
        self._adapters = list(self._settings.adapters)

    def _score(self, request: Request) -> tuple[list[float], int]:
        # Not primed first, as in a trial: another request may take the slot in between.
        head, body, tail = self._parts(request)
        base = [*head, *body, *tail]
        chances = scoring.label_probabilities(
            self._sequences, lambda prefix, allowed: self._server.next_token([*base, *prefix], allowed)
        )
        return chances, len(base)

    def _body(self, request: Request) -> dict[str, Any]:
        body = super()._body(request) | {"cache_prompt": True}
        if self._contract.schema is not None:  # the task's own form; no option may change it
            return body
        body |= {name: value for name, value in request.options.items() if name in PASSED}
        if LORA in request.options:
            body["lora"] = self._lora(request.options[LORA])
        if any(turn.extra for turn in request.messages):
            body["messages"] = self._with_extra(body["messages"], request.messages)
        return body

    def _lora(self, asked: Any) -> list[dict[str, Any]]:
        scales = {asked: 1.0} if isinstance(asked, str) else asked
        if not isinstance(scales, dict) or not all(isinstance(scale, int | float) for scale in scales.values()):
            raise ModelError("`lora` is neither an adapter's name nor an object of names and scales")
        if unknown := scales.keys() - set(self._adapters):
            raise ModelError(f"there is no adapter {min(unknown)!r}", fix=f"use one of: {', '.join(self._adapters)}")
        return [{"id": place, "scale": scales.get(name, 0.0)} for place, name in enumerate(self._adapters)]

    def _with_extra(self, bodies: list[dict[str, Any]], turns: Sequence[Message]) -> list[dict[str, Any]]:
        """Return messages with what else they hold; those of the conversation are the last ones, in its order."""
        kept = [turn for turn in turns if turn.role != "system"]
        first = len(bodies) - len(kept)
        for body, turn in zip(bodies[first:], kept, strict=True):
            extra = msgspec.json.decode(turn.extra) if turn.extra else {}
            body |= self._harmless(extra)
        return bodies

    def _harmless(self, value: Any) -> Any:
        """Return a JSON value with the markers in its texts made words."""
        if isinstance(value, str):
            return self._server.without_markers(value)
        if isinstance(value, list):
            return [self._harmless(each) for each in value]
        return {key: self._harmless(each) for key, each in value.items()} if isinstance(value, dict) else value

    def _write(self, request: Request) -> Answer:
        reply = self._server.reply(self._body(request))
        choices, usage = reply["choices"], reply["usage"]
        return Answer(
            output=choices[0]["message"].get("content") or "",
            tokens_in=usage["prompt_tokens"],
            tokens_out=usage["completion_tokens"],
            finish=choices[0].get("finish_reason") or "",
            choices=_raw(choices) if _asks_for_more(request) else "",
        )

    def _stream_written(self, request: Request) -> Iterator[str | Choices | Answer]:  # type: ignore[override]
        try:
            body = self._body(request)
        except LifeloopError as error:
            yield Answer(output="", error=error.what)
            return
        chunks: SimpleQueue[dict[str, Any] | str] = SimpleQueue()
        stop = threading.Event()

        def receive(chunk: dict[str, Any]) -> bool:
            chunks.put(chunk)
            return stop.is_set()

        worker = threading.Thread(target=lambda: chunks.put(self._server.chunks(body, receive)), daemon=True)
        worker.start()
        try:
            yield from _pieces(chunks, _asks_for_more(request))
        finally:
            stop.set()
            worker.join()


def _asks_for_more(request: Request) -> bool:
    return bool(request.options) or any(turn.extra for turn in request.messages)


def _pieces(chunks: "SimpleQueue[dict[str, Any] | str]", more: bool) -> Iterator[str | Choices | Answer]:
    """Yield what chunks add, and the answer at their end, which is a text: why they ended early, or ""."""
    texts: list[str] = []
    usage: dict[str, int] = {}
    finish, n_pieces = "", 0
    while isinstance(chunk := chunks.get(), dict):
        usage = chunk.get("usage") or usage
        choices = chunk.get("choices") or []
        first: dict[str, Any] = next((choice for choice in choices if choice.get("index", 0) == 0), {})
        text = first.get("delta", {}).get("content") or ""
        finish = first.get("finish_reason") or finish
        texts.append(text)
        n_pieces += 1
        if more:
            if added := [
                choice for choice in map(_without_the_end, choices) if choice["delta"] or choice["finish_reason"]
            ]:
                yield Choices(_raw(added), text)
        elif text:
            yield text
    yield Answer(
        output="".join(texts),
        tokens_in=usage.get("prompt_tokens", 0),
        tokens_out=usage.get("completion_tokens", n_pieces),
        error=chunk,
        finish=finish,
    )


def _without_the_end(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk's choice as it is passed on: why the first one ended is told by the Answer alone."""
    ended = choice.get("finish_reason") if choice.get("index", 0) else None
    return {"index": 0, "delta": {}} | choice | {"finish_reason": ended}


def _raw(choices: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(choices).decode()
