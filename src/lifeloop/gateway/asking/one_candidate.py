"""Asks one candidate, in the loop or in threads: within its time, through its breaker, again where that may help.

Takes a request, gives the answer or why there is none. Knows nothing of releases, tasks or events.
"""

import asyncio
from collections.abc import Sequence

from lifeloop.core.candidates import Answer, Request
from lifeloop.gateway.asking.calls import as_unanswered
from lifeloop.gateway.asking.continuity import Continuity, Health
from lifeloop.gateway.asking.retrying import LONGEST_PAUSE, pause
from lifeloop.gateway.production.members import Member
from lifeloop.models.model import Unanswered


async def ask_in_loop(
    continuity: Continuity, health: Health, member: Member, request: Request, seconds: float
) -> Answer:
    """Return a candidate's answer, asked on this loop, within `seconds`, retries included. Raises Unanswered."""
    now = continuity.now()
    until = now + seconds
    ticket = health.admit(now)
    attempt = 0
    while True:
        try:
            said: Answer = await member.model.answer_in_loop(request, until - now)
        except Exception as error:
            failure = as_unanswered(error)
        except BaseException:  # cancelled: it says nothing of the candidate
            health.breaker.forget(ticket, continuity.now())
            raise
        else:
            health.breaker.record(ticket, not said.error, continuity.now())
            return said
        ticket = await again(continuity, health, ticket, failure, attempt, until)
        attempt += 1
        now = continuity.now()


async def ask_in_threads(
    continuity: Continuity, health: Health, member: Member, requests: Sequence[Request], seconds: float
) -> list[Answer]:
    """The same of a candidate that is asked in threads, for one or more requests that it answers together."""
    now = continuity.now()
    until = now + seconds
    ticket = health.admit(now)
    attempt = 0
    while True:
        try:
            said: list[Answer] = await member.worker.answer(requests, until - now)
        except Unanswered as error:
            failure = error
        except BaseException:
            health.breaker.forget(ticket, continuity.now())
            raise
        else:
            health.breaker.record(ticket, not all(one.error for one in said), continuity.now())
            return said
        ticket = await again(continuity, health, ticket, failure, attempt, until)
        attempt += 1
        now = continuity.now()


async def again(
    continuity: Continuity, health: Health, ticket: int, failure: Unanswered, attempt: int, until: float
) -> int:
    """Wait before retry number `attempt` (from 0) and return its ticket; raise the failure where there is to be none.

    There is one after what may pass, while the candidate's time and the retry budget last and its breaker is closed.
    """
    now = continuity.now()
    health.failed(ticket, failure, now)
    if not failure.passing or attempt >= continuity.settings.retries:
        raise failure
    seconds = pause(attempt, failure.wait, continuity.random)
    if seconds > LONGEST_PAUSE or now + seconds >= until or not health.budget.take(now):
        raise failure
    health.warn(f"{failure.why}; it is asked again", now)
    await asyncio.sleep(seconds)
    ticket = health.breaker.admit(continuity.now())
    if not ticket:
        raise failure
    return ticket
