"""What a running rollout has come to in its present step: read from the ledger once, then only what is new.

Takes the row with which the step began, gives what was observed. Decides nothing.

An event is on record when its answer is over, so of what was asked just now only the fast answers are there, and what
hangs is missing. Hence an event counts once whatever was asked together with it has had the time to end
(`Times.whole`), on both sides alike, in the order in which they were asked.

Where users are assigned, a user's answers hang together: one who asks for what no model can do fails each time. So of
a user who gave a key the first answer in a step counts, and the first rating and the first label; of the others each
answer, and of a call of many texts the first. The units of a step are then independent of one another, which the tests
rest on.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

from msgspec import Struct

from lifeloop.core.assignment import call_of, key_of, leads, side
from lifeloop.core.rollout_brief import Figure, Rollout
from lifeloop.stages import shadow
from lifeloop.stages.roll_out import Observed, Seen, Shadowed
from lifeloop.stats.two_sides import Rounds, Weighing
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import JudgedRow, RolloutRow, ServedRow, ShadowRow
from lifeloop.store.traffic import Place

AT_ONCE = 20_000
"""Rows of one query."""
SETTLE_SECONDS = 2.0
"""What is served so soon after a step began may have been assigned by the step before."""
LONG_SECONDS = 2.0
"""Whoever leaves without a word of the answer after so long has been failed."""
FIGURES: tuple[Figure, ...] = ("failures", "slow", "disliked", "corrected")
SEEN_UNSEEN: tuple[Figure, ...] = ("failures", "slow")
"""What of an answer that nobody saw can be held against the one that was shown."""

InTime = TypeVar("InTime", ServedRow, ShadowRow)


class Times(Struct, frozen=True):
    """What takes how long, in seconds."""

    slow: float
    """An answer that is slow."""
    whole: float
    """Any answer, until it is on record."""
    loading_until: float
    """The time (seconds since the epoch, UTC) until which processes may still be loading the release."""


class SideBySide:
    """The two sides of a canary or an A/B test in one step."""

    def __init__(self, ledger: Ledger, began: RolloutRow, settings: Rollout, times: Times) -> None:
        self._ledger = ledger
        self._release = began.release
        self._share = began.share
        self._sides = (began.release, began.control)
        self._settings = settings
        self._by_user = settings.assign == "user"
        self._times = times
        self._since = began.at + SETTLE_SECONDS
        self._served: Place = (self._since, 0)
        self._judged = ledger.feedback_before(self._since)
        self._begin()

    def _begin(self) -> None:
        """Count from here on."""
        self._rounds: dict[Figure, Rounds] = {figure: Rounds() for figure in FIGURES}
        self._weighed = {figure: _weighing(figure, self._settings) for figure in FIGURES}
        self._known: dict[str, set[str]] = {"served": set(), "split": set(), "disliked": set(), "corrected": set()}
        self._answers = [0, 0]
        self._units = [0, 0]

    def read(self, now: float) -> None:
        """Count what came since the last time and is old enough."""

        def next_served(after: Place, until: float) -> list[ServedRow]:
            return self._ledger.served_by(self._sides, after=after, until=until, limit=AT_ONCE)

        until = _ripe(self._ledger, self._times, now)
        self._served = _read(next_served, self._serve, self._served, until)
        self._read_feedback()
        for figure, rounds in self._rounds.items():
            self._weighed[figure].add(rounds.take())

    def _read_feedback(self) -> None:
        while True:
            rows = self._ledger.judged_of(self._sides, since=self._since, after=self._judged, limit=AT_ONCE)
            for row in rows:
                self._judge(row)
                self._judged = row.sequence
            if len(rows) < AT_ONCE:
                return

    def observed(self, hours: float) -> Observed:
        """Return what was seen, `hours` after the rollout began."""
        return Observed(
            figures=tuple(_seen(figure, rounds, self._weighed[figure]) for figure, rounds in self._rounds.items()),
            units=(self._units[0], self._units[1]),
            answers=(self._answers[0], self._answers[1]),
            hours=hours,
        )

    def _serve(self, row: ServedRow) -> None:
        challenger = row.release == self._release
        missed = not challenger and self._was_meant_for_challenger(row)
        if missed and row.at < self._times.loading_until:
            self._since = row.at  # not loaded there yet: what is before this was not split, the same users among it
            self._begin()
            return
        place = 0 if challenger else 1
        self._answers[place] += 1
        if not leads(row.event):
            return
        if self._is_new("split", row.user_key):
            self._units[place] += 1
        failed = row.failed or (row.abandoned and row.silent and row.seconds >= min(LONG_SECONDS, self._times.slow))
        if missed or (row.abandoned and not failed) or not self._is_new("served", row.user_key):
            return
        self._rounds["failures"].add(challenger, float(failed))
        self._rounds["slow"].add(challenger, float(row.seconds > self._times.slow))

    def _was_meant_for_challenger(self, row: ServedRow) -> bool:
        key = key_of(self._settings.assign, row.user_key, row.event)
        return leads(row.event) and side(key, self._release, self._share) == "challenger"

    def _is_new(self, what: str, user_key: str) -> bool:
        """Return whether a user is met for the first time, and note it; who gave no key always is."""
        if not (self._by_user and user_key):
            return True
        if user_key in self._known[what]:
            return False
        self._known[what].add(user_key)
        return True

    def _judge(self, row: JudgedRow) -> None:
        if row.at < self._since:
            return
        challenger = row.release == self._release
        if row.rating is not None and self._is_first("disliked", row):
            self._rounds["disliked"].add(challenger, (1.0 - row.rating) / 2.0)
        if row.label is not None and self._is_first("corrected", row):
            self._rounds["corrected"].add(challenger, float(row.label != row.output))

    def _is_first(self, figure: str, row: JudgedRow) -> bool:
        """Return whether this is the first word of a user in this step, or on a call without one."""
        key = f"user {row.user_key}" if self._by_user and row.user_key else f"call {call_of(row.event)}"
        if key in self._known[figure]:
            return False
        self._known[figure].add(key)
        return True


class Unseen:
    """A shadow's answers beside those that were shown to the same requests."""

    def __init__(self, ledger: Ledger, began: RolloutRow, settings: Rollout, times: Times) -> None:
        self._ledger = ledger
        self._release = began.release
        self._times = times
        self._after: Place = (began.at, 0)
        self._differences: dict[Figure, list[float]] = {figure: [] for figure in SEEN_UNSEEN}
        self._weighed = {figure: _weighing(figure, settings) for figure in SEEN_UNSEEN}
        self._bad: dict[Figure, list[float]] = {figure: [0.0, 0.0] for figure in SEEN_UNSEEN}
        self._n, self._same, self._similar = 0, 0, 0.0
        self._seconds: tuple[list[float], list[float]] = ([], [])
        self._usd = [0.0, 0.0]

    def read(self, now: float) -> None:
        """Compare what came since the last time and is old enough."""

        def following(after: Place, until: float) -> list[ShadowRow]:
            return self._ledger.shadows_of(self._release, after=after, until=until, limit=AT_ONCE)

        self._after = _read(following, self._compare, self._after, _ripe(self._ledger, self._times, now))
        for figure, differences in self._differences.items():
            self._weighed[figure].add(differences)
            differences.clear()

    def observed(self, hours: float) -> Observed:
        """Return what was seen so far, `hours` after the rollout began."""
        n = self._n
        figures = tuple(
            Seen(figure, weighed.evidence, (n, n), (_share(self._bad[figure][0], n), _share(self._bad[figure][1], n)))
            for figure, weighed in self._weighed.items()
        )
        compared = Shadowed(
            n=n,
            same=_share(self._same, n),
            similar=_share(self._similar, n),
            seconds=(_median(self._seconds[0]), _median(self._seconds[1])),
            usd_per_1000=(_share(self._usd[0], n) * 1000.0, _share(self._usd[1], n) * 1000.0),
        )
        return Observed(figures=figures, units=(0, 0), answers=(n, n), hours=hours, shadow=compared)

    def _compare(self, row: ShadowRow) -> None:
        slow = (row.seconds > self._times.slow, row.shown_seconds > self._times.slow)
        pairs: dict[Figure, tuple[bool, bool]] = {"failures": (row.failed, row.shown_failed), "slow": slow}
        for figure, (mine, shown) in pairs.items():
            self._differences[figure].append(float(mine) - float(shown))
            self._bad[figure][0] += mine
            self._bad[figure][1] += shown
        self._n += 1
        self._same += shadow.same(row.output, row.shown)
        self._similar += shadow.similar(row.output, row.shown)
        self._seconds[0].append(row.seconds)
        self._seconds[1].append(row.shown_seconds)
        self._usd[0] += row.usd
        self._usd[1] += row.shown_usd


