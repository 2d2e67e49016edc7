"""A client that sends bytes as they are: what no library would send can be sent, and responses are read one by one."""

import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import urlsplit


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    def error(self, status: int) -> dict:
        """Hold a response against OpenAI's format of errors and return the error."""
        assert self.status == status, (self.status, self.body)
        assert len(self.headers["x-request-id"]) == 32 and self.headers["content-type"] == "application/json"
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert b"Traceback" not in self.body and b"site-packages" not in self.body
        return error


class Raw:
    """One connection."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        place = urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=timeout)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> "Raw":
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def post(self, path: str, body: bytes, *headers: bytes, version: bytes = b"1.1") -> "Raw":
        head = [b"POST %b HTTP/%b" % (path.encode(), version), b"host: x", b"content-length: %d" % len(body), *headers]
        return self.send(b"\r\n".join(head) + b"\r\n\r\n" + body)

    def read(self, method: str = "POST") -> Got:
        """Return the next response."""
        response = HTTPResponse(_Reader(self.socket), method=method)  # type: ignore[arg-type]
        response.begin()
        return Got(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def ended(self) -> bool:
        """Wait until the other side has nothing more to say; return whether it said nothing."""
        return self.socket.recv(65536) == b""


class _Reader:
    """A socket as http.client wants one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, *_: object) -> "_Unbuffered":
        return _Unbuffered(self._connection)


class _Unbuffered:
    """Reads no further than it is asked to, so that nothing of the next response is taken with this one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def readline(self, limit: int = -1) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._connection.recv(1)
            if not byte:
                break
            line += byte
        return line

    def read(self, size: int = -1) -> bytes:
        found = b""
        while size < 0 or len(found) < size:
            piece = self._connection.recv(65536 if size < 0 else size - len(found))
            if not piece:
                break
            found += piece
        return found

    def readinto(self, view: memoryview) -> int:
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """The connection goes on."""
