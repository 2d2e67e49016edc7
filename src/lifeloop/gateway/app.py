"""The gateway as an ASGI application: its paths, the way of a request through them, its errors, its start and stop.

A request that asks something goes through admission, its key and the key's limits before its body is read; all of them
look into memory alone. No framework: a dictionary finds the endpoint.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.errors import LifeloopError
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.endpoints import (
    chat,
    embeddings,
    feedback,
    models_list,
    openapi,
    releases,
    task_calls,
    text_completions,
)
from lifeloop.gateway.endpoints.docs_page import docs
from lifeloop.gateway.running import start, stop
from lifeloop.gateway.serving import Parts, Serving
from lifeloop.gateway.web import cors
from lifeloop.gateway.web.errors import RequestError, failed
from lifeloop.gateway.web.http import Call, Receive, Reply, Scope, Send, error_reply, request_ids, send_reply

log = logging.getLogger(__name__)

CHALLENGER_SECONDS = 120.0
"""How long a worker that could answer waits for the release on its way to all traffic before it counts as loaded."""

Respond = Callable[[Scope, Receive, Send], Awaitable[None]]
"""A response that sends itself: a stream."""


class Endpoint(Struct, frozen=True):
    """What a path does for one method."""

    run: Callable[[Call], Awaitable[Reply | Respond]]
    scope: str = ""
    """What a key must be allowed; "" where none is asked for, and where the load does not matter either."""


async def root(call: Call) -> Reply:
    """Show people who open the gateway's address the page that describes it."""
    return Reply(b"", 307, [(b"location", b"docs")])  # relative, so that it holds behind a path of a proxy too


async def healthz(call: Call) -> Reply:
    """Say that the process answers."""
    return Reply(b'{"status":"ok"}')


async def readyz(call: Call) -> Reply:
    """Say whether requests are answered: a release and the keys are loaded, and the process does not stop."""
    parts = call.parts
    readiness = parts.router.readiness()
    if readiness.ready and not parts.keys.loaded:
        readiness = msgspec.structs.replace(readiness, ready=False, waiting="the API keys are not read yet")
    ready = readiness.ready and not parts.admission.draining
    return Reply(msgspec.json.encode(readiness), 200 if ready else 503)


_EXACT: dict[str, dict[str, Endpoint]] = {
    "/v1/chat/completions": {"POST": Endpoint(chat.complete, "infer")},
    "/v1/completions": {"POST": Endpoint(text_completions.complete, "infer")},
    "/v1/embeddings": {"POST": Endpoint(embeddings.embed, "infer")},
    "/v1/feedback": {"POST": Endpoint(feedback.give_feedback, "feedback")},
    "/v1/models": {"GET": Endpoint(models_list.models, "infer")},
    "/v1/releases": {"GET": Endpoint(releases.releases, "admin")},
    "/": {"GET": Endpoint(root)},
    "/healthz": {"GET": Endpoint(healthz)},
    "/readyz": {"GET": Endpoint(readyz)},
    "/openapi.json": {"GET": Endpoint(openapi.description)},
    "/docs": {"GET": Endpoint(docs)},
}
_NAMED: dict[str, dict[str, Endpoint]] = {
    "/v1/tasks/": {"POST": Endpoint(task_calls.call_task, "infer")},
    "/v1/models/": {"GET": Endpoint(models_list.model, "infer")},
}
"""Paths that end in a name, which may hold slashes."""


def create_app(serving: Serving) -> "App":
    """Return the application. Models are loaded and the recorder is started with it (ASGI lifespan), not here."""
    return App(serving)


class App:
    """An ASGI application; `parts` are there once it has started."""

    parts: Parts

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._origins = serving.settings.protection.cors
        self._ids = request_ids()
        self._ready_since = 0.0

    @property
    def loaded(self) -> bool:
        """Whether the release in production and the keys are loaded, and the challenger of a rollout, if there is one.

        A worker that joins others before its challenger is there would answer for it with production. One that cannot
        be loaded, or not within CHALLENGER_SECONDS, is not waited for.
        """
        if not (self.parts.router.readiness().ready and self.parts.keys.loaded):
            return False
        self._ready_since = self._ready_since or time.monotonic()
        late = time.monotonic() - self._ready_since > CHALLENGER_SECONDS
        return late or not self.parts.router.expects_challenger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the server."""
        if scope["type"] != "http":
            await self._live(receive, send)
            return
        parts = self.parts
        call = Call(scope, receive, send, parts, next(self._ids))
        admission: Admission | None = None
        try:
            if self._origins and (preflight := self._allow_pages(call)) is not None:
                await send_reply(call, preflight)
                return
            endpoint = _find(call)
            if endpoint.scope:
                if not parts.admission.enter_at_once():
                    await parts.admission.enter()
                admission = parts.admission
                self._know(call, endpoint.scope)
            answer: Any = await endpoint.run(call)
            if type(answer) is Reply:
                await send_reply(call, answer)
            else:
                await answer(scope, receive, send)
        except RequestError as error:
            await send_reply(call, error_reply(error))
        except Exception:
            log.exception("request %s failed", call.id)
            await send_reply(call, error_reply(failed()))
        finally:
            if admission is not None:  # only now: the response is part of the request
                admission.leave()

    def _know(self, call: Call, scope: str) -> None:
        """Find out whose key asks, and count the request. Raises RequestError where it may not ask."""
        parts = self.parts
        key = call.key = parts.keys.find(call.authorization(), scope)
        if key is not None:
            parts.limits.admit(key)
            call.extra += parts.limits.headers(key)

    def _allow_pages(self, call: Call) -> Reply | None:
        """Let a browser's page read the response, and answer the browser's own question."""
        preflight = cors.preflight(self._origins, call.scope)
        if preflight is None:
            call.extra += cors.headers(self._origins, call.header(b"origin"))
        return preflight

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start the parts with the server, and stop them with it."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    running = start(self._serving)
                except Exception as error:
                    log.error("the gateway cannot start", exc_info=not isinstance(error, LifeloopError))
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                self.parts = running.parts
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await stop(running)
                await send({"type": "lifespan.shutdown.complete"})
                return


def _find(call: Call) -> Endpoint:
    """Return what a request asks for. Raises RequestError: 404 for an unknown path, 405 for a wrong method."""
    path: str = call.scope["path"]
    methods = _EXACT.get(path) or _named(call, path)
    if methods is None:
        raise RequestError(404, "There is nothing at this path; /docs shows what there is.", code="unknown_url")
    method: str = call.scope["method"]
    endpoint = methods.get(method)
    if endpoint is None and method == "HEAD":
        endpoint = methods.get("GET")
    if endpoint is None:
        allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
        message = f"This path does not take {method}; it takes {allowed}."
        raise RequestError(405, message, code="method_not_allowed", headers={"allow": allowed})
    return endpoint


def _named(call: Call, path: str) -> dict[str, Endpoint] | None:
    for prefix, methods in _NAMED.items():
        if path.startswith(prefix) and len(path) > len(prefix):
            call.path = path[len(prefix) :]
            return methods
    return None
