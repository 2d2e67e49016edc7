import json
import threading
from pathlib import Path

import msgspec
import pytest
from openai_endpoint import Reply, serving
from small_world import N, World, examples_of

from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.engine import answering
from lifeloop.engine.latency import PROBES, WARM_UP
from lifeloop.engine.trial import Allowance, run_trial, subject_of
from lifeloop.store.datasets import CHUNK
from lifeloop.store.responses import Responses, Spent
from lifeloop.store.tables import from_parquet, table_to_answers
from lifeloop.tasks.chat import request_for


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, candidate: str, progress=silent, workplace=None, **order):
    place = workplace or world.workplace()
    return run_trial(world.vault, world.order(candidate, **order), place, progress=progress)


def ordered(world: World, **order) -> tuple[list[str], list[str]]:
    """Return the ids of the examples of a trial, and what was asked in it."""
    asked = []
    with serving(lambda asked_: asked.append(asked_["messages"][-1]["content"]) or "greeting") as endpoint:
        trial = run(world, remote(world, endpoint.url, concurrency=1), **order)
    return from_parquet(world.vault.get(trial.answers))["example"].to_list(), asked


def spent(world: World, cycle: int = 1) -> Spent:
    with Responses(world.workplace().responses) as responses:
        return responses.spent(cycle)


def remote(world: World, url: str, **settings) -> str:
    return world.make(
        {"kind": "remote", "url": url, "model": "m", "retries": 0, "concurrency": 4, **settings}, "remote"
    )


def label_of(text: str) -> str:
    references = {
        example.input: example.reference for split in ("validation", "test") for example in examples_of(split)
    }
    return references.get(text, "greeting")


class Oracle:
    """Says the right label, counts what it is asked, and fails or lies as it is told to."""

    def __init__(self, fails: int = 0, instead: dict[str, str] | None = None) -> None:
        self.asked: list[str] = []
        self.fails = fails
        self.instead = instead or {}
        self.lock = threading.Lock()

    def __call__(self, asked: dict) -> str | Reply:
        text = asked["messages"][-1]["content"]
        with self.lock:
            self.asked.append(text)
            fails = len(self.asked) <= self.fails
        if fails:
            return Reply({}, 400)
        return self.instead.get(text) or label_of(text)


# what a trial holds


def test_a_trial_holds_answers_scores_and_what_it_cost(world):
    candidate = world.make({"kind": "features", "min_examples": 1}, "tfidf")
    trial = run(world, candidate)
    assert (trial.candidate, trial.name, trial.dataset) == (candidate, "tfidf", world.dataset)
    assert (trial.split, trial.suite, trial.n_items, trial.n_failed) == ("validation", "clean", N, 0)
    assert trial.metric("accuracy").value == 1.0
    assert trial.metric("accuracy").n == N
    assert trial.metric("p95_ms").value == trial.measurements.p95_ms
    assert trial.metric("no such metric") is None
    assert 0 < trial.measurements.p50_ms <= trial.measurements.p95_ms
    assert 0 < trial.measurements.usd_per_1000 < 1  # the machine's time alone
    table = from_parquet(world.vault.get(trial.answers))
    assert table["example"].to_list() == [f"validation{n}" for n in range(N)]
    assert [answer.output for answer in table_to_answers(table)] == [e.reference for e in examples_of("validation")]


def test_quality_by_slice_is_reported_where_there_are_enough(world):
    trial = run(world, world.make({"kind": "majority"}))
    assert set(trial.slices) == {"channel=mail", "channel=phone"}  # a day has four examples
    by_name = {value.metric: value for value in trial.slices["channel=mail"]}
    assert by_name["accuracy"].n == N // 2


def test_a_trial_repeats_but_for_what_the_clock_says(world):
    candidate = world.make({"kind": "features", "min_examples": 1})
    one, other = run(world, candidate), run(world, candidate)
    still = one.measurements
    assert msgspec.structs.replace(other, measurements=still) == one


