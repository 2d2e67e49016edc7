"""A real HTTP endpoint that speaks the OpenAI chat protocol; what it says is a function of what it is asked."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One HTTP answer. `body` is sent as it is if it is bytes, as JSON otherwise."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Say = Callable[[dict[str, Any]], str | Reply]
"""A request's body to the text that answers it, or to any other reply."""


@dataclass
class Endpoint:
    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


def completion(text: Any, tokens_in: int = 10, tokens_out: int = 2) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}


def stream(*chunks: Any, done: bool = True) -> Reply:
    lines = [chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}" for chunk in chunks]
    text = "\n\n".join([*lines, "data: [DONE]"] if done else lines) + "\n\n"
    return Reply(text.encode(), headers={"content-type": "text/event-stream"})


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def streamed(text: str) -> Reply:
    pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}
    return stream({"choices": [{"delta": {"role": "assistant"}}]}, *map(delta, pieces), usage)


@contextlib.contextmanager
def serving(say: Say) -> Iterator[Endpoint]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.asked.append(asked | {"path": self.path})
            endpoint.keys.append(self.headers.get("authorization"))
            said = say(asked)
            if isinstance(said, str):
                said = streamed(said) if asked.get("stream") else Reply(completion(said))
            body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in ({"content-length": str(len(body))} | said.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # five, its default, would leave connections of many senders waiting for a second

        def handle_error(self, *_: Any) -> None:
            """Say nothing: clients that hang up are what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
