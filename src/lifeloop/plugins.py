"""The seams: names from the brief to code, by entry point.

A model kind, trainer, adaptation, task, metric, suite, data source, exporter, feature or filter is one object that a
package (ours or another) declares under `lifeloop.SEAM` in its metadata. This module finds it; what it must be able to
do is the protocol beside each package's own implementations, and `tests/contracts` holds any implementation to it.
"""

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lifeloop.core.errors import BriefError

SEAMS: dict[str, str] = {
    "models": "model kind",
    "trainers": "trainer",
    "adaptations": "adaptation",
    "tasks": "task",
    "metrics": "metric kind",
    "suites": "suite",
    "sources": "data source",
    "exporters": "exporter",
    "features": "feature",
    "filters": "filter",
}


def names(seam: str) -> tuple[str, ...]:
    """Return the names installed at a seam, sorted."""
    return tuple(sorted(_found(seam)))


def find(seam: str, name: str) -> Any | None:
    """Return the object of that name, or None where nothing of that name is installed."""
    entry = _found(seam).get(name)
    return entry.load() if entry else None


def get(seam: str, name: str, where: str = "") -> Any:
    """Return the object of that name. Raises BriefError that lists the names there are."""
    found = find(seam, name)
    if found is None:
        known = names(seam)
        close = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(known)}"
        raise BriefError(f"there is no {SEAMS[seam]} {name!r}", where=where, fix=fix)
    return found


@cache  # what is installed does not change while a process runs, and reading metadata takes milliseconds
def _found(seam: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"lifeloop.{seam}")}