def test_tokens_and_money_are_added_up(world):
    with serving(Oracle()) as endpoint:
        trial = run(world, remote(world, endpoint.url, usd_per_million_in=1000.0), usd_per_hour=0.0001)
    assert (trial.measurements.tokens_in, trial.measurements.tokens_out) == (10 * N, 2 * N)
    assert trial.measurements.usd_per_1000 == pytest.approx(1000 * 10 * 1000 / 1e6, rel=1e-3)


def test_the_time_of_the_machine_is_money(world):
    candidate = world.make({"kind": "majority"})
    cheap, dear = (run(world, candidate, usd_per_hour=usd).measurements.usd_per_1000 for usd in (0.0, 3600.0))
    assert cheap == 0.0
    assert dear > 0.0


def test_memory_is_that_of_a_process_that_loaded_the_candidate(world):
    candidate = world.make({"kind": "majority"})
    first = run(world, candidate)
    assert first.metric("memory_mb").value > 10
    assert run(world, candidate).metric("memory_mb").value == first.metric("memory_mb").value


def test_progress_counts_to_the_end(world):
    told = []
    run(world, world.make({"kind": "majority"}), progress=lambda *step: told.append(step))
    assert told[0] == (0, N, "loading")
    assert told[-1][:2] == (N, N)
    assert told[-1][2].startswith("answered, ")
    assert told[-1][2].endswith("/s")


def test_progress_tells_what_was_paid(world):
    told = []
    with serving(Oracle()) as endpoint:
        candidate = remote(world, endpoint.url, usd_per_million_in=1000.0)
        run(world, candidate, progress=lambda *step: told.append(step[2]))
    assert told[-1].endswith(f"· {N * 0.01:.4f} USD")


# which examples


def test_a_limit_draws_the_same_part_for_every_candidate_and_a_smaller_one_part_of_it(world):
    ten, asked = ordered(world, max_items=10)
    five, asked_besides = ordered(world, max_items=5)
    assert len(ten) == len(asked) == 10
    assert set(five) < set(ten)
    assert len(asked_besides) == 5


def test_a_longer_trial_costs_what_the_shorter_one_had_not_asked(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url)
        run(world, candidate, max_items=10)
        assert len(oracle.asked) == 10
        longer = run(world, candidate)
    assert len(oracle.asked) == N
    assert longer.measurements.n_cached == 10
    assert longer.n_items == N


@pytest.mark.parametrize("split", ["train", "validation", "test", "guard"])
def test_any_split_can_be_ordered(world, split):
    subject = subject_of(world.vault, world.order(world.make({"kind": "majority"}), split=split))
    assert [e.id for chunk in subject.table.chunks() for e in chunk] == [f"{split}{n}" for n in range(N)]


def test_a_suite_changes_inputs_alone(world):
    clean, asked = ordered(world, split="test", suite="clean")
    changed, asked_changed = ordered(world, split="test", suite="typos")
    assert clean == changed
    assert len(asked_changed) == N
    assert set(asked_changed) != set(asked)


def test_what_is_asked_in_chat_is_the_conversation():
    said = [("user", "hi"), ("assistant", "hello"), ("user", "so")]
    turns = json.dumps([{"role": role, "content": content} for role, content in said])
    request = request_for("chat", turns)
    assert request.text == "so"
    assert [turn.content for turn in request.messages] == ["hi", "hello", "so"]
    assert request_for("classify", turns).text == turns
    assert request_for("chat", "[]").messages == ()


# failures, and going on after them


def test_outputs_that_break_the_contract_are_counted_and_wrong(world):
    lies = {examples_of("validation")[n].input: "no such label" for n in range(3)}
    with serving(Oracle(instead=lies)) as endpoint:
        trial = run(world, remote(world, endpoint.url))
    assert trial.n_failed == 3
    assert trial.metric("valid").value == (N - 3) / N
    assert trial.metric("accuracy").value == (N - 3) / N


