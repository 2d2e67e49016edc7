"""What a gateway serves, the parts that do it, and the one way in which a request becomes an event.

The endpoints share these; each of them knows only how requests and responses look. An event is in the recorder's hands
before its answer is given out, so what a client has seen is on record.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lifeloop.core.candidates import Message, Request
from lifeloop.core.content import Id, canonical
from lifeloop.core.errors import StoreError
from lifeloop.core.gateway_brief import Gateway
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.asking.answering import CANNOT, WITHHELD, Asked, Outcome, answer, answer_one, in_public, to_event
from lifeloop.gateway.asking.continuity import Continuity
from lifeloop.gateway.endpoints.conversations import last_of_user
from lifeloop.gateway.production.lives import Live
from lifeloop.gateway.production.routing import Router
from lifeloop.gateway.web.errors import RequestError, not_ready
from lifeloop.gateway.web.http import Headers, answer_headers
from lifeloop.models.model import Model
from lifeloop.stages.observe import ABANDONED
from lifeloop.store.ledger import Ledger
from lifeloop.store.recorder import Recorder
from lifeloop.store.vault import Vault
from lifeloop.tasks.chat import NO_COLUMNS
from lifeloop.tasks.task import Task

if TYPE_CHECKING:  # these know of requests themselves
    from lifeloop.gateway.production.shadowing import Shadows
    from lifeloop.gateway.protection.filters import Filters
    from lifeloop.gateway.protection.keys import KeyRing
    from lifeloop.gateway.protection.limits import Limits
    from lifeloop.gateway.protection.redaction import Redactor

Columns = Mapping[str, str]
NO_OPTIONS: Mapping[str, Any] = {}
STOPPED = ABANDONED + "the gateway stopped"


class Serving(Struct, frozen=True):
    """What a gateway serves, and where it keeps what happens."""

    project: str
    """The name of the project; also the path of its endpoint and the name of its model."""
    task: Task
    ledger: Ledger
    vault: Vault
    events: Path | None = None
    """Folder of the event log; by default next to an SQLite ledger."""
    clock: Callable[[], float] = time.time
    """Gives seconds since the epoch, UTC."""
    load: Callable[[Id], Model] | None = None
    """Makes a model of a candidate's id; by default from the vault."""
    poll_seconds: float = 0.2
    """How often the ledger is asked for releases and keys."""
    settings: Gateway = Gateway()
    writer: str = ""
    """Names this process's part of the event log; "" makes a name up."""
    ship: bool = True
    """Whether this process brings the event log to the ledger itself."""
    limits: Path | None = None
    """File through which the processes of a machine share what keys have used; None where there is only this one."""
    canary: str = ""
    """Word that system prompts hold and answers may not; "" for none."""


class Parts(Struct, frozen=True):
    """A running gateway, as the endpoints see it."""

    serving: Serving
    router: Router
    recorder: Recorder
    keys: "KeyRing"
    limits: "Limits"
    filters: "Filters"
    admission: Admission
    continuity: Continuity
    shadows: "Shadows"
    redact: "Redactor | None" = None
    """Masks personal data in what is recorded."""


def ask_text(
    parts: Parts,
    event: str,
    text: str,
    columns: Columns = NO_COLUMNS,
    *,
    max_tokens: int = 0,
    user_key: str = "",
    api_key: str = "",
    options: Mapping[str, Any] = NO_OPTIONS,
) -> Asked:
    """Return a text as the task's candidates are asked it; `columns` is what else is known of it."""
    if parts.serving.task.name == "chat":
        messages = (Message(role="user", content=text),)
        return ask_messages(
            parts, event, messages, max_tokens, columns, user_key=user_key, api_key=api_key, options=options
        )
    request = Request(text=text, max_tokens=max_tokens, columns=dict(columns), options=dict(options))
    return Asked(event, parts.serving.clock(), text, request, user_key, api_key)


def ask_messages(
    parts: Parts,
    event: str,
    messages: tuple[Message, ...],
    max_tokens: int = 0,
    columns: Columns = NO_COLUMNS,
    *,
    user_key: str = "",
    api_key: str = "",
    options: Mapping[str, Any] = NO_OPTIONS,
) -> Asked:
    """Return a conversation as the task's candidates are asked it: for chat whole, else the user's last message.

    `options` is what only candidates that pass it on can heed; others are then not asked.
    """
    text = last_of_user(messages)
    whole = parts.serving.task.name == "chat"
    request = Request(
        text=text,
        messages=messages if whole else (),
        max_tokens=max_tokens,
        columns=dict(columns) if columns else {},
        options=dict(options) if options else {},
    )
    recorded = canonical(messages).decode() if whole else text
    return Asked(event, parts.serving.clock(), recorded, request, user_key, api_key)


