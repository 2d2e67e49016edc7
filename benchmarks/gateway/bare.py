"""The bare limit: a pass-through on the same server and the same client as our gateway, and nothing else.

Reads the body, posts it upstream, decodes the usage, logs one line of JSON to a file, returns the answer; streams are
passed on as they come. No keys, no limits, no events. Run: `bare.py --upstream URL --log FILE`; prints its port.
"""

import argparse
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from lifeloop.models.upstream import Upstream

KIND = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Usage(msgspec.Struct):
    """Tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Reply(msgspec.Struct):
    """What is read of an answer."""

    usage: Usage


DECODER = msgspec.json.Decoder(Reply)
ENCODER = msgspec.json.Encoder()


class App:
    """The application."""

    def __init__(self, upstream: str, log: str) -> None:
        self._upstream = Upstream(f"{upstream}/chat/completions")
        self._log = Path(log).open("ab", buffering=0)  # noqa: SIM115 - as long as the process lives

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass one request on."""
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        started = time.time()
        if b'"stream":true' in body:
            await self._stream(body, send)
            usage = Usage()
        else:
            status, _, answer = await self._upstream.post(body, 30.0)
            usage = DECODER.decode(answer).usage
            await send({"type": "http.response.start", "status": status, "headers": _headers(answer)})
            await send({"type": "http.response.body", "body": answer})
        line = {"at": started, "in": usage.prompt_tokens, "out": usage.completion_tokens, "s": time.time() - started}
        self._log.write(ENCODER.encode(line) + b"\n")

    async def _stream(self, body: bytes, send: Any) -> None:
        stream = await self._upstream.stream(body, 30.0)
        await send({"type": "http.response.start", "status": stream.status, "headers": EVENTS})
        try:
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            stream.close()
        await send({"type": "http.response.body", "body": b""})


def _headers(answer: bytes) -> list[tuple[bytes, bytes]]:
    return [*KIND, (b"content-length", b"%d" % len(answer))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--log", required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        App(options.upstream, options.log),
        loop="uvloop", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, date_header=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
