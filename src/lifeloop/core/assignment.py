"""Who meets which side of a rollout: a number drawn from the key by hashing, so that every process gives the same.

Takes a key (of a user, or of one request) and a release, gives a place in [0, 1). The challenger has the places below
its share: who met it once stays with it while the share grows. Each release draws anew, so that it is not always the
same people who meet what is new. A call of many texts is drawn once, by its first event. Knows nothing of requests.
"""

from typing import Literal

from lifeloop.core.content import Id, fraction

Side = Literal["challenger", "control"]

SHARED, PLACE = 28, 4
"""Hexadecimal digits of an event's id: of its call, and of its place among the call's texts."""
FIRST = "0" * PLACE
"""How the id of a call ends, and of its first event."""


def place(key: str, release: Id) -> float:
    """Return the key's place in [0, 1) for the rollout of a release."""
    return fraction(f"{release}/{key}", 0)


def side(key: str, release: Id, share: float) -> Side:
    """Return whether a key meets the release on its way in, which has that share of the traffic, or what is there."""
    return "challenger" if place(key, release) < share else "control"


def event_of(call: str, place: int) -> str:
    """Return the id of a call's event, by the call's id and the place of its text; that of the first is the call's."""
    return f"{call[:SHARED]}{place:0{PLACE}x}"


def call_of(event: str) -> str:
    """Return what the events of one call have in common: a call is assigned as a whole, so it is one unit."""
    return event[:SHARED]


def leads(event: str) -> bool:
    """Return whether an event is the first of its call, which stands for all of them."""
    return event[SHARED:] in ("", FIRST)


def key_of(assign: Literal["user", "request"], user_key: str, event: str) -> str:
    """Return what decides over a request: its sender's key where there is one and users are assigned, else itself."""
    return user_key if assign == "user" and user_key else event
