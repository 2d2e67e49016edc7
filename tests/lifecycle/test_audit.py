"""The record of decisions: what an audit sees of what somebody did to it, and what an override leaves in it."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.content import short
from lifeloop.core.data import Dataset
from lifeloop.core.errors import GateError, StoreError
from lifeloop.core.evidence import Release, Trial, Verdict
from lifeloop.lifecycle.audit import Audit, audit
from lifeloop.lifecycle.gate import row_of
from lifeloop.lifecycle.history import cycle_record, why
from lifeloop.lifecycle.override import override
from lifeloop.project import open_project
from lifeloop.store.standing import standing
from small_project import OBJECTIVES, Ran, assert_clear, call, edit, ledger_of, run

UNREACHED = OBJECTIVES.replace("0.5", "0.999")


def tamper(folder: Path, *statements: str) -> None:
    """Write to the ledger as no command does."""
    with contextlib.closing(sqlite3.connect(folder / ".lifeloop" / "ledger.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def audited(folder: Path) -> Audit:
    return audit(open_project(folder))


def said_of(found: Audit) -> str:
    lines = [problem for line in (*found.verdicts, *found.releases) for problem in line.problems]
    return "\n".join([*lines, *found.problems])


@pytest.fixture(scope="module")
def _twice(_finished: tuple[Path, Ran], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(_finished[0], tmp_path_factory.mktemp("twice") / "news")
    edit(folder, objectives=UNREACHED)
    assert run(folder).result.verdict.decision == "reject"
    return folder


@pytest.fixture
def twice(_twice: Path, tmp_path: Path) -> Path:
    """A project whose first cycle promoted and whose second rejected, to do anything with."""
    return shutil.copytree(_twice, tmp_path / "twice")


# the audit


def test_an_untouched_record_is_whole(twice):
    found = audited(twice)

    assert found.n_problems == 0
    assert [(line.sequence, line.decision) for line in found.verdicts] == [(1, "promote"), (2, "reject")]
    assert [line.verdict for line in found.releases] == [found.verdicts[0].id]
    assert found.head == found.verdicts[1].hash
    said = call("-C", twice, "audit")
    assert said.code == 0
    assert [line.split()[1] for line in said.out.splitlines()[:3]] == ["verdict", "verdict", "release"]
    assert f"the chain of 2 verdicts is whole; its head is {found.head}" in said.out


def test_a_project_without_a_verdict_has_nothing_wrong(tmp_path, finished):
    tamper(finished, "DELETE FROM verdicts", "DELETE FROM releases", "DELETE FROM runs", "DELETE FROM cycles")

    assert audited(finished) == Audit(audited(finished).ledger, "", (), (), ())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE verdicts SET decision = 'promote' WHERE sequence = 2",
            "`decision` is 'promote' in the ledger and 'rej",
        ),
        ("UPDATE verdicts SET reason = 'fine' WHERE sequence = 1", "`reason` is 'fine' in the ledger"),
        ("UPDATE verdicts SET at = at + 1 WHERE sequence = 1", "row 1 has the hash"),
        ("UPDATE verdicts SET sequence = 7 WHERE sequence = 2", "row 7 follows row 1: what was between is gone"),
        ("DELETE FROM verdicts WHERE sequence = 1", "row 2 follows row 0"),
        ("UPDATE releases SET candidate = 'x'", "promotes another candidate"),
        ("UPDATE releases SET name = 'x'", "`name` is 'x' in the ledger and 'tfidf' in the release"),
        ("UPDATE releases SET verdict = (SELECT id FROM verdicts WHERE sequence = 2)", "does not promote"),
        ("UPDATE releases SET sequence = 3", "release 3 follows release 0: what was between is gone"),
        (
            "INSERT INTO releases SELECT 2, id, verdict, candidate, name, at FROM releases",
            "it is in the ledger already, as release 1",
        ),
        ("DELETE FROM releases", "it promotes, and its release is missing"),
        ("DELETE FROM runs WHERE stage = 'decide' AND cycle = 2", "no run of the gate gave this verdict"),
    ],
)
def test_what_somebody_changed_is_named(twice, change, says):
    tamper(twice, change)

    assert says in said_of(audited(twice))
    said = call("-C", twice, "audit")
    assert_clear(said, "wrong with the record of decisions")
    assert says in said.out


def test_a_row_that_was_made_to_fit_its_own_hash_breaks_the_next_one(twice):
    with ledger_of(twice) as ledger:
        tamper(twice, "UPDATE verdicts SET at = 0 WHERE sequence = 1")
        forged = ledger.chain()[0].expected
    tamper(twice, f"UPDATE verdicts SET hash = '{forged}' WHERE sequence = 1")

    assert "row 2 names" in said_of(audited(twice))


def test_a_chain_that_was_cut_short_shows_in_what_refers_to_it(twice):
    tamper(
        twice, "DELETE FROM verdicts", "INSERT INTO cycles SELECT 3, inputs, brief, 0, at FROM cycles WHERE number = 2"
    )

    found = said_of(audited(twice))

    assert "is not in the ledger" in found
    assert "in cycle 1, which is not in the chain" in found
    assert "in cycle 2, which is not in the chain" in found


def test_missing_and_damaged_evidence_is_named(finished, first):
    objects = finished / ".lifeloop" / "vault" / "objects"
    trial, verdict = first.result.verdict.trials["champion/test/clean"], first.result.verdict_id
    (objects / trial[:2] / trial).unlink()
    path = objects / verdict[:2] / verdict

    assert f"the trial champion/test/clean: artifact {short(trial)} is missing" in said_of(audited(finished))

    path.write_bytes(path.read_bytes().replace(b'"promote"', b'"reject"'))

    assert f"the verdict: artifact {short(verdict)} is damaged" in said_of(audited(finished))


def damage(folder: Path, identifier: str) -> None:
    path = folder / ".lifeloop" / "vault" / "objects" / identifier[:2] / identifier
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (lambda vault, verdict, trial: trial.answers, "the answers of the trial challenger/test/clean"),
        (lambda vault, verdict, trial: trial.candidate, "the candidate of the trial challenger/test/clean"),
        (lambda vault, verdict, trial: trial.dataset, "the dataset of the trial challenger/test/clean"),
        (
            lambda vault, verdict, trial: vault.get_value(trial.dataset, Dataset).tables["test"][0],
            "a table of test examples of the trial challenger/test/clean",
        ),
        (lambda vault, verdict, trial: verdict.leaderboard, "the leaderboard"),
    ],
)
def test_whatever_a_verdict_rests_on_is_read_and_not_only_looked_for(finished, first, of, says):
    vault, verdict = open_project(finished).open_vault(), first.result.verdict
    identifier = of(vault, verdict, vault.get_value(verdict.trials["challenger/test/clean"], Trial))
    damage(finished, identifier)

    assert f"{says}: artifact {short(identifier)} is damaged" in said_of(audited(finished))


def test_a_release_put_before_that_of_an_older_verdict_is_named(twice):
    tamper(
        twice,
        "INSERT INTO releases SELECT 2, 'x', v.id, v.challenger, 'x', 0 FROM verdicts v WHERE v.sequence = 2",
        "INSERT INTO releases SELECT 3, 'y', verdict, candidate, name, at FROM releases WHERE sequence = 1",
    )

    assert "out of order" in "".join(audited(twice).releases[2].problems)


def test_json_says_the_same_and_still_fails(twice):
    assert json.loads(call("-C", twice, "audit", "--json").out)["problems"] == []
    tamper(twice, "UPDATE verdicts SET at = 0 WHERE sequence = 2")

    said = call("-C", twice, "audit", "--json")

    assert said.code == 1
    assert "row 2 has the hash" in json.loads(said.out)["verdicts"][1]["problems"][0]


# overrides


def test_an_override_is_released_and_every_record_shows_it(twice):
    with ledger_of(twice) as ledger:
        rejected, before = ledger.verdicts()[-1], ledger.current_release()
    edit(
        twice,
        objectives=UNREACHED,
        candidates='[candidates.majority]\nkind = "majority"\n[candidates.other]\nkind = "features"\nc = 3.0\n',
    )
    ran = run(twice).result
    assert ran.verdict.decision == "reject" and ran.verdict.challenger_name == "other"

    said = call("-C", twice, "override", "--by", "Ann  Lee", "--reason", "the licence\nends")

    assert said.code == 0, said.err
    project = open_project(twice)
    with ledger_of(twice) as ledger:
        row, release = ledger.verdicts()[-1], ledger.current_release()
        assert len(ledger.verdicts()) == 4 and rejected in ledger.verdicts()
    verdict = project.open_vault().get_value(row.id, Verdict)
    assert (verdict.override_by, verdict.override_reason, verdict.overrides) == (
        "Ann Lee",
        "the licence ends",
        ran.verdict_id,
    )
    assert (row.decision, row.override_by, row.challenger) == ("promote", "Ann Lee", ran.verdict.challenger)
    assert verdict.reason.startswith("promoted against the gate by Ann Lee: the licence ends (the gate's rejection: ")
    assert verdict.objectives == ran.verdict.objectives, "the evidence stays what it was"
    made = project.open_vault().get_value(release.id, Release)
    assert (release.name, made.verdict, made.replaces) == ("other", row.id, before.id)
    now = standing(project.ledger_url)
    assert (now.release, now.override_by, now.release_override_by) == (release.id, "Ann Lee", "Ann Lee")
    assert "promoted against the gate by Ann Lee" in call("-C", twice, "status").out
    assert cycle_record(project).verdict == verdict
    assert [step.id for step in why(project)][1:3] == [row.id, ran.verdict_id]
    assert audited(twice).n_problems == 0
    assert "promote by Ann Lee, against the gate" in call("-C", twice, "audit").out
    assert run(twice).result.released == "", "the next run decides nothing anew"
    with ledger_of(twice) as ledger:
        assert ledger.current_release() == release


def test_what_cannot_be_overridden_says_why(twice, first):
    project = open_project(twice)

    def refused(says: str, **changes: str) -> None:
        with pytest.raises(GateError, match=says):
            override(project, **{"reason": "r", "by": "Ann", "verdict": "", "clock": lambda: 0.0, **changes})

    refused("is empty", reason=" \n")
    refused("is empty", by="")
    refused("characters", by="x" * 300)
    refused("not UTF-8", reason="\udcff")
    refused("there is no verdict 'ffff'", verdict="ffff")
    refused("is promoted already", verdict=first.result.verdict_id[:12])
    refused("is in production already")  # the second cycle rejected the champion itself
    with ledger_of(twice) as ledger:
        assert (len(ledger.verdicts()), len(ledger.releases())) == (2, 1)


def test_an_override_counts_once_and_can_name_an_older_verdict(twice, first):
    project, vault = open_project(twice), open_project(twice).open_vault()
    old = msgspec.structs.replace(first.result.verdict, decision="reject", challenger=first.result.verdict.champion)
    with ledger_of(twice) as ledger:
        ledger.add_verdict(row_of(vault.put_value(old), old, 1.0))
        identifier = ledger.verdicts()[-1].id
    again = {"reason": "r", "by": "Ann", "verdict": identifier[:10], "clock": lambda: 5.0}

    made = override(project, **again)

    assert vault.get_value(made.released, Release).cycle == 1 == made.verdict.cycle
    with pytest.raises(GateError, match="is promoted already, by Ann against the gate"):
        override(project, **again)


def test_an_override_is_recorded_with_its_release_or_not_at_all(twice, first):
    project, vault = open_project(twice), open_project(twice).open_vault()
    old = msgspec.structs.replace(first.result.verdict, decision="reject", challenger=first.result.verdict.champion)
    with ledger_of(twice) as ledger:
        ledger.add_verdict(row_of(vault.put_value(old), old, 1.0))
        tamper(twice, "CREATE TRIGGER stop BEFORE INSERT ON releases BEGIN SELECT RAISE(ABORT, 'stopped'); END")

        with pytest.raises(StoreError, match="stopped"):
            override(project, reason="r", by="Ann", verdict="", clock=lambda: 5.0)

        assert (len(ledger.verdicts()), len(ledger.releases())) == (3, 1)
        tamper(twice, "DROP TRIGGER stop")
        made = override(project, reason="r", by="Ann", verdict="", clock=lambda: 5.0)
        assert (ledger.verdicts()[-1].id, ledger.current_release().id) == (made.verdict_id, made.released)


@pytest.mark.parametrize(("field", "value"), [("cycle", 2), ("challenger", "f" * 64)])
def test_an_override_of_another_verdict_than_it_says_is_named(twice, first, field, value):
    vault, verdict = open_project(twice).open_vault(), first.result.verdict
    said = {"override_by": "Ann", "override_reason": "r", "overrides": first.result.verdict_id}
    forged = msgspec.structs.replace(verdict, **said | {field: value})
    with ledger_of(twice) as ledger:
        ledger.add_verdict(row_of(vault.put_value(forged), forged, 1.0))

    assert f"it has another {field} than the verdict {short(first.result.verdict_id)}" in said_of(audited(twice))


# why


def test_why_names_the_releases_that_it_could_mean_and_a_verdict_that_is_gone(twice):
    project = open_project(twice)
    with ledger_of(twice) as ledger:
        release = ledger.current_release()
    tamper(
        twice,
        f"INSERT INTO releases SELECT 2, '{release.id[:12]}' || '{'f' * 52}', verdict, candidate, name, at "
        "FROM releases",
    )
    with pytest.raises(GateError, match=f"2 releases begin with '{release.id[:8]}'"):
        why(project, release.id[:8])
    assert why(project, release.id)

    tamper(twice, "DELETE FROM releases WHERE sequence = 2", "DELETE FROM verdicts")
    with pytest.raises(GateError, match="is not in the ledger") as caught:
        why(project)
    assert "lifeloop audit" in caught.value.fix


def test_an_override_without_a_name_or_reason_is_wrong_use(twice):
    assert_clear(call("-C", twice, "override", "--by", "Ann"), "--reason")
    assert_clear(call("-C", twice, "override", "--reason", "why", "--by", " "), "is empty")
