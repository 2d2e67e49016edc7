"""What a trial pays when it comes to its bounds, and whether its clock can be believed."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from openai_endpoint import Reply, serving
from small_world import N, World, examples_of

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.engine import answering, trial
from lifeloop.engine.answering import Answering, Context
from lifeloop.engine.cached import clocked
from lifeloop.engine.latency import Clock
from lifeloop.engine.members import Loaded, Purse
from lifeloop.engine.spending import Allowance, Meter
from lifeloop.engine.trial import run_trial
from lifeloop.models.model import whole
from lifeloop.store.responses import Responses, Spent

WHOM = "ab" * 32
CENT = {"usd_per_million_in": 1000.0}  # a cent and twelve tokens an answer
PROBES = [(Request(text=f"text {n}"), 0) for n in (0, 1, 2, 2, 3)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Labels:
    """Says the right label to examples of the test split, or fails, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    def __call__(self, asked: dict) -> str | Reply:
        text = asked["messages"][-1]["content"]
        self.asked.append(text)
        right = {example.input: example.reference for example in examples_of("test")}
        return Reply({}, 400) if self.fails else right.get(text, "greeting")


def remote(world: World, url: str, **settings) -> str:
    return world.make({"kind": "remote", "url": url, "model": "m", "retries": 0, **settings}, "remote")


def cascade(world: World, broad: str) -> str:
    members = {"cheap": world.make({"kind": "majority"}, "cheap"), "broad": broad}
    tried = [(one, world.vault.put_value(run(world, one, split="validation"))) for one in members.values()]
    table = {"kind": "cascade", "members": list(members), "threshold": 0.99}
    return world.make(table, "both", members=tuple(tried))


def run(world: World, candidate: str, split: str = "test", **place):
    return run_trial(world.vault, world.order(candidate, split=split), world.workplace(**place), progress=silent)


# the clock


class Forgetful:
    """Remembers the texts of its latest batch, as an encoder does."""

    batch_size, concurrency = 64, 1

    def __init__(self) -> None:
        self.latest: set[str] = set()
        self.worked: list[str] = []

    def answer(self, requests):
        texts = {request.text for request in requests}
        if not texts <= self.latest:
            self.latest = texts
            self.worked += sorted(texts)
        return [Answer(output="a") for _ in requests]

    def stream(self, request):
        return whole(self, request)

    def close(self) -> None:
        """Nothing is held."""


def timed(responses: Responses, model: Forgetful, allowance: Allowance) -> None:
    purse = Purse(responses, Meter(allowance), 1, 1)
    context = Context(purse, WHOM, lambda: Loaded(model, model), len(PROBES), silent)
    with closing(Answering(context)) as asked:
        Clock(responses, WHOM, PROBES).after(asked, [0.5])


def test_no_probe_is_answered_from_what_a_model_remembers(tmp_path):
    model = Forgetful()
    model.answer([request for request, _ in PROBES])
    model.worked.clear()
    with Responses(tmp_path / "responses.sqlite") as responses:
        timed(responses, model, Allowance())
        assert len(clocked(responses, WHOM).seconds) == 4, "the same words are timed once"
    assert model.worked[-4:] == ["text 0", "text 1", "text 2", "text 3"]


def test_a_clock_that_the_budget_cut_short_is_not_kept(tmp_path):
    with Responses(tmp_path / "responses.sqlite") as responses:
        timed(responses, Forgetful(), Allowance(seconds=0.0))
        assert clocked(responses, WHOM) is None
        timed(responses, Forgetful(), Allowance())
        assert clocked(responses, WHOM) is not None


# members


