import json
import threading
from pathlib import Path

import msgspec
import pytest
from openai_endpoint import Reply, serving
from small_world import N, World, examples_of

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.stages.trial import PROBES, Said, request_for, run_trial, with_memory
from lifeloop.stages.trial import examples_of as ordered
from lifeloop.store.journal import Journal
from lifeloop.store.tables import from_parquet, table_to_answers


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, candidate: str, progress=silent, **order):
    return run_trial(world.vault, world.order(candidate, **order), world.folder / "trial.jsonl", progress=progress)


def journal(world: World) -> list[Said]:
    with Journal(world.folder / "trial.jsonl", Said) as opened:
        return opened.read()


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


def test_memory_is_filled_in_by_whoever_measured_it(world):
    trial = run(world, world.make({"kind": "majority"}))
    assert trial.measurements.memory_mb == 0.0
    assert with_memory(trial, 123.0).metric("memory_mb").value == 123.0


def test_progress_counts_to_the_end(world):
    told = []
    run(world, world.make({"kind": "majority"}), progress=lambda *step: told.append(step))
    assert told[0] == (0, N, "loading")
    assert told[-1] == (N, N, "answered")


# which examples


def test_a_limit_draws_the_same_part_for_every_candidate(world):
    parts = [ordered(world.vault, world.order(candidate, max_items=10)) for candidate in ("a", "b")]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 10


@pytest.mark.parametrize("split", ["train", "validation", "test", "guard"])
def test_any_split_can_be_ordered(world, split):
    assert [e.id for e in ordered(world.vault, world.order("c", split=split))] == [f"{split}{n}" for n in range(N)]


def test_a_suite_changes_inputs_alone(world):
    clean, changed = (ordered(world.vault, world.order("c", split="test", suite=suite)) for suite in ("clean", "typos"))
    assert [e.id for e in clean] == [e.id for e in changed]
    assert [e.reference for e in clean] == [e.reference for e in changed]
    assert [e.input for e in clean] != [e.input for e in changed]


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
        assert first.n_failed == 5
        assert len(journal(world)) == N - 5
        failed = {e.input for e in examples_of("validation")} - set(oracle.asked[5:N])

        oracle.asked.clear()
        oracle.fails = 0
        second = run(world, candidate)
    assert second.n_failed == 0
    assert set(oracle.asked[:5]) == failed
    assert len(oracle.asked) == 5 + 2 + min(PROBES, N)  # the rest measures latency


def test_a_killed_trial_goes_on_where_it_was(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url)
        whole = run(world, candidate)
        path = world.folder / "trial.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:15]) + lines[15][:10])  # killed while it wrote the sixteenth
        oracle.asked.clear()
        resumed = run(world, candidate)
    asked_again = oracle.asked[: N - 15]
    assert set(asked_again) == {e.input for e in examples_of("validation")[15:]}
    assert len(oracle.asked) == (N - 15) + 2 + min(PROBES, N)
    assert resumed.answers == whole.answers
    assert resumed.metrics == whole.metrics


def test_a_finished_journal_asks_nothing_but_the_clock(world):
    oracle = Oracle()
    with serving(oracle) as endpoint:
        candidate = remote(world, endpoint.url)
        run(world, candidate)
        oracle.asked.clear()
        run(world, candidate)
    assert len(oracle.asked) == 2 + min(PROBES, N)


def test_where_nothing_is_answered_the_candidate_fails_soon(world):
    oracle = Oracle(fails=10**6)
    with serving(oracle) as endpoint, pytest.raises(ModelError, match=f"not one of {N} requests") as caught:
        run(world, remote(world, endpoint.url))
    assert "the endpoint answered 400" in caught.value.what
    assert caught.value.where == "candidates.remote"
    assert len(oracle.asked) == N  # no probes of what does not answer
    assert journal(world) == []


def test_a_candidate_whose_files_are_gone_says_so(world):
    candidate = world.make({"kind": "majority"})
    broken = msgspec.structs.replace(world.candidate(candidate), files="0" * 64)
    with pytest.raises(Exception, match="is missing"):
        run(world, world.vault.put_value(broken))
