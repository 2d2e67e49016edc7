"""Responses as the cache holds them: keys from requests, answers to bytes and back.

A key is a hash of whom is asked (`models.answering_id`), of what, and of the how-manieth time.
"""

import hashlib
from collections.abc import Collection, Sequence

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Message, Request
from lifeloop.core.content import Id
from lifeloop.models.answering_id import Prices
from lifeloop.store.responses import Responses

_encode = msgspec.msgpack.Encoder().encode

Words = tuple[str, tuple[Message, ...], int]
"""The text, the messages and the bound of a request."""


class Said(Struct, frozen=True, gc=False):
    """One answer, and the seconds it took."""

    answer: Answer
    seconds: float


class Clocked(Struct, frozen=True):
    """What was measured of a candidate once, and holds for its later trials."""

    seconds: tuple[float, ...]
    """Of each probe, one request at a time."""
    memory_mb: float
    one_by_one: bool
    """Whether it answers one request at a time anyway, so that each answer's own seconds are its latency."""


_decode_said = msgspec.msgpack.Decoder(Said).decode
_decode_clocked = msgspec.msgpack.Decoder(Clocked).decode


def key_of(whom: Id, request: Request, repeat: int = 0) -> bytes:
    """Return the key of a request to a candidate."""
    digest = hashlib.blake2b(bytes.fromhex(whom), digest_size=16)
    asked: dict[str, object] = {
        "text": request.text,
        "messages": request.messages,
        "max_tokens": request.max_tokens,
    }
    if request.columns:  # else the key is that of the times when there were none
        asked["columns"] = sorted(request.columns.items())
    digest.update(_encode((asked, repeat)))
    return digest.digest()


def narrowed(request: Request, columns: Collection[str]) -> Request:
    """Return a request with only those of its columns that whom it is for reads: others must not part its answers."""
    if not request.columns:
        return request
    kept = {name: value for name, value in request.columns.items() if name in columns}
    return request if len(kept) == len(request.columns) else msgspec.structs.replace(request, columns=kept)


def words_of(request: Request) -> Words:
    """Return what a request says, its columns apart: requests of the same words fail together."""
    return request.text, request.messages, request.max_tokens


def encoded(said: Said) -> bytes:
    """Return an answer as the cache holds it."""
    return _encode(said)


def known(responses: Responses, keys: Sequence[bytes], prices: Prices | None = None) -> dict[bytes, Said]:
    """Return the answers that the cache holds, at today's `prices` where the candidate has its own.

    One that another version wrote and cannot be read is asked for again.
    """
    found = {}
    for key, value in responses.get(keys).items():
        try:
            said = _decode_said(value)
        except msgspec.MsgspecError:
            continue
        found[key] = said if prices is None else _repriced(said, prices)
    return found


def _repriced(said: Said, prices: Prices) -> Said:
    answer = said.answer
    usd = (answer.tokens_in * prices[0] + answer.tokens_out * prices[1]) / 1e6
    return said if usd == answer.usd else Said(msgspec.structs.replace(answer, usd=usd), said.seconds)


def clocked(responses: Responses, whom: Id) -> Clocked | None:
    """Return what an earlier trial measured of a candidate, or None."""
    key = _clock_key(whom)
    value = responses.get([key]).get(key)
    try:
        return _decode_clocked(value) if value else None
    except msgspec.MsgspecError:
        return None


def keep_clocked(responses: Responses, whom: Id, measured: Clocked) -> None:
    """Keep what was measured of a candidate."""
    responses.put([(_clock_key(whom), _encode(measured))])


def _clock_key(whom: Id) -> bytes:
    return hashlib.blake2b(bytes.fromhex(whom), digest_size=16, person=b"clock").digest()
