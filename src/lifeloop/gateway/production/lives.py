"""A loaded release, and how it is loaded: the released candidate first, then those who answer in its stead.

Takes what the ledger says of a release, gives a Live. Knows nothing of who gets which release.
"""

import logging
from collections.abc import Sequence

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.errors import LifeloopError
from lifeloop.core.evidence import Release
from lifeloop.gateway.production.members import Member, Members
from lifeloop.store.vault import Vault

log = logging.getLogger(__name__)


class Wanted(Struct, frozen=True):
    """A release that is to be loaded."""

    release: Id
    at: float
    """Since when it is in production, or on its way there: seconds since the epoch, UTC."""


class Live:
    """A loaded release: the released candidate first, then those who answer in its stead."""

    __slots__ = ("at", "id", "members", "name", "retired", "seconds", "skipped", "users")

    def __init__(
        self, id: Id, at: float, name: str, seconds: float, members: Sequence[Member], skipped: Sequence[str] = ()
    ) -> None:
        self.id = id
        self.at = at
        self.name = name
        self.seconds = seconds
        """How long each of them may take for an answer."""
        self.members = tuple(members)
        self.skipped = tuple(skipped)
        """Fallbacks that could not be loaded, by the beginning of their ids."""
        self.users = 0
        """Requests under way. Only the event loop counts them."""
        self.retired = False
        """Whether it gets no further requests; its members are let go after the last user."""

    def without_fallbacks(self) -> "Live":
        """Return the released candidate alone, for a look; the release is what is taken and given back."""
        return Live(self.id, self.at, self.name, self.seconds, self.members[:1])


def load_release(vault: Vault, members: Members, wanted: Wanted) -> Live:
    """Return a release with its candidates, those that are not yet loaded loaded now. Blocks.

    A fallback that cannot be loaded is left out, with a warning. Raises what its own candidate's loader raises.
    """
    release = vault.get_value(wanted.release, Release)
    held = [members.hold(release.candidate)]
    skipped = []
    for other in dict.fromkeys(release.fallback):
        if other == release.candidate:
            continue
        try:
            held.append(members.hold(other))
        except BaseException as error:  # one fallback less is better than no release, and it may raise anything
            skipped.append(short(other))
            report(error, f"fallback {short(other)} could not be loaded and is left out")
    return Live(wanted.release, wanted.at, release.name, release.timeout_seconds, held, skipped)


def report(error: BaseException, what: str) -> None:
    """Log why something could not be loaded; what is no error of ours with where it came from."""
    if isinstance(error, LifeloopError):
        log.warning("%s: %s", what, error)
    else:
        log.warning("%s", what, exc_info=error)
