"""Judge: a language model scores answers by a rubric, or holds them against the reference, in both orders.

Takes scored examples, gives columns that `judge_value` combines: length control and people's ratings correct what the
judge says. Every verdict is cached. What is judged is data to the judge, never instructions.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import Direction
from lifeloop.metrics import judge_prompts
from lifeloop.metrics.human_ratings import Ratings, read_ratings
from lifeloop.metrics.judge_calls import Judge
from lifeloop.metrics.judge_value import Corrections, combined, moments
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who judges, by what, and how the judgement is corrected."""

    url: str = ""
    """Base URL of an OpenAI-compatible endpoint, ending in /v1; or none, and `local`."""
    model: str = ""
    """The judge's name at the endpoint."""
    api_key_env: str = ""
    """Environment variable that holds the endpoint's key; without one, none is sent."""
    local: str = ""
    """A model that runs here instead, as kind "llamacpp" names it; "smollm2" is the small one of the demonstration."""
    rubric: str = ""
    """What makes an answer good, in words."""
    rubric_file: str = ""
    """The same, from a file of the project."""
    mode: Literal["score", "pairwise"] = "score"
    """A score from 1 to 5, given as 0 to 1; or whether the answer beats the reference: 1 where it does in both orders
    of showing the two, 0 where it loses in both, else 0.5."""
    length_control: bool = False
    """Take out of the scores what goes with the answer's length against the reference's."""
    human: str = ""
    """JSONL file of people's ratings: `example`, or `input` and `output`, and a `score` from 0 to 1 or 1 to 5."""
    max_words: Annotated[int, Meta(ge=1)] = 600
    """Longer inputs, references and outputs are cut to this many words for the judge."""
    max_tokens: Annotated[int, Meta(ge=1)] = 16
    """Length of a verdict; more for models that think aloud first."""
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    concurrency: Annotated[int, Meta(ge=1)] = 8
    timeout_seconds: float = 60.0


class JudgeKind:
    """Metric kind "judge"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def direction(self, settings: Settings) -> Direction:
        """Return that more is better."""
        return "max"

    def files(self, settings: Settings) -> dict[str, str]:
        """Return the rubric's file and the ratings'."""
        named = {"rubric_file": settings.rubric_file, "human": settings.human}
        return {key: file for key, file in named.items() if file}

    def metric(self, name: str, settings: Settings, surroundings: Surroundings) -> Metric:
        """Return the judge's mean score. Raises BriefError where who judges, or by what, is not said."""
        _check(name, settings)
        rubric = _rubric(name, settings, surroundings)
        ratings = read_ratings(surroundings.folder / settings.human, settings.human) if settings.human else None
        judge = Judge(name, settings, rubric, surroundings)
        # The means that a remark gets leave out the rows without a verdict, so how many there were is kept here.
        unreadable: set[str] = set()
        rated: set[str] = set()

        def scores(scored: Sequence[Scored]) -> Floats:
            found = _scores(judge, settings, scored)
            unreadable.update(item.example.id for item, score in zip(scored, found, strict=True) if math.isnan(score))
            return found

        def corrected(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            humans = _human(ratings, scored)
            rated.update(item.example.id for item, human in zip(scored, humans, strict=True) if not math.isnan(human))
            answered = np.array([item.prediction is not None for item in scored], dtype=bool)
            lengths = np.array([_longer(item) for item in scored], dtype=float)
            return moments(scores(scored), answered, lengths, humans)

        def plain(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            return scores(scored).reshape(-1, 1)

        corrections = Corrections(settings.length_control, ratings is not None, ratings is not None and ratings.binary)
        about = "a language model's " + (
            "score by the rubric" if settings.mode == "score" else "verdict on the reference"
        )
        return Metric(
            name,
            "max",
            corrected if corrections.any else plain,
            (lambda means: combined(means, corrections)) if corrections.any else first,
            about,
            remark=lambda means: corrections.remark(name, means, len(rated), len(unreadable)),
        )


def _check(name: str, settings: Settings) -> None:
    if bool(settings.url) == bool(settings.local):
        raise BriefError(
            "a judge is either at a `url` or `local`",
            where=key_of(name, "url"),
            fix='write url = "https://…/v1" with a model, or local = "smollm2"',
        )
    if settings.url and not settings.model:
        raise BriefError("missing key", where=key_of(name, "model"), fix="add the judge's name at the endpoint")
    if bool(settings.rubric.strip()) == bool(settings.rubric_file):
        raise BriefError(
            "a judge has either a `rubric` or a `rubric_file`",
            where=key_of(name, "rubric"),
            fix='write rubric = "what makes an answer good"',
        )


def _rubric(name: str, settings: Settings, surroundings: Surroundings) -> str:
    if not settings.rubric_file:
        return settings.rubric.strip()
    try:
        text = (surroundings.folder / settings.rubric_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"cannot be read: {error}", where=settings.rubric_file, fix="it must be UTF-8 text") from None
    if not text:
        raise BriefError("the rubric is empty", where=settings.rubric_file, fix="write what makes an answer good")
    return text


def _scores(judge: Judge, settings: Settings, scored: Sequence[Scored]) -> Floats:
    """Return a score (n,) in [0, 1] each: 0 for a failed answer, which nobody is asked about; NaN without a verdict."""
    found = np.zeros(len(scored))
    there = [place for place, item in enumerate(scored) if item.prediction is not None]
    if not there:
        return found
    cases = [_case(scored[place], settings.max_words) for place in there]
    if settings.mode == "score":
        found[there] = judge.verdicts([judge_prompts.score(case) for case in cases])
    else:
        asked = [judge_prompts.pair(case, swapped=swapped) for case in cases for swapped in (False, True)]
        verdicts = judge.verdicts(asked)
        found[there] = [_agreed(verdicts[n], 1.0 - verdicts[n + 1]) for n in range(0, len(verdicts), 2)]
    return found


def _agreed(one: float, other: float) -> float:
    """Return a win or a loss that holds in both orders, else a tie; NaN where one of them is unreadable."""
    if math.isnan(one) or math.isnan(other):
        return math.nan
    return one if one == other else 0.5


def _case(item: Scored, max_words: int) -> judge_prompts.Case:
    parts = (item.example.input, item.reference, item.answer.output)
    return judge_prompts.Case(*(judge_prompts.cut(part, max_words) for part in parts))


def _human(ratings: Ratings | None, scored: Sequence[Scored]) -> Floats:
    """Return people's scores (n,) of the answers that did not fail; NaN where there is none."""
    if ratings is None:
        return np.full(len(scored), math.nan)
    return np.array(
        [
            math.nan if item.prediction is None else ratings.of(item.example.id, item.example.input, item.answer.output)
            for item in scored
        ],
        dtype=float,
    )


def _longer(item: Scored) -> float:
    """Return how much longer the answer is than the reference: the logarithm of the ratio of characters, 0 if equal."""
    return math.log((1 + len(item.answer.output.strip())) / (1 + len(item.reference.strip())))


KIND = JudgeKind()
