"""Cycles: which run starts one, what is reused, and what a verdict leads to."""

import shutil
from pathlib import Path

import pytest

from lifeloop.core.data import SPLITS, Dataset
from lifeloop.core.errors import GateError, ModelError, StoreError
from lifeloop.core.evidence import Release, Trial
from lifeloop.lifecycle.cycle import make_plan
from lifeloop.lifecycle.history import compare_candidates, cycle_record, why
from lifeloop.project import open_project
from lifeloop.store.tables import from_parquet, table_to_examples
from small_project import CANDIDATES, OBJECTIVES, REST, brief, edit, ledger_of, run, small_project, teach, texts

UNREACHED = OBJECTIVES.replace("0.5", "0.999")


def objects(folder: Path) -> Path:
    return folder / ".lifeloop" / "vault" / "objects"


def artifact(folder: Path, identifier: str) -> Path:
    return objects(folder) / identifier[:2] / identifier


def splits_of(folder: Path, cycle: int) -> dict[str, str]:
    """Return the split of every input in the dataset of a cycle."""
    vault = open_project(folder).open_vault()
    with ledger_of(folder) as ledger:
        refined = [row for row in ledger.runs() if row.stage == "refine" and row.cycle == cycle]
    tables = vault.get_value(refined[-1].output, Dataset).tables
    return {
        each.input: split
        for split in SPLITS
        for part in tables[split]
        for each in table_to_examples(from_parquet(vault.get(part)))
    }


# which run starts a cycle


def test_the_first_cycle_promotes_the_better_candidate(finished, first):
    verdict = first.result.verdict

    assert (verdict.cycle, verdict.decision) == (1, "promote")
    assert (verdict.challenger_name, verdict.champion_name, verdict.champion_is_baseline) == ("tfidf", "majority", True)
    assert [standing.name for standing in first.result.leaderboard.standings] == ["tfidf", "majority"]
    with ledger_of(finished) as ledger:
        assert [row.id for row in ledger.releases()] == [first.result.released]
        assert [(row.id, row.decision) for row in ledger.verdicts()] == [(first.result.verdict_id, "promote")]
        release = open_project(finished).open_vault().get_value(ledger.current_release().id, Release)
    majority = next(each for each in first.result.leaderboard.standings if each.name == "majority")
    assert (release.candidate, release.fallback, release.replaces) == (verdict.challenger, (majority.candidate,), "")


def test_a_stage_run_is_done_once_and_recorded_once(finished, first):
    done = first.subjects("done")

    with ledger_of(finished) as ledger:
        recorded = [f"{row.stage} {row.subject}" for row in ledger.runs() if row.stage not in ("examine", "version")]

    assert recorded == done
    assert not first.subjects("kept")


def test_a_second_run_finds_everything_in_the_ledger(finished, first):
    again = run(finished)

    assert sorted(again.subjects("kept")) == sorted(first.subjects("done"))
    assert {notice.kind for notice in again.notices} == {"kept"}
    assert (again.result.verdict_id, again.result.released) == (first.result.verdict_id, first.result.released)
    assert first.result.fresh and not again.result.fresh
    with ledger_of(finished) as ledger:
        assert (len(ledger.cycles()), len(ledger.verdicts()), len(ledger.releases())) == (1, 1, 1)


def test_a_changed_gate_starts_a_cycle_that_tries_nobody_again(finished, first):
    edit(finished, rest=REST + "[gate]\neffect = 0.05\n")

    again = run(finished)

    assert again.result.cycle == 2
    assert set(again.subjects("done")) <= {"plan cycle", "explore leaderboard", "decide verdict"}
    assert "decide verdict" in again.subjects("done")
    assert {f"explore try {name}" for name in ("majority", "tfidf")} <= set(again.subjects("kept"))
    assert again.result.verdict.trials["challenger/test/clean"] == first.result.verdict.trials["challenger/test/clean"]


def test_the_champion_is_never_promoted_over_itself(finished, first):
    edit(finished, rest=REST + "[gate]\neffect = 0.05\n")

    ran = run(finished)

    verdict = ran.result.verdict
    assert verdict.challenger == verdict.champion == first.result.verdict.challenger
    assert verdict.decision != "promote" and not ran.result.released
    assert verdict.trials["challenger/test/clean"] == verdict.trials["champion/test/clean"]