def begin(parts: Parts, asked: Asked) -> Live:
    """Return the release that is to answer, to be given back.

    Raises RequestError where nothing could be recorded, a filter refuses the request, or nothing is loaded.
    """
    if not parts.recorder.accepting:
        raise not_recorded()
    parts.filters.check_input(asked)
    live = parts.router.take(asked.user_key, asked.event)
    if live is None:
        raise not_ready()
    return live


async def serve_one(parts: Parts, asked: Asked) -> tuple[Live, Outcome]:
    """Return the release that was asked and what became of the request, which is now an event.

    Raises RequestError as `begin` does, and where the event cannot be recorded: then there is no answer.
    """
    live = begin(parts, asked)
    outcome = Outcome()
    now = parts.continuity.now
    started = now()
    try:
        await answer_one(parts, live, asked.request, outcome)
    except asyncio.CancelledError:
        outcome.ended = STOPPED
        raise
    finally:
        outcome.seconds = now() - started
        try:
            record(parts, live, asked, outcome)
        finally:
            parts.router.give_back(live)
    if outcome.member is not None:
        parts.shadows.offer(parts, asked, live, outcome)
    return live, outcome


async def serve_many(parts: Parts, asked: Sequence[Asked]) -> tuple[Live, list[Outcome]]:
    """The same for several requests of one sender, which are put to each candidate together; each is an event."""
    live = begin(parts, asked[0])
    outcomes = [Outcome() for _ in asked]
    try:
        for one in asked[1:]:
            parts.filters.check_input(one)
        try:
            await answer(parts, live, [one.request for one in asked], outcomes)
        except asyncio.CancelledError:
            for outcome in outcomes:
                outcome.ended = "" if outcome.member else STOPPED
            raise
        finally:
            for one, outcome in zip(asked, outcomes, strict=True):
                record(parts, live, one, outcome)
    finally:
        parts.router.give_back(live)
    if outcomes[0].member is not None:  # one request, one answer to compare
        parts.shadows.offer(parts, asked[0], live, outcomes[0])
    return live, outcomes


def record(parts: Parts, live: Live, asked: Asked, outcome: Outcome) -> None:
    """Write the event and count what was spent. Raises RequestError where the recorder cannot take it."""
    event = to_event(live, asked, outcome, parts.redact)
    if asked.api_key:
        parts.limits.spend(asked.api_key, event.tokens_in + event.tokens_out, event.usd)
    try:
        parts.recorder.add_event(event)
    except StoreError:
        raise not_recorded() from None


def unanswered(live: Live, asked: Asked, outcome: Outcome) -> RequestError:
    """Return the error of a request that nobody answered.

    429 where every endpoint that was asked said so; 400 where no candidate takes what was asked for, or every answer
    was withheld; else 503.
    """
    headers = {name.decode(): value.decode("latin-1") for name, value in headers_of(live, asked.event, outcome)}
    failures = outcome.failures
    if all(failed.why == CANNOT for failed in failures):
        param = next(iter(asked.request.options), "messages")
        message = f"`{param}` is not supported: no candidate of the release passes it on."
        return RequestError(400, message, param=param, code="unsupported_parameter", headers=headers)
    asked_of = [failed for failed in failures if failed.why != CANNOT]
    if all(failed.why == WITHHELD for failed in asked_of):
        return RequestError(400, "The answer was withheld by a filter.", code="content_filter", headers=headers)
    headers["retry-after"] = str(max(1, math.ceil(min(failed.wait for failed in asked_of))))
    if all(failed.status == 429 for failed in asked_of):
        return RequestError(429, in_public(outcome), code="rate_limit_exceeded", headers=headers)
    return RequestError(503, in_public(outcome), code="no_answer", headers=headers)


def headers_of(live: Live, event: str, outcome: Outcome) -> Headers:
    """Return the headers that say who answered, and under which event."""
    return answer_headers(event, (outcome.member or live.members[0]).name, live.id)


def not_recorded() -> RequestError:
    """Return the error of a gateway that cannot write down what it answers."""
    return RequestError(
        503,
        "The gateway cannot record requests at the moment, so it answers none; try again shortly.",
        code="not_recorded",
        headers={"retry-after": "1"},
    )
