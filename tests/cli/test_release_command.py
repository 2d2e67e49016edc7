"""`lifeloop release` and `rollback`: what a person does with a verdict, and what the record says of it afterwards."""

import json
import re
import time
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.content import short
from lifeloop.core.evidence import Leaderboard, Release, Verdict
from lifeloop.lifecycle.audit import audit
from lifeloop.lifecycle.gate import row_of
from lifeloop.lifecycle.taking_back import rollback
from lifeloop.project import open_project
from small_project import REST, assert_clear, call, edit, ledger_of, run

CANARY = REST.replace("[release]\n", '[release]\nstrategy = "canary"\n')


def another_verdict(folder: Path, decision: str = "promote") -> str:
    """Put a verdict on record that promotes the other candidate over what is in production; return its id."""
    vault = open_project(folder).open_vault()
    with ledger_of(folder) as ledger:
        first = vault.get_value(ledger.verdicts()[0].id, Verdict)
        board = vault.get_value(first.leaderboard, Leaderboard)
        other = next(standing for standing in board.standings if standing.candidate != first.challenger)
        made = msgspec.structs.replace(
            first,
            decision=decision,
            reason="for a test",
            challenger=other.candidate,
            challenger_name=other.name,
            champion=first.challenger,
            champion_name=first.challenger_name,
            champion_is_baseline=False,
        )
        identifier = vault.put_value(made)
        ledger.add_verdict(row_of(identifier, made, time.time()))
    return identifier


def names(folder: Path) -> list[str]:
    with ledger_of(folder) as ledger:
        return [row.name for row in ledger.releases()]


def rollouts(folder: Path) -> list[tuple[str, str, float, str]]:
    with ledger_of(folder) as ledger:
        return [(row.strategy, row.phase, row.share, row.by) for row in ledger.rollouts()]


# release takes a verdict only


def test_nothing_waits_after_a_verdict_that_is_released(finished):
    assert_clear(call("-C", finished, "release"), "no verdict that promotes waits for its release")


def test_a_verdict_that_does_not_promote_is_refused(finished):
    verdict = another_verdict(finished, "undecided")
    assert_clear(call("-C", finished, "release", short(verdict)), "is 'undecided': for a test", "only a verdict")
    assert_clear(call("-C", finished, "release"), "the last one is 'undecided'")


@pytest.mark.parametrize("what", ["tfidf", "lifeloop.toml", "0" * 64])
def test_what_is_no_verdict_is_refused(finished, what):
    assert_clear(call("-C", finished, "release", what), "there is no verdict")


def test_a_release_or_a_candidate_is_no_verdict(finished, first):
    assert_clear(call("-C", finished, "release", first.result.released), "there is no verdict")
    assert_clear(call("-C", finished, "release", first.result.verdict.challenger), "there is no verdict")


def test_the_last_verdict_that_waits_is_released_at_once(finished):
    verdict = another_verdict(finished)
    said = call("-C", finished, "release")
    assert said.code == 0 and f"verdict {short(verdict)} of cycle 1" in said.out
    assert "in production: majority" in said.out
    assert names(finished) == ["tfidf", "majority"]
    assert_clear(call("-C", finished, "release", verdict, "--finish"), "give a verdict")


# rollouts


def test_a_canary_begins_beside_what_is_in_production(finished):
    verdict = another_verdict(finished)
    begun = json.loads(call("-C", finished, "release", verdict[:8], "--strategy", "canary", "--json").out)
    assert (begun["state"], begun["name"], begun["about"]) == (
        "rolling_out",
        "majority",
        "begun as canary, step 1: 1.0% of the traffic",
    )
    assert rollouts(finished) == [("canary", "running", 0.01, "")]
    assert names(finished) == ["tfidf"], "nothing has been shown yet"
    status = call("-C", finished, "status").out
    assert re.search(r"rollout     \w{12}, canary, step 1: 1.0% of the traffic, since just now: begun as", status)
    why = call("-C", finished, "why", begun["release"]).out
    assert "rollout   " in why and "canary at 1.0%: begun" in why and short(verdict) in why
    listed = call("-C", finished, "release", "--list").out
    assert "canary 1.0%: begun" in listed and "now: 0 of at least 50 answers counted" in listed
    assert audit(open_project(finished)).rollouts[0].problems == ()