def test_a_brief_that_goes_back_is_a_cycle_of_its_own(finished, first):
    edit(finished, rest=REST + "[gate]\neffect = 0.05\n")
    run(finished)
    edit(finished)

    again = run(finished)

    assert again.result.cycle == 3
    assert again.result.verdict_id != first.result.verdict_id
    assert not [subject for subject in again.subjects("done") if "try" in subject or "make" in subject]


def test_a_plan_is_the_beginning_of_the_cycle_that_run_finishes(tmp_path):
    folder = small_project(tmp_path / "news")

    plan = make_plan(open_project(folder), lambda notice: None, lambda: 0.0)

    assert [line.name for line in plan.lines] == ["majority", "tfidf"]
    assert plan.profile.n_train == len([split for split in splits_of(folder, 1).values() if split == "train"])
    with ledger_of(folder) as ledger:
        assert [row.number for row in ledger.cycles()] == [1]
        assert [row.stage for row in ledger.runs()] == ["collect", "examine", "refine", "version", "plan"]
        assert not ledger.verdicts()


# feedback


def test_feedback_starts_a_cycle_once_there_is_enough_or_at_once_when_asked(finished):
    before = splits_of(finished, 1)
    few, more = texts(3, seed=101, noise=0), texts(5, seed=102, noise=0)

    teach(finished, few)  # given fewer than monitor.min_feedback

    assert run(finished).result.cycle == 1  # then they wait

    now = run(finished, learn_now=True)  # when asked to learn from them all the same

    assert now.result.cycle == 2
    after = splits_of(finished, 2)
    assert {text for text, _ in few} <= set(after)
    assert {text: after[text] for text in before} == before, "a row stays in its split for ever"
    record = cycle_record(open_project(finished))
    assert record.n_learned == 3
    names = [standing.name for standing in now.result.leaderboard.standings]
    assert sorted(names) == ["majority", "tfidf", "tfidf (champion)"]
    assert not now.result.verdict.champion_is_baseline
    assert now.result.verdict.challenger != now.result.verdict.champion

    teach(finished, more, first=len(few))  # given as many as monitor.min_feedback since
    make_plan(open_project(finished), lambda notice: None, lambda: 0.0)

    with ledger_of(finished) as ledger:
        assert [(row.number, row.feedback_until) for row in ledger.cycles()] == [(1, 0), (2, 3), (3, 8)]
    last = splits_of(finished, 3)
    assert {text for text, _ in few + more} <= set(last)
    assert {text: last[text] for text in after} == after


def test_learning_at_once_from_nothing_new_starts_nothing(finished):
    assert run(finished, learn_now=True).result.cycle == 1


# candidates that fail


def test_a_candidate_that_fails_is_a_line_with_its_reason_and_sinks_nothing(finished, unused_port):
    (finished / "prompts" / "main").mkdir(parents=True)
    (finished / "prompts" / "main" / "system.md").write_text("Sort texts. {{ instructions }}")
    (finished / "prompts" / "main" / "user.md").write_text("{{ text }}")
    broken = f"""
[candidates.local]
kind = "llamacpp"
model = "/nowhere/[/red]/model.gguf"
prompt = "main"
[candidates.far]
kind = "remote"
url = "http://127.0.0.1:{unused_port}/v1"
model = "any"
prompt = "main"
retries = 0
[candidates.both]
kind = "cascade"
members = ["tfidf", "local"]
"""
    edit(finished, candidates=CANDIDATES + broken)

    ran = run(finished)

    failures = {each.name: each.failure for each in ran.result.leaderboard.standings if each.trial is None}
    composed = set(open_project(finished).brief.candidates) - {"majority", "tfidf", "local", "far", "both"}
    assert set(failures) - composed == {"local", "far", "both"}, "what scope = auto composes of them may fail too"
    assert "model.gguf" in next(notice.note for notice in ran.notices if notice.subject == "local")
    assert "not one of" in failures["far"]
    assert failures["both"] == "it is made from local, which failed"
    assert {notice.subject for notice in ran.notices if notice.kind == "failed"} == set(failures)
    assert ran.result.verdict.challenger_name == "tfidf"


