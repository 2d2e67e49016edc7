"""The preferences section of the brief: where preferences come from, and how far they are trusted.

Frozen types with their defaults. Knows nothing of formats, models or guards.
"""

from typing import Annotated

from msgspec import Meta, Struct

Part = Annotated[float, Meta(gt=0.0, lt=1.0)]
Count = Annotated[int, Meta(ge=1)]


class AiJudge(Struct, frozen=True, forbid_unknown_fields=True):
    """Preferences that a model gives, under a constitution that people wrote. They are marked for ever."""

    judge: str = ""
    """The candidate that compares; empty for none."""
    answers: str = ""
    """The candidate that writes both answers, at a temperature."""
    constitution: str = "constitution.md"
    """File with the principles, relative to the project."""
    pairs: Count = 100
    """Training inputs that two answers are compared to."""
    temperature: Annotated[float, Meta(gt=0.0, le=2.0)] = 0.8
    """Of the answers; the judge has none."""
    max_tokens: Count = 128
    """Of an answer, and of a verdict: a judge that thinks aloud must come to its end within them."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class Trust(Struct, frozen=True, forbid_unknown_fields=True):
    """What the guards of alignment hold for suspicious."""

    on: bool = True
    """Without, everything is trusted but what leaks or repeats."""
    min_reliability: Part = 0.6
    """A rater whom overlaps show to be less reliable is set aside."""
    min_overlaps: Count = 5
    """Overlapping pairs from which a rater's reliability is judged."""
    most_of_one: Part = 0.2
    """Share of the influence that one rater may have; what is above weighs less. With few raters: at least 2/raters."""
    burst_minutes: Annotated[float, Meta(gt=0.0)] = 10.0
    """Window in which a rater (or several together) saying far more than usual is a burst."""
    flips: bool = True
    """Look for pairs whose order a cross-validated model is confident is the wrong one."""
    most: Part = 0.02
    """Never set aside more than this share of the pairs for their order alone: honest raters differ, and a robust loss
    allows for the rest."""
    length: bool = True
    """Weigh pairs so that the longer answer is chosen as often as the shorter one, where length alone is rewarded."""
    reviewed: str = ""
    """A table of what people decided (columns id, keep), as `lifeloop data preferences --review` writes it."""


class PreferencesBrief(Struct, frozen=True, forbid_unknown_fields=True):
    """Where preferences come from. Those in the users' feedback come by themselves."""

    source: str | tuple[str, ...] = ()
    """Files of pairs, as data.source has them."""
    format: str = "preference"
    """preference: JSON records as TRL, HH-RLHF and UltraFeedback have them (prompt, chosen, rejected), and tables by
    their ending. Or another format of data.format, with the columns `chosen` and `rejected`, or `completion` and
    `label` (true or false) for answers rated on their own."""
    rater: str = ""
    """Column that says who preferred."""
    time: str = ""
    """Column that says when: a date or a number of seconds."""
    subject: str = ""
    """Column by which preferences are compared."""
    first: str = ""
    """Column that says which answer the rater saw first: chosen or rejected."""
    feedback: bool = True
    """Whether ratings, corrections and comparisons of users count."""
    held_out: Part = 0.1
    """Share of the inputs whose preferences training never sees, to watch it on."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    ai: AiJudge = AiJudge()
    trust: Trust = Trust()

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, in order."""
        return (self.source,) if isinstance(self.source, str) else self.source
