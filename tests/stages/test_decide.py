from functools import cache

import msgspec
import numpy as np
import pytest
from verdict_scene import (
    ACCURACY,
    BETTER,
    GOOD,
    OPEN,
    SAME,
    WORSE,
    a_comparison,
    a_trial,
    evidence,
    judge,
    measured,
    share,
)

from lifeloop.core.brief import Gate, Objective
from lifeloop.core.content import canonical
from lifeloop.core.evidence import Comparison, Guarantee, MetricValue, Verdict
from lifeloop.stages.decide import check, decide, is_shown
from lifeloop.stats.power import items_for_any_look
from lifeloop.stats.sequential import mean_interval, sign_e_value

# better, as good and cheaper, neither, not yet known


def test_a_better_challenger_is_promoted_whatever_it_costs():
    verdict = judge(BETTER, usd=(9.0, 1.0))
    assert verdict.decision == "promote"
    assert verdict.reason.startswith("it is better on accuracy by +0.0400, interval +0.02")
    assert verdict.more_examples == 0


def test_a_challenger_as_good_and_cheaper_is_promoted():
    verdict = judge(SAME, usd=(0.5, 1.0))
    assert verdict.decision == "promote"
    assert "as good on accuracy" in verdict.reason
    assert "costs 50% less" in verdict.reason


@pytest.mark.parametrize("usd", [(1.0, 1.0), (0.96, 1.0), (2.0, 1.0), (0.0, 0.0)])
def test_a_challenger_as_good_but_not_cheaper_is_rejected(usd):
    verdict = judge(SAME, usd=usd)
    assert verdict.decision == "reject"
    assert "but not cheaper" in verdict.reason


@pytest.mark.parametrize("usd", [(0.1, 1.0), (1.0, 1.0)])
def test_a_worse_challenger_is_rejected_even_if_cheaper(usd):
    verdict = judge(WORSE, usd=usd)
    assert verdict.decision == "reject"
    assert verdict.reason.startswith("it is worse on accuracy by -0.0400, interval -0.05")


def test_a_gain_too_small_to_be_worth_finding_is_rejected_for_good():
    verdict = judge(a_comparison(60, 60, 2000))
    assert verdict.decision == "reject"
    assert "any gain on accuracy is below the 0.03 worth finding" in verdict.reason
    assert verdict.more_examples == 0


def test_what_is_below_the_gain_worth_finding_may_still_be_as_good_where_it_is_cheaper():
    assert judge(a_comparison(60, 60, 2000), usd=(1.0, 1.0)).decision == "reject"
    open_still = judge(a_comparison(60, 60, 2000), usd=(0.5, 1.0))
    assert open_still.decision == "undecided"
    assert "as good or better, at less cost," in open_still.reason
    n = 2000 + open_still.more_examples
    assert judge(a_comparison(round(0.03 * n), round(0.03 * n), n), usd=(0.5, 1.0)).decision == "promote"


def test_an_open_question_says_how_many_more_examples_it_takes():
    verdict = judge(OPEN)
    assert verdict.decision == "undecided"
    assert "whether it is better on accuracy is open" in verdict.reason
    assert 100 < verdict.more_examples < 5000
    enough = judge(
        a_comparison(
            *(round(share * (1000 + verdict.more_examples)) for share in (0.09, 0.06)), 1000 + verdict.more_examples
        )
    )
    assert enough.decision == "promote"


def test_cost_alone_settles_an_open_question_once_nothing_can_be_lost():
    """At one look the fixed-sample interval of OPEN excludes a loss; the always-valid one does not yet."""
    assert OPEN.low > -0.01 > OPEN.always_low
    assert judge(OPEN, usd=(0.5, 1.0)).decision == "undecided"
    assert judge(a_comparison(180, 140, 2000), usd=(0.5, 1.0)).decision == "promote"


def test_a_fixed_sample_interval_above_zero_is_no_evidence_for_who_may_look_again():
    peeked = a_comparison(71, 48)
    assert peeked.low > 0 and peeked.p_value < 0.05
    assert judge(peeked).decision == "undecided"


