"""Evaluate: lists the trials a decision needs: challenger, champion and the challenger's parent on test, on guard, and
under each suite.

Takes the two candidates and the task, gives trial orders by role, and what their trials are to be compared on. `trial`
and `compare` carry it out.
"""

from collections.abc import Sequence

import msgspec

from lifeloop import plugins
from lifeloop.core.brief import Objective
from lifeloop.core.content import Id
from lifeloop.core.evidence import OPERATIONAL, Trial
from lifeloop.engine.trial import CLEAN, TrialOrder
from lifeloop.stages.objectives import SMALLEST_SLICE
from lifeloop.suites.suite import Suite

VERSION = "1"
SUITE_ITEMS = 200
"""Test examples a suite is run on: enough to see a collapse, which is what suites are for."""

Order = tuple[str, TrialOrder]
"""`ROLE/SPLIT/SUITE`, and the trial."""


def orders(
    challenger: Id, champion: Id, blank: TrialOrder, n_guard: int, suites: Sequence[str], parent: Id = ""
) -> list[Order]:
    """Return the orders, in the order in which they tell most. `blank` holds the settings that all share.

    `parent` is whom the challenger was adapted from; who is the champion too is tried once.
    """
    listed: list[Order] = []
    roles = [("challenger", challenger), ("champion", champion)]
    if parent and parent != champion:
        roles.append(("parent", parent))
    for role, candidate in roles:
        one = msgspec.structs.replace(blank, candidate=candidate, split="test", suite=CLEAN, max_items=0)
        listed.append((f"{role}/test/{CLEAN}", one))
        if n_guard:
            listed.append((f"{role}/guard/{CLEAN}", msgspec.structs.replace(one, split="guard")))
        for suite in suites:
            changed = msgspec.structs.replace(one, suite=suite, max_items=SUITE_ITEMS)
            listed.append((f"{role}/test/{suite}", changed))
    return listed


def questions(objectives: Sequence[Objective], challenger: Trial) -> list[tuple[str, str]]:
    """Return what a pair of trials is compared on, as metric and slice ("" for all examples), each once.

    The first objective everywhere; on the clean test split also every guarded metric, and every slice with enough
    examples of the columns that its guard names.
    """
    asked = [(objectives[0].metric, "")]
    if (challenger.split, challenger.suite) != ("test", CLEAN):
        return asked
    guards = [objective for objective in objectives if objective.guard]
    asked += [(objective.metric, "") for objective in guards]
    asked += [
        (objective.metric, name)
        for objective in guards
        if objective.metric not in OPERATIONAL
        for column in objective.slices
        for name, values in challenger.slices.items()
        if name.startswith(f"{column}=") and max((value.n for value in values), default=0) >= SMALLEST_SLICE
    ]
    return list(dict.fromkeys(asked))


def suites_for(task: str) -> tuple[str, ...]:
    """Return the names of the installed suites that fit a task."""
    found: list[str] = []
    for name in plugins.names("suites"):
        suite: Suite = plugins.get("suites", name)
        if not suite.tasks or task in suite.tasks:
            found.append(name)
    return tuple(found)
