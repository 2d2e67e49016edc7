import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_scene import share, standing

from lifeloop.core.brief import Objective
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Elimination, Leaderboard, Standing
from lifeloop.stages.explore import Terms, contenders, may_win_otherwise, rank

ACCURACY = Objective("accuracy", target=0.9)
FAST = Objective("p95_ms", target=50.0)


def ways(direction: str = "max") -> dict[str, str]:
    return {"accuracy": direction, "out_of_scope_recall": "max", "p95_ms": "min"}


def ranked(
    *standings: Standing,
    objectives: tuple[Objective, ...] = (ACCURACY,),
    direction: str = "max",
    margin: float = 0.01,
    champion: str = "",
    baseline: str = "",
) -> Leaderboard:
    return rank(standings, Terms(objectives, ways(direction), margin, f"id of {champion}", f"id of {baseline}"))


def out(name: str, accuracy: float, leader: str = "a") -> Standing:
    """Return a candidate that a race eliminated after 50 examples."""
    found = standing(name, accuracy, usd=0.001)
    ground = Elimination(leader, 50, 1000, -0.2, -0.4, -0.05, 0.01, "betting")
    trial = msgspec.structs.replace(found.trial, n_items=50)
    return msgspec.structs.replace(found, trial=trial, eliminated=ground)


def names(board: Leaderboard) -> list[str]:
    return [standing.name for standing in board.standings]


def test_the_best_comes_first_and_challenges():
    board = ranked(standing("a", 0.7), standing("b", 0.9), standing("c", 0.8))
    assert names(board) == ["b", "c", "a"]
    assert board.challenger == "id of b"
    assert "by more than the margin of 0.01" in board.reason


def test_among_those_within_the_margin_the_cheapest_challenges():
    board = ranked(standing("dear", 0.905, usd=10.0), standing("cheap", 0.9, usd=0.1), standing("weak", 0.8, usd=0.01))
    assert board.challenger == "id of cheap"
    assert "within 0.01 of the best accuracy on validation (dear), and the cheapest of those" in board.reason


def test_a_difference_of_exactly_the_margin_is_within_it():
    assert ranked(standing("dear", 0.91, usd=10.0), standing("cheap", 0.9, usd=0.1)).challenger == "id of cheap"
    assert ranked(standing("dear", 0.911, usd=10.0), standing("cheap", 0.9, usd=0.1)).challenger == "id of dear"


def test_a_cost_that_differs_by_the_clocks_noise_leaves_it_to_quality():
    board = ranked(standing("better", 0.905, usd=1.004), standing("other", 0.9, usd=0.996))
    assert board.challenger == "id of better"
    assert "and the cheapest within the margin" in board.reason


def test_full_ties_are_broken_by_name_so_that_the_board_repeats():
    for order in (("a", "b"), ("b", "a")):
        board = ranked(*(standing(name, 0.9) for name in order))
        assert names(board) == ["a", "b"]
        assert board.challenger == "id of a"


def test_neither_the_champion_nor_the_baseline_challenges():
    board = ranked(
        standing("champion", 0.95), standing("floor", 0.94), standing("new", 0.6), champion="champion", baseline="floor"
    )
    assert board.challenger == "id of new"
    assert names(board) == ["champion", "floor", "new"]


def test_where_there_is_no_other_the_baseline_stands_for_itself():
    assert ranked(standing("floor", 0.5), standing("new", None), baseline="floor").challenger == "id of floor"


def test_one_that_misses_an_operational_target_is_passed_over():
    slow, quick = standing("slow", 0.95, p95_ms=51.0), standing("quick", 0.8, p95_ms=50.0)
    board = ranked(slow, quick, objectives=(ACCURACY, FAST))
    assert board.challenger == "id of quick"
    assert "1 passed over for missing a target" in board.reason
    assert names(board) == ["slow", "quick"]


def test_where_all_miss_it_the_best_challenges_all_the_same():
    board = ranked(
        standing("slow", 0.95, p95_ms=80.0), standing("slower", 0.8, p95_ms=90.0), objectives=(ACCURACY, FAST)
    )
    assert board.challenger == "id of slow"
    assert "passed over" not in board.reason


def test_an_operational_guard_without_a_target_passes_over_nobody():
    guard = Objective("p95_ms", guard=True)
    assert ranked(standing("slow", 0.95, p95_ms=80.0), objectives=(ACCURACY, guard)).challenger == "id of slow"


def test_where_less_is_better_the_least_comes_first():
    board = ranked(standing("a", 0.3), standing("b", 0.1), direction="min")
    assert names(board) == ["b", "a"]
    assert board.challenger == "id of b"


def test_failures_stand_last_with_their_reason():
    board = ranked(standing("broken", None), standing("works", 0.5))
    assert names(board) == ["works", "broken"]
    assert board.standings[1].failure


