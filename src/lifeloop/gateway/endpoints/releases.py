"""GET /v1/releases, for keys of scope admin: who serves in this process, and how those who answer are doing."""

import msgspec
from msgspec import Struct

from lifeloop.gateway.production.routing import Live, Readiness
from lifeloop.gateway.serving import Parts
from lifeloop.gateway.web.http import Call, Reply


class MemberView(Struct, frozen=True):
    """A candidate of a release."""

    id: str
    name: str
    passes_on: bool
    """Whether it heeds tools, schemas and the like."""
    in_loop: bool
    """Whether it is asked without a thread."""
    left_out_seconds: float
    """How long its breaker still leaves it out; 0 while it is asked."""


class ReleaseView(Struct, frozen=True):
    """A loaded release: the released candidate first, then those who answer in its stead."""

    id: str
    name: str
    at: float
    members: list[MemberView]


class ShadowsView(Struct, frozen=True):
    """Requests that were asked of a shadow release since the process began, and those dropped for want of room."""

    asked: int
    dropped: int


class ReleasesReply(Struct, frozen=True):
    """What this process serves, and how much of it is under way."""

    project: str
    readiness: Readiness
    """Also says what is on its way to all traffic, and with which share."""
    production: ReleaseView | None
    in_flight: int
    waiting: int
    draining: bool
    shadows: ShadowsView


async def releases(call: Call) -> Reply:
    """Describe this process's releases."""
    parts = call.parts
    live = parts.router.peek()
    reply = ReleasesReply(
        project=parts.serving.project,
        readiness=parts.router.readiness(),
        production=_view(parts, live) if live is not None else None,
        in_flight=parts.admission.in_flight,
        waiting=parts.admission.n_waiting,
        draining=parts.admission.draining,
        shadows=ShadowsView(parts.shadows.n_asked, parts.shadows.n_dropped),
    )
    return Reply(msgspec.json.encode(reply))


def _view(parts: Parts, live: Live) -> ReleaseView:
    continuity = parts.continuity
    members = []
    for member in live.members:
        left_out = continuity.of(member.id, member.name).breaker.waits(continuity.now())
        members.append(MemberView(member.id, member.name, member.passes_on, member.in_loop, left_out))
    return ReleaseView(live.id, live.name, live.at, members)
