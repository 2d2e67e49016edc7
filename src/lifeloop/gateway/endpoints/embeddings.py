"""POST /v1/embeddings: vectors of texts, from the first candidate of the release that has any to give.

They are no answers to the project's task, so no event is written. They always come from the release in production:
vectors of two encoders have nothing to do with each other, so a rollout has no share of them.
"""

import base64
import logging
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from lifeloop.core.candidates import Answer
from lifeloop.gateway.endpoints.bodies import EmbeddingsBody, read
from lifeloop.gateway.endpoints.completions import check_model
from lifeloop.gateway.endpoints.replies import Embedding as One
from lifeloop.gateway.endpoints.replies import EmbeddingsReply, EmbeddingsUsage
from lifeloop.gateway.production.routing import Live, Member
from lifeloop.gateway.web.errors import RequestError, not_ready
from lifeloop.gateway.web.http import Call, Reply, answer_headers

log = logging.getLogger(__name__)


async def embed(call: Call) -> Reply:
    """Return one vector a text."""
    parts = call.parts
    body = await read(call, EmbeddingsBody)
    if body.dimensions is not None:
        message = "`dimensions` is not supported: vectors have the length that the encoder gives."
        raise RequestError(400, message, param="dimensions", code="unsupported_parameter")
    check_model(parts, body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if any(not text for text in texts):
        raise RequestError(400, "`input` holds an empty text.", param="input", code="invalid_value")
    parts.filters.check_texts(texts)
    call.count(len(texts))
    live = parts.router.take_production()
    if live is None:
        raise not_ready()
    try:
        member = _embedder(live)
        vectors, said = await _vectors(member, texts, live.seconds)
    finally:
        parts.router.give_back(live)
    if call.key is not None:
        parts.limits.spend(call.key.id, said.tokens_in, said.usd)
    data = [One(place, _coded(vector, body.encoding_format)) for place, vector in enumerate(vectors)]
    reply = EmbeddingsReply(data, member.name, EmbeddingsUsage(said.tokens_in, said.tokens_in))
    return Reply(msgspec.json.encode(reply), 200, answer_headers(call.id, member.name, live.id)[1:])


def _embedder(live: Live) -> Member:
    for member in live.members:
        if hasattr(member.model, "embed_in_loop" if member.in_loop else "embed"):
            return member
    message = "No candidate of the release gives embeddings; an encoder does."
    raise RequestError(400, message, param="model", code="unsupported_model")


async def _vectors(member: Member, texts: Sequence[str], seconds: float) -> tuple[list[list[float]], Answer]:
    """Return the vectors, and what they took. Raises RequestError where the candidate does not give them in time."""
    model: Any = member.model
    try:
        if member.in_loop:
            found: tuple[list[list[float]], Answer] = await model.embed_in_loop(texts, seconds)
        else:
            found = await member.worker.embed(texts, seconds * math.ceil(len(texts) / member.batch_size))
        return found
    except Exception as error:  # whatever a model raises, its request alone fails
        why = "timed out" if isinstance(error, TimeoutError) else getattr(error, "why", "failed")
        if why == "failed":
            log.warning("%s gives no vectors: %s", member.name, error)
        message = f"No candidate could answer: {member.name} {why}."
        raise RequestError(503, message, code="no_answer", headers={"retry-after": "1"}) from None


def _coded(vector: Sequence[float], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    return list(vector)
