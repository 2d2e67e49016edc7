"""Narrow or broad: one paragraph, made from the numbers, on which side wins this use case and by what factor.

Takes a record, gives sentences. Two qualities count as different only where their intervals do not overlap, which is
the cautious rule for candidates that were not compared in an experiment of their own.
"""

import math
from collections.abc import Sequence

from lifeloop.core.evidence import Direction
from lifeloop.reports.blocks import Text
from lifeloop.reports.contenders import Contender, Side, contenders, direction_of, how_to_write
from lifeloop.reports.numbers import Amounts, megabytes, milliseconds, times, usd
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import metric_label

_SIDE_NAMES: dict[Side, str] = {"narrow": "specialist", "broad": "broad model", "cascade": "cascade"}
_LEVEL = 1.05
"""Up to this factor, two measurements of time, memory or money count as the same."""


def narrow_or_broad(record: CycleRecord) -> Text:
    """Return the paragraph that compares the best specialist, the best broad model and the best cascade."""
    field, direction, amounts = (
        contenders(record),
        direction_of(record, record.leaderboard.metric),
        how_to_write(record),
    )
    narrow, broad, cascade = (_best(field, side, direction) for side in ("narrow", "broad", "cascade"))
    sentences = _duel(narrow, broad, direction, amounts) if narrow and broad else _alone(narrow, broad, amounts)
    rivals = [rival for rival in (narrow, broad) if rival]
    if cascade and rivals:
        best = _first(rivals, direction)
        sentences += _cascade(cascade, best, direction, amounts)
    elif cascade:
        sentences.append(f"The best cascade, {_introduced(cascade, amounts)}")
    sentences.append(_asked(record, [rival for rival in (narrow, broad, cascade) if rival], direction, amounts))
    return Text(lead=sentences[0], text=" ".join(sentence for sentence in sentences[1:] if sentence))


def _best(field: Sequence[Contender], side: Side, direction: Direction) -> Contender | None:
    ours = [contender for contender in field if contender.side == side]
    return _first(ours, direction) if ours else None


def _first(field: Sequence[Contender], direction: Direction) -> Contender:
    sign = -1 if direction == "max" else 1
    return min(field, key=lambda contender: sign * contender.quality.value)


def _winner(one: Contender, other: Contender, direction: Direction) -> Contender | None:
    """Return the one whose quality is clearly better, or None where the intervals overlap or are unknown."""
    a, b = one.quality, other.quality
    if not all(math.isfinite(end) for end in (a.low, a.high, b.low, b.high)):
        return None
    if a.low > b.high:
        return one if direction == "max" else other
    if b.low > a.high:
        return other if direction == "max" else one
    return None


def _introduced(contender: Contender, amounts: Amounts) -> str:
    metric = contender.quality.metric
    value = amounts.value(metric, contender.quality.value)
    interval = amounts.interval(metric, contender.quality.low, contender.quality.high)
    kind = f" ({contender.kind})" if contender.kind not in ("", contender.name) else ""
    return f"{contender.name}{kind}, reaches {metric_label(metric)} {value}{f' ({interval})' if interval else ''}."


def _alone(narrow: Contender | None, broad: Contender | None, amounts: Amounts) -> list[str]:
    if not (narrow or broad):
        return ["Neither a specialist nor a broad model gave a result, so this cycle cannot compare the two."]
    found, missing = (narrow, "broad model") if narrow else (broad, "specialist")
    assert found is not None
    return [
        f"No {missing} gave a result in this cycle, so it cannot tell whether one would do better.",
        f"The best {_SIDE_NAMES[found.side]}, {_introduced(found, amounts)}",
    ]


def _duel(narrow: Contender, broad: Contender, direction: Direction, amounts: Amounts) -> list[str]:
    winner = _winner(narrow, broad, direction)
    metric = narrow.quality.metric
    gap = amounts.difference(metric, abs(narrow.quality.value - broad.quality.value)).lstrip("+")
    if winner is None:
        quality = (
            f"In quality the two are too close to call on these examples: they differ by {gap}, and their intervals "
            "overlap or are not known."
        )
    else:
        quality = f"In quality the {_SIDE_NAMES[winner.side]} clearly wins, by {gap}: the intervals do not overlap."
    wins, details = _costs(narrow, broad)
    return [
        _headline(winner, wins, narrow, broad),
        f"The best specialist, {_introduced(narrow, amounts)}",
        f"The best broad model, {_introduced(broad, amounts)}",
        quality,
        details,
    ]


