"""What both kinds of completion share: ids, the check of the model's name, usage, and why an answer ended."""

from lifeloop.gateway.asking.answering import Asked, Outcome
from lifeloop.gateway.endpoints.replies import Usage
from lifeloop.gateway.serving import Parts
from lifeloop.gateway.web.errors import RequestError, not_ready

CHAT, TEXT = "chatcmpl-", "cmpl-"
"""What stands before the event's id in the id of a completion."""
DONE = b"data: [DONE]\n\n"


def event_named(identifier: str) -> str:
    """Return the id of an event that is named by itself or by its completion."""
    return identifier.removeprefix(CHAT).removeprefix(TEXT)


def check_model(parts: Parts, name: str) -> None:
    """Raise RequestError where a request asks for a model that is not here."""
    if name == parts.serving.project:
        return
    live = parts.router.peek()
    if live is None:
        raise not_ready()
    if name != live.name:
        raise no_model(name)


def no_model(name: str) -> RequestError:
    """Return the error of a model that is not here."""
    shown = name if len(name) <= 64 else f"{name[:63]}…"
    return RequestError(404, f"The model `{shown}` does not exist.", param="model", code="model_not_found")


def finish_reason(asked: Asked, outcome: Outcome) -> str:
    """Return why an answer ended: as the candidate says, or by its length."""
    if outcome.answer.finish:
        return outcome.answer.finish
    limit = asked.request.max_tokens
    return "length" if limit and outcome.answer.tokens_out >= limit else "stop"


def usage_of(outcome: Outcome) -> Usage:
    """Return the tokens of an answer."""
    said = outcome.answer
    return Usage(said.tokens_in, said.tokens_out, said.tokens_in + said.tokens_out)
