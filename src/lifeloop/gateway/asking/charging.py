"""What an answer cost that did not come to its end: its client left, it broke off, or another one overtook it.

Takes who was asked and what came of it, gives tokens and money: as the model says, or else estimated by the length.
Knows nothing of limits or of streams.
"""

import math
from collections.abc import Sequence

from lifeloop.core.candidates import Answer, Choices
from lifeloop.gateway.asking.answering import Asked, Outcome
from lifeloop.gateway.asking.deltas import merged
from lifeloop.gateway.production.members import Member

CHARS_A_TOKEN = 4
"""What is not known is estimated by this."""


def charge(outcome: Outcome, asked: Asked, written: str) -> None:
    """Add what it cost to an outcome: of who was answering, and of whoever was still being asked when it ended.

    `written` is what the model wrote until then, also what the client never saw.
    """
    member = outcome.member
    if member is not None and outcome.ended and not outcome.answer.tokens_out:
        outcome.answer = _so_far(member, asked, written)
        outcome.usd += outcome.answer.usd
    for other in outcome.left:
        cost = _so_far(other, asked, "")
        outcome.usd += cost.usd
        if member is None and not outcome.answer.tokens_in:
            outcome.answer = cost


def all_of(texts: Sequence[str], choices: Sequence[Choices]) -> str:
    """Return what a model wrote, as one text: its texts, and what of its choices is none."""
    no_texts = [each.raw for each in choices if not each.text]
    return "".join(texts) + (merged(no_texts) if no_texts else "")


def _so_far(member: Member, asked: Asked, output: str) -> Answer:
    if (so_far := getattr(member.model, "so_far", None)) is not None:
        said: Answer = so_far(asked.request, output)
        return said
    read = math.ceil(len(asked.input) / CHARS_A_TOKEN)
    return Answer(output=output, tokens_in=read, tokens_out=math.ceil(len(output) / CHARS_A_TOKEN))
