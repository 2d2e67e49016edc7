"""POST /v1/feedback: what a person says of an answer, by the id of its event or of its completion."""

import asyncio
from collections.abc import Sequence

import msgspec

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Feedback
from lifeloop.gateway.endpoints.bodies import FeedbackBody, read
from lifeloop.gateway.endpoints.completions import event_named
from lifeloop.gateway.endpoints.replies import FeedbackReply
from lifeloop.gateway.serving import Parts
from lifeloop.gateway.web.errors import RequestError, not_ready
from lifeloop.gateway.web.http import Call, Reply

LISTED_LABELS = 200
"""How many labels an error names."""
PAUSES = (0.05, 0.1, 0.2, 0.3, 0.35)
"""Seconds between looks for an event that another process served and that is not yet in the ledger."""
_HEX = frozenset("0123456789abcdef")


async def give_feedback(call: Call) -> Reply:
    """Take feedback on an event."""
    parts = call.parts
    body = await read(call, FeedbackBody)
    label = _label(body)
    comment = (body.comment or "").strip()
    if body.rating is None and label is None and not comment and not body.better_than:
        message = "Give at least one of `rating`, `label`, `better_than` and `comment`."
        raise RequestError(400, message, code="empty_feedback")
    event = event_named(body.event)
    other = event_named(body.better_than) if body.better_than else None
    if other == event:
        raise RequestError(400, "An answer is not better than itself.", param="better_than", code="invalid_value")
    for param, named in (("event", event), ("better_than", other)):
        if named is not None and not await _is_known(parts, named):
            raise RequestError(404, "There is no event of this id.", param=param, code="unknown_event")
    if label is not None:
        _check_label(parts, label)
    feedback = Feedback(
        id=call.id,
        event=event,
        at=parts.serving.clock(),
        rater=body.rater or "",
        rating=body.rating,
        label=label,
        comment=comment,
        better_than=other,
    )
    try:
        parts.recorder.add_feedback(parts.redact.feedback(feedback) if parts.redact is not None else feedback)
    except StoreError:
        raise _no_room() from None
    return Reply(msgspec.json.encode(FeedbackReply(call.id, event)))


def _label(body: FeedbackBody) -> str | None:
    if body.label is not None and body.correction is not None and body.label != body.correction:
        message = "`label` and `correction` are two words for one thing."
        raise RequestError(400, message, param="correction", code="invalid_value")
    return body.label if body.label is not None else body.correction


async def _is_known(parts: Parts, event: str) -> bool:
    """Return whether an event is in the ledger or on its way there; waits a second for what other machines served."""
    if len(event) != 32 or not _HEX.issuperset(event):
        return False
    for pause in (*PAUSES, 0.0):
        try:
            if await asyncio.to_thread(_look_for, parts, event):
                return True
        except StoreError:
            raise _away() from None
        if pause:
            await asyncio.sleep(pause)
    return False


def _look_for(parts: Parts, event: str) -> bool:
    return parts.recorder.pending(event) or parts.serving.ledger.event(event) is not None


def _away() -> RequestError:
    message = "The ledger is out of reach; give the feedback again shortly."
    return RequestError(503, message, code="ledger_away", headers={"retry-after": "5"})


def _no_room() -> RequestError:
    message = "Feedback cannot be recorded at the moment; give it again shortly."
    return RequestError(503, message, code="not_recorded", headers={"retry-after": "5"})


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
