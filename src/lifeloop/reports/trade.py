"""The trade between shapes of a solution: one specialist, specialists behind a router, a cascade, a broad model.

Takes a record, gives a table with the best candidate of each shape: quality, latency, memory, money. What to make of it
is said in words by `scope`.
"""

from collections.abc import Sequence

from lifeloop.core.evidence import Trial
from lifeloop.reports.blocks import Block, Cell, Column, Row, Table
from lifeloop.reports.contenders import Contender, Side, contenders, direction_of, how_to_write
from lifeloop.reports.evidence import metric_cell
from lifeloop.reports.numbers import ABSENT, Amounts, megabytes, milliseconds, usd
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import metric_label

_SHAPES: dict[Side, str] = {
    "narrow": "One specialist",
    "router": "Specialists behind a router",
    "cascade": "Cascade",
    "abstaining": "Specialist that abstains",
    "broad": "One broad model",
}


def trade_blocks(record: CycleRecord) -> list[Block]:
    """Return the best candidate of each shape side by side; nothing where there is but one shape."""
    best = _best_of_each(record)
    if len(best) < 2:
        return []
    metrics = _metrics(record, best)
    amounts = how_to_write(record)
    rows = []
    for contender in best:
        found = contender.trial.measurements
        quality = [_value(contender.trial, metric, amounts) for metric in metrics]
        rows.append(
            Row(
                cells=(
                    Cell(_SHAPES[contender.side], note=contender.name),
                    *quality,
                    Cell(milliseconds(found.p95_ms)),
                    Cell(megabytes(found.memory_mb)),
                    Cell(usd(found.usd_per_1000)),
                ),
                marked=contender.standing.candidate == record.leaderboard.challenger,
            )
        )
    heads = (
        Column("Shape"),
        *(Column(metric_label(metric), True) for metric in metrics),
        Column("p95 latency", True),
        Column("Memory", True),
        Column("Cost of 1,000 requests", True),
    )
    caption = "The trade: the best of each shape, on the same validation examples"
    return [Table(caption=caption, columns=heads, rows=tuple(rows))]


def _best_of_each(record: CycleRecord) -> list[Contender]:
    """Return the best candidate of each shape; one that was tried on everything before one that was stopped early."""
    sign = 1.0 if direction_of(record, record.leaderboard.metric) == "max" else -1.0
    field = contenders(record)
    of_sides = [[contender for contender in field if contender.side == side] for side in _SHAPES]
    return [
        max(of_side, key=lambda contender: (contender.standing.eliminated is None, sign * contender.quality.value))
        for of_side in of_sides
        if of_side
    ]


def _metrics(record: CycleRecord, best: Sequence[Contender]) -> list[str]:
    """Return the primary metric and those of the other objectives that the trials score."""
    named = [record.leaderboard.metric, *(objective.metric for objective in record.brief.objectives)]
    scored = {value.metric for contender in best for value in contender.trial.metrics}
    return [metric for metric in dict.fromkeys(named) if metric in scored]


def _value(trial: Trial, metric: str, amounts: Amounts) -> Cell:
    found = next((value for value in trial.metrics if value.metric == metric), None)
    return metric_cell(found, amounts) if found else Cell(ABSENT)
