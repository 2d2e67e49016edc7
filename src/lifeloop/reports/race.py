"""The race: which candidates were stopped early, on what each elimination rested, and the calls that it saved.

Takes a record, gives blocks. Knows nothing of how a race is run.
"""

from lifeloop.core.evidence import Elimination, Standing
from lifeloop.reports.blocks import Block, Cell, Column, Row, Table, Text
from lifeloop.reports.contenders import direction_of
from lifeloop.reports.numbers import Amounts, count, percent
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import confidence, metric_label


def race_blocks(record: CycleRecord, amounts: Amounts) -> list[Block]:
    """Return what the race eliminated and why, or nothing where it eliminated nobody."""
    out = [(standing, standing.eliminated) for standing in record.leaderboard.standings if standing.eliminated]
    if not out:
        return []
    metric = record.leaderboard.metric
    rows = tuple(_row(record, standing, found, amounts) for standing, found in out)
    heads = (
        Column("Candidate"),
        Column("Stopped after", True),
        Column("Leader then"),
        Column(f"Difference in {metric_label(metric)}", True),
        Column("Always-valid interval"),
    )
    margin = amounts.difference(metric, out[0][1].margin).lstrip("+")
    return [
        Text(
            lead="Stopped early.",
            text=f"{_saved(record)} A candidate is stopped once it is shown to be worse than the leader by more than "
            f"the margin of {margin}. The intervals hold however often one looks, at {confidence(record)} "
            "confidence for the race as a whole.",
        ),
        Table(caption="On what each elimination rested", columns=heads, rows=rows),
    ]


def _row(record: CycleRecord, standing: Standing, found: Elimination, amounts: Amounts) -> Row:
    metric = record.leaderboard.metric
    sign = 1.0 if direction_of(record, metric) == "max" else -1.0  # the race turns differences so that less is worse
    low, high = sorted((sign * found.low, sign * found.high))
    return Row(
        cells=(
            Cell(standing.name),
            Cell(f"{found.n_items:,} of {count(found.of_items, 'example')}"),
            Cell(found.leader),
            Cell(amounts.difference(metric, sign * found.difference)),
            Cell(amounts.difference_interval(metric, low, high), note=found.method),
        )
    )


def _saved(record: CycleRecord) -> str:
    """Return which share of the answers the race did without."""
    whole = max((s.eliminated.of_items for s in record.leaderboard.standings if s.eliminated), default=0)
    tried = [standing.trial.n_items for standing in record.leaderboard.standings if standing.trial]
    asked, all_of_them = sum(tried), whole * len(tried)
    if not all_of_them or asked >= all_of_them:
        return ""
    saved = percent(1 - asked / all_of_them, 0)
    whole_field = "answers that trying everybody on everything takes"
    return f"The race needed {asked:,} of the {all_of_them:,} {whole_field}, {saved} less."
