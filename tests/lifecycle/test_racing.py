"""Races of whole experiments: who is left out and why, what is asked of endpoints, and what a failure does."""

import contextlib
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from openai_endpoint import Endpoint, Reply, completion, serving

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Leaderboard, Release, Standing
from lifeloop.lifecycle import cycle
from lifeloop.lifecycle.experiment import experiment
from lifeloop.lifecycle.runner import Notice, Runner
from lifeloop.project import open_project
from small_project import OBJECTIVES, TOPICS, brief, small_project, texts

pytestmark = pytest.mark.slow  # every trial starts a process; test_rounds.py is quick

N = 200
"""Validation examples, or nearly so: rounds of 50, 100 and all."""
WRONG = {"good": 0.0, "twin": 0.0, "fair": 0.3, "bad": 0.6}
"""Share of the texts that a model at the endpoint gets wrong, beside the noise of the labels."""


def say(asked: dict[str, Any]) -> Reply:
    """Answer with the topic whose words are in the text; how often not so is the model's name."""
    text = asked["messages"][-1]["content"]
    words = text.split()
    topics = list(TOPICS)
    right = max(topics, key=lambda topic: sum(word in TOPICS[topic] for word in words))
    number = int(re.search(r"\bn7x(\d+)", text)[1])
    if (number * 0.618034) % 1 < WRONG[asked["model"]]:
        right = topics[(topics.index(right) + 1) % len(topics)]
    return Reply(completion(right))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(say) as found:
        yield found


def remote(endpoint: Endpoint, *models: str, **settings: Any) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return "".join(
        f'[candidates.{model}]\nkind = "remote"\nurl = "{endpoint.url}"\nmodel = "{model}"\nprompt = "main"\n{lines}'
        for model in models
    )


MAJORITY = '[candidates.majority]\nkind = "majority"\n'


def a_project(folder: Path, candidates: str, rest: str = "", objectives: str = OBJECTIVES) -> Path:
    rows = [(text, label) for text, label in texts(n=5 * N, noise=0.05)]
    small_project(folder, brief(candidates=candidates, rest=rest, objectives=objectives), rows)
    place = folder / "prompts" / "main"
    place.mkdir(parents=True, exist_ok=True)
    (place / "system.md").write_text("Sort texts. {{ instructions }}")
    (place / "user.md").write_text("{{ text }}")
    return folder


class Explored(NamedTuple):
    """A leaderboard, and what was told on the way to it."""

    board: Leaderboard
    notices: list[Notice]

    def __getitem__(self, name: str) -> Standing:
        return next(standing for standing in self.board.standings if standing.name == name)

    def subjects(self, kind: str) -> list[str]:
        return [f"{notice.stage} {notice.subject}" for notice in self.notices if notice.kind == kind]

    def answered(self) -> dict[str, int]:
        return {each.name: each.trial.n_items for each in self.board.standings if each.trial}


def explored(folder: Path, *, exhaustive: bool = False) -> Explored:
    """Run a cycle up to its leaderboard."""
    notices: list[Notice] = []
    project = open_project(folder)
    project = cycle.without_race(project) if exhaustive else project
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        row = cycle._cycle(project, ledger, vault, time.time, learn_now=False)
        runner = Runner(ledger, vault, row.number, notices.append, time.time)
        dataset = cycle.refined_dataset(project, runner, row, cycle._source(vault, row))
        board, _ = experiment(project, runner, dataset, cycle.planned(project, runner, dataset).value)
        return Explored(board.value, notices)


def asked(endpoint: Endpoint) -> Counter[str]:
    return Counter(each["model"] for each in endpoint.asked)


def test_whoever_is_shown_to_be_worse_is_left_out_and_the_board_says_on_what_grounds(tmp_path, endpoint):
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good", "twin", "fair", "bad"))

    found = explored(folder)

    n_items = found.answered()
    assert n_items["good"] == n_items["twin"] == found["good"].trial.n_items
    assert n_items["bad"] == 50 and n_items["fair"] < n_items["good"]
    out = found["bad"].eliminated
    assert (out.n_items, out.of_items, out.margin) == (50, n_items["good"], 0.01)
    assert out.leader in ("good", "twin")
    assert out.low <= out.difference <= out.high < -out.margin
    assert "Waudby-Smith" in out.method
    assert found["good"].eliminated is None and found["twin"].eliminated is None
    names = [standing.name for standing in found.board.standings]
    assert set(names[:2]) <= {"good", "twin", "majority"} and names.index("bad") > names.index("good")
    assert found.board.challenger in (found["good"].candidate, found["twin"].candidate)
    calls = asked(endpoint)
    assert calls["bad"] < calls["good"] / 2, "what is left out is not asked any more"
    assert f"explore try bad 50 of {n_items['good']}" in found.subjects("done")
    assert f"explore race 50 of {n_items['good']}" in found.subjects("done")


