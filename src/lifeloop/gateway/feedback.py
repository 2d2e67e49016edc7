"""POST /v1/feedback: what a person says of an answer, by the id of its event or of its completion."""

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Feedback
from lifeloop.gateway.completions import PREFIX
from lifeloop.gateway.errors import REQUEST_ID, RequestError, not_ready
from lifeloop.gateway.serving import Parts, parts_of
from lifeloop.gateway.wire import FeedbackCall, read

LISTED_LABELS = 200
"""How many labels an error names."""


async def give_feedback(request: Request) -> Response:
    """Take feedback on an event."""
    parts = parts_of(request)
    body = await read(request, FeedbackCall)
    label = _label(body)
    comment = (body.comment or "").strip()
    if body.rating is None and label is None and not comment and not body.better_than:
        message = "Give at least one of `rating`, `label`, `better_than` and `comment`."
        raise RequestError(400, message, code="empty_feedback")
    event = body.event.removeprefix(PREFIX)
    other = body.better_than.removeprefix(PREFIX) if body.better_than else None
    for param, named in (("event", event), ("better_than", other)):
        if named is not None and not await _is_known(parts, named):
            raise RequestError(404, "There is no event of this id.", param=param, code="unknown_event")
    if other == event:
        raise RequestError(400, "An answer is not better than itself.", param="better_than", code="invalid_value")
    if label is not None:
        _check_label(parts, label)
    identifier: str = request.scope[REQUEST_ID]
    feedback = Feedback(
        id=identifier,
        event=event,
        at=parts.serving.clock(),
        rater=body.rater or "",
        rating=body.rating,
        label=label,
        comment=comment,
        better_than=other,
    )
    parts.recorder.add_feedback(feedback)
    return Response(msgspec.json.encode({"id": identifier, "event": event}), 200, media_type="application/json")


def _label(body: FeedbackCall) -> str | None:
    if body.label is not None and body.correction is not None and body.label != body.correction:
        raise RequestError(400, "`label` and `correction` are two words for one thing.", param="correction")
    return body.label if body.label is not None else body.correction


async def _is_known(parts: Parts, event: str) -> bool:
    """Return whether an event is in the ledger or on its way there."""
    if parts.recorder.pending(event):
        return True
    if not event or len(event) > 64 or not event.isprintable():
        return False
    try:
        return await asyncio.to_thread(parts.serving.ledger.event, event) is not None
    except StoreError:
        message = "The ledger is out of reach; give the feedback again shortly."
        raise RequestError(503, message, code="ledger_away", headers={"retry-after": "5"}) from None


def _check_label(parts: Parts, label: str) -> None:
    """Refuse a label that the released candidate cannot give, or a reference that the task cannot use."""
    live = parts.router.peek()
    if live is None:
        raise not_ready()
    choices = parts.serving.task.contract(live.members[0].labels).choices
    if choices and label not in choices:
        message = f"The label is not one of the labels: {_listed(choices)}."
        raise RequestError(400, message, param="label", code="unknown_label")
    if flaw := parts.serving.task.flaw(label):
        raise RequestError(400, f"The label cannot be used: {flaw}.", param="label", code="invalid_value")


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - LISTED_LABELS
    return ", ".join(labels[:LISTED_LABELS]) + (f" and {more} more" if more > 0 else "")
