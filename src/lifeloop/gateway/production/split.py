"""How requests are split between loaded releases: an immutable picture that is replaced as a whole.

Takes what the ledger says and what is loaded, gives who answers whom. While the release in production is not loaded the
one before it stays in its place; a release on its way gets requests only beside the one that it is compared with. Knows
nothing of loading.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from lifeloop.core.assignment import key_of, side
from lifeloop.core.content import Id
from lifeloop.gateway.production.lives import Live, Wanted
from lifeloop.store.rows import RolloutRow, Traffic


class Split(Struct, frozen=True):
    """Who answers whom."""

    production: Live | None = None
    challenger: Live | None = None
    """Answers the assigned share; None where there is none, or it is not loaded."""
    shadow: Live | None = None
    """Is asked unseen for that share of the requests."""
    share: float = 0.0
    assign: Literal["user", "request"] = "user"

    def answering(self, user_key: str, event: str) -> Live | None:
        """Return the release that answers a request: by its sender where users are assigned, else by itself."""
        challenger = self.challenger
        if challenger is not None:
            key = key_of(self.assign, user_key, event)
            if side(key, challenger.id, self.share) == "challenger":
                return challenger
        return self.production

    def shadowing(self, event: str) -> Live | None:
        """Return the release that is to answer a request unseen, if any."""
        shadow = self.shadow
        if shadow is None or side(event, shadow.id, self.share) != "challenger":
            return None
        return shadow


class _Assignment(Struct):
    """What matters here of a rollout's settings; a newer version may have others besides."""

    assign: Literal["user", "request"] = "user"


def split_of(traffic: Traffic, lives: Mapping[Id, Live], before: Split) -> Split:
    """Return how requests are split now, with what is loaded; `before` is how they were."""
    production = lives.get(traffic.production.id) if traffic.production is not None else None
    production = production or before.production
    rollout = traffic.rollout
    if rollout is None or production is None or rollout.control != production.id:
        return Split(production)
    arriving = lives.get(rollout.release)
    if arriving is None:
        return Split(production)
    if rollout.strategy == "shadow":
        return Split(production, None, arriving, rollout.share)
    return Split(production, arriving, None, rollout.share, _assign(rollout))


def wanted_of(traffic: Traffic, *, warm: bool) -> list[Wanted]:
    """Return the releases that are to be loaded, the most urgent first; with `warm` the one before among them."""
    wanted = []
    if traffic.production is not None:
        wanted.append(Wanted(traffic.production.id, traffic.production.at))
    if traffic.rollout is not None:
        wanted.append(Wanted(traffic.rollout.release, traffic.rollout.at))
    if warm and traffic.previous is not None:
        wanted.append(Wanted(traffic.previous.id, traffic.previous.at))
    return wanted


def _assign(rollout: RolloutRow) -> Literal["user", "request"]:
    try:
        return msgspec.json.decode(rollout.settings, type=_Assignment).assign
    except msgspec.DecodeError:
        return "user"
