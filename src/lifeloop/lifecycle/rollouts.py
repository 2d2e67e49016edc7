"""Rollouts that run by themselves: looks at the figures of the running one, and puts on record what they decide.

Any number of processes may look at once: each counts for itself, and of those that decide the same thing one is heard.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from lifeloop.core.evidence import Release
from lifeloop.core.rollout_brief import Rollout
from lifeloop.lifecycle.watching import Times, Watch, watch
from lifeloop.stages import roll_out
from lifeloop.stages.roll_out import HELD, WAITS, Decision, Observed
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import ReleaseRow, RolloutRow, Traffic
from lifeloop.store.vault import Vault

RUNNING, PROMOTED, ROLLED_BACK = "running", "promoted", "rolled_back"

MARGIN_SECONDS = 10.0
"""How long after its last member gave up a request may be on record, the way of the log to the ledger included."""
MOST_SECONDS = 900.0
"""What counts is at most so old; of a call of a thousand texts that takes longer, what is on record by then counts."""
LOADING_SECONDS = 900.0
"""How long after a rollout began production may answer what was meant for a challenger that is not loaded yet."""


class Position(Struct, frozen=True):
    """Where the running rollout stands."""

    row: RolloutRow
    """The newest."""
    step_began: RolloutRow
    began: RolloutRow
    release: Release
    control: Release
    settings: Rollout
    """As the brief had them when it began."""


class Steward:
    """Looks at the running rollout of a ledger again and again, and remembers what it has counted."""

    def __init__(self, ledger: Ledger, vault: Vault, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._vault = vault
        self._clock = clock
        self._place: Position | None = None
        self._watch: Watch | None = None

    def look(self) -> RolloutRow | None:
        """Look at the figures once. Returns the row that this adds to the record, or None where nothing is decided.

        What was counted bit by bit only says when to count anew: a decision rests on all events that are in the
        ledger, so that every process decides on the same ones. Raises StoreError where the ledger cannot be read.
        """
        traffic = self._ledger.traffic()
        if traffic.rollout is None:
            self._place = self._watch = None
            return _end_overtaken(self._ledger, self._clock())
        place = self._stand(traffic.rollout)
        decision, _ = self._decide(place)
        if not _changes(place.row, decision):
            return None
        self._watch = None
        decision, seen = self._decide(place)
        if not _changes(place.row, decision):
            return None
        row, release = _next_row(place, traffic, decision, seen, self._clock())
        return row if self._ledger.add_rollout_step(row, release) else None

    def _stand(self, newest: RolloutRow) -> Position:
        if self._place is None or self._place.row.sequence != newest.sequence:
            place = position(self._ledger, self._vault, newest)
            if self._place is None or self._place.step_began.sequence != place.step_began.sequence:
                self._watch = None
            self._place = place
        return self._place

    def _decide(self, place: Position) -> tuple[Decision, Observed]:
        if self._watch is None:
            self._watch = watch_of(self._ledger, place)
        now = self._clock()
        self._watch.read(now)
        seen = self._watch.observed((now - place.began.at) / 3600.0)
        row = place.row
        return roll_out.decide(place.settings, row.strategy, row.step, row.share, seen), seen


def advance(ledger: Ledger, vault: Vault, clock: Callable[[], float]) -> RolloutRow | None:
    """Look at the running rollout once, counting from the beginning of its step. See `Steward.look`."""
    return Steward(ledger, vault, clock).look()


def position(ledger: Ledger, vault: Vault, newest: RolloutRow) -> Position:
    """Return where the rollout with that newest row stands."""
    rows = ledger.rollouts()[: newest.sequence]
    step = ("release", "control", "strategy", "phase", "step", "share")
    return Position(
        row=newest,
        step_began=_first_alike(rows, step),
        began=_first_alike(rows, ("release", "control", "phase")),
        release=vault.get_value(newest.release, Release),
        control=vault.get_value(newest.control, Release),
        settings=settings_of(newest),
    )


def settings_of(row: RolloutRow) -> Rollout:
    """Return the settings that a rollout began with."""
    return msgspec.json.decode(row.settings, type=Rollout)


def watch_of(ledger: Ledger, place: Position) -> Watch:
    """Return what counts the present step, with nothing counted yet."""
    times = Times(
        slow=place.settings.slow_seconds or place.release.timeout_seconds / 2.0,
        whole=min(MOST_SECONDS, max(_longest(place.release), _longest(place.control)) + MARGIN_SECONDS),
        loading_until=place.began.at + LOADING_SECONDS,
    )
    return watch(ledger, place.step_began, place.settings, times)


def _longest(release: Release) -> float:
    """Return how long an answer of a release may take: each member in turn, and one that falls silent in mid-stream."""
    return release.timeout_seconds * (len({release.candidate, *release.fallback}) + 1)


def _first_alike(rows: Sequence[RolloutRow], fields: Sequence[str]) -> RolloutRow:
    """Return the first of the last rows that are alike in some fields."""
    last = rows[-1]
    for row in reversed(rows):
        if any(getattr(row, field) != getattr(last, field) for field in fields):
            break
        first = row
    return first


def _changes(row: RolloutRow, decision: Decision) -> bool:
    """Return whether a decision says anything new."""
    if decision.action == "hold":
        return not row.reason.startswith((HELD, WAITS))
    return decision.action != "stay"


def _next_row(
    place: Position, traffic: Traffic, decision: Decision, seen: Observed, now: float
) -> tuple[RolloutRow, ReleaseRow | None]:
    """Return the row that a decision adds, and that of the release where it puts one in production."""
    row, settings = place.row, place.settings
    reason = f"{decision.reason}; {seen.answers[0]:,} of {sum(seen.answers):,} answers in this step were its own"
    if row.strategy == "shadow" or decision.action == "hold":
        reason = decision.reason
    later = msgspec.structs.replace(row, sequence=row.sequence + 1, reason=reason, by="", at=now)
    match decision.action:
        case "next" if row.strategy == "shadow":
            return msgspec.structs.replace(later, strategy="canary", step=0, share=settings.steps[0]), None
        case "next":
            share = roll_out.next_share(settings, row.step)
            return msgspec.structs.replace(later, step=row.step + 1, share=share), None
        case "promote":
            return promoted(later, place.release, traffic, now)
        case "roll_back":
            return msgspec.structs.replace(later, phase=ROLLED_BACK, share=0.0), None
    return later, None


def promoted(row: RolloutRow, release: Release, traffic: Traffic, now: float) -> tuple[RolloutRow, ReleaseRow]:
    """Return the row that ends a rollout in production, and that of the release."""
    last = traffic.production.sequence if traffic.production else 0
    made = ReleaseRow(last + 1, row.release, release.verdict, release.candidate, release.name, now)
    return msgspec.structs.replace(row, phase=PROMOTED, share=1.0), made


def _end_overtaken(ledger: Ledger, now: float) -> RolloutRow | None:
    """End a rollout whose control is not in production any more: what it compares with is gone."""
    rows = ledger.rollouts()
    production = ledger.current_release()
    if not rows or rows[-1].phase != RUNNING or (production and production.id == rows[-1].control):
        return None
    row = msgspec.structs.replace(
        rows[-1],
        sequence=rows[-1].sequence + 1,
        phase=ROLLED_BACK,
        share=0.0,
        reason="another release went to production meanwhile",
        by="",
        at=now,
    )
    return row if ledger.add_rollout_step(row) else None