Watch = SideBySide | Unseen


def watch(ledger: Ledger, began: RolloutRow, settings: Rollout, times: Times) -> Watch:
    """Return what counts a step that began with that row."""
    kind = Unseen if began.strategy == "shadow" else SideBySide
    return kind(ledger, began, settings, times)


def _ripe(ledger: Ledger, times: Times, now: float) -> float:
    """Return until when events were asked that count: by now their answers are over, and on record.

    While the log comes late to the ledger (which was away, say), it is as if it were as early as that.
    """
    return min(now, ledger.recorded_until()) - times.whole


def _read(
    following: Callable[[Place, float], list[InTime]], count: Callable[[InTime], None], after: Place, until: float
) -> Place:
    """Count all rows after a place and until a time, and return the last one's place."""
    while True:
        rows = following(after, until)
        for row in rows:
            count(row)
        if rows:
            after = (rows[-1].at, rows[-1].sequence)
        if len(rows) < AT_ONCE:
            return after


def _weighing(figure: Figure, settings: Rollout) -> Weighing:
    return Weighing(getattr(settings.margins, figure))


def _seen(figure: Figure, rounds: Rounds, weighed: Weighing) -> Seen:
    (challenger, control), (bad, other) = rounds.counts, rounds.sums
    means = (_share(bad, challenger), _share(other, control))
    return Seen(figure, weighed.evidence, (challenger, control), means)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _median(values: Sequence[float]) -> float:
    return float(median(values)) if values else 0.0