def test_without_the_baseline_there_is_nothing_to_compare_with(tmp_path):
    broken = '[candidates.broken]\nkind = "llamacpp"\nmodel = "/nowhere/model.gguf"\nprompt = "main"\n'
    majority = '[candidates.majority]\nkind = "majority"\n'
    text = brief(candidates=broken + majority, rest='[gate]\nbaseline = "broken"\n')
    folder = small_project(tmp_path / "news", text)
    (folder / "prompts" / "main").mkdir(parents=True)
    (folder / "prompts" / "main" / "system.md").write_text("Sort texts. {{ instructions }}")
    (folder / "prompts" / "main" / "user.md").write_text("{{ text }}")

    with pytest.raises(ModelError, match="the baseline 'broken' failed") as error:
        run(folder)

    assert "gate.baseline" in error.value.where
    with ledger_of(folder) as ledger:
        assert not ledger.verdicts()


def test_where_every_candidate_fails_the_error_says_why_of_each(tmp_path):
    folder = small_project(tmp_path / "news", brief(candidates=CANDIDATES.split("[candidates.tfidf]")[0]))
    edit(folder, candidates='[candidates.one]\nkind = "llamacpp"\nmodel = "/nowhere/model.gguf"\n', rest="")

    with pytest.raises(ModelError, match=r"no candidate could be tried \(one: .*\)"):
        run(folder)


def test_where_the_budget_of_time_holds_no_candidate_the_error_says_so_and_more_of_it_goes_on_from_there(tmp_path):
    folder = small_project(tmp_path / "news", brief(rest="[budget]\nminutes = 0.001\n"))

    with pytest.raises(ModelError, match=r"no candidate could be tried \(majority: .*time.* tfidf: .*time|minutes"):
        run(folder)
    edit(folder, rest="[budget]\nminutes = 10\n")
    ran = run(folder)

    assert ran.result.verdict.decision == "promote"
    assert "explore make majority" in ran.subjects("kept"), "what the small budget held is not done again"


def test_what_earlier_cycles_tried_costs_this_one_nothing(finished):
    edit(finished, rest="[budget]\nminutes = 0.0001\n")

    ran = run(finished)

    assert ran.result.cycle == 2
    assert all(standing.trial is not None for standing in ran.result.leaderboard.standings)
    assert not [subject for subject in ran.subjects("done") if "try" in subject or "make" in subject]


# what verdicts lead to


def test_evidence_that_settles_nothing_asks_for_more_examples(finished, first):
    reached = first.result.verdict.objectives[0]
    edit(finished, objectives=OBJECTIVES.replace("0.5", f"{(reached.low + reached.value) / 2:.4f}"))

    ran = run(finished)

    assert (ran.result.verdict.decision, ran.result.released) == ("undecided", "")
    assert ran.result.verdict.objectives[0].state == "undecided"
    assert ran.result.verdict.more_examples > 0
    with ledger_of(finished) as ledger:
        assert len(ledger.releases()) == 1, "production stays as it was"


def test_a_missed_target_is_rejected(finished):
    edit(finished, objectives=UNREACHED)

    ran = run(finished)

    assert (ran.result.verdict.decision, ran.result.released) == ("reject", "")
    assert "misses the target of 0.999" in ran.result.verdict.reason
    with ledger_of(finished) as ledger:
        assert len(ledger.releases()) == 1


def test_a_broken_guard_is_rejected(finished):
    edit(finished, objectives=OBJECTIVES.replace("0.5", "0.05"), rest=REST + '[gate]\nbaseline = "tfidf"\n')

    verdict = run(finished).result.verdict

    assert (verdict.challenger_name, verdict.champion_name) == ("majority", "tfidf")
    assert next((each.metric, each.state) for each in verdict.guards) == ("macro_f1", "broken")
    assert verdict.decision == "reject"
    assert "breaks the guard on macro_f1" in verdict.reason


# what is lost


def test_a_trial_that_the_vault_lost_is_made_again_once(finished, first):
    lost = first.result.verdict.trials["challenger/test/typos"]
    artifact(finished, lost).unlink()

    once, twice = run(finished), run(finished)

    assert once.subjects("done") == ["evaluate try test typos challenger", "decide verdict"]
    assert not twice.subjects("done"), "what was made again is kept like anything else"
    assert twice.result.verdict_id == once.result.verdict_id
    assert once.result.verdict.decision == first.result.verdict.decision
    with ledger_of(finished) as ledger:
        assert [row.candidate for row in ledger.releases()] == [first.result.verdict.challenger] * 2


