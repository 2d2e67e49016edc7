"""Thresholds that keep a promise: cascades with a risk, and candidates that abstain."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models import abstain, cascade
from lifeloop.tasks.task import Scope
from lifeloop.training.abstention import TRAINER as ABSTENTION
from lifeloop.training.thresholds import TRAINER as CASCADE
from lifeloop.training.trainer import Decided, Materials, MemberAnswers

TASK = plugins.get("tasks", "classify")
OTHER = "oos"


class Day:
    """Requests with the answers of a member that is the likelier to be right the surer it is."""

    def __init__(self, n: int, seed: int, *, share_other: float = 0.0) -> None:
        chance = np.random.default_rng(seed)
        other = chance.random(n) < share_other
        sure = np.where(other, chance.beta(1.5, 3, n), chance.beta(6, 1.2, n)).round(4)
        right = chance.random(n) < 0.5 + sure / 2
        self.examples = tuple(Example(str(row), "x", OTHER if none else "a", "") for row, none in enumerate(other))
        self.cheap = tuple(Answer("a" if ok else "b", float(c)) for ok, c in zip(right, sure, strict=True))
        self.dear = tuple(Answer("a" if ok else "b") for ok in chance.random(n) < 0.97)

    def materials(self, settings, *members: tuple[Answer, ...], out_of_scope: str = "") -> Materials:
        said = tuple(MemberAnswers(f"m{place}", answers, 1.0) for place, answers in enumerate(members))
        made = Materials("classify", ("a", "b", OTHER), settings, (), self.examples, None, None, None, said, 0)
        return msgspec.structs.replace(made, out_of_scope=out_of_scope)


def careful(day: Day, risk: float = 0.05, out_of_scope: str = "", **more) -> Decided:
    settings = abstain.Settings(("m0",), risk, **more)
    return ABSTENTION.build(day.materials(settings, day.cheap, out_of_scope=out_of_scope), Path(), silent)


def lost_on(day: Day, decided: Decided) -> np.ndarray:
    """Serve another day through the candidate, and count what its own answers lost."""
    member = Fixed(day.cheap)
    threshold, silence = decided.settings["threshold"], decided.settings["out_of_scope"]
    answers = abstain.Abstaining("m0", member, threshold, silence).answer(day.examples)
    return abstain.losses(decided.settings, TASK, day.examples, answers, Scope(("a", "b", OTHER), silence))


class Fixed:
    """A model that gives the answers it was given."""

    batch_size, concurrency = 8, 1

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = answers

    def answer(self, requests) -> list[Answer]:
        return list(self._answers[: len(requests)])


# abstaining


@pytest.mark.parametrize("out_of_scope", ["", OTHER])
def test_over_many_days_the_risk_is_kept_on_the_next_day(out_of_scope):
    share = 0.2 if out_of_scope else 0.0
    risk = 0.15 if out_of_scope else 0.05
    days = [(Day(400, seed, share_other=share), Day(400, 1000 + seed, share_other=share)) for seed in range(100)]
    lost = [lost_on(later, careful(today, risk, out_of_scope)).mean() for today, later in days]
    # The promise is on the mean; 100 pairs of days leave it a standard error of a tenth of the risk at most.
    assert risk / 2 < np.mean(lost) < risk + 2 * np.std(lost) / 10


def test_what_is_lost_at_the_threshold_on_validation_is_written_down():
    for out_of_scope in ("", OTHER):
        day = Day(500, 1, share_other=0.2)
        decided = careful(day, 0.3, out_of_scope)
        assert decided.settings["validation_risk"] == pytest.approx(lost_on(day, decided).mean())
        assert decided.settings["risk_on"]
        assert decided.settings["out_of_scope"] == out_of_scope


def test_a_smaller_risk_withholds_less_where_an_answer_is_owed_and_more_where_none_is():
    day = Day(2000, 3, share_other=0.2)
    owed = [careful(day, risk, OTHER).settings["threshold"] for risk in (0.12, 0.2, 0.4)]
    free = [careful(day, risk).settings["threshold"] for risk in (0.02, 0.05, 0.1)]
    assert owed == sorted(set(owed))
    assert free == sorted(set(free), reverse=True)


def test_a_risk_that_cannot_be_kept_says_which_could():
    with pytest.raises(ModelError, match=r"no threshold keeps the risk of m0 at 0\.001") as caught:
        careful(Day(300, 0, share_other=0.2), 0.001, OTHER)
    least = float(caught.value.fix.split()[3])
    assert careful(Day(300, 0, share_other=0.2), least, OTHER).settings["threshold"] >= 0
    with pytest.raises(ModelError, match=r"on 10 validation examples the least is 0\.091"):
        careful(Day(10, 0), 0.05)


def test_a_member_that_never_says_how_sure_it_is_cannot_be_careful():
    day = Day(20, 0)
    with pytest.raises(ModelError, match="m0 gives no confidence"):
        ABSTENTION.build(day.materials(abstain.Settings(("m0",)), day.dear), Path(), silent)


def test_a_threshold_in_the_brief_is_kept_and_measured():
    day = Day(500, 2)
    decided = careful(day, threshold=0.6)
    assert decided.settings["threshold"] == 0.6
    assert decided.settings["validation_risk"] == pytest.approx(lost_on(day, decided).mean())


def test_what_failed_is_lost_whatever_the_threshold():
    day = Day(500, 2)
    failing = (Answer("", error="late"),) * 50
    settings = abstain.Settings(("m0",), 0.05)
    with pytest.raises(ModelError, match=r"the least is 0\.1"):
        ABSTENTION.build(day.materials(settings, failing + day.cheap[50:]), Path(), silent)


# cascades with a risk


def pair(day: Day, risk: float | None, **more) -> Decided:
    settings = cascade.Settings(("m0", "m1"), risk=risk, **more)
    return CASCADE.build(day.materials(settings, day.cheap, day.dear), Path(), silent)


def worse_on(day: Day, threshold: float) -> np.ndarray:
    said = tuple(
        one if one.confidence is not None and one.confidence >= threshold else other
        for one, other in zip(day.cheap, day.dear, strict=True)
    )
    return cascade.losses(TASK, day.examples, said, day.dear, Scope(("a", "b")))


def test_a_cascade_loses_no_more_than_its_risk_on_the_next_day_and_asks_the_less_the_more_it_may_lose():
    lost = {
        risk: [
            worse_on(Day(400, 500 + seed), pair(Day(400, seed), risk).settings["threshold"]).mean()
            for seed in range(60)
        ]
        for risk in (0.02, 0.05)
    }
    for risk, shares in lost.items():
        assert risk / 2 < np.mean(shares) < risk + 2 * np.std(shares) / np.sqrt(60)
    thresholds = [pair(Day(400, 0), risk).settings["threshold"] for risk in (0.01, 0.03, 0.06)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_a_cascade_may_always_ask_its_last_member_where_there_are_examples_enough():
    with pytest.raises(ModelError, match=r"no threshold keeps the risk of the cascade at 0\.01"):
        pair(Day(50, 0), 0.01)
    assert pair(Day(400, 0), 0.01).settings["validation_risk"] <= 0.01


def test_without_a_risk_the_objective_of_the_brief_is_scored():
    """The first is right on what is in scope, the second on what is not: which is better, the objective says."""
    examples = tuple(Example(str(n), "x", "a" if n < 10 else OTHER, "") for n in range(40))
    first = tuple(Answer("a", 0.9) for _ in examples)
    second = tuple(Answer(OTHER) for _ in examples)
    said = (MemberAnswers("m0", first, 1.0), MemberAnswers("m1", second, 1.0))
    made = Materials(
        "classify", ("a", OTHER), cascade.Settings(("m0", "m1")), (), examples, None, None, None, said, 0,
        out_of_scope=OTHER,
    )  # fmt: skip

    def threshold(metric: str) -> float:
        return CASCADE.build(msgspec.structs.replace(made, metric=metric), Path(), silent).settings["threshold"]

    assert threshold("in_scope_accuracy") == 0.0
    assert threshold("accuracy") > 0.9
    assert threshold("macro_f1") == threshold("accuracy")  # no average: the task's first metric stands in


def test_members_that_answered_other_examples_are_not_composed():
    day = Day(400, 0)
    settings = cascade.Settings(("m0", "m1"), risk=0.05)
    with pytest.raises(ModelError, match="m1 was tried on 150 examples"):
        CASCADE.build(day.materials(settings, day.cheap, day.dear[:150]), Path(), silent)
