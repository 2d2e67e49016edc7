"""The gateway as an ASGI application: its paths, its errors, and what starts and stops with it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lifeloop.core.errors import StoreError
from lifeloop.gateway import completions, feedback, task_calls
from lifeloop.gateway.errors import RequestError, RequestIds, on_any_error, on_http_exception, on_request_error
from lifeloop.gateway.routing import Router
from lifeloop.gateway.serving import Parts, Serving, parts_of
from lifeloop.models.loading import load_candidate
from lifeloop.store.recorder import Recorder, spill_path

log = logging.getLogger(__name__)


def create_app(serving: Serving) -> Starlette:
    """Return the application. Models are loaded and the recorder is started with it (ASGI lifespan), not here.

    Raises StoreError where `serving.spill` is needed and not given.
    """
    spill = serving.spill or spill_path(serving.ledger)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", completions.complete, methods=["POST"]),
            Route("/v1/models", completions.models, methods=["GET"]),
            Route("/v1/models/{name:path}", completions.model, methods=["GET"]),
            Route("/v1/tasks/{project}", task_calls.call_task, methods=["POST"]),
            Route("/v1/feedback", feedback.give_feedback, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
        ],
        middleware=[Middleware(RequestIds)],
        exception_handlers={
            RequestError: on_request_error,
            HTTPException: on_http_exception,
            Exception: on_any_error,
        },
        lifespan=lambda app: _running(app, serving, spill),
    )
    app.router.redirect_slashes = False
    return app


async def healthz(request: Request) -> Response:
    """Say that the process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


async def readyz(request: Request) -> Response:
    """Say whether a release is loaded, and what is wrong where something is."""
    readiness = parts_of(request).router.readiness()
    return Response(msgspec.json.encode(readiness), 200 if readiness.ready else 503, media_type="application/json")


@asynccontextmanager
async def _running(app: Starlette, serving: Serving, spill: Path) -> AsyncIterator[None]:
    """Start the parts; when the server stops, free the models and write what is left to the ledger."""
    recorder = Recorder(serving.ledger, spill)
    load = serving.load or partial(load_candidate, serving.vault)
    router = Router(serving.ledger, serving.vault, load, serving.poll_seconds)
    router.start()
    app.state.parts = Parts(serving, router, recorder)
    try:
        yield
    finally:
        await asyncio.to_thread(router.close)
        try:
            await asyncio.to_thread(recorder.close)
        except StoreError as error:
            log.error("%s", error)
