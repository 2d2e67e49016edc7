"""The brief's `[release.rollout]`: in which steps a promoted candidate gets traffic, and what is watched meanwhile.

No verdict rests on it, so a change asks for no new cycle; a running rollout keeps the settings that it began with.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from lifeloop.core.bounds import Count
from lifeloop.core.errors import BriefError

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Margin = Annotated[float, Meta(gt=0.0, lt=1.0)]
Figure = Literal["failures", "slow", "disliked", "corrected"]

PROBING = 0.1
"""Above this share of the traffic a challenger must have been shown to be as good."""


class Margins(Struct, frozen=True, forbid_unknown_fields=True):
    """How much worse still counts as equal, of each figure: a share of the answers."""

    failures: Margin = 0.02
    """Answers that its candidate did not give: errors, time-outs, broken contracts; a fallback stood in, or nobody."""
    slow: Margin = 0.05
    """Answers that took longer than `slow_seconds`."""
    disliked: Margin = 0.05
    """Ratings, 1 for the worst and 0 for the best."""
    corrected: Margin = 0.05
    """Labels that people gave which are not what it had answered."""


class Rollout(Struct, frozen=True, forbid_unknown_fields=True):
    """How a promoted candidate gets to all traffic where `release.strategy` is not "direct"."""

    steps: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=20)] = (0.01, 0.05, 0.1, 0.5)
    """Shares of the traffic that a canary gets, one after the other; after the last it gets all."""
    assign: Literal["user", "request"] = "user"
    """Who is assigned: a user, who stays on one side, and of whom one answer a step counts; or each request by itself,
    which tells more where users are few and ask often. Requests without a user key are always assigned one by one."""
    watch: tuple[Figure, ...] = ("failures", "slow", "disliked", "corrected")
    """In which figures it is taken back as soon as it is shown to be worse."""
    as_good: tuple[Figure, ...] = ("failures", "slow")
    """In which it must be shown to be as good, within the margin, to get more than a tenth of the traffic."""
    better: Figure = "disliked"
    """In which it must be shown to be better where the strategy is "ab"."""
    margins: Margins = Margins()
    confidence: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95
    """Of what takes it back (over all figures, steps and looks together) and of "better"."""
    assurance: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.999
    """Of "as good": one in a thousand that is worse by the margin may pass."""
    min_events: Count = 50
    """Answers (of so many users, where users are assigned) that it gives in each step at least."""
    most_events: Count = 20_000
    """Answers in one step after which an open question ends the rollout: it is taken back as not shown."""
    hours: Annotated[float, Meta(gt=0.0)] = 336.0
    """How long the whole rollout may take."""
    slow_seconds: Annotated[float, Meta(ge=0.0)] = 0.0
    """From when an answer is slow; 0: half of release.timeout_seconds."""
    ab_share: Share = 0.5
    """Of the traffic, where the strategy is "ab"."""
    shadow_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    """Of the requests that a shadow answers unseen."""
    shadows: Count = 500
    """Answers to compare before a shadow goes on."""
    after_shadow: Literal["canary", "wait"] = "canary"
    """What comes then: a canary, or `lifeloop release --finish` by a person."""


def check_rollout(rollout: Rollout, strategy: str, file: str) -> None:
    """Raise BriefError where the settings contradict one another."""
    where = f"{file}: release.rollout"
    if list(rollout.steps) != sorted(set(rollout.steps)):
        raise BriefError("the steps do not grow", where=f"{where}.steps", fix="write e.g. steps = [0.01, 0.1, 0.5]")
    if strategy in ("canary", "shadow") and rollout.steps[0] > PROBING:
        fix = f"begin with a share of at most {PROBING:g}: nothing has been shown by then"
        raise BriefError(f"the first step is {rollout.steps[0]:g} of the traffic", where=f"{where}.steps", fix=fix)
    if rollout.min_events > rollout.most_events:
        raise BriefError("more than most_events", where=f"{where}.min_events", fix="make it smaller")
    if not rollout.as_good:
        fix = 'write as_good = ["failures"], say: what nothing is shown of must not reach everybody'
        raise BriefError("no figure to be as good in", where=f"{where}.as_good", fix=fix)
    unseen = [figure for figure in rollout.as_good if figure not in rollout.watch]
    if unseen:
        raise BriefError(f"{unseen[0]!r} is not watched", where=f"{where}.as_good", fix="add it to watch")