def test_a_paid_member_stops_at_what_may_be_spent_and_keeps_each_answer(world):
    labels = Labels()
    with serving(labels) as endpoint:
        both = cascade(world, remote(world, endpoint.url, concurrency=2, **CENT))
        labels.asked.clear()
        with pytest.raises(ModelError, match=f"the budget of money is used up after 0 of {N} examples"):
            run(world, both, cycle=2, allowance=Allowance(usd=0.055))
        paid = list(labels.asked)
        assert 4 <= len(paid) <= 7
        with Responses(world.workplace().responses) as responses:
            assert responses.spent(2) == Spent(pytest.approx(len(paid) * 0.01), len(paid) * 12)
        labels.asked.clear()
        run(world, both)
    assert not set(paid) & set(labels.asked[: N - len(paid)]), "only the clock wants them again"


def test_what_was_made_of_a_members_failure_is_not_kept(world):
    labels = Labels()
    with serving(labels) as endpoint:
        both = cascade(world, remote(world, endpoint.url))
        labels.fails = True
        assert run(world, both).metric("accuracy").value < 1.0
        labels.fails = False
        again = run(world, both)
    assert again.metric("accuracy").value == 1.0
    assert again.measurements.n_cached == 0


# chunks


def test_the_same_words_on_both_sides_of_a_chunks_edge_are_asked_once(world, monkeypatch):
    monkeypatch.setattr(trial, "CHUNK", 4)
    world.use("test", [Example(str(n), f"text {max(n, 1) // 2}", "greeting", str(n)) for n in range(1, 25)])
    labels = Labels()
    with serving(labels) as endpoint:
        run(world, remote(world, endpoint.url, concurrency=1))
    assert len(labels.asked) == len(set(labels.asked)) == 13


def test_little_piles_up_behind_one_slow_answer(world, monkeypatch):
    monkeypatch.setattr(trial, "CHUNK", 4)
    monkeypatch.setattr(answering, "MOST_OPEN", 3)
    world.use("test", [Example(str(n), f"text {n}", "greeting", str(n)) for n in range(120)])
    asked, behind, lock = [], [], threading.Lock()

    def say(body: dict) -> str:
        text = body["messages"][-1]["content"]
        with lock:
            asked.append(text)
        if len(asked) == 50:
            before = len(asked)
            time.sleep(0.4)
            behind.append(len(asked) - before)
        return "greeting"

    with serving(say) as endpoint:
        done = run(world, remote(world, endpoint.url, concurrency=4))
    assert behind[0] <= 3 * 4 + 4
    assert (done.n_items, len(asked), len(set(asked))) == (120, 120, 120)
    assert done.metric("accuracy").value == 1.0


# nothing left


@pytest.mark.parametrize("allowance", [Allowance(usd=0.0), Allowance(tokens=0)], ids=["usd", "tokens"])
@pytest.mark.parametrize("composed", [False, True])
def test_with_nothing_left_nothing_is_sent(world, allowance, composed):
    labels = Labels()
    with serving(labels) as endpoint:
        candidate = remote(world, endpoint.url, **CENT)
        candidate = cascade(world, candidate) if composed else candidate
        labels.asked.clear()
        with pytest.raises(ModelError, match=f"used up after 0 of {N}"):
            run(world, candidate, allowance=allowance)
    assert labels.asked == []


def test_an_endpoint_without_a_price_needs_no_money(world):
    with serving(Labels()) as endpoint:
        assert run(world, remote(world, endpoint.url), allowance=Allowance(usd=0.0)).n_items == N


# prices


@pytest.mark.parametrize("composed", [False, True])
def test_a_corrected_price_holds_for_answers_that_are_kept(world, composed):
    labels = Labels()
    with serving(labels) as endpoint:
        first = remote(world, endpoint.url, **CENT)
        before = run(world, cascade(world, first) if composed else first)
        second = remote(world, endpoint.url, usd_per_million_in=3000.0)
        labels.asked.clear()
        after = run(world, cascade(world, second) if composed else second)
    assert after.measurements.usd_per_1000 == pytest.approx(3 * before.measurements.usd_per_1000, rel=0.01)
    assert composed or (labels.asked == [] and after.measurements.usd_spent == 0.0)
