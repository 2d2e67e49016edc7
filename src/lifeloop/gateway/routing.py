"""Who answers: keeps the release that the ledger names loaded, and changes over when the ledger names another.

A thread asks the ledger twice a second and loads in the background. The change is one assignment; requests that
began on the old release finish there, and its models are closed after the last of them. A release that cannot be
loaded leaves the old one in place. Knows nothing of requests.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, short
from lifeloop.core.errors import LifeloopError, StoreError
from lifeloop.core.evidence import Release
from lifeloop.gateway.worker import Worker
from lifeloop.models.model import Model
from lifeloop.store.ledger import Ledger, ReleaseRow
from lifeloop.store.vault import Vault

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How long after a release could not be loaded it is tried again, in case the vault was only out of reach."""
CLOSE_SECONDS = 600.0
"""How long the calls of a model that is no longer wanted may take before it is left to itself."""
STOP_SECONDS = 5.0
"""The same when the gateway stops."""


class Member:
    """A loaded candidate, and how many releases hold it: two may share one model."""

    def __init__(self, identifier: Id, candidate: Candidate, model: Model) -> None:
        self.id = identifier
        self.name = candidate.name
        self.labels = candidate.labels
        self.batch_size = max(1, model.batch_size)
        self.worker = Worker(model, candidate.name)
        self.holders = 0


class Live:
    """A loaded release: the released candidate first, then those who answer in its stead."""

    def __init__(self, row: ReleaseRow, release: Release, members: Sequence[Member], skipped: Sequence[str]) -> None:
        self.id = row.id
        self.at = row.at
        self.name = release.name
        self.seconds = release.timeout_seconds
        self.members = tuple(members)
        self.skipped = tuple(skipped)
        self.users = 0
        self.retired = False


class Readiness(Struct, frozen=True, omit_defaults=True):
    """What /readyz says."""

    ready: bool
    release: str = ""
    candidate: str = ""
    problem: str = ""
    """Why the newest release is not the one that serves; the log holds more."""
    skipped: tuple[str, ...] = ()
    """Fallbacks that could not be loaded."""


class Router:
    """Follows one ledger. `take` and `give_back` are for the event loop and return at once."""

    def __init__(self, ledger: Ledger, vault: Vault, load: Callable[[Id], Model], poll_seconds: float) -> None:
        self._ledger = ledger
        self._vault = vault
        self._load = load
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._members: dict[Id, Member] = {}
        self._problem = ""
        self._failed: tuple[Id, float] = ("", 0.0)
        self._ledger_away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lifeloop-router", daemon=True)

    def start(self) -> None:
        """Begin to follow the ledger; the first release is loaded in the background."""
        self._thread.start()

    def take(self) -> Live | None:
        """Return the release that serves, to be given back after the request; None while nothing is loaded."""
        with self._lock:
            if self._live is not None:
                self._live.users += 1
            return self._live

    def give_back(self, live: Live) -> None:
        """End a use of a release; the last use of a retired one lets its models go."""
        with self._lock:
            live.users -= 1
            gone = self._let_go(live)
        _close(gone, CLOSE_SECONDS)

    def peek(self) -> Live | None:
        """Return the release that serves, to look at and not to ask."""
        return self._live

    def readiness(self) -> Readiness:
        """Return what /readyz says."""
        live, problem = self._live, self._problem
        if live is None:
            return Readiness(ready=False, problem=problem or "no release is loaded yet")
        return Readiness(True, live.id, live.name, problem, live.skipped)

    def close(self) -> None:
        """Stop following and free the models; waits a few seconds for those that still work."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        with self._lock:
            members, self._members = list(self._members.values()), {}
            self._live = None
        for thread in _close(members, STOP_SECONDS):
            thread.join(STOP_SECONDS + 1.0)

    # below: the thread

    def _follow(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                log.exception("following the ledger failed; trying again")
            if self._stop.wait(self._poll_seconds):
                return

    def _look(self) -> None:
        try:
            row = self._ledger.current_release()
        except StoreError as error:
            if not self._ledger_away:
                log.warning("the ledger cannot be read, the loaded release goes on serving: %s", error)
            self._ledger_away = True
            return
        self._ledger_away = False
        if row is None or (self._live is not None and row.id == self._live.id):
            self._problem = ""
            return
        failed, at = self._failed
        if row.id == failed and time.monotonic() - at < RETRY_SECONDS:
            return
        try:
            live = self._load_release(row)
        except Exception as error:  # a plugin's loader may raise anything
            self._failed = (row.id, time.monotonic())
            self._problem = f"release {short(row.id)} ({row.name}) could not be loaded ({type(error).__name__})"
            _report(error, self._problem)
            return
        self._change_to(live)

    def _load_release(self, row: ReleaseRow) -> Live:
        release = self._vault.get_value(row.id, Release)
        members = [self._hold(release.candidate)]
        skipped = []
        for other in dict.fromkeys(release.fallback):
            if other == release.candidate:
                continue
            try:
                members.append(self._hold(other))
            except Exception as error:  # one fallback less is better than no release
                skipped.append(short(other))
                _report(error, f"fallback {short(other)} could not be loaded and is left out")
        return Live(row, release, members, skipped)

    def _hold(self, identifier: Id) -> Member:
        """Return a candidate loaded, now or for a release before, with one more holder."""
        with self._lock:
            known = self._members.get(identifier)
            if known is not None:
                known.holders += 1
                return known
        member = Member(identifier, self._vault.get_value(identifier, Candidate), self._load(identifier))
        with self._lock:
            member.holders = 1
            self._members[identifier] = member
        return member

    def _change_to(self, live: Live) -> None:
        with self._lock:
            if self._stop.is_set():  # stopped while loading
                old: Live | None = live
            else:
                old, self._live = self._live, live
                self._problem = ""
            gone = []
            if old is not None:
                old.retired = True
                gone = self._let_go(old)
        _close(gone, CLOSE_SECONDS)
        log.info("release %s (%s) serves", short(live.id), live.name)

    def _let_go(self, live: Live) -> list[Member]:
        """Return the members that nobody holds any more. The lock is held."""
        if not live.retired or live.users > 0:
            return []
        gone = []
        for member in live.members:
            member.holders -= 1
            if member.holders == 0 and self._members.pop(member.id, None) is not None:  # None: closed with the router
                gone.append(member)
        return gone


def _close(members: list[Member], seconds: float) -> list[threading.Thread]:
    """Close models, each in a thread of its own: one that hangs must not keep the others or a request waiting."""
    threads = [threading.Thread(target=member.worker.close, args=(seconds,), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    return threads


def _report(error: Exception, what: str) -> None:
    if isinstance(error, LifeloopError):
        log.warning("%s: %s", what, error)
    else:
        log.warning("%s", what, exc_info=error)
