"""Who answers: keeps the releases that the ledger names loaded, and changes over when the ledger names others.

A look at the ledger takes milliseconds and changes over to whatever is loaded; what is not is loaded in the background.
The change is one assignment; requests that began on a release finish there, and its models are closed after the last of
them. The release before stays loaded, so that going back to it needs no load. Knows nothing of what is asked.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.errors import StoreError
from lifeloop.gateway.production.lives import Live, Wanted, load_release, report
from lifeloop.gateway.production.members import Member, Members
from lifeloop.gateway.production.remembered import recall, remember
from lifeloop.gateway.production.split import Split, split_of, wanted_of
from lifeloop.models.model import Model
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import Traffic
from lifeloop.store.vault import Vault

__all__ = ["Arriving", "Live", "Member", "Readiness", "Router"]

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How long after a release could not be loaded it is tried again, in case the vault was only out of reach."""


class Arriving(Struct, frozen=True, omit_defaults=True):
    """What /readyz says of a release on its way to all traffic."""

    release: str
    strategy: str
    share: float
    loaded: bool
    """While it is not, the release in production answers everybody."""


NOTHING = "nothing is in production"
"""What is waited for where the ledger has no release at all."""


class Readiness(Struct, frozen=True, omit_defaults=True):
    """What /readyz says."""

    ready: bool
    release: str = ""
    candidate: str = ""
    problem: str = ""
    """Which releases could not be loaded; the log holds more."""
    waiting: str = ""
    """What is not there yet, though nothing is wrong."""
    skipped: tuple[str, ...] = ()
    """Fallbacks that could not be loaded."""
    rollout: Arriving | None = None
    previous: str = ""
    """The release that a rollback goes back to at once, since it is still loaded."""
    ledger_away: bool = False
    """The ledger cannot be read: what was in production when it was read last goes on serving."""


