"""What a running rollout has come to in its present step: read from the ledger once, then only what is new.

Takes the row with which the step began, gives what was observed. Decides nothing.

Where users are assigned, a user's answers hang together: one who asks for what no model can do fails each time. So of
a user who gave a key the first answer in a step counts, and the first rating and the first label; of the others each
answer. The users of a step are then independent of one another, which the tests rest on.
"""

from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

from lifeloop.core.rollout_brief import Figure, Rollout
from lifeloop.stages import shadow
from lifeloop.stages.roll_out import Observed, Seen, Shadowed
from lifeloop.stats.two_sides import Rounds, Weighing
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import JudgedRow, RolloutRow, ServedRow, ShadowRow

AT_ONCE = 20_000
"""Rows of one query."""
SETTLE_SECONDS = 2.0
"""What is served so soon after a step began may have been assigned by the step before."""
RIPE_SECONDS = 60.0
"""Who was assigned counts towards the split when they asked so long ago: slow answers are on record later than fast
ones, and one side may be slow."""
FIGURES: tuple[Figure, ...] = ("failures", "slow", "disliked", "corrected")
SEEN_UNSEEN: tuple[Figure, ...] = ("failures", "slow")
"""What of an answer that nobody saw can be held against the one that was shown."""

Row = TypeVar("Row", ServedRow, JudgedRow, ShadowRow)


class SideBySide:
    """The two sides of a canary or an A/B test in one step."""

    def __init__(self, ledger: Ledger, began: RolloutRow, settings: Rollout, slow_seconds: float) -> None:
        self._ledger = ledger
        self._release = began.release
        self._sides = (began.release, began.control)
        self._since = began.at + SETTLE_SECONDS
        self._by_user = settings.assign == "user"
        self._slow_seconds = slow_seconds
        self._after = ledger.numbers_before(self._since)
        self._rounds: dict[Figure, Rounds] = {figure: Rounds() for figure in FIGURES}
        self._weighed = {figure: _weighing(figure, settings) for figure in FIGURES}
        self._known: dict[str, set[str]] = {"served": set(), "disliked": set(), "corrected": set()}
        self._answers = [0, 0]
        self._units = [0, 0]
        self._unripe: deque[tuple[float, int]] = deque()

    def read(self) -> None:
        """Count what came since the last time."""
        served, judged = self._after

        def next_served(after: int) -> list[ServedRow]:
            return self._ledger.served_by(self._sides, since=self._since, after=after, limit=AT_ONCE)

        def next_judged(after: int) -> list[JudgedRow]:
            return self._ledger.judged_of(self._sides, since=self._since, after=after, limit=AT_ONCE)

        self._after = (_read(next_served, self._serve, served), _read(next_judged, self._judge, judged))
        for figure, rounds in self._rounds.items():
            self._weighed[figure].add(rounds.take())

    def observed(self, now: float, hours: float) -> Observed:
        """Return what was seen until now, `hours` after the rollout began."""
        while self._unripe and self._unripe[0][0] <= now - RIPE_SECONDS:
            self._units[self._unripe.popleft()[1]] += 1
        return Observed(
            figures=tuple(_seen(figure, rounds, self._weighed[figure]) for figure, rounds in self._rounds.items()),
            units=(self._units[0], self._units[1]),
            answers=(self._answers[0], self._answers[1]),
            hours=hours,
        )

    def _serve(self, row: ServedRow) -> None:
        challenger = row.release == self._release
        place = 0 if challenger else 1
        self._answers[place] += 1
        if self._by_user and row.user_key:
            if row.user_key in self._known["served"]:
                return
            self._known["served"].add(row.user_key)
        self._unripe.append((row.at, place))
        self._rounds["failures"].add(challenger, float(row.failed))
        self._rounds["slow"].add(challenger, float(row.seconds > self._slow_seconds))

    def _judge(self, row: JudgedRow) -> None:
        challenger = row.release == self._release
        if row.rating is not None and self._is_first("disliked", row):
            self._rounds["disliked"].add(challenger, (1.0 - row.rating) / 2.0)
        if row.label is not None and self._is_first("corrected", row):
            self._rounds["corrected"].add(challenger, float(row.label != row.output))

    def _is_first(self, figure: str, row: JudgedRow) -> bool:
        """Return whether this is the first word of a user in this step, or on an event without one."""
        key = f"user {row.user_key}" if self._by_user and row.user_key else f"event {row.event}"
        if key in self._known[figure]:
            return False
        self._known[figure].add(key)
        return True


class Unseen:
    """A shadow's answers beside those that were shown to the same requests."""

    def __init__(self, ledger: Ledger, began: RolloutRow, settings: Rollout, slow_seconds: float) -> None:
        self._ledger = ledger
        self._release = began.release
        self._since = began.at
        self._slow_seconds = slow_seconds
        self._after, _ = ledger.numbers_before(self._since)
        self._differences: dict[Figure, list[float]] = {figure: [] for figure in SEEN_UNSEEN}
        self._weighed = {figure: _weighing(figure, settings) for figure in SEEN_UNSEEN}
        self._bad: dict[Figure, list[float]] = {figure: [0.0, 0.0] for figure in SEEN_UNSEEN}
        self._n, self._same, self._similar = 0, 0, 0.0
        self._seconds: tuple[list[float], list[float]] = ([], [])
        self._usd = [0.0, 0.0]

    def read(self) -> None:
        """Compare what came since the last time."""

        def following(after: int) -> list[ShadowRow]:
            return self._ledger.shadows_of(self._release, since=self._since, after=after, limit=AT_ONCE)

        self._after = _read(following, self._compare, self._after)
        for figure, differences in self._differences.items():
            self._weighed[figure].add(differences)
            differences.clear()

    def observed(self, now: float, hours: float) -> Observed:
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
        slow = (row.seconds > self._slow_seconds, row.shown_seconds > self._slow_seconds)
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


def watch(ledger: Ledger, began: RolloutRow, settings: Rollout, slow_seconds: float) -> Watch:
    """Return what counts a step that began with that row."""
    kind = Unseen if began.strategy == "shadow" else SideBySide
    return kind(ledger, began, settings, slow_seconds)


def _read(following: Callable[[int], list[Row]], count: Callable[[Row], None], after: int) -> int:
    """Count all rows after a number, and return the last one's."""
    while True:
        rows = following(after)
        for row in rows:
            count(row)
        if rows:
            after = rows[-1].sequence
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
