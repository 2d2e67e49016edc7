"""An endpoint that does as it is told: answers, fails, hangs, resets, sends garbage. A real server on a real socket."""

import asyncio
import json
import threading
from contextlib import contextmanager

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


class Upstream:
    """`behave` is what it does to each request from now on; `script` holds what it does to the next ones first."""

    def __init__(self, said=("al", "l ", "well")):
        self.said = said
        self.behave = "well"
        self.script = []
        self.seconds = 0.02
        self.n_requests = 0
        self.n_open = 0
        """Requests that it is answering now."""
        self.hung_up = 0
        """Clients that left before the end."""
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()

    def run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    async def _connected(self, reader, writer):
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(length))
        self.n_requests += 1
        self.n_open += 1
        watching = asyncio.ensure_future(reader.read(1))  # ends when the client hangs up
        answering = asyncio.ensure_future(self._answer(body, writer))
        try:
            await asyncio.wait((watching, answering), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() or isinstance(answering.exception(), ConnectionError):
                self.hung_up += 1
                return False
            return bool(answering.result()) and not watching.done()
        finally:
            self.n_open -= 1
            answering.cancel()
            watching.cancel()
            await asyncio.wait((watching,))

    async def _answer(self, body, writer):
        behaviour = self.script.pop(0) if self.script else self.behave
        return await getattr(self, f"_{behaviour}")(body, writer)

    async def _answer_whole(self, writer, status, payload, headers=""):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return True

    async def _begin_stream(self, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")

    def _piece(self, writer, text):
        writer.write(b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n")

    async def _well(self, body, writer):
        said = self.said
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(said)}, "finish_reason": "stop"}
            return await self._answer_whole(writer, 200, {"choices": [choice], "usage": USAGE})
        await self._begin_stream(writer)
        for text in said:
            self._piece(writer, text)
            await writer.drain()
            await asyncio.sleep(self.seconds)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        writer.write(b"data: " + json.dumps(last).encode() + b"\n\n")
        writer.write(b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\ndata: [DONE]\n\n")
        await writer.drain()
        return False

    # what it may be told to do

    async def _answer_500(self, body, writer):
        return await self._answer_whole(writer, 500, {"error": "secret trace"})

    async def _answer_429(self, body, writer):
        return await self._answer_whole(writer, 429, {"error": "slow down"}, "retry-after: 3\r\n")

    async def _answer_400(self, body, writer):
        return await self._answer_whole(writer, 400, {"error": "no such option"})

    async def _hang(self, body, writer):
        await asyncio.sleep(60)

    async def _reset(self, body, writer):
        writer.transport.abort()

    async def _garbage(self, body, writer):
        if not body.get("stream"):
            return await self._answer_whole(writer, 200, b"\x00\xff<html>{")
        await self._begin_stream(writer)
        writer.write(b"\xff\xfe not an event\n\ndata: {broken\n\ndata: 7\n\n" * 3)
        await writer.drain()
        return False

    async def _keep_alive(self, body, writer, piece=b": keep-alive\n\n"):
        if body.get("stream"):
            await self._begin_stream(writer)
        for _ in range(300):  # whole bodies have their time in all
            if body.get("stream"):
                writer.write(piece)
                await writer.drain()
            await asyncio.sleep(0.03)

    async def _say_nothing(self, body, writer):
        await self._keep_alive(body, writer, b'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n')

    async def _keep_alive_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        for _ in range(300):
            writer.write(
                b': keep-alive\n\ndata: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
            )
            await writer.drain()
            await asyncio.sleep(0.03)

    async def _think_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        for _ in range(30):
            writer.write(b'data: {"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"hm"}}]}\n\n')
            await writer.drain()
            await asyncio.sleep(0.03)
        return await self._well(body, writer)

    async def _reset_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async def _hang_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        await writer.drain()
        await asyncio.sleep(60)

    async def _end_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        await writer.drain()
        return False

    async def _garbage_in_the_middle(self, body, writer):
        await self._begin_stream(writer)
        self._piece(writer, self.said[0])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"data: {broken\n\n\xff\xff\n\n")
        await writer.drain()
        return False


@contextmanager
def upstream(**settings):
    """Run one in a thread."""
    server = Upstream(**settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    server._ready.wait(10)
    try:
        yield server
    finally:
        server._loop.call_soon_threadsafe(server._stop.set)
        thread.join(10)
