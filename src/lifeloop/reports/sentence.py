"""The verdict in one plain sentence: what goes to production and why, or why nothing does.

Takes a record, gives a sentence made from the numbers the verdict rests on, in the words of somebody who knows no
statistics. The gate's own words stand under it in the report.
"""

import math

from lifeloop.core.evidence import Comparison
from lifeloop.reports.contenders import champion_name, direction_of, how_to_write
from lifeloop.reports.numbers import Amounts, count, percent
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import held_against, metric_label

_CHEAPER = 0.95
"""As at the gate: a cost below this share of the champion's counts as cheaper."""


def verdict_sentence(record: CycleRecord) -> str:
    """Return the verdict in one sentence."""
    verdict = record.verdict
    if verdict.override_by:
        reason = _clause(verdict.override_reason)
        return f"{verdict.challenger_name} goes to production against the gate, by {verdict.override_by}: {reason}."
    why = {"promote": _why_promoted, "reject": _why_rejected, "undecided": _why_undecided}[verdict.decision](record)
    why = why or _clause(verdict.reason) or "the gate gave no reason"
    if verdict.decision == "promote":
        if record.release is None:
            return f"{verdict.challenger_name} has earned production, but no release is recorded yet: {why}."
        return f"{record.release.name} goes to production: {why}."
    yet = " yet" if verdict.decision == "undecided" else ""
    stays = "" if verdict.champion_is_baseline else f", and {champion_name(record)} stays"
    return f"Nothing new goes to production{yet}{stays}: {why}."


def main_comparison(record: CycleRecord) -> Comparison | None:
    """Return the comparison in the primary metric on the clean test examples, or None."""
    for comparison in record.verdict.comparisons:
        place = (comparison.metric, comparison.split, comparison.suite, comparison.slice)
        if place == (record.leaderboard.metric, "test", "clean", ""):
            return comparison
    return None


def oriented(record: CycleRecord, comparison: Comparison) -> tuple[float, float]:
    """Return the interval of the difference, turned so that more is better."""
    return _turned(record, comparison, comparison.low, comparison.high)


def _at_any_look(record: CycleRecord, comparison: Comparison) -> tuple[float, float]:
    """Return the always-valid interval, on which the gate rests, turned so that more is better."""
    if comparison.always_low is None or comparison.always_high is None:
        return oriented(record, comparison)
    return _turned(record, comparison, comparison.always_low, comparison.always_high)


def _turned(record: CycleRecord, comparison: Comparison, low: float, high: float) -> tuple[float, float]:
    return (low, high) if direction_of(record, comparison.metric) == "max" else (-high, -low)


def _is_better(record: CycleRecord, comparison: Comparison) -> bool:
    """Return whether the gate has seen the challenger better: by its e-value, or where there is none its interval."""
    if comparison.e_value is None:
        return oriented(record, comparison)[0] > 0
    return comparison.e_value * (1 - record.brief.gate.confidence) >= 1


def _why_promoted(record: CycleRecord) -> str:
    main, amounts = main_comparison(record), how_to_write(record)
    ours, theirs = record.verdict.usd_per_1000
    every = " and meets every objective" if record.verdict.objectives else ""
    if main is None or record.verdict.challenger == record.verdict.champion:
        return ""
    metric, rival = metric_label(main.metric), champion_name(record)
    if _is_better(record, main):
        better = _gap(amounts, main.metric, main.difference, "better")
        return f"it is {better} than {rival} on {metric}{every}"
    if ours < theirs * _CHEAPER:
        saved = "costs nothing" if ours <= 0 else f"costs {percent(1 - ours / theirs, 0)} less"
        return f"it is as good as {rival} on {metric}, {saved}{every}"
    return ""


def _why_rejected(record: CycleRecord) -> str:
    verdict, amounts = record.verdict, how_to_write(record)
    challenger, rival = verdict.challenger_name, champion_name(record)
    for result in verdict.objectives:
        if result.state == "missed":
            value, target = held_against(amounts, result)
            return f"{metric_label(result.metric)} of {challenger} is {value}, and {target} was asked"
    for result in verdict.guards:
        if result.state == "broken":
            worse = _gap(amounts, result.metric, result.value, "worse")
            return f"{challenger} is {worse} than {rival} on {metric_label(result.metric)}, more than the guard allows"
    return _why_not_better(record, amounts)


def _why_not_better(record: CycleRecord, amounts: Amounts) -> str:
    """Return why a challenger that breaks nothing is still not worth a change."""
    main, gate = main_comparison(record), record.brief.gate
    challenger, rival = record.verdict.challenger_name, champion_name(record)
    if main is None or record.verdict.challenger == record.verdict.champion:
        return ""
    low, high = _at_any_look(record, main)
    metric = metric_label(main.metric)
    if high < 0 or oriented(record, main)[1] < 0:
        return f"{challenger} is {_gap(amounts, main.metric, main.difference, 'worse')} than {rival} on {metric}"
    if low > -gate.margin:
        return f"{challenger} is as good as {rival} on {metric}, but neither better nor cheaper"
    if high < gate.effect:
        worth = amounts.difference(main.metric, gate.effect).lstrip("+")
        return f"whatever {challenger} gains over {rival} on {metric} is less than the {worth} that are worth a change"
    return ""


def _why_undecided(record: CycleRecord) -> str:
    verdict, amounts = record.verdict, how_to_write(record)
    challenger, rival, more = verdict.challenger_name, champion_name(record), verdict.more_examples
    open_ = ""
    if main_comparison(record) and verdict.challenger != verdict.champion:
        open_ = f"{challenger} is better than {rival} on {metric_label(record.leaderboard.metric)}"
    for result in (*reversed(verdict.guards), *reversed(verdict.objectives)):  # so that the first objective is last
        if result.state == "undecided" and result.target is not None:
            open_ = f"{metric_label(result.metric)} of {challenger} is {held_against(amounts, result)[1]}"
        elif result.state == "undecided":
            open_ = f"{challenger} is worse than {rival} on {metric_label(result.metric)}"
    if not open_:
        return ""
    wanted = f"; about {count(more, 'further test example')} would" if more > 0 else ""
    return f"the examples at hand cannot show whether {open_}{wanted}"


def _gap(amounts: Amounts, metric: str, difference: float, word: str) -> str:
    """Return by how much something is better or worse; without the number where there is none."""
    return f"{amounts.difference(metric, abs(difference)).lstrip('+')} {word}" if math.isfinite(difference) else word


def _clause(reason: str) -> str:
    """Return the gate's reason so that it can follow a colon: without its full stop, and beginning small."""
    text = reason.strip().rstrip(".")
    first = text.split(maxsplit=1)[0] if text else ""
    return text[0].lower() + text[1:] if first.istitle() and first.isalpha() else text