def test_enough_evidence_is_one_over_alpha_at_the_gates_confidence():
    on_the_edge = msgspec.structs.replace(OPEN, e_value=20.0)
    assert judge(on_the_edge).decision == "promote"
    assert judge(msgspec.structs.replace(OPEN, e_value=19.9)).decision == "undecided"
    assert judge(on_the_edge, gate=Gate(confidence=0.99)).decision == "undecided"
    assert judge(msgspec.structs.replace(OPEN, e_value=100.0), gate=Gate(confidence=0.99)).decision == "promote"


def test_a_comparison_without_always_valid_evidence_promotes_nothing():
    blind = msgspec.structs.replace(BETTER, e_value=None, worse_e_value=None, always_low=None, always_high=None)
    verdict = judge(blind, usd=(0.1, 1.0))
    assert verdict.decision == "undecided"
    assert verdict.more_examples > 0


def test_more_examples_go_on_growing_past_the_planned_number():
    """A gain of half the effect is neither shown nor excluded at the planned number of examples."""
    verdict = judge(a_comparison(230, 185, 3000))
    assert verdict.decision == "undecided"
    assert 100 < verdict.more_examples < 30_000


def test_without_a_comparison_nothing_is_known():
    verdict = judge()
    assert verdict.decision == "undecided"
    assert verdict.more_examples > 0


# targets


@pytest.mark.parametrize(
    ("right", "state"),
    [(1000, "met"), (860, "met"), (815, "undecided"), (800, "undecided"), (790, "undecided"), (700, "missed")],
)
def test_a_target_is_met_or_missed_by_a_whole_interval(right, state):
    verdict = judge(BETTER, metrics=(share("accuracy", right, 1000),))
    (result,) = verdict.objectives
    assert (result.state, result.target, result.direction) == (state, 0.8, "max")
    assert verdict.decision == {"met": "promote", "missed": "reject", "undecided": "undecided"}[state]
    assert (result.more_examples > 0) == (state == "undecided")
    assert verdict.more_examples == result.more_examples


def test_the_examples_that_a_target_lacks_would_settle_it():
    (result,) = judge(BETTER, metrics=(share("accuracy", 815, 1000),)).objectives
    n = 1000 + result.more_examples
    assert judge(BETTER, metrics=(share("accuracy", round(0.815 * n), n),)).objectives[0].state == "met"


def test_a_missed_target_names_the_metric_its_interval_and_the_target():
    verdict = judge(BETTER, metrics=(share("accuracy", 700, 1000),))
    assert verdict.reason.startswith("accuracy is 0.7, interval 0.6705 to 0.7283, which misses the target of 0.8")


@pytest.mark.parametrize(
    ("low", "high", "state"), [(0.02, 0.05, "met"), (0.04, 0.09, "undecided"), (0.06, 0.09, "missed")]
)
def test_for_some_metrics_less_is_better(low, high, state):
    error = MetricValue("calibration_error", (low + high) / 2, low, high, 1000)
    objectives = (ACCURACY, Objective("calibration_error", target=0.05))
    verdict = judge(BETTER, objectives=objectives, metrics=(GOOD, error))
    assert verdict.objectives[1].state == state
    assert verdict.decision == {"met": "promote", "missed": "reject", "undecided": "undecided"}[state]


@pytest.mark.parametrize(("p95_ms", "state"), [(49.0, "met"), (50.0, "met"), (51.0, "missed")])
def test_what_is_measured_meets_its_target_or_does_not(p95_ms, state):
    verdict = judge(BETTER, objectives=(ACCURACY, Objective("p95_ms", target=50.0)), p95_ms=(p95_ms, 20.0))
    assert verdict.objectives[1].state == state


def test_a_target_on_a_metric_that_applies_to_no_example_is_not_met():
    verdict = judge(BETTER, objectives=(ACCURACY, Objective("out_of_scope_recall", target=0.5)))
    assert verdict.decision == "undecided"
    assert verdict.objectives[1].state == "undecided"
    assert "out_of_scope_recall (no test example tells)" in verdict.reason


# guards


GUARDED = (ACCURACY, Objective("macro_f1", guard=True, margin=0.01))


