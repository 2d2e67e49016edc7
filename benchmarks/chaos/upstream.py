"""A real HTTP server that speaks OpenAI's protocol and misbehaves when told: `python upstream.py PORT MODE_FILE`.

The first word of MODE_FILE says what it does with the next request: ok, error (500), hang, reset (closes in the middle
of its answer), garbage (what is no JSON), slow (answers after a second).
"""

import asyncio
import json
import sys
from pathlib import Path

SAID = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "billing"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
).encode()


def reply(body: bytes, status: str = "200 OK") -> bytes:
    """Return a whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mode: Path) -> None:
    """Answer the requests of one connection until it ends."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            how = (mode.read_text().split() or ["ok"])[0]
            if how == "hang":
                await asyncio.sleep(3600)
            elif how == "reset":
                writer.write(reply(SAID)[:-20])
                await writer.drain()
                writer.transport.abort()
                return
            elif how == "slow":
                await asyncio.sleep(1.0)
            bodies = {"error": reply(b'{"error": {"message": "no"}}', "500 Oops"), "garbage": reply(b"<html>no")}
            writer.write(bodies.get(how, reply(SAID)))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until killed."""
    port, mode = int(sys.argv[1]), Path(sys.argv[2])
    server = await asyncio.start_server(lambda r, w: answer(r, w, mode), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