class Router:
    """Follows one ledger for one event loop: `take`, `take_shadow` and `give_back` are for that loop and wait for
    nothing; `look` and `close` block and are for threads.
    """

    def __init__(
        self,
        ledger: Ledger,
        vault: Vault,
        load: Callable[[Id], Model],
        *,
        warm: bool = True,
        memory: Path | None = None,
    ) -> None:
        """Must be made on the event loop.

        `warm`: keep the release before loaded. `memory` is the file that says what was in production last, for a start
        without the ledger.
        """
        self._ledger = ledger
        self._vault = vault
        self._warm = warm
        self._memory = memory
        self._loop = asyncio.get_running_loop()
        self._members = Members(vault, load)
        self._split = Split()  # all that the event loop reads; the rest belongs to threads
        self._lock = threading.Lock()
        self._traffic: Traffic | None = None
        self._lives: dict[Id, Live] = {}
        self._loading: set[Id] = set()
        self._failed: dict[Id, tuple[float, str]] = {}
        self._ledger_away = False
        self._closed = False

    # on the event loop

    def take(self, user_key: str, event: str) -> Live | None:
        """Return the release that answers a request, to be given back after it; None while nothing is loaded.

        `user_key` says whose request it is; "" for nobody's. The same user, and the same event, meets the same release
        as long as the split stays.
        """
        split = self._split
        live = split.production if split.challenger is None else split.answering(user_key, event)
        if live is not None:
            live.users += 1
        return live

    def take_production(self) -> Live | None:
        """Return the release in production whoever asks, to be given back; None while nothing is loaded."""
        live = self._split.production
        if live is not None:
            live.users += 1
        return live

    def take_shadow(self, event: str) -> Live | None:
        """Return the release that is to answer a request unseen, to be given back after it; None where none is."""
        split = self._split
        if split.shadow is None:
            return None
        live = split.shadowing(event)
        if live is not None:
            live.users += 1
        return live

    def give_back(self, live: Live) -> None:
        """End a use of a release; the last use of a retired one lets its models go."""
        live.users -= 1
        if live.retired and live.users == 0:
            self._members.let_go(live.members)

    def peek(self) -> Live | None:
        """Return the release in production, to look at and not to ask."""
        return self._split.production

    def _retire(self, live: Live) -> None:
        """No further request can take it: those that could ran on this loop before this call."""
        live.retired = True
        if live.users == 0:
            self._members.let_go(live.members)

    # in any thread

    def look(self) -> None:
        """Ask the ledger who is to answer, change over to what is loaded, and begin to load what is not."""
        traffic = self._read()
        if traffic is None:
            return
        with self._lock:
            self._traffic = traffic
            self._arrange()
        self._load_next()

    def _read(self) -> Traffic | None:
        """Return what the ledger says; while it is away what it said last, to this process or to one before it."""
        try:
            traffic = self._ledger.traffic()
        except StoreError as error:
            if not self._ledger_away:
                log.warning("the ledger cannot be read, what was in production last goes on serving: %s", error)
            self._ledger_away = True
            if self._traffic is None and self._memory is not None:
                return recall(self._memory)
            return self._traffic
        self._ledger_away = False
        if self._memory is not None and traffic != self._traffic:
            remember(self._memory, traffic)
        return traffic

    def readiness(self) -> Readiness:
        """Return what /readyz says."""
        with self._lock:
            split, traffic, away = self._split, self._traffic, self._ledger_away
            problem = "; ".join(why for _, why in self._failed.values())
            loaded = set(self._lives)
        live = split.production
        if live is None:
            nothing = traffic is not None and traffic.production is None
            waiting = NOTHING if nothing else "no release is loaded yet"
            return Readiness(ready=False, problem=problem, waiting=waiting, ledger_away=away)
        rollout = traffic.rollout if traffic is not None else None
        previous = traffic.previous if traffic is not None else None
        arriving = None
        if rollout is not None:
            arriving = Arriving(rollout.release, rollout.strategy, rollout.share, rollout.release in loaded)
        back = previous.id if previous is not None and previous.id in loaded and previous.id != live.id else ""
        return Readiness(
            ready=True,
            release=live.id,
            candidate=live.name,
            problem=problem,
            skipped=live.skipped,
            rollout=arriving,
            previous=back,
            ledger_away=away,
        )

    def expects_challenger(self) -> bool:
        """Return whether a release on its way to all traffic is not loaded yet, though it may be before long."""
        with self._lock:
            rollout = self._traffic.rollout if self._traffic is not None else None
            return rollout is not None and rollout.release not in self._lives and rollout.release not in self._failed

    def close(self) -> None:
        """Free the models; waits a few seconds for those that still work. What is loaded later is closed at once."""
        with self._lock:
            self._closed = True
            self._lives.clear()
            self._split = Split()
        self._members.close()

    def _arrange(self) -> None:
        """Split requests by what is wanted and loaded, and retire what nobody wants. The lock is held."""
        if self._closed or self._traffic is None:
            return
        before, wanted = self._split, wanted_of(self._traffic, warm=self._warm)
        split = split_of(self._traffic, self._lives, before)
        if split != before:
            self._split = split
            _tell(before, split)
        kept = {one.release for one in wanted} | ({split.production.id} if split.production else set())
        for identifier in self._lives.keys() - kept:
            live = self._lives.pop(identifier)
            try:
                self._loop.call_soon_threadsafe(self._retire, live)
            except RuntimeError:  # the loop has ended, and all requests with it
                self._members.let_go(live.members)
        for identifier in self._failed.keys() - {one.release for one in wanted}:
            del self._failed[identifier]

    def _load_next(self) -> None:
        """Begin to load the most urgent of what is wanted and not loaded."""
        with self._lock:
            wanted = self._next()
            if wanted is None:
                return
            self._loading.add(wanted.release)
        threading.Thread(target=self._load, args=(wanted,), name="lifeloop-loading", daemon=True).start()

    def _next(self) -> Wanted | None:
        """Return what is to be loaded now. The lock is held.

        One release at a time, so that memory and cores are not shared by several; but production waits for none.
        """
        if self._closed or self._traffic is None:
            return None
        for place, wanted in enumerate(wanted_of(self._traffic, warm=self._warm)):
            if wanted.release in self._lives or self._has_just_failed(wanted.release):
                continue
            if wanted.release in self._loading or (self._loading and place > 0):
                return None
            return wanted
        return None

    def _has_just_failed(self, release: Id) -> bool:
        failed = self._failed.get(release)
        return failed is not None and time.monotonic() - failed[0] < RETRY_SECONDS

    def _load(self, wanted: Wanted) -> None:
        """Load a release and change over to it if it is still wanted. Runs in a thread of its own."""
        try:
            live = load_release(self._vault, self._members, wanted)
        except BaseException as error:  # a plugin's loader may raise anything, SystemExit too
            what = f"release {short(wanted.release)}{self._name(wanted.release)} could not be loaded"
            report(error, what)
            with self._lock:
                self._loading.discard(wanted.release)
                self._failed[wanted.release] = (time.monotonic(), f"{what} ({type(error).__name__})")
                self._arrange()
        else:
            with self._lock:
                self._loading.discard(wanted.release)
                self._failed.pop(wanted.release, None)
                self._lives[wanted.release] = live
                self._arrange()
        self._load_next()

    def _name(self, release: Id) -> str:
        """Return the name of a release's candidate as the ledger has it, in brackets; "" where it has none."""
        traffic = self._traffic
        rows = (traffic.production, traffic.previous) if traffic is not None else ()
        return next((f" ({row.name})" for row in rows if row is not None and row.id == release), "")


def _tell(before: Split, now: Split) -> None:
    if now.production is not None and now.production is not before.production:
        log.info("release %s (%s) serves", short(now.production.id), now.production.name)
    if now.challenger is not None and (now.challenger, now.share) != (before.challenger, before.share):
        log.info("release %s (%s) answers %g of all", short(now.challenger.id), now.challenger.name, now.share)
    if now.shadow is not None and now.shadow is not before.shadow:
        log.info("release %s (%s) answers unseen", short(now.shadow.id), now.shadow.name)
