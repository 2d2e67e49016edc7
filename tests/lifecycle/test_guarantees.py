"""What thresholds promised on validation is checked on test, and who cannot be tried at the gate is named."""

import msgspec
import pytest

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Release, Verdict
from lifeloop.project import open_project
from small_project import CANDIDATES, OBJECTIVES, brief, edit, ledger_of, run, small_project, texts

UNREACHED = OBJECTIVES.replace("0.5", "0.999")
COMPOSED = (
    CANDIDATES
    + """
[candidates.nearest]
kind = "nearest"
[candidates.both]
kind = "cascade"
members = ["tfidf", "nearest"]
risk = 0.2
[candidates.careful]
kind = "abstain"
members = ["tfidf"]
risk = 0.4
"""
)


def rest(baseline: str) -> str:
    return f'[gate]\nbaseline = "{baseline}"\n'


def settings_of(folder, verdict: Verdict) -> dict:
    return open_project(folder).open_vault().get_value(verdict.champion, Candidate).settings


def test_promises_of_thresholds_are_checked_on_test(tmp_path):
    text = brief(objectives=UNREACHED, candidates=COMPOSED, rest=rest("both"))
    folder = small_project(tmp_path / "news", text, texts(400, noise=0.2))

    cascade = run(folder).result.verdict
    edit(folder, objectives=UNREACHED, candidates=COMPOSED, rest=rest("careful"))
    again = run(folder)
    careful = again.result.verdict

    for name, verdict, target in (("both", cascade, 0.2), ("careful", careful, 0.4)):
        found = next(each for each in verdict.guarantees if each.candidate == name)
        settings = settings_of(folder, verdict)
        assert (found.target, found.threshold, found.validation) == (
            target,
            settings["threshold"],
            settings["validation_risk"],
        )
        assert found.risk == settings["risk_on"] != ""
        assert found.test_low <= found.test <= found.test_high
        assert found.kept is (found.test_low <= target)
        assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    with ledger_of(folder) as ledger:
        tried = [row.subject for row in ledger.runs() if row.stage == "evaluate"]
    assert "try test clean last member of both" in tried, "what a cascade is held against is tried on test too"


def test_a_champion_that_cannot_be_tried_any_more_is_named(tmp_path):
    folder = small_project(tmp_path / "news", rows=texts(200))
    kind, vault = plugins.get("models", "llamacpp"), open_project(folder).open_vault()
    settings = msgspec.to_builtins(kind.settings(model="/nowhere/model.gguf"))
    gone = vault.put_value(Candidate("old", "llamacpp", "classify", ("sport", "money"), settings))
    with ledger_of(folder) as ledger:
        release = vault.put_value(Release(cycle=0, verdict="v", candidate=gone, name="old"))
        ledger.add_release(id=release, verdict="v", candidate=gone, name="old", at=0.0)

    with pytest.raises(
        ModelError, match="the champion old could not be tried on test, so there is no verdict"
    ) as error:
        run(folder)

    assert "run again: what was finished is kept" in error.value.fix
    with ledger_of(folder) as ledger:
        assert not ledger.verdicts()
