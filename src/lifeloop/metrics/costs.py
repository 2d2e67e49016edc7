"""Costs: what a wrong label costs, in money or whatever people count in. Mean cost a request; less is better.

Takes one price for wrong answers and dearer or cheaper ones for particular mix-ups.
"""

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import Direction
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored

ANY = "*"


class Cost(Struct, frozen=True, forbid_unknown_fields=True):
    """What one mix-up costs."""

    cost: float
    """What a request of that kind costs."""
    reference: str = ANY
    """The right label; "*" for any."""
    answer: str = ANY
    """What was answered instead; "*" for any other label."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What answers cost."""

    currency: str = "EUR"
    """What costs are counted in."""
    wrong: float = 1.0
    """A wrong label that `costs` does not name."""
    right: float = 0.0
    """The right label; negative where it earns something."""
    failed: float | None = None
    """No usable answer; none: it costs what `costs` says of the reference with any answer, or `wrong`."""
    costs: tuple[Cost, ...] = ()
    """Particular mix-ups: { reference = "complaint", answer = "*", cost = 12 }. One that names both labels goes before
    one that names the reference alone, and that before one that names the answer alone."""


def price(settings: Settings, table: dict[tuple[str, str], float], reference: str, answer: str | None) -> float:
    """Return what an answer costs, None being no usable one. `table` is `settings.costs` by reference and answer."""
    if answer is None:
        by_any = table.get((reference, ANY), table.get((ANY, ANY), settings.wrong))
        return by_any if settings.failed is None else settings.failed
    if (reference, answer) in table:
        return table[reference, answer]
    if reference == answer:
        return settings.right
    return table.get((reference, ANY), table.get((ANY, answer), table.get((ANY, ANY), settings.wrong)))


class CostsKind:
    """Metric kind "costs"."""

    settings = Settings
    tasks = ("classify",)
    version = "2"

    def direction(self, settings: Settings) -> Direction:
        """Return that less is better."""
        return "min"

    def files(self, settings: Settings) -> dict[str, str]:
        """Return that it reads none."""
        return {}

    def metric(self, name: str, settings: Settings, surroundings: Surroundings) -> Metric:
        """Return the mean cost a request. Raises BriefError for numbers that are none, and for unknown labels."""
        _check(name, settings, surroundings.labels)
        table = {(entry.reference, entry.answer): entry.cost for entry in settings.costs}

        def columns(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            return np.array([[price(settings, table, item.reference, item.prediction)] for item in scored]).reshape(
                -1, 1
            )

        every = [settings.wrong, settings.right, *table.values()]
        every += [] if settings.failed is None else [settings.failed]
        about = f"mean cost of a request, in {settings.currency}"
        return Metric(name, "min", columns, first, about, bounds=(min(every), max(every)))


def _check(name: str, settings: Settings, labels: Sequence[str]) -> None:
    numbers: list[tuple[str, Any]] = [(key, getattr(settings, key)) for key in ("wrong", "right", "failed")]
    numbers += [(f"costs[{place}].cost", entry.cost) for place, entry in enumerate(settings.costs)]
    for key, number in numbers:
        if number is not None and not math.isfinite(number):
            raise BriefError(f"{number} is no cost", where=key_of(name, key), fix="write a number")
    seen: set[tuple[str, str]] = set()
    for place, entry in enumerate(settings.costs):
        pair = (entry.reference, entry.answer)
        if pair in seen:
            raise BriefError(
                f"{entry.reference!r} answered with {entry.answer!r} has a cost already",
                where=key_of(name, f"costs[{place}]"),
                fix="keep one of the two",
            )
        seen.add(pair)
        for key, label in (("reference", entry.reference), ("answer", entry.answer)):
            if labels and label != ANY and label not in labels:
                close = difflib.get_close_matches(label, labels, n=1)
                raise BriefError(
                    f"the data has no label {label!r}",
                    where=key_of(name, f"costs[{place}].{key}"),
                    fix=f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(labels[:20])}",
                )


KIND = CostsKind()