def test_a_dataset_that_the_vault_lost_is_made_again_with_the_same_id(finished, first):
    with ledger_of(finished) as ledger:
        dataset = next(row.output for row in ledger.runs() if row.stage == "refine")
        n_runs = len(ledger.runs())
    artifact(finished, dataset).unlink()

    once, twice = run(finished), run(finished)

    assert once.subjects("done") == ["refine data"]
    assert not twice.subjects("done")
    assert artifact(finished, dataset).exists()
    assert once.result.verdict_id == first.result.verdict_id
    with ledger_of(finished) as ledger:
        assert len(ledger.runs()) == n_runs


def test_a_damaged_artifact_is_never_used_and_says_how_to_mend_it(finished):
    with ledger_of(finished) as ledger:
        dataset = (
            open_project(finished)
            .open_vault()
            .get_value(next(row.output for row in ledger.runs() if row.stage == "refine"), Dataset)
        )
    path = artifact(finished, dataset.tables["validation"][0])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    edit(finished, candidates=CANDIDATES + '[candidates.other]\nkind = "features"\nc = 2.0\n')

    with pytest.raises(StoreError, match="is damaged: its content has another hash") as error:
        run(finished)

    assert str(path) in error.value.fix


# lineage and comparisons


def test_lineage_walks_from_production_back_to_the_brief(finished, first):
    steps = why(open_project(finished))

    assert next(step.what for step in steps) == "release"
    assert steps[0].id == first.result.released
    assert [step.what for step in steps][-3:] == ["dataset", "source", "brief"]
    assert {step.id for step in steps if step.what == "trial"} == set(first.result.verdict.trials.values())
    with ledger_of(finished) as ledger:
        assert steps[-1].id == ledger.cycles()[0].brief
    assert all(artifact(finished, step.id).exists() for step in steps)
    assert why(open_project(finished), first.result.released[:8]) == steps


def test_a_release_that_is_none_has_no_lineage(finished):
    with pytest.raises(GateError, match="there is no release 'ffff'"):
        why(open_project(finished), "ffff")


def test_the_report_of_a_cycle_shows_the_brief_of_that_cycle(finished):
    edit(finished, objectives=UNREACHED)
    run(finished)

    assert cycle_record(open_project(finished), 1).brief.primary.target == 0.5
    assert cycle_record(open_project(finished), 2).brief.primary.target == 0.999


def test_candidates_are_compared_on_validation(finished, first):
    found = compare_candidates(open_project(finished), "tfidf", "majority")

    assert [each.metric for each in found] == ["accuracy", "macro_f1"]
    values = {each.name: each.trial.metric("accuracy").value for each in first.result.leaderboard.standings}
    assert (found[0].challenger, found[0].champion) == pytest.approx((values["tfidf"], values["majority"]))
    assert found[0].split == "validation"


def test_comparing_who_was_not_tried_names_those_who_were(finished):
    with pytest.raises(GateError, match="'nobody' has no trial") as error:
        compare_candidates(open_project(finished), "tfidf", "nobody")

    assert error.value.fix == "name two of: tfidf, majority"
    with pytest.raises(GateError, match="there is no metric 'beauty'"):
        compare_candidates(open_project(finished), "tfidf", "majority", "beauty")


def test_a_comparison_after_going_back_is_of_the_last_cycle(finished, first):
    slim = CANDIDATES.split("[candidates.tfidf]")[0]
    edit(finished, candidates=slim)
    run(finished)
    edit(finished)
    run(finished)

    assert compare_candidates(open_project(finished), "tfidf", "majority")


# places


def test_ledger_and_vault_may_be_elsewhere(finished, tmp_path, monkeypatch, first):
    shutil.move(finished / ".lifeloop" / "ledger.db", tmp_path / "elsewhere.db")
    shutil.move(finished / ".lifeloop" / "vault", tmp_path / "vault of all")
    monkeypatch.setenv("LIFELOOP_LEDGER", f"sqlite:///{tmp_path}/elsewhere.db")
    monkeypatch.setenv("LIFELOOP_VAULT", f"file://{tmp_path}/vault of all")

    assert not run(finished).subjects("done")

    edit(finished, objectives=UNREACHED)

    assert run(finished).result.cycle == 2
    assert not (finished / ".lifeloop" / "ledger.db").exists()
    assert not (finished / ".lifeloop" / "vault").exists()
    vault = open_project(finished).open_vault()
    assert vault.get_value(first.result.verdict.trials["champion/test/clean"], Trial).name == "majority"