@pytest.mark.parametrize(
    ("only_ours", "only_theirs", "state", "decision"),
    [
        (5, 5, "kept", "promote"),
        (50, 20, "kept", "promote"),
        (20, 80, "broken", "reject"),
        (40, 45, "undecided", "undecided"),
    ],
)
def test_a_guard_is_kept_broken_or_open(only_ours, only_theirs, state, decision):
    verdict = judge(BETTER, a_comparison(only_ours, only_theirs, metric="macro_f1"), objectives=GUARDED)
    (guard,) = verdict.guards
    assert (guard.metric, guard.state, guard.target) == ("macro_f1", state, None)
    assert verdict.decision == decision
    assert (guard.more_examples > 0) == (state == "undecided")
    if state == "broken":
        assert "breaks the guard on macro_f1" in verdict.reason


@pytest.mark.parametrize(("ours", "state"), [(20.0, "kept"), (10.0, "kept"), (21.9, "kept"), (22.1, "broken")])
def test_a_measured_guard_may_grow_by_a_share_of_the_champions(ours, state):
    objectives = (ACCURACY, Objective("p95_ms", guard=True, margin=0.1))
    verdict = judge(BETTER, measured("p95_ms", ours, 20.0), objectives=objectives, p95_ms=(ours, 20.0))
    assert verdict.guards[0].state == state


def test_a_broken_guard_outweighs_an_open_target():
    verdict = judge(
        BETTER, a_comparison(20, 80, metric="macro_f1"), objectives=GUARDED, metrics=(share("accuracy", 815, 1000),)
    )
    assert verdict.decision == "reject"


def test_a_guard_that_neither_side_has_is_kept_and_one_that_only_the_champion_has_is_open():
    objectives = (ACCURACY, Objective("calibration_error", guard=True))
    error = MetricValue("calibration_error", 0.02, 0.01, 0.03, 1000)
    assert judge(BETTER, objectives=objectives).guards[0].state == "kept"
    lost = judge(BETTER, objectives=objectives, champion_metrics=(GOOD, error))
    assert lost.guards[0].state == "undecided"
    assert lost.decision == "undecided"


# guards on slices, and many questions at once


SLICED = (Objective("accuracy", target=0.8, guard=True, margin=0.01, slices=("domain",)),)


def test_a_guard_holds_on_every_slice_it_names():
    broken = a_comparison(0, 30, 200, slice="domain=travel")
    verdict = judge(BETTER, broken, a_comparison(2, 1, 200, slice="domain=banking"), objectives=SLICED)
    assert [(guard.slice, guard.state) for guard in verdict.guards] == [
        ("", "kept"),
        ("domain=travel", "broken"),
        ("domain=banking", "kept"),
    ]
    assert verdict.decision == "reject"
    assert "breaks the guard on accuracy for domain=travel" in verdict.reason
    assert judge(BETTER, broken).decision == "promote", "only where the brief asks for slices"
    other = msgspec.structs.replace(broken, slice="length=long")
    assert judge(BETTER, other, objectives=SLICED).decision == "promote"


def test_a_slice_need_only_not_be_shown_to_be_broken():
    """Forty examples cannot show that nothing is lost there; overall the absence of harm must be shown."""
    verdict = judge(BETTER, a_comparison(1, 2, 40, slice="domain=travel"), objectives=SLICED)
    assert [(guard.slice, guard.state) for guard in verdict.guards] == [("", "kept"), ("domain=travel", "kept")]
    assert verdict.decision == "promote"
    tiny = judge(BETTER, a_comparison(0, 25, 29, slice="domain=travel"), objectives=SLICED)
    assert [guard.slice for guard in tiny.guards] == [""], "fewer than 30 examples say nothing"


def test_among_twenty_slices_one_that_looks_broken_by_chance_does_not_reject():
    unlucky = a_comparison(2, 14, 200, slice="domain=d0")
    alone = judge(BETTER, unlucky, objectives=SLICED)
    assert alone.decision == "reject"

    others = [a_comparison(3, 3, 200, slice=f"domain=d{number}") for number in range(1, 20)]
    verdict = judge(BETTER, unlucky, *others, objectives=SLICED)

    result = next(guard for guard in verdict.guards if guard.slice == "domain=d0")
    assert result.high < -0.01, "its own interval says broken"
    assert result.p_value == pytest.approx(alone.guards[1].p_value)
    assert result.adjusted_p > 0.025 > result.p_value
    assert (result.state, verdict.decision) == ("kept", "promote")