def test_while_one_runs_another_waits_and_says_so(finished):
    verdict = another_verdict(finished)
    call("-C", finished, "release", "--strategy", "canary")
    vault = open_project(finished).open_vault()
    with ledger_of(finished) as ledger:
        value = msgspec.structs.replace(vault.get_value(verdict, Verdict), reason="another")
        ledger.add_verdict(row_of(vault.put_value(value), value, time.time()))
    assert_clear(call("-C", finished, "release"), "majority", "is running (canary, step 1: 1.0% of the traffic)")
    assert rollouts(finished) == [("canary", "running", 0.01, "")]
    waits = call("-C", finished, "override", "--by", "Ann", "--reason", "hurry")
    assert_clear(waits, "is running (canary, step 1", "`lifeloop rollback` ends it")


def test_a_rollout_is_ended_by_hand_in_either_direction(finished):
    another_verdict(finished)
    call("-C", finished, "release", "--strategy", "shadow")
    said = call("-C", finished, "rollback", "--by", "Ann Lee", "--reason", "not today")
    assert said.code == 0 and "by Ann Lee: not today" in said.out
    assert rollouts(finished)[-1] == ("shadow", "rolled_back", 0.0, "Ann Lee")
    assert names(finished) == ["tfidf"]
    assert_clear(call("-C", finished, "release"), "no verdict that promotes waits")
    verdict = next(row.id for row in audit(open_project(finished)).verdicts if row.sequence == 2)
    assert call("-C", finished, "release", verdict, "--strategy", "ab").code == 0, "a person may try it again"
    assert_clear(call("-C", finished, "release", "--finish", "--by", "Ann Lee"), "reason")
    said = call("-C", finished, "release", "--finish", "--by", "Ann Lee", "--reason", "liked by all")
    assert said.code == 0 and names(finished) == ["tfidf", "majority"]
    assert rollouts(finished)[-1] == ("ab", "promoted", 1.0, "Ann Lee")
    assert_clear(call("-C", finished, "release", "--finish", "--reason", "x", "--by", "y"), "no rollout is running")


def test_a_canary_of_the_brief_starts_by_itself_once_there_is_something_to_compare_with(tmp_path, finished):
    edit(finished, rest=CANARY)
    with ledger_of(finished) as ledger:
        n_cycles = len(ledger.cycles())
    assert run(finished).result.begun.state == "released", "the first cycle's, as it stands"
    with ledger_of(finished) as ledger:
        assert len(ledger.cycles()) == n_cycles, "how it is released is no new cycle"
    another_verdict(finished)
    assert call("-C", finished, "release").code == 0
    assert rollouts(finished) == [("canary", "running", 0.01, "")]


def test_a_verdict_that_production_has_overtaken_asks_for_another_cycle(finished):
    verdict = another_verdict(finished)
    vault = open_project(finished).open_vault()
    with ledger_of(finished) as ledger:  # while it waited, something else went to production
        value = msgspec.structs.replace(vault.get_value(verdict, Verdict), champion="0" * 64, champion_name="gone")
        ledger.add_verdict(row_of(vault.put_value(value), value, time.time()))
    assert_clear(call("-C", finished, "release"), "held it against gone, and tfidf is in production since")

    ran = run(finished).result

    assert (ran.cycle, ran.verdict.champion_name) == (2, "tfidf"), "the same data, against what is there now"
    assert run(finished).result.cycle == 2, "and no further one"


