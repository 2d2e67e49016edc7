"""Release: turns a verdict that promotes into a release, with those who answer in its stead.

Takes a verdict, gives a Release; whoever calls puts it in the ledger. No verdict, no release.
"""

from lifeloop.core.brief import Release as ReleaseSection
from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Leaderboard, Release, Verdict

VERSION = "1"


def release(verdict: Verdict, leaderboard: Leaderboard, section: ReleaseSection, replaces: Id) -> Release:
    """Return the release of the verdict's challenger. Raises GateError unless the verdict promotes it."""
    if verdict.decision != "promote":
        raise GateError(
            f"the verdict of cycle {verdict.cycle} is {verdict.decision!r}: {verdict.reason}",
            where="release",
            fix="only a verdict that promotes makes a release",
        )
    made = {standing.name: standing.candidate for standing in leaderboard.standings if standing.trial is not None}
    fallback = [made[name] for name in section.fallback if name in made]
    return Release(
        cycle=verdict.cycle,
        verdict=content_id(verdict),
        candidate=verdict.challenger,
        name=verdict.challenger_name,
        fallback=tuple(candidate for candidate in fallback if candidate != verdict.challenger),
        timeout_seconds=section.timeout_seconds,
        replaces=replaces,
    )
