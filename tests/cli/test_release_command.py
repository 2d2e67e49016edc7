"""`lifeloop release` and `rollback`: what a person does with a verdict, and what the record says of it afterwards."""

import json
import re
import time
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.content import short
from lifeloop.core.events import Event
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
    said = call("-C", finished, "release")
    assert_clear(said, "no verdict that promotes waits for its release; tfidf is in production by the last")
    assert "the last one is 'promote'" not in said.all


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
        "canary, step 1: 1.0% of the traffic",
    )
    assert rollouts(finished) == [("canary", "running", 0.01, "")]
    assert names(finished) == ["tfidf"], "nothing has been shown yet"
    status = call("-C", finished, "status").out
    assert re.search(
        r"rollout     \w{12}, canary, step 1: 1.0% of the traffic, since just now: begun by its verdict", status
    )
    assert "0 answers of its own in this step; `lifeloop release --list` has all figures" in status
    why = call("-C", finished, "why", begun["release"]).out
    assert "rollout   " in why and "canary at 1.0%: begun" in why and short(verdict) in why
    listed = call("-C", finished, "release", "--list").out
    assert "canary 1.0%: begun" in listed and "now: 0 of at least 50 answers counted" in listed
    assert audit(open_project(finished)).rollouts[0].problems == ()


def test_a_reason_stands_one_figure_to_a_line(finished):
    another_verdict(finished)
    call("-C", finished, "release", "--strategy", "canary")
    figures = [f"{name} 1.00% of 812 against 1.02% of 7,423 (margin 2.00%)" for name in ("failures", "slow answers")]
    with ledger_of(finished) as ledger:
        row = ledger.rollouts()[-1]
        reason = "; ".join(["not shown to be worse: " + figures[0], figures[1], "812 of 8,235 answers were its own"])
        later = msgspec.structs.replace(row, sequence=2, step=1, share=0.05, reason=reason, at=row.at + 1)
        assert ledger.add_rollout_step(later)
    for command in (["status"], ["release", "--list"]):
        said = call("-C", finished, *command).out
        assert set(figures) < {line.strip() for line in said.splitlines()}, said
        assert max(map(len, said.splitlines())) < 110


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
    assert said.out.startswith("taken back: majority (release ") and "in production: tfidf (release " in said.out
    assert rollouts(finished)[-1] == ("shadow", "rolled_back", 0.0, "Ann Lee")
    assert names(finished) == ["tfidf"]
    verdict = next(row.id for row in audit(open_project(finished)).verdicts if row.sequence == 2)
    nothing_waits = call("-C", finished, "release")
    assert_clear(nothing_waits, "majority, promoted by the last, was taken back by Ann Lee: not today")
    assert f"`lifeloop release {short(verdict)}` releases it again" in nothing_waits.err
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
    told = call("-C", finished, "run").out
    if again.verdict.decision == "promote":
        assert "not released: " in told
    else:
        assert "production changed since: tfidf (release " in told
        assert "a changed brief, new data or new feedback starts a cycle" in told


def test_a_run_says_that_its_release_was_replaced_or_taken_back_and_how_it_goes_out_again(finished, first):
    another_verdict(finished)
    call("-C", finished, "release")
    told = call("-C", finished, "run").out
    assert "not released: tfidf: it was in production before; majority is in production since" in told
    assert f"`lifeloop rollback --to {short(first.result.released)}` brings it back" in told

    call("-C", finished, "rollback")
    with ledger_of(finished) as ledger:
        majority = ledger.releases()[1].id
    call("-C", finished, "rollback", "--to", majority[:8], "--by", "Ann", "--reason", "rude")
    told = call("-C", finished, "run").out
    assert "not released: tfidf: it was taken back by Ann: rude; majority is in production since" in told
    assert f"`lifeloop release {short(first.result.verdict_id)}` releases it again" in told
    assert call("-C", finished, "release", short(first.result.verdict_id)).code == 0
    assert names(finished) == ["tfidf", "majority", "tfidf", "majority", "tfidf"]


def test_what_it_gives_once_it_is_promoted_or_unseen_is_no_part_of_its_rollout(finished):
    another_verdict(finished)
    call("-C", finished, "release", "--strategy", "shadow")
    serve(finished, shadow=True)
    assert "gave" not in call("-C", finished, "release", "--list").out
    status = call("-C", finished, "status").out
    assert "served      1 requests" in status, "the shadow's answer is none"
    assert "shadow: 10.0% of the requests, unseen" in status and "1 answers of its own in this step" in status
    call("-C", finished, "rollback")
    call("-C", finished, "release", short(promoting(finished)), "--strategy", "canary")
    serve(finished)
    call("-C", finished, "release", "--finish", "--by", "Ann", "--reason", "good")
    serve(finished)
    call("-C", finished, "rollback")
    serve(finished)
    assert "gave 1 of 2 answers while it was rolled out, 50.0%" in call("-C", finished, "release", "--list").out


def promoting(folder: Path) -> str:
    """Return the id of the last verdict."""
    with ledger_of(folder) as ledger:
        return ledger.verdicts()[-1].id


def serve(folder: Path, *, shadow: bool = False) -> None:
    """Record an answer of production, and one of the rollout's release where there was any, now."""
    with ledger_of(folder) as ledger:
        n, sides = ledger.count_events(), [ledger.rollouts()[-1].control, ledger.rollouts()[-1].release]
        shown = f"e{n}"
        ledger.add_served(
            [
                Event(
                    f"e{n + place}",
                    time.time(),
                    side,
                    "c",
                    "n",
                    "i",
                    "o",
                    None,
                    0.1,
                    1,
                    1,
                    0.0,
                    shadow_of=shown if shadow and place else "",
                )
                for place, side in enumerate(sides)
            ],
            [],
        )


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
    assert listed.count("in production\n") == 1 and "rolled back by" in listed
    assert re.search(r"came back by .*: instead of release \w{12}, which was taken back: taken back by hand", listed)
    assert_clear(call("-C", finished, "rollback"), "there is no release before tfidf")


def test_what_a_rollback_came_to_as_json(finished, first):
    verdict = another_verdict(finished)
    call("-C", finished, "release", "--strategy", "canary")
    status = json.loads(call("-C", finished, "status", "--json").out)["rollout"]
    assert (status["strategy"], status["step"], status["answers"], status["failed"]) == ("canary", 1, 0, 0)
    found = json.loads(call("-C", finished, "rollback", "--json").out)
    assert (found["name"], found["phase"], found["step"]) == ("majority", "rolled_back", 1)
    assert (found["production"], found["production_name"]) == (first.result.released, "tfidf")
    assert found["settings"]["steps"] == [0.01, 0.05, 0.1, 0.5]
    call("-C", finished, "release", short(verdict))
    assert json.loads(call("-C", finished, "rollback", "--json").out)["production_name"] == "tfidf"


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