def test_what_failed_is_not_kept_and_is_asked_again(world):
    oracle = Oracle(fails=5)
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url)
        first = run(world, candidate)
        failed = set(oracle.asked[:5])  # the first one was tried alone before
        assert first.n_failed == len(failed) == 4
        oracle.asked.clear()
        oracle.fails = 0
        second = run(world, candidate)
    assert second.n_failed == 0
    assert set(oracle.asked) == failed
    assert second.measurements.n_cached == N - len(failed)


class Killed(Exception):
    """Stands for whatever ends a run in the middle."""


def test_a_trial_that_was_stopped_goes_on_where_it_was(world, monkeypatch):
    oracle = Oracle()
    monkeypatch.setattr(answering, "TELL_SECONDS", 0.0)

    def stop(done, total, note):
        if done >= 12:
            raise Killed

    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url, concurrency=1)
        with pytest.raises(Killed):
            run(world, candidate, progress=stop)
        before = list(oracle.asked)
        assert len(before) < N
        oracle.asked.clear()
        resumed = run(world, candidate)
        assert len(oracle.asked) <= N - len(before) + 1, "one was under way"
        elsewhere = world.workplace(responses=world.folder / "other.sqlite")
        whole = run(world, candidate, workplace=elsewhere)
    assert resumed.answers == whole.answers
    assert resumed.metrics == whole.metrics


def test_where_nothing_is_answered_the_candidate_fails_soon(world):
    oracle = Oracle(fails=10**6)
    with serving(oracle) as endpoint, pytest.raises(ModelError, match=f"not one of {N} requests") as caught:
        run(world, remote(world, endpoint.url))
    assert "the endpoint answered 400" in caught.value.what
    assert caught.value.where == "candidates.remote"
    assert len(oracle.asked) == N + 1  # the first one showed that timing them is no use


def test_a_candidate_whose_files_are_gone_says_so(world):
    candidate = world.make({"kind": "majority"})
    broken = msgspec.structs.replace(world.candidate(candidate), files="0" * 64)
    with pytest.raises(Exception, match="is missing"):
        run(world, world.vault.put_value(broken))


# nothing is paid twice


def test_a_trial_whose_answers_are_all_kept_asks_nothing_and_loads_nothing(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url, usd_per_million_in=1000.0)
        first = run(world, candidate)
        assert len(oracle.asked) == N, "latency is measured on answers that are wanted anyway"
    again = run(world, candidate)  # the endpoint is gone
    assert (again.measurements.n_cached, again.measurements.usd_spent) == (N, 0.0)
    assert (first.measurements.n_cached, first.measurements.usd_spent) == (0, pytest.approx(N * 0.01))
    assert again.measurements.usd_per_1000 == pytest.approx(first.measurements.usd_per_1000)
    assert (again.answers, again.metrics, again.slices) == (first.answers, first.metrics, first.slices)
    assert again.metric("p95_ms") == first.metric("p95_ms")