def test_where_all_failed_every_reason_is_given():
    with pytest.raises(ModelError, match="a: its process was ended by SIGKILL; b: its process"):
        ranked(standing("a", None), standing("b", None))


def test_a_metric_that_applies_to_no_example_ranks_nobody():
    with pytest.raises(ModelError, match="no candidate could be tried"):
        ranked(standing("a", 0.5), objectives=(Objective("out_of_scope_recall", target=0.5),))


def test_eliminated_ones_come_after_those_tried_in_full_and_never_challenge():
    # given one that was ahead on the few examples it was tried on, cheaper than anybody
    board = ranked(
        standing("a", 0.9), out("lucky", 0.95), out("weak", 0.4), standing("b", 0.3), standing("broken", None)
    )
    assert names(board) == ["a", "b", "lucky", "weak", "broken"]
    assert board.challenger == "id of a"
    assert "by more than the margin" in board.reason, "a part of the examples is not compared with all of them"


def test_where_only_eliminated_ones_are_left_nothing_can_be_ranked():
    with pytest.raises(ModelError, match="no candidate could be tried"):
        ranked(out("a", 0.9), standing("broken", None))


def test_contenders_are_those_that_may_become_the_challenger_best_first():
    slow, floor = standing("slow", 0.95, p95_ms=80.0), standing("floor", 0.99)
    terms = Terms((ACCURACY, FAST), ways(), 0.01, champion="", baseline="id of floor")
    found = contenders([floor, standing("b", 0.7), slow, standing("a", 0.8), standing("broken", None)], terms)
    assert [each.name for each in found] == ["a", "b"]
    assert [each.name for each in contenders([floor, slow], terms)] == ["slow"]
    assert [each.name for each in contenders([floor], terms)] == ["floor"]
    assert contenders([standing("broken", None)], terms) == []


RECALL = Objective("out_of_scope_recall", target=0.6)


def with_recall(name: str, accuracy: float, right: int, n: int = 100) -> Standing:
    found = standing(name, accuracy)
    metrics = (*found.trial.metrics, share("out_of_scope_recall", right, n))
    return msgspec.structs.replace(found, trial=msgspec.structs.replace(found.trial, metrics=metrics))


def test_one_that_misses_another_quality_target_is_passed_over_where_another_reaches_it():
    careful, sure = with_recall("careful", 0.93, 75), with_recall("sure", 0.97, 50)
    board = ranked(careful, sure, objectives=(ACCURACY, RECALL))
    assert (board.challenger, names(board)) == ("id of careful", ["sure", "careful"])
    assert "1 passed over for missing a target" in board.reason
    assert ranked(sure, objectives=(ACCURACY, RECALL)).challenger == "id of sure"


def test_one_that_is_shown_to_reach_the_other_targets_is_preferred_to_one_that_only_seems_to():
    careful, lucky = with_recall("careful", 0.93, 75), with_recall("lucky", 0.97, 62)
    assert ranked(careful, lucky, objectives=(ACCURACY, RECALL)).challenger == "id of careful"
    weak = with_recall("weak", 0.5, 75)
    assert ranked(weak, lucky, objectives=(ACCURACY, RECALL)).challenger == "id of lucky", "weak misses the first"


@pytest.mark.parametrize(
    ("leaders", "own", "stays"),
    [((80, 100), 90, False), ((8, 10), 90, True), ((8, 10), 70, False), ((2, 10), 1, False)],
)
def test_who_looks_better_on_a_target_that_the_leader_may_miss_is_not_ruled_out(leaders, own, stays):
    terms = Terms((ACCURACY, RECALL), ways(), 0.01, "", "")
    leader = with_recall("leader", 0.97, *leaders)
    assert may_win_otherwise(with_recall("other", 0.8, own), leader, terms) is stays


boards = st.lists(
    st.tuples(st.integers(0, 1000), st.floats(0.001, 100), st.floats(1, 100)), min_size=1, max_size=8
).map(lambda rows: [standing(f"c{n}", right / 1000, usd, ms) for n, (right, usd, ms) in enumerate(rows)])


@given(boards, st.randoms(use_true_random=False))
def test_the_order_in_which_candidates_come_does_not_matter(standings, chance):
    board = ranked(*standings, objectives=(ACCURACY, FAST))
    shuffled = list(standings)
    chance.shuffle(shuffled)
    assert ranked(*shuffled, objectives=(ACCURACY, FAST)).standings == board.standings
    values = [one.trial.metric("accuracy").value for one in board.standings]
    assert values == sorted(values, reverse=True)
    chosen = next(one for one in standings if one.candidate == board.challenger)
    affordable = [one for one in standings if one.trial.measurements.p95_ms <= 50] or standings
    best = max(one.trial.metric("accuracy").value for one in affordable)
    assert chosen in affordable
    assert best - chosen.trial.metric("accuracy").value <= 0.01 + 1e-9
