"""The words of a report: what metrics and targets are called, and those that a reader may not know.

Takes a record, gives plain language. Knows nothing of tables, HTML or Markdown.
"""

from lifeloop import plugins
from lifeloop.core.brief import Objective
from lifeloop.core.evidence import OPERATIONAL, Direction, ObjectiveResult
from lifeloop.reports.blocks import Tone
from lifeloop.reports.contenders import champion_word, metric_names
from lifeloop.reports.numbers import Amounts, count, percent
from lifeloop.reports.record import CycleRecord

_OPERATIONAL_LABELS = {
    "p50_ms": "median latency",
    "p95_ms": "p95 latency",
    "memory_mb": "memory",
    "usd_per_1000": "cost of 1,000 requests",
}

STATE_TONES: dict[str, Tone] = {"met": "good", "kept": "good", "missed": "bad", "broken": "bad", "undecided": "open"}

DECISION_TONES: dict[str, Tone] = {"promote": "good", "reject": "bad", "undecided": "open"}


def metric_label(metric: str) -> str:
    """Return what to call a metric: the brief's own name, or words for what is measured."""
    return _OPERATIONAL_LABELS.get(metric, metric)


def held_against(amounts: Amounts, result: ObjectiveResult) -> tuple[str, str]:
    """Return an objective's value and what was asked, written so that they can be told apart; "" without a target."""
    if result.target is None:
        return amounts.value(result.metric, result.value), ""
    value, target = amounts.values(result.metric, result.value, result.target)
    return value, f"{bound(result.direction)} {target}"


def bound(direction: Direction) -> str:
    """Return the words for the side of a target that is good."""
    return "at least" if direction == "max" else "at most"


def margin_of(amounts: Amounts, objective: Objective) -> str:
    """Return how much worse a guard may get: what is measured, by a share of the champion's."""
    if objective.metric in OPERATIONAL:
        return f"{percent(objective.margin)} of the champion's"
    return amounts.difference(objective.metric, objective.margin).lstrip("+")


def more_examples(record: CycleRecord) -> str:
    """Return how many further test examples would decide what is open, or "" where nothing is."""
    n = record.verdict.more_examples
    if n <= 0:
        return ""
    return (
        f"About {count(n, 'further test example')} would decide what is still open. Until then nobody can tell "
        "whether the difference is real or luck of the draw."
    )


def confidence(record: CycleRecord) -> str:
    """Return the gate's confidence as a percentage, without decimals it does not have."""
    share = record.brief.gate.confidence
    return percent(share, 0) if abs(100 * share - round(100 * share)) < 1e-9 else percent(share, 1)


def glossary(record: CycleRecord) -> tuple[tuple[str, str], ...]:
    """Return the words of this report that a reader may not know, each with its meaning."""
    champion = (
        "The simple candidate that the challenger has to beat while nothing is in production yet."
        if record.verdict.champion_is_baseline
        else "The candidate that was in production when this cycle began."
    )
    words = [
        ("Challenger", "The candidate that asks to go to production."),
        (champion_word(record).capitalize(), champion),
        (
            "Interval (“… to …”)",
            f"Where the true value lies with {confidence(record)} confidence. Fewer examples make it wider.",
        ),
        ("Points", "Percentage points: from 80% to 83% are 3 points."),
        ("Guard", "Something that a new candidate may not make worse, whatever else it improves."),
        ("p50, p95 latency", "Half, and 95 of 100, requests are answered within this time."),
        ("Validation, test, guard", "Separate examples: to choose the challenger, to judge it, and a last reserve."),
        ("p-value", "How often chance alone would give a difference this large. Small means: hardly chance."),
        (
            "Always-valid",
            "Holds however often somebody looks while examples come in; a plain interval holds for one look.",
        ),
        ("e-value", "Evidence as odds: 20 means that chance alone reaches it in at most one of 20 experiments."),
        ("Best for its cost", "No other candidate is better for the same money or less."),
    ]
    return (*words, *_metric_words(record))


def _metric_words(record: CycleRecord) -> list[tuple[str, str]]:
    """Return what the task says of its metrics; those that nobody here can explain are left out."""
    task = plugins.find("tasks", record.brief.project.task)
    known = getattr(task, "metrics", {})
    results = (*record.verdict.objectives, *record.verdict.guards)
    names = dict.fromkeys((*metric_names(record), *(result.metric for result in results)))
    about = [(name, known[name].about) for name in names if name in known and name not in OPERATIONAL]
    return [(name, f"{text[:1].upper()}{text[1:]}.") for name, text in about if text]
