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
from lifeloop.core.evidence import MetricValue, Verdict
from lifeloop.stages.decide import decide

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
    assert "below the 0.03 worth finding" in verdict.reason


def test_a_gain_too_small_to_be_worth_finding_is_rejected_for_good():
    verdict = judge(a_comparison(40, 45, 1000))
    assert verdict.decision == "reject"
    assert verdict.more_examples == 0


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


def test_an_open_question_is_settled_by_cost_alone_if_nothing_can_be_lost():
    assert judge(OPEN, usd=(0.5, 1.0)).decision == "promote"
    assert judge(a_comparison(90, 95), usd=(0.5, 1.0)).decision == "reject"


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
    decisions = simulate(0.05, 0.05, 0.8, 1000, 800, (1.0, 1.0), seed=0)
    assert decisions.count("promote") / len(decisions) <= 0.05


def test_a_challenger_better_by_the_effect_is_found_at_the_power_promised():
    decisions = simulate(0.08, 0.05, 0.8, 1100, 400, (1.0, 1.0), seed=1)
    assert decisions.count("promote") / len(decisions) >= 0.75


def test_a_challenger_worse_by_twice_the_margin_hardly_passes_as_cheaper():
    decisions = simulate(0.03, 0.05, 0.8, 2000, 400, (0.5, 1.0), seed=2)
    assert decisions.count("promote") / len(decisions) <= 0.05


def test_the_champion_cannot_win_against_itself():
    champion = a_trial("champion", share("accuracy", 950, 1000))

    verdict = decide(evidence(champion, champion, a_comparison(0, 0)), [ACCURACY], {"accuracy": "max"}, Gate())

    assert verdict.decision == "reject"
    assert "itself" in verdict.reason