def test_a_candidate_that_would_say_the_same_has_the_same_answers(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        run(world, remote(world, endpoint.url))
        run(world, remote(world, endpoint.url, concurrency=2, timeout_seconds=7.0, usd_per_million_in=1.0))
        assert len(oracle.asked) == N
        run(world, remote(world, endpoint.url, max_tokens=5))
        assert len(oracle.asked) == 2 * N


def test_the_same_words_are_asked_once(world):
    same = [Example(str(n), "the same", "greeting", str(n)) for n in range(50)]
    world.use("test", same)
    oracle = Oracle()
    with serving(oracle) as endpoint:
        trial = run(world, remote(world, endpoint.url), split="test")
    assert oracle.asked == ["the same"]
    assert trial.n_items == 50
    assert trial.measurements.usd_spent == 0.0


def test_a_member_is_not_asked_again_what_it_was_asked_alone(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        members = {"cheap": world.make({"kind": "majority"}, "cheap"), "broad": remote(world, endpoint.url)}
        tried = [(one, world.vault.put_value(run(world, one))) for one in members.values()]
        both = world.make(
            {"kind": "cascade", "members": ["cheap", "broad"], "threshold": 0.99}, "both", members=tuple(tried)
        )
        oracle.asked.clear()
        trial = run(world, both)
        probes = len(oracle.asked)
        assert probes <= PROBES + WARM_UP, "only the clock wants them again"
        assert trial.metric("accuracy").value == 1.0
        oracle.asked.clear()
        run(world, both, split="test")
    assert len(oracle.asked) == N


# repeats


def test_who_draws_at_random_is_asked_again_and_again(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        warm = remote(world, endpoint.url, temperature=0.7)
        trial = run(world, warm, repeats=3)
        assert (trial.repeats, trial.n_items, len(oracle.asked)) == (3, N, 3 * N)
        more = run(world, warm, repeats=4)
        assert len(oracle.asked) == 4 * N, "three of the four were asked before"
        cold = run(world, remote(world, endpoint.url), repeats=3)
        assert (cold.repeats, len(oracle.asked)) == (1, 5 * N)
    table = from_parquet(world.vault.get(more.answers))
    assert table["repeat"].to_list() == [0, 1, 2, 3] * N
    assert table["example"].to_list() == [f"validation{n}" for n in range(N) for _ in range(4)]
    assert {split.metric for split in trial.variance} >= {"accuracy"}
    assert cold.variance == ()


# chunks


def test_a_trial_of_several_chunks_is_one_trial(world):
    labels = ("billing", "delivery", "greeting")
    many = [Example(f"n{n}", f"text {n}", labels[n % 3], f"n{n}") for n in range(2 * CHUNK + 100)]
    world.use("test", many)
    candidate = world.make({"kind": "majority"})
    run(world, candidate, split="test", max_items=CHUNK)  # leaves holes in every chunk
    told = []
    trial = run(world, candidate, split="test", progress=lambda *step: told.append(step))
    assert trial.n_items == trial.metric("accuracy").n == len(many)
    assert trial.measurements.n_cached == CHUNK
    assert trial.metric("accuracy").value == pytest.approx(1 / 3, abs=1e-3)
    table = from_parquet(world.vault.get(trial.answers))
    assert table["example"].to_list() == [example.id for example in many]
    assert told[-1][0] == len(many)


def test_a_trial_of_no_examples_is_no_error(world):
    world.use("guard", [])
    trial = run(world, world.make({"kind": "majority"}), split="guard")
    assert (trial.n_items, trial.metrics) == (0, ())


# what may be spent


BOUNDS = {
    "usd": (Allowance(usd=0.055), "money", "budget.usd"),
    "tokens": (Allowance(tokens=70), "tokens", "budget.tokens"),
    "minutes": (Allowance(seconds=0.0), "time", "budget.minutes"),
}


@pytest.mark.parametrize(("allowance", "word", "key"), BOUNDS.values(), ids=BOUNDS)
def test_a_trial_stops_at_what_may_be_spent_and_keeps_what_was_answered(world, allowance, word, key):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url, usd_per_million_in=1000.0)  # a cent and twelve tokens an answer
        with pytest.raises(ModelError, match=f"the budget of {word} is used up after") as caught:
            run(world, candidate, workplace=world.workplace(allowance=allowance))
        asked = len(oracle.asked)
        assert asked <= 7
        assert f"after {asked} of {N} examples; what was answered is kept" in caught.value.what
        assert caught.value.where == f"lifeloop.toml: {key}"
        assert spent(world) == Spent(pytest.approx(asked * 0.01), asked * 12)
        run(world, candidate)
    assert len(oracle.asked) == N
    assert spent(world) == Spent(pytest.approx(N * 0.01), N * 12)


def test_what_was_paid_in_an_earlier_cycle_is_not_spent_again(world):
    with serving(Oracle()) as endpoint:
        candidate = remote(world, endpoint.url, usd_per_million_in=1000.0)
        run(world, candidate)
        run(world, candidate, workplace=world.workplace(cycle=2, allowance=Allowance(0.0, 0, 0.0)))
    assert spent(world, 2) == Spent(0.0, 0)


def test_a_local_model_spends_no_money(world):
    trial = run(world, world.make({"kind": "majority"}), workplace=world.workplace(allowance=Allowance(0.0, 0)))
    assert trial.n_items == N
