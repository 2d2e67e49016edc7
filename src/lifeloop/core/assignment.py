"""Who meets which side of a rollout: a number drawn from the key by hashing, so that every process gives the same.

Takes a key (of a user, or of one request) and a release, gives a place in [0, 1). The challenger has the places below
its share: who met it once stays with it while the share grows. Each release draws anew, so that it is not always the
same people who meet what is new. Knows nothing of requests.
"""

from typing import Literal

from lifeloop.core.content import Id, fraction

Side = Literal["challenger", "control"]


def place(key: str, release: Id) -> float:
    """Return the key's place in [0, 1) for the rollout of a release."""
    return fraction(f"{release}/{key}", 0)


def side(key: str, release: Id, share: float) -> Side:
    """Return whether a key meets the release on its way in, which has that share of the traffic, or what is there."""
    return "challenger" if place(key, release) < share else "control"


def key_of(assign: Literal["user", "request"], user_key: str, event: str) -> str:
    """Return what decides over a request: its sender's key where there is one and users are assigned, else itself."""
    return user_key if assign == "user" and user_key else event