def test_a_race_that_is_run_again_asks_nothing_and_says_the_same(tmp_path, endpoint):
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good", "bad"))
    first = explored(folder)
    calls = len(endpoint.asked)

    again = explored(folder)

    assert {notice.kind for notice in again.notices} == {"kept"}
    assert again.board == first.board
    assert len(endpoint.asked) == calls


def test_exhaustive_tries_everybody_on_everything_and_pays_for_what_is_missing_alone(tmp_path, endpoint):
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good", "bad"))
    raced = explored(folder)
    before = asked(endpoint)

    whole = explored(folder, exhaustive=True)

    assert set(whole.answered().values()) == {raced["good"].trial.n_items}
    assert all(standing.eliminated is None for standing in whole.board.standings)
    assert asked(endpoint)["good"] == before["good"], "its trial of the race was whole"
    assert before["bad"] < asked(endpoint)["bad"] <= before["bad"] + 150
    assert whole.board.challenger == raced.board.challenger


def test_who_is_part_of_another_and_who_is_quick_is_tried_on_everything_at_once(tmp_path, endpoint):
    both = '[candidates.both]\nkind = "cascade"\nmembers = ["bad", "good"]\nthreshold = 0.5\n'
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good", "bad") + both)

    found = explored(folder)

    tried = [each for each in found.subjects("done") if " try " in each]
    assert {"explore try majority", "explore try good", "explore try bad"} <= set(tried)
    assert found["bad"].eliminated is None
    assert found["both"].trial is not None


def test_whom_a_leader_left_out_comes_back_when_the_leader_fails(tmp_path, endpoint):
    priced = remote(endpoint, "good", usd_per_million_out=500_000.0)  # an answer of two tokens costs a dollar
    folder = a_project(tmp_path / "news", priced + remote(endpoint, "fair", "bad"), "[budget]\nusd = 90.0\n")

    found = explored(folder)

    assert found["good"].trial is None
    assert "budget of money is used up" in found["good"].failure
    assert "on the first 50" in found["good"].failure, "what it did before is said"
    assert any("race 50" in each for each in found.subjects("done"))
    assert found["fair"].trial.n_items > 100
    assert found["bad"].eliminated is None or found["bad"].eliminated.leader == "fair"
    assert found.board.challenger == found["fair"].candidate


def test_a_champion_that_no_longer_answers_is_a_line_with_its_reason(tmp_path, endpoint, unused_port):
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good"))
    before = explored(folder)
    project = open_project(folder)
    vault = project.open_vault()
    good = vault.get_value(before["good"].candidate, Candidate)
    gone = good.settings | {"url": f"http://127.0.0.1:{unused_port}/v1", "retries": 0}
    champion = vault.put_value(msgspec.structs.replace(good, name="old", settings=gone))
    release = vault.put_value(Release(cycle=1, verdict="v", candidate=champion, name="old"))
    with contextlib.closing(project.open_ledger()) as ledger:
        ledger.add_release(id=release, verdict="v", candidate=champion, name="old", at=0.0)
    a_project(folder, MAJORITY + remote(endpoint, "good"), "[gate]\neffect = 0.05\n")

    found = explored(folder)

    assert found["old (champion)"].trial is None
    assert "answered" in found["old (champion)"].failure or "not answer" in found["old (champion)"].failure
    assert found["old (champion)"].note == "in production"
    assert found.board.challenger == found["good"].candidate


def test_a_candidate_beyond_the_budget_of_tokens_is_a_line_and_what_it_said_is_kept(tmp_path, endpoint):
    folder = a_project(tmp_path / "news", MAJORITY + remote(endpoint, "good"), "[budget]\ntokens = 480\n")

    poor = explored(folder)
    calls = len(endpoint.asked)
    a_project(folder, MAJORITY + remote(endpoint, "good"), "[budget]\ntokens = 100000\n")
    rich = explored(folder)

    assert "budget of tokens is used up" in poor["good"].failure
    assert poor["majority"].trial is not None
    assert 40 <= calls <= 40 + 8, "twelve tokens a call, and at most eight under way"
    assert rich["good"].trial.n_items == rich["majority"].trial.n_items
    assert asked(endpoint)["good"] <= rich["good"].trial.n_items + 40, "nothing is paid twice but probes of latency"