def _headline(winner: Contender | None, wins: dict[str, Contender | None], narrow: Contender, broad: Contender) -> str:
    """Return who wins, from the quality and from the measurements where one side is ahead."""
    ahead = [side for side in wins.values() if side is not None]
    for ours, theirs in ((narrow, broad), (broad, narrow)):
        name = "Narrow" if ours is narrow else "Broad"
        if winner is ours and theirs not in ahead:
            return f"{name} wins: it is better, and by these measurements nowhere slower, larger or dearer."
        if winner is ours:
            return f"{name} wins on quality, but not on everything."
        if winner is None and ahead and theirs not in ahead:
            return f"{name} wins: quality is too close to call, and it takes less."
    takes = "each takes less of something" if ahead else "they take about the same"
    return f"Neither side is ahead: quality is too close to call, and {takes}."


def _costs(narrow: Contender, broad: Contender) -> tuple[dict[str, Contender | None], str]:
    """Return who is ahead in latency, memory and cost, and a sentence with the factors."""
    a, b = narrow.trial.measurements, broad.trial.measurements
    wins: dict[str, Contender | None] = {}
    parts = []
    for what, mine, other, written in (
        ("p95 latency", a.p95_ms, b.p95_ms, milliseconds),
        ("memory", a.memory_mb, b.memory_mb, megabytes),
        ("cost of 1,000 requests", a.usd_per_1000, b.usd_per_1000, usd),
    ):
        numbers = f"{written(mine)} against {written(other)}"
        if not (math.isfinite(mine) and math.isfinite(other)):
            wins[what] = None
            parts.append(f"{what} cannot be compared ({numbers})")
            continue
        factor = _factor(mine, other)
        wins[what] = None if factor is None else narrow if mine < other else broad
        parts.append(f"{what} is {_compared(mine, other)} ({numbers})")
    text = f"Seen from the specialist, {', '.join(parts[:-1])}, and {parts[-1]}."
    return wins, text


def _factor(mine: float, other: float) -> float | None:
    """Return by what factor two measurements differ (inf where one is nothing), or None where they are about equal."""
    small, large = sorted((mine, other))
    if large <= 0 or (small > 0 and large / small < _LEVEL):
        return None
    return large / small if small > 0 else math.inf


def _compared(mine: float, other: float) -> str:
    factor = _factor(mine, other)
    if factor is None:
        return "about the same"
    if math.isinf(factor):
        return "nothing" if mine < other else "something where the other takes nothing"
    return f"{times(factor)} {'lower' if mine < other else 'higher'}"


def _cascade(cascade: Contender, best: Contender, direction: Direction, amounts: Amounts) -> list[str]:
    """Return how the best cascade compares with the better of the two sides."""
    metric = cascade.quality.metric
    winner = _winner(cascade, best, direction)
    difference = cascade.quality.value - best.quality.value
    gap = amounts.difference(metric, abs(difference)).lstrip("+")
    better = (difference > 0) == (direction == "max")
    if difference == 0:
        outcome = f"the same as {best.name}"
    elif winner is None:
        outcome = f"{gap} {'better' if better else 'worse'} than {best.name}, which is too close to call"
    else:
        outcome = f"{gap} {'better' if better else 'worse'} than {best.name}, clearly"
    ours, theirs = cascade.trial.measurements, best.trial.measurements
    takes = [
        f"{what} {_compared(mine, other)}"
        for what, mine, other in (
            ("p95 latency", ours.p95_ms, theirs.p95_ms),
            ("memory", ours.memory_mb, theirs.memory_mb),
            ("cost", ours.usd_per_1000, theirs.usd_per_1000),
        )
        if math.isfinite(mine) and math.isfinite(other)
    ]
    beside = f" Against {best.name}: {', '.join(takes)}." if takes else ""
    return [f"The best cascade, {_introduced(cascade, amounts)} That is {outcome}.{beside}"]


def _asked(record: CycleRecord, rivals: Sequence[Contender], direction: Direction, amounts: Amounts) -> str:
    """Return which of the best reach the target on validation."""
    target, metric = record.brief.primary.target, record.leaderboard.metric
    if target is None or not rivals or record.brief.primary.metric != metric:
        return ""
    sign = 1 if direction == "max" else -1
    reach = [rival.name for rival in rivals if sign * rival.quality.value >= sign * target]
    asked = amounts.value(metric, target)
    if not reach:
        return (
            f"{'None of them reaches' if len(rivals) > 1 else 'It does not reach'} the target of {asked} on validation."
        )
    if len(reach) == len(rivals):
        who = ("It reaches", "Both reach", "All three reach")[len(reach) - 1]
        return f"{who} the target of {asked} on validation."
    verb = "reaches" if len(reach) == 1 else "reach"
    return f"Of these, {' and '.join(reach)} {verb} the target of {asked} on validation."
