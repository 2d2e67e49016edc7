"""A thin face of xllamacpp's in-process server: tokens, next-token probabilities, chat whole and in chunks.

Turns its error objects into ModelError. The server also listens on a random local port, which is how it offers
tokenising and templating; a random key keeps other users of the machine out.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from lifeloop.core.candidates import Answer, Message
from lifeloop.core.errors import ModelError
from lifeloop.models import turn_tokens


class LlamaServer:
    """One loaded GGUF file. With one slot the same work in the same order gives the same numbers.

    Several slots have `context` tokens each and are worked on together (continuous batching), which rounds otherwise.
    `adapters` are LoRA files as GGUF, loaded and out of force until a request names them by place.
    """

    def __init__(
        self, path: Path, context: int, threads: int, where: str, *, slots: int = 1, adapters: Sequence[Path] = ()
    ) -> None:
        try:
            import xllamacpp
        except ModuleNotFoundError:
            raise ModelError("xllamacpp is not installed", where=where, fix="pip install 'lifeloop[local]'") from None
        key = secrets.token_urlsafe(24)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context * slots
        params.n_parallel = slots
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0  # the default cache grows to gigabytes and makes reruns differ
        params.fit_params = False
        params.verbosity = -1
        params.ui = False
        params.endpoint_slots = False
        params.api_keys = [key]
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 0.0) for adapter in adapters]
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            fix = "the file may be cut short: fetch it again"
            if adapters:
                fix += "; or an adapter does not fit the model"
            raise ModelError(f"llama.cpp cannot load {path.name}", where=where, fix=fix) from error
        self._http = httpx.Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=60.0,
        )

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """Return the token ids of a text. `special` reads markers such as end-of-turn as what they mean."""
        body = {"content": text, "add_special": False, "parse_special": special}
        return list(self._post("/tokenize", body)["tokens"])

    def without_markers(self, text: str) -> str:
        """Return the text with a zero-width space in every marker such as end-of-turn, so that it is but words."""
        return turn_tokens.without_markers(text, self.tokens, self._written)

    def _written(self, token: int) -> str:
        return str(self._post("/detokenize", {"tokens": [token]})["content"])

    def template(self, messages: Sequence[Message]) -> str:
        """Return messages in the model's own chat template, up to where its turn begins."""
        body = {"messages": [{"role": message.role, "content": message.content} for message in messages]}
        return str(self._post("/apply-template", body)["prompt"])

    def prime(self, head: Sequence[int]) -> None:
        """Bring the slot back to exactly this beginning of a prompt.

        Costs a token or two, and makes every item start from the same state: cached, and still repeatable.
        """
        self._complete({"prompt": list(head), "max_tokens": 1, "temperature": 0.0})

    def next_token(self, prompt: Sequence[int], allowed: Sequence[int]) -> dict[int, float]:
        """Return the probability of each allowed next token, normalised among themselves.

        Raises ModelError where the likeliest one is a part of a character, of which llama.cpp tells nothing.
        """
        answer = self._complete(
            {
                "prompt": list(prompt),
                "max_tokens": 1,
                "seed": 1,
                "logit_bias": [[token, 100.0] for token in allowed],
                "samplers": ["top_k", "temperature"],
                "top_k": len(allowed),
                "temperature": 1.0,
                "n_probs": len(allowed),
                "post_sampling_probs": True,
            }
        )
        told = answer["choices"][0]["logprobs"]
        if not told:
            what = "llama.cpp gives no probabilities where a label parts from another within a character"
            raise ModelError(what, fix='use kind = "transformers", or labels in other letters')
        top = told["content"][0]["top_probs"]
        found = {entry["id"]: entry["prob"] for entry in top}
        return {token: max(found.get(token, 0.0), 1e-12) for token in allowed}

    def chat(self, body: dict[str, Any]) -> Answer:
        """Return the answer to a chat request."""
        reply = self.reply(body)
        usage = reply["usage"]
        return Answer(
            output=reply["choices"][0]["message"]["content"] or "",
            tokens_in=usage["prompt_tokens"],
            tokens_out=usage["completion_tokens"],
        )

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return llama.cpp's own reply to a chat request, in OpenAI's form. Raises ModelError."""
        try:
            return _checked(self._server.handle_chat_completions(body))
        except (ValueError, RuntimeError) as error:  # what it finds wrong before it begins
            raise ModelError(str(error)) from error

    def chat_stream(self, body: dict[str, Any], send: Callable[[str], None], stop: threading.Event) -> Answer:
        """Send the pieces of a chat answer as they come and return the whole. Ends early when `stop` is set."""
        pieces: list[str] = []
        usage: dict[str, int] = {}

        def receive(chunk: dict[str, Any]) -> bool:
            usage.update(chunk.get("usage") or {})
            for choice in chunk.get("choices", ()):
                if text := choice.get("delta", {}).get("content"):
                    pieces.append(text)
                    send(text)
            return stop.is_set()

        failure = self.chunks(body, receive)
        return Answer(
            output="".join(pieces),
            tokens_in=usage.get("prompt_tokens", 0),
            tokens_out=usage.get("completion_tokens", len(pieces)),
            error=failure,
        )

    def chunks(self, body: dict[str, Any], receive: Callable[[dict[str, Any]], bool]) -> str:
        """Give `receive` each chunk of a chat answer until it returns true; return why the answer failed, or ""."""
        failure: list[str] = []

        def take(chunk: dict[str, Any]) -> bool:  # true stops llama.cpp; an exception here would be swallowed
            if "error" in chunk:
                failure.append(str(chunk["error"].get("message", chunk["error"])))
                return True
            return receive(chunk)

        asked = body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            reply = self._server.handle_chat_completions(asked, take)
            if isinstance(reply, dict):
                _checked(reply)
        except Exception as error:  # whoever reads the stream waits for its end, whatever happens
            failure.append(error.what if isinstance(error, ModelError) else f"{type(error).__name__}: {error}")
        return "; ".join(failure)

    def close(self) -> None:
        """Free the model; its destructor ends the server's threads."""
        self._http.close()
        self._server = None

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        return _checked(self._server.handle_completions(body | {"cache_prompt": True}))

    def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._http.post(route, json=body)
            reply.raise_for_status()
        except httpx.HTTPError as error:
            raise ModelError(f"llama.cpp does not answer {route}: {error}") from error
        found: dict[str, Any] = reply.json()
        return found


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    if "error" in reply:
        error = reply["error"]
        raise ModelError(str(error.get("message", error)), fix="shorten the input, or raise `context`")
    return reply