@pytest.mark.slow
def test_equal_slices_break_a_guard_at_most_as_often_as_the_level_says():
    chance, runs, rejected = np.random.default_rng(5), 300, 0
    for _ in range(runs):
        slices = []
        for number in range(12):
            ours, theirs, _ = chance.multinomial(300, [0.05, 0.06, 0.89])  # worse by exactly the margin
            slices.append(a_comparison(int(ours), int(theirs), 300, slice=f"domain=d{number}"))
        rejected += judge(BETTER, *slices, objectives=SLICED).decision == "reject"
    assert rejected / runs <= 0.05


def test_a_target_missed_by_a_hair_among_many_questions_is_open():
    near = share("accuracy", 772, 1000)  # alone: missed at the one-sided 2.5%
    assert judge(BETTER, metrics=(near,)).objectives[0].state == "missed"
    slices = [a_comparison(3, 3, 200, slice=f"domain=d{number}") for number in range(12)]
    verdict = judge(BETTER, *slices, metrics=(near,), objectives=SLICED)
    assert verdict.objectives[0].state == "undecided"
    assert verdict.decision == "undecided"
    assert verdict.more_examples > 0


def test_less_may_be_better_for_the_first_objective_too():
    error = Objective("calibration_error", target=0.5)
    fewer, more = a_comparison(20, 60, metric="calibration_error"), a_comparison(60, 20, metric="calibration_error")
    # Whoever compares turns e-values the metric's way; differences are as measured.
    turned = [msgspec.structs.replace(c, e_value=c.worse_e_value, worse_e_value=c.e_value) for c in (fewer, more)]
    metrics = (MetricValue("calibration_error", 0.1, 0.05, 0.15, 1000),)
    assert judge(turned[0], objectives=(error,), metrics=metrics).decision == "promote"
    assert judge(turned[1], objectives=(error,), metrics=metrics).decision == "reject"


# promises of thresholds


PROMISE = Guarantee("careful", "an in-scope request is answered wrongly or withheld", 0.05, 0.7, 0.046)


@pytest.mark.parametrize(("n_bad", "kept"), [(0, True), (50, True), (60, True), (80, False)])
def test_a_promise_is_kept_unless_test_contradicts_it(n_bad, kept):
    found = check(PROMISE, n_bad, 1000, 0.95)
    assert (found.test, found.kept) == (n_bad / 1000, kept)
    assert found.test_low <= found.test <= found.test_high
    assert msgspec.structs.replace(found, test=None, test_low=0.0, test_high=1.0, kept=None) == PROMISE


def test_a_promise_about_nothing_is_not_checked():
    assert check(PROMISE, 0, 0, 0.95) == PROMISE


def test_a_verdict_shows_the_promises_it_was_given():
    given = msgspec.structs.replace(evidence(a_trial("a", GOOD), a_trial("b", GOOD), BETTER), guarantees=(PROMISE,))
    assert decide(given, [ACCURACY], {"accuracy": "max"}, Gate()).guarantees == (PROMISE,)


def test_the_guard_split_can_only_stop():
    broken = judge(BETTER, a_comparison(0, 20, 100, split="guard"))
    assert broken.decision == "reject"
    assert [guard.state for guard in broken.guards] == ["broken"]
    small = judge(BETTER, a_comparison(1, 3, 50, split="guard"))
    assert small.decision == "promote"
    assert small.guards == ()


def test_harder_conditions_are_shown_and_do_not_decide():
    worse = a_comparison(0, 50, 200, suite="typos")
    verdict = judge(BETTER, worse)
    assert verdict.decision == "promote"
    assert worse in verdict.comparisons


# what a verdict holds


def test_a_verdict_holds_every_number_it_rests_on_and_can_be_kept():
    objectives = (*GUARDED, Objective("out_of_scope_recall", target=0.5), Objective("calibration_error", guard=True))
    for verdict in (judge(BETTER, objectives=objectives), judge()):
        assert msgspec.json.decode(canonical(verdict), type=Verdict) == verdict
    verdict = judge(BETTER, usd=(0.5, 2.0))
    assert (verdict.challenger, verdict.champion) == ("id of challenger", "id of champion")
    assert verdict.usd_per_1000 == (0.5, 2.0)
    assert verdict.trials == {"challenger/test/clean": "t1", "champion/test/clean": "t2"}
    assert verdict.comparisons == (BETTER,)
    (target,) = verdict.objectives
    assert target.p_value == target.adjusted_p > 0.99, "far from missed"
    assert not is_shown(None, 0.95)


