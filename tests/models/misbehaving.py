"""An HTTP endpoint on the test's own event loop that does what it is told with each request, however wrong that is."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Asked:
    """What an endpoint was asked."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@dataclass
class Line:
    """A connection, after a whole request has come."""

    asked: Asked
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    n_before: int
    """Requests that came on it before this one."""
    body: bytes

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send pieces so that they arrive one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    def reset(self) -> None:
        """Close as a crash does: with RST."""
        number = self.writer.get_extra_info("socket")
        number.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()

    def close(self) -> None:
        self.writer.close()


Does = Callable[[Line], Awaitable[None]]


def whole(body: bytes = b'{"ok":true}', status: str = "200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), headers, body)


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def says(response: bytes) -> Does:
    """Send a response, whole."""

    async def do(line: Line) -> None:
        await line.send(response)

    return do


async def hangs(line: Line) -> None:
    """Never answer."""
    await line.reader.read()


@contextlib.asynccontextmanager
async def endpoint(does: Does, context: ssl.SSLContext | None = None) -> AsyncIterator[Asked]:
    """Serve until the block ends."""
    tasks: set[asyncio.Task] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        asked.connections += 1
        asked.open += 1
        n = 0
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
                body = await reader.readexactly(length)
                asked.heads.append(head)
                asked.bodies.append(body)
                await does(Line(asked, reader, writer, n, body))
                n += 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            asked.open -= 1
            writer.close()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=context, backlog=1024)
    scheme = "https" if context else "http"
    asked = Asked(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions")
    try:
        yield asked
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
