"""What a gateway serves, the parts that do it, and the one way in which a request becomes an event.

The endpoints share these; each of them knows only how requests and responses look.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request as HttpRequest

from lifeloop.core.candidates import Message, Request
from lifeloop.core.content import Id, canonical
from lifeloop.gateway.answering import Asked, Outcome, answer, to_event
from lifeloop.gateway.errors import not_ready
from lifeloop.gateway.routing import Live, Router
from lifeloop.gateway.wire import last_of_user
from lifeloop.models.model import Model
from lifeloop.stages.observe import ABANDONED
from lifeloop.store.ledger import Ledger
from lifeloop.store.recorder import Recorder
from lifeloop.store.vault import Vault
from lifeloop.tasks.chat import NO_COLUMNS
from lifeloop.tasks.task import Task

Columns = Mapping[str, str]


class Serving(Struct, frozen=True):
    """What a gateway serves, and where it keeps what happens."""

    project: str
    """The name of the project; also the path of its endpoint and the name of its model."""
    task: Task
    ledger: Ledger
    vault: Vault
    spill: Path | None = None
    """File for what the ledger cannot take; by default next to an SQLite ledger."""
    clock: Callable[[], float] = time.time
    """Gives seconds since the epoch, UTC."""
    load: Callable[[Id], Model] | None = None
    """Makes a model of a candidate's id; by default from the vault."""
    poll_seconds: float = 0.5
    """How often the ledger is asked for a new release."""


class Parts(Struct, frozen=True):
    """A running gateway, as the endpoints see it."""

    serving: Serving
    router: Router
    recorder: Recorder


def parts_of(request: HttpRequest) -> Parts:
    """Return the parts of the gateway that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


def ask_text(parts: Parts, event: str, text: str, columns: Columns = NO_COLUMNS) -> Asked:
    """Return a text as the task's candidates are asked it; `columns` is what else is known of it."""
    if parts.serving.task.name == "chat":
        return ask_messages(parts, event, (Message(role="user", content=text),), columns=columns)
    return Asked(event, parts.serving.clock(), text, Request(text=text, columns=dict(columns)))


def ask_messages(
    parts: Parts, event: str, messages: tuple[Message, ...], max_tokens: int = 0, columns: Columns = NO_COLUMNS
) -> Asked:
    """Return a conversation as the task's candidates are asked it: for chat whole, else the user's last message."""
    text = last_of_user(messages)
    if parts.serving.task.name == "chat":
        request = Request(text=text, messages=messages, max_tokens=max_tokens, columns=dict(columns))
        return Asked(event, parts.serving.clock(), canonical(messages).decode(), request)
    request = Request(text=text, max_tokens=max_tokens, columns=dict(columns))
    return Asked(event, parts.serving.clock(), text, request)


async def serve_all(parts: Parts, asked: Sequence[Asked]) -> tuple[Live, list[Outcome]]:
    """Return the release that was asked and what became of each request; each is now an event.

    Raises RequestError while no release is loaded.
    """
    live = parts.router.take()
    if live is None:
        raise not_ready()
    outcomes = [Outcome() for _ in asked]
    try:
        await answer(parts.serving.task, live, [one.request for one in asked], outcomes)
        return live, outcomes
    except asyncio.CancelledError:
        for outcome in outcomes:
            outcome.ended = "" if outcome.member else ABANDONED + "the gateway stopped"
        raise
    finally:
        for one, outcome in zip(asked, outcomes, strict=True):
            parts.recorder.add_event(to_event(live, one, outcome))
        parts.router.give_back(live)


def headers_of(live: Live, event: str, outcome: Outcome) -> dict[str, str]:
    """Return the headers that say who answered, and under which event."""
    answered = outcome.member or live.members[0]
    return {"x-lifeloop-event": event, "x-lifeloop-candidate": answered.name, "x-lifeloop-release": live.id}