# how often it errs


def simulate(
    ours: float, theirs: float, both: float, n: int, runs: int, usd: tuple[float, float], seed: int
) -> list[str]:
    """Judge challengers that alone are right on a share of items, the champion alone on another, both on a third."""
    chance = np.random.default_rng(seed)
    decisions = []
    for only_ours, only_theirs, shared, _ in chance.multinomial(
        n, [ours, theirs, both, 1 - ours - theirs - both], runs
    ):
        metrics = (share("accuracy", int(only_ours + shared), n),)
        compared = a_comparison(int(only_ours), int(only_theirs), n)
        decisions.append(
            judge(compared, metrics=metrics, objectives=(Objective("accuracy", target=0.5),), usd=usd).decision
        )
    return decisions


def test_a_challenger_that_is_the_same_is_promoted_at_most_one_time_in_twenty():
    decisions = simulate(0.05, 0.05, 0.8, 1000, 250, (1.0, 1.0), seed=0)
    assert decisions.count("promote") / len(decisions) <= 0.05


def test_a_challenger_better_by_the_effect_is_found_at_the_power_promised():
    n = items_for_any_look(0.03, 0.13, 0.95, 0.8)
    chance, found, runs = np.random.default_rng(1), 0, 400
    for _ in range(runs):
        counts = chance.multinomial(20, [0.08, 0.05, 0.87], n // 20).cumsum(axis=0)
        found += any(is_shown(e_value(int(wins), int(losses)), 0.95) for wins, losses, _ in counts)
    assert found / runs >= 0.77  # planned 0.8, less two standard errors of 400 runs; `make bench` has more


@cache
def e_value(wins: int, losses: int) -> float:
    return sign_e_value(wins, losses)


def looked_at(ours: float, theirs: float, n: int, runs: int, usd: tuple[float, float], seed: int) -> list[str]:
    """Judge each challenger again after every 20 examples, up to n, and return the first verdict that is not open.

    This is the whole gate: targets, guards, intervals, cost.
    """
    chance = np.random.default_rng(seed)
    decisions = []
    for _ in range(runs):
        values = chance.choice([1.0, -1.0, 0.0], size=n, p=[ours, theirs, 1 - ours - theirs])
        decision = "undecided"
        for look in range(20, n + 1, 20):
            seen = values[:look]
            found = counted(int((seen > 0).sum()), int((seen < 0).sum()), look)
            if usd[0] < usd[1]:
                low, high = mean_interval(seen, 0.95)
                found = msgspec.structs.replace(found, always_low=low, always_high=high)
            decision = judge(found, metrics=(share("accuracy", 9 * look, 10 * look),), usd=usd).decision
            if decision != "undecided":
                break
        decisions.append(decision)
    return decisions


@cache
def counted(wins: int, losses: int, n: int) -> Comparison:
    return a_comparison(wins, losses, n)


@pytest.mark.slow
def test_looking_after_every_20_examples_does_not_promote_an_equal_challenger_more_often():
    decisions = looked_at(0.05, 0.05, 500, 150, (1.0, 1.0), seed=3)
    assert decisions.count("promote") / len(decisions) <= 0.06


@pytest.mark.slow
def test_looking_after_every_20_examples_does_not_pass_a_worse_one_as_cheaper():
    decisions = looked_at(0.02, 0.04, 600, 60, (0.5, 1.0), seed=4)
    assert decisions.count("promote") / len(decisions) <= 0.06


def test_a_challenger_worse_by_twice_the_margin_hardly_passes_as_cheaper():
    decisions = simulate(0.03, 0.05, 0.8, 2000, 200, (0.5, 1.0), seed=2)
    assert decisions.count("promote") / len(decisions) <= 0.05


def test_the_champion_cannot_win_against_itself():
    champion = a_trial("champion", share("accuracy", 950, 1000))

    verdict = decide(evidence(champion, champion, a_comparison(0, 0)), [ACCURACY], {"accuracy": "max"}, Gate())

    assert verdict.decision == "reject"
    assert "itself" in verdict.reason
