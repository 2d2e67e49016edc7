"""Which preferences may be trusted: what all guards of alignment say, in the order in which each helps the next.

Takes preferences, gives those that training may use, with weights, and those that a person should look at first, with
why. What is told by words goes first, for it names single pairs; a rater is only set aside for what is left of theirs.
Knows nothing of files, feedback or models.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from scipy import special

from lifeloop.core.data import Finding
from lifeloop.core.preferences import Doubt, Lean, Preference, Rater
from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.bursts import find_bursts
from lifeloop.guards.alignment.collusion import find_groups
from lifeloop.guards.alignment.contradictions import find_contradictions
from lifeloop.guards.alignment.flips import find_flips, flip_rate
from lifeloop.guards.alignment.influence import capped, share_of_one
from lifeloop.guards.alignment.leans import find_leans
from lifeloop.guards.alignment.raters import find_unreliable, overlaps
from lifeloop.guards.alignment.reading import Reading, read_pairs, texts_of
from lifeloop.guards.alignment.table import Flags, Floats, Places, Table, tabled
from lifeloop.guards.alignment.triggers import Trigger, find_triggers
from lifeloop.guards.guard import finding
from lifeloop.stats.agreement import Reliability

BOTH = "the rater prefers both: what one says here is the opposite of what one says elsewhere"
TRIGGER = "a phrase that is rewarded whatever else is said, by few raters or against all others"
ANSWER = "one answer that few raters reward again and again"
BURST = "said in a burst"
COLLUSION = "raters who agree with each other against everyone else"
RATER = "a rater who is not reliable"
FLIP = "an order that what all others prefer makes improbable"
STEP = "preferences"
MOST_UNSIGNED = 0.5
"""Of the weight, what nobody signed is worth a word above this."""


class Judged(Struct, frozen=True):
    """What is trusted and what is not, and why."""

    trusted: tuple[Preference, ...]
    """As given, in the order given, with weights in (0, 1]."""
    doubts: dict[str, Doubt]
    """By id. Each preference is either trusted or here."""
    raters: tuple[Rater, ...]
    """By name."""
    leans: tuple[Lean, ...]
    flip_rate: float
    """Estimated share of the trusted pairs whose order is the wrong one, in [0, 0.5); 0 where nothing tells it."""
    findings: tuple[Finding, ...]


class _State:
    """What is left, and the doubts so far. Lives while one set of preferences is judged."""

    def __init__(self, table: Table, keep: Collection[str]) -> None:
        kept = frozenset(keep)
        self.table = table
        self.kept = np.array([each.id in kept for each in table.preferences], dtype=np.bool_)
        self.left = np.ones(table.n, dtype=np.bool_)
        self.doubts: dict[int, Doubt] = {}

    def doubt(self, places: Iterable[int], reason: str, detail: str) -> None:
        """Set aside what is left of these, but for what a person said is fine."""
        for place in places:
            if self.left[place] and not self.kept[place]:
                self.left[place] = False
                self.doubts[place] = Doubt(self.table.preferences[place].id, reason, detail)


def judged(preferences: Sequence[Preference], settings: Trust, keep: Collection[str] = ()) -> Judged:
    """Return which preferences may be trusted.

    `keep` are ids of those that people looked at and said are fine: no guard doubts them again. Ids must be unique. The
    order of the preferences changes nothing but the order of those trusted. With `settings.on` false all are trusted.
    """
    table = tabled(preferences)
    if not settings.on or not table.n:
        return Judged(tuple(preferences), {}, _raters(table, None, {}, _given(table), {}), (), 0.0, ())
    state = _State(table, keep)
    texts = texts_of(table)
    findings = []
    state.doubt(find_contradictions(table, state.left).tolist(), BOTH, "")
    first = read_pairs(table, texts, state.left)
    found = find_triggers(table, texts, first, state.left)
    if not found.by_raters:
        findings.append(finding(STEP, "kept", "planted triggers were looked for without raters: weaker evidence", []))
    for trigger in found.triggers:
        state.doubt(trigger.places.tolist(), ANSWER if trigger.whole else TRIGGER, trigger.detail)
    for burst in find_bursts(table, settings.burst_minutes, state.left):
        state.doubt(burst.places.tolist(), BURST, burst.detail)
    groups = _alike(found.triggers, len(table.raters)) if found.by_raters else []
    reading = read_pairs(table, texts, state.left)
    for group in find_groups(table, reading, state.left):
        groups.append(group.raters)
        state.doubt(group.places.tolist(), COLLUSION, group.detail)
    notes = _unreliable(state, reading, settings)
    reading = read_pairs(table, texts, state.left)
    before, known = state.left.copy(), overlaps(table, state.left)
    flips = np.zeros(0, dtype=np.int64)
    if settings.flips:
        flips = find_flips(reading, state.left & ~state.kept, settings.most)
    for place in flips.tolist():
        probability = special.expit(reading.margin[place])
        state.doubt([place], FLIP, f"probability {probability:.2f} of this order, by pairs of other inputs")
    rate = flip_rate(table, reading, known, before, flips)
    if rate is None:
        findings.append(finding(STEP, "kept", "nothing tells how many of the orders are wrong ones", []))
    leaning = find_leans(table, texts, reading, state.left, correct_length=settings.length)
    weights, owner, acting = _weights(state, leaning.weights, groups, settings)
    findings += _unsigned_findings(table, weights)
    findings += _capped_findings(state, leaning.weights, weights, owner, acting, settings)
    notes |= {rater: f"counts as one with {', '.join(names)}" for rater, names in acting.items() if rater not in notes}
    place_of = {each.id: place for place, each in enumerate(table.preferences)}
    trusted = tuple(
        msgspec.structs.replace(each, weight=float(weights[place_of[each.id]]))
        for each in preferences
        if state.left[place_of[each.id]]
    )
    doubts = {doubt.preference: doubt for _, doubt in sorted(state.doubts.items())}
    return Judged(
        trusted=trusted,
        doubts=doubts,
        raters=_raters(table, overlaps(table, np.ones(table.n, dtype=np.bool_)), state.doubts, weights, notes),
        leans=leaning.leans,
        flip_rate=rate or 0.0,
        findings=(*_doubt_findings(state), *findings),
    )


def _alike(triggers: Iterable[Trigger], n_raters: int) -> list[tuple[int, ...]]:
    """Return the raters of each trigger that several reward."""
    found = {tuple(rater for rater in trigger.few if rater < n_raters) for trigger in triggers}
    return sorted(few for few in found if len(few) > 1)


def _unreliable(state: _State, reading: Reading, settings: Trust) -> dict[int, str]:
    """Set aside all that unreliable raters said, and return what is wrong with each.

    Once more without the worst: a rater who only ever overlapped with one of them looks no better than they did.
    """
    notes: dict[int, str] = {}
    for _ in range(2):
        found = find_unreliable(state.table, reading, state.left, settings)
        fresh = [each for each in found if each.rater not in notes]
        for each in fresh:
            notes[each.rater] = each.detail
            state.doubt(np.flatnonzero(state.table.rater == each.rater).tolist(), RATER, each.detail)
        if not fresh:
            break
    return notes


def _given(table: Table) -> Floats:
    return np.array([each.weight for each in table.preferences], dtype=np.float64)


def _weights(
    state: _State, leaning: Floats, groups: list[tuple[int, ...]], settings: Trust
) -> tuple[Floats, Places, dict[int, list[str]]]:
    """Return the weights (n,), who they are counted for, and with whom each rater counts as one."""
    names = state.table.raters
    owner_of = list(range(len(names)))
    for group in groups:  # whoever shares a rater is one group
        owners = {owner_of[rater] for rater in group}
        owner_of = [min(owners) if owner in owners else owner for owner in owner_of]
    owner = np.array([*owner_of, -1], dtype=np.int64)[state.table.rater]
    weights = np.where(state.left, np.clip(_given(state.table) * leaning, 1e-3, 1.0), 0.0)
    made = capped(weights, owner, settings.most_of_one)
    acting = {
        rater: [names[other] for other in range(len(names)) if owner_of[other] == owner_of[rater] and other != rater]
        for rater in range(len(names))
        if owner_of.count(owner_of[rater]) > 1
    }
    return made, owner, acting


def _capped_findings(
    state: _State, leaning: Floats, weights: Floats, owner: Places, acting: dict[int, list[str]], settings: Trust
) -> list[Finding]:
    """Return what was found of influence: whose preferences weigh less than they would."""
    table = state.table
    before = np.clip(_given(table) * leaning, 1e-3, 1.0)
    less = state.left & (owner >= 0) & (weights < 0.999 * before)
    found = []
    for one in np.unique(owner[less]).tolist():
        here = np.flatnonzero(less & (owner == one))
        share = share_of_one(len(np.unique(owner[state.left & (owner >= 0)])), settings.most_of_one)
        name = table.raters[one] + (f" and {len(acting[one])} who act alike" if one in acting else "")
        said = f"{name} said more than {share:.0%} of all: weighs {(weights[here] / before[here]).mean():.2f}"
        sources = [table.preferences[place].source for place in here.tolist()]
        found.append(finding(STEP, "kept", said, sources))
    return found


def _unsigned_findings(table: Table, weights: Floats) -> list[Finding]:
    """Return what was found of influence that nothing bounds."""
    unsigned = table.rater < 0
    share = weights[unsigned].sum() / max(weights.sum(), 1e-9)
    if share <= MOST_UNSIGNED:
        return []
    said = f"{share:.0%} of the weight has no rater: nothing bounds how much of it is one person's"
    sources = [table.preferences[place].source for place in np.flatnonzero(unsigned & (weights > 0)).tolist()]
    return [finding(STEP, "kept", said, sources)]


def _doubt_findings(state: _State) -> list[Finding]:
    by_reason: dict[str, list[str]] = {}
    for place, doubt in sorted(state.doubts.items()):
        each = state.table.preferences[place]
        by_reason.setdefault(doubt.reason, []).append(each.source or each.id)
    return [finding(STEP, "quarantined", reason, sources) for reason, sources in by_reason.items()]


def _raters(
    table: Table, known: Reliability | None, doubts: dict[int, Doubt], weights: Floats, notes: dict[int, str]
) -> tuple[Rater, ...]:
    """Return what is known of each rater, reliability by all that they said."""
    doubted = np.zeros(table.n, dtype=np.bool_)
    doubted[list(doubts)] = True
    made = []
    for rater, name in enumerate(table.raters):
        here = table.rater == rater
        n_overlaps = int(known.n_votes[rater]) if known is not None else 0
        kept: Flags = here & ~doubted
        made.append(
            Rater(
                name=name,
                n=int(here.sum()),
                reliability=float(known.of_rater[rater]) if known is not None and n_overlaps else None,
                n_overlaps=n_overlaps,
                n_doubted=int((here & doubted).sum()),
                weight=float(weights[kept].mean()) if kept.any() else 0.0,
                note=notes.get(rater, ""),
            )
        )
    return tuple(made)
