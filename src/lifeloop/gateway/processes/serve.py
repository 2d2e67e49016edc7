"""Runs the gateway with uvicorn until it is told to stop; knows nothing of what it serves."""

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn

from lifeloop.core.errors import GatewayError
from lifeloop.gateway.app import App, create_app
from lifeloop.gateway.production.routing import NOTHING
from lifeloop.gateway.serving import Serving
from lifeloop.gateway.web.protocol import protocol_of

log = logging.getLogger(__name__)

LOADING_SECONDS = 300.0
"""How long a worker that joins others waits for its models before it takes requests all the same."""
YOUNG = 10_000
"""How many objects come to be before the collector looks at them: requests under way hold hundreds each time, which are
looked at in vain."""
DRAIN_SECONDS = 30.0
"""How long requests in flight may take once the gateway was told to stop."""


def serve(
    serving: Serving,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    announce: Callable[[str, int], None] | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight, write the events and return.

    `announce` is called with the host and the port (the real one, where 0 was asked for) once requests are taken. A
    second signal cuts the requests in flight short; events are written all the same. Raises GatewayError where the
    address cannot be had.
    """
    listener = listen(host, port)
    server = make_server(serving, drain_seconds=drain_seconds)
    if announce is not None:
        server.announce = lambda: announce(host, listener.getsockname()[1])
    server.run(sockets=[listener])


def make_server(
    serving: Serving,
    *,
    drain_seconds: float = DRAIN_SECONDS,
    wait_for_models: bool = False,
    linger_seconds: float = 0.0,
) -> "Server":
    """Return a server for a socket of the caller's: `server.run(sockets=[…])`, and `server.should_exit = True`.

    `wait_for_models`: it takes requests only once the release is loaded. For a worker that joins others; alone, one
    that says on /readyz what it waits for is of more use. `linger_seconds`: how long kept connections are still
    answered once it is told to stop, before they are closed.
    """
    app = create_app(serving)
    joining = _Joining(app) if wait_for_models else None
    config = uvicorn.Config(
        joining or app,
        interface="asgi3",
        loop="uvloop",
        http=protocol_of(serving.settings.load),
        proxy_headers=False,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    server = Server(config, app, linger_seconds)
    if joining is not None:
        joining.told_to_stop = lambda: server.should_exit
    return server


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; its connections send small packets at once. Raises GatewayError."""
    if not 0 <= port <= 65535:  # the system would take it modulo 65536
        raise GatewayError("cannot listen: there is no such port", where=f"{host}:{port}", fix="choose 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise GatewayError(
            f"cannot listen: {reason}", where=f"{host}:{port}", fix="choose another --port, or stop what holds it"
        ) from error
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn's server, with three differences.

    It says when it takes requests; it returns after a signal instead of dying of it, so that the caller's own ending
    runs; and a second signal cuts requests short but still lets the application write what it holds.
    """

    announce: Callable[[], None] | None = None
    on_loaded: Callable[[], None] | None = None
    """Called once the release in production and the keys are loaded."""
    alive: Callable[[], None] | None = None
    """Called every second from the event loop."""

    def __init__(self, config: uvicorn.Config, app: App, linger_seconds: float) -> None:
        super().__init__(config)
        self._linger_seconds = linger_seconds
        self._app = app
        self._loaded = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets=sockets)
        if self.started and self.announce is not None:
            self.announce()

    async def on_tick(self, counter: int) -> bool:
        """Say that the event loop lives; uvicorn calls this ten times a second."""
        if counter % 10 == 0 and self.alive is not None:
            self.alive()
        if not self._loaded and self._app.loaded:
            self._loaded = True
            gc.collect()
            gc.freeze()  # models and modules stay: the collector need not look at them again and again
            gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
            if self.on_loaded is not None:
                self.on_loaded()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; uvicorn leaves the application's own ending out when forced, we do not."""
        await self._see_off()
        self._app.parts.admission.drain()
        await super().shutdown(sockets=sockets)
        if self.force_exit:
            for task in list(self.server_state.tasks):
                task.cancel()
            await asyncio.sleep(0)
            await self.lifespan.shutdown()

    async def _see_off(self) -> None:
        """Take no more connections, and give clients a moment to end theirs.

        A client may be sending on a connection that it kept at the very moment in which we close it, and would not know
        whether it was heard: until the moment is over it is answered, and told that the connection ends.
        """
        if not self._linger_seconds:
            return
        for listener in self.servers:
            listener.close()
        self.config.http_protocol_class.leaving = True  # type: ignore[union-attr]
        for connection in self.server_state.connections:
            connection.see_off()  # type: ignore[union-attr]
        end = time.monotonic() + self._linger_seconds
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.02)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second signal, stop at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class _Joining:
    """The application with a start that ends only when its release is loaded, or cannot be."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.told_to_stop: Callable[[], bool] = lambda: False

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Start late; answer as the application does."""
        if scope["type"] != "lifespan":
            return self._app(scope, receive, send)

        async def send_when_loaded(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._until_loaded()
            await send(message)

        return self._app(scope, receive, send_when_loaded)

    async def _until_loaded(self) -> None:
        end = time.monotonic() + LOADING_SECONDS
        while time.monotonic() < end and not self.told_to_stop():
            readiness = self._app.parts.router.readiness()
            if self._app.loaded or readiness.problem or readiness.waiting == NOTHING:
                return
            await asyncio.sleep(0.02)