def test_a_cycle_is_held_against_what_it_began_with_whatever_is_rolled_back_since(finished, first):
    another_verdict(finished)
    call("-C", finished, "release")
    edit(finished, rest=REST + "[explore]\nrace = false\n")
    began = run(finished).result
    assert (began.cycle, began.verdict.champion_name) == (2, "majority")
    call("-C", finished, "rollback")
    again = run(finished).result
    assert (again.cycle, again.verdict_id, again.fresh) == (2, began.verdict_id, False)


# rollback


def test_production_goes_back_to_what_was_before_and_history_is_kept(finished):
    another_verdict(finished)
    call("-C", finished, "release")
    started = time.perf_counter()
    said = call("-C", finished, "rollback")
    assert said.code == 0 and time.perf_counter() - started < 1.0
    assert names(finished) == ["tfidf", "majority", "tfidf"]
    assert rollouts(finished)[0][:3] == ("direct", "rolled_back", 0.0)
    assert "production  tfidf" in call("-C", finished, "status").out
    found = audit(open_project(finished))
    assert [problem for release in found.releases for problem in release.problems] == []
    assert found.rollouts[0].problems == ()
    listed = call("-C", finished, "release", "--list").out
    assert listed.count("in production") == 1 and "rolled back by" in listed
    assert_clear(call("-C", finished, "rollback"), "there is no release before tfidf")


def test_a_release_is_named_to_go_back_to(finished, first):
    another_verdict(finished)
    call("-C", finished, "release")
    assert_clear(call("-C", finished, "rollback", "--to", "zz"), "there is no release 'zz'")
    assert call("-C", finished, "rollback", "--to", first.result.released[:10]).code == 0
    assert names(finished)[-1] == "tfidf"
    assert_clear(call("-C", finished, "rollback", "--to", first.result.released[:10]), "in production already")


def test_the_first_release_has_nothing_before_it(finished):
    assert_clear(call("-C", finished, "rollback"), "there is no release before tfidf, which is in production")


def test_a_rollback_waits_for_no_cycle(finished):
    from lifeloop.lifecycle.cycle import only_run

    another_verdict(finished)
    call("-C", finished, "release")
    project = open_project(finished)
    with only_run(project.state):
        rollback(project, by="Ann", reason="now", clock=time.time)
    assert names(finished)[-1] == "tfidf"


def test_what_was_taken_back_comes_again_by_a_persons_word_alone(finished):
    verdict = another_verdict(finished)
    call("-C", finished, "release")
    call("-C", finished, "rollback", "--by", "Ann", "--reason", "rude")
    vault = open_project(finished).open_vault()
    with ledger_of(finished) as ledger:  # the gate promotes the same candidate again, on other data, say
        value = msgspec.structs.replace(vault.get_value(verdict, Verdict), reason="on newer data")
        newer = vault.put_value(value)
        ledger.add_verdict(row_of(newer, value, time.time()))
    assert_clear(call("-C", finished, "release"), "it was taken back by Ann before (rude)", "tries it again")
    assert call("-C", finished, "release", newer).code == 0
    assert names(finished)[-1] == "majority"


# the audit


def test_a_rollout_without_a_verdict_that_promotes_is_found(finished):
    vault = open_project(finished).open_vault()
    verdict = another_verdict(finished, "reject")
    another_verdict(finished)
    call("-C", finished, "release", "--strategy", "canary")
    with ledger_of(finished) as ledger:
        row = ledger.rollouts()[-1]
        made = msgspec.structs.replace(vault.get_value(row.release, Release), verdict=verdict)
        forged = msgspec.structs.replace(row, sequence=2, release=vault.put_value(made))
        assert ledger.add_rollout_step(forged)
        unknown = msgspec.structs.replace(row, sequence=3, phase="promoted", share=1.0)
        assert ledger.add_rollout_step(unknown)
    problems = "\n".join(problem for rollout in audit(open_project(finished)).rollouts for problem in rollout.problems)
    assert "does not promote: it is 'reject'" in problems
    assert "row 3 promotes it, and it is not among the releases" in problems
