"""An endpoint that answers every request with what a test has put there, and keeps what it was asked."""

import contextlib
from collections.abc import Iterator

from post_server import answering


class Script:
    """A running endpoint."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.body = b""
        self.kind = "application/json"
        self.url = ""


@contextlib.contextmanager
def scripted() -> Iterator[Script]:
    """Serve until the block ends."""
    script = Script()

    def answer(_: str, body: bytes) -> tuple[int, bytes, str]:
        script.asked.append(body)
        return 200, script.body, script.kind

    with answering(answer) as script.url:
        yield script
