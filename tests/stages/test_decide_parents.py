"""An adapted challenger is held against its parent too, and against what its training checked."""

import msgspec
import pytest
from verdict_scene import (
    ACCURACY,
    BETTER,
    DIRECTIONS,
    GATE,
    GOOD,
    SAME,
    a_comparison,
    a_trial,
    evidence,
    share,
)

from lifeloop.core.brief import Objective
from lifeloop.core.evidence import Verdict
from lifeloop.core.training_record import Check
from lifeloop.stages.decide import decide

RECALL = share("out_of_scope_recall", 800, 1000)
GUARDED = (ACCURACY, Objective("out_of_scope_recall", guard=True, margin=0.01))
KEPT = a_comparison(2, 2, metric="out_of_scope_recall")
LOST = a_comparison(5, 90, metric="out_of_scope_recall")
BROKEN = Check("capabilities", parent=0.9, child=0.6, limit=0.05, broken=True, n=60)


def judged(*, against_parent=(), checks=(), gate=GATE, better=True) -> Verdict:
    scene = evidence(
        a_trial("challenger", GOOD, RECALL), a_trial("champion", GOOD, RECALL), BETTER if better else SAME, KEPT
    )
    parent = a_trial("parent", GOOD, RECALL) if against_parent else None
    found = msgspec.structs.replace(scene, parent=parent, parent_comparisons=tuple(against_parent), checks=checks)
    return decide(found, GUARDED, DIRECTIONS, gate)


def test_a_child_that_keeps_what_its_parent_can_is_promoted_and_both_are_on_record():
    verdict = judged(against_parent=(BETTER, KEPT))
    assert verdict.decision == "promote"
    assert (verdict.parentage.name, verdict.parentage.parent) == ("parent", "id of parent")
    assert all(guard.state != "broken" for guard in verdict.parentage.guards)
    assert verdict.parentage.comparisons == (BETTER, KEPT)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_child_that_breaks_a_guard_of_its_parent_cannot_win_though_it_beats_the_champion():
    verdict = judged(against_parent=(BETTER, LOST))
    assert verdict.decision == "reject"
    assert "breaks the guard on out_of_scope_recall that its parent parent keeps" in verdict.reason


def test_a_break_on_the_guard_split_counts_too():
    on_guard_split = a_comparison(5, 90, split="guard")
    assert judged(against_parent=(BETTER, KEPT, on_guard_split)).decision == "reject"


def test_without_a_parent_nothing_changes():
    verdict = judged()
    assert (verdict.decision, verdict.parentage) == ("promote", None)


@pytest.mark.parametrize(("policy", "decision"), [("hold", "reject"), ("report", "promote")])
def test_what_training_broke_rejects_or_is_only_reported(policy, decision):
    gate = msgspec.structs.replace(GATE, checks=policy)
    verdict = judged(checks=(BROKEN,), gate=gate)
    assert verdict.decision == decision
    assert verdict.checks == (BROKEN,)
    if decision == "reject":
        assert verdict.reason == "its training broke what its parent could do: capabilities is 0.6, its parent's 0.9"


def test_a_parent_that_could_not_be_tried_leaves_the_verdict_open():
    scene = evidence(a_trial("challenger", GOOD, RECALL), a_trial("champion", GOOD, RECALL), BETTER, KEPT)
    found = msgspec.structs.replace(scene, untried_parent=("id of parent", "parent"))
    verdict = decide(found, GUARDED, DIRECTIONS, GATE)
    assert (verdict.decision, verdict.parentage.name) == ("undecided", "parent")
    assert "its parent parent could not be tried" in verdict.reason


def test_a_check_of_what_is_no_number_is_said_to_be_one():
    diverged = msgspec.structs.replace(BROKEN, child=None)
    assert "capabilities is no number" in judged(checks=(diverged,)).reason


def test_a_check_that_holds_rejects_nobody():
    kept = msgspec.structs.replace(BROKEN, child=0.89, broken=False)
    assert judged(checks=(kept,)).decision == "promote"


def test_what_is_shown_to_be_worse_is_rejected_though_a_guard_is_still_open():
    worse = a_comparison(20, 60)
    scene = evidence(
        a_trial("challenger", GOOD, RECALL),
        a_trial("champion", GOOD, RECALL),
        worse,
        a_comparison(30, 30, metric="out_of_scope_recall"),
    )
    verdict = decide(scene, GUARDED, DIRECTIONS, GATE)
    assert verdict.guards[0].state == "undecided"
    assert verdict.decision == "reject"
    assert verdict.reason.startswith("it is worse on accuracy")
