"""Which rows train, and which are worth a label: what is kept, what is left out, and why."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import World

from lifeloop import plugins
from lifeloop.core.content import normalise
from lifeloop.core.data import Dataset, Example
from lifeloop.core.data_brief import Selection
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.stages.select import BEYOND, POOR, REPEATED, choose, select, tokens
from lifeloop.stages.shortlist import UNSURE, Guess, Pooled, shortlist
from lifeloop.store.datasets import read_for_evaluation
from lifeloop.store.tables import from_parquet
from lifeloop.store.training_data import read_for_selection
from lifeloop.training.text_vectors import text_vectors

CLASSIFY = plugins.get("tasks", "classify")
WORDS = {
    "billing": ["invoice", "refund", "charge", "card", "price", "account", "payment", "bank", "tax", "receipt"],
    "delivery": ["parcel", "courier", "late", "address", "box", "van", "door", "street", "driver", "depot"],
}


def texts(n: int, label: str, seed: int = 1) -> list[str]:
    chance = random.Random(f"{label}{seed}")
    return [" ".join(chance.sample(WORDS[label], 4)) + f" {chance.choice('abcdefgh')}{k}" for k in range(n)]


def mail(n: int = 30) -> list[Example]:
    rows = [(text, label) for label in WORDS for text in texts(n, label)]
    return [Example(f"r{k}", text, label, f"g{k}", source=f"f:{k}") for k, (text, label) in enumerate(rows)]


def chosen(examples: list[Example], task=CLASSIFY, **wanted):
    return choose(examples, Selection(**wanted), task, 0, silent)


# which rows train


def test_a_budget_of_tokens_is_kept_and_almost_used_up():
    rows = mail()
    found = chosen(rows, tokens=200)
    assert found.tokens == sum(tokens(rows[place]) for place in found.kept)
    assert 180 <= found.tokens <= 200
    assert found.of_tokens == sum(map(tokens, rows))
    assert {each.reason for each in found.left} == {BEYOND}
    assert len(found.kept) + len(found.left) == len(rows)
    assert sorted([rows[place].id for place in found.kept] + [each.id for each in found.left]) == sorted(
        example.id for example in rows
    )


def test_labels_keep_their_shares_within_a_budget():
    rows = mail(40)[:60]  # forty of one label, twenty of the other
    labels = [rows[place].reference for place in chosen(rows, tokens=250).kept]
    assert 1.5 <= labels.count("billing") / labels.count("delivery") <= 2.7


def test_a_budget_that_holds_everything_leaves_nothing_out():
    assert chosen(mail(), tokens=10**6).left == ()


def test_a_budget_without_room_for_the_labels_is_a_slip():
    with pytest.raises(BriefError, match="do not hold one row of each label: that takes") as caught:
        chosen(mail(), tokens=3)
    assert caught.value.where == "lifeloop.toml: data.selection.tokens"


def test_rows_of_one_label_that_say_the_same_train_once():
    same = [Example("x", "Invoice refund charge card!", "billing", "x")]
    same += [Example("y", "invoice refund charge card", "billing", "y")]
    other = [Example("z", "invoice refund charge card", "delivery", "z")]
    found = chosen([*mail(), *same, *other], similarity=0.999)
    assert [(each.id, each.reason, each.detail) for each in found.left] == [("y", REPEATED, "as x")]


@pytest.mark.parametrize(
    ("text", "weakest"),
    [
        ("%%% 3 &&& $$$ 1 /// === 77 ;;;", "few letters"),
        ("buy now " * 80, "it repeats itself"),
        (
            "".join(random.Random(1).choices("abcdefghijklm nopqrstuvwxyz", k=9000)),
            "far shorter or longer than the others",
        ),
        ("parcel courier address driver", "its neighbours have other labels"),
    ],
)
def test_a_row_that_is_worth_little_is_left_out_and_says_why(text, weakest):
    found = chosen([*mail(), Example("bad", text, "billing", "bad")], quality=0.6)
    assert [(each.id, each.reason) for each in found.left] == [("bad", POOR)]
    assert found.left[0].detail.endswith(weakest)


def test_the_last_row_of_a_label_stays_whatever_it_is_worth():
    rare = Example("only", "???", "rare", "only")
    assert chosen([*mail(), rare], quality=1.0).left == ()
    for wanted in ({"tokens": 60}, {"similarity": 0.01}):
        found = chosen([*mail(), rare], **wanted)
        assert found.left
        assert "only" not in {each.id for each in found.left}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from("abc")), min_size=1, max_size=25),
    st.integers(60, 200),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_whatever_is_selected_every_label_stays_and_every_row_has_its_fate(rows, budget, similarity, quality):
    examples = [Example(str(k), text, label, str(k)) for k, (text, label) in enumerate(rows)]
    found = chosen(examples, tokens=budget, similarity=similarity, quality=quality)
    kept = [examples[place] for place in found.kept]
    assert {each.reference for each in kept} == {label for _, label in rows}
    assert {each.id for each in kept} | {each.id for each in found.left} == {each.id for each in examples}
    assert len(kept) + len(found.left) == len(examples)
    assert found.tokens <= budget


def test_other_tasks_are_selected_by_question_and_answer():
    pairs = [
        ("what is it", "a box"),
        ("what is it", "a box"),
        ("what is it", "something else altogether"),
        ("who", "she"),
    ]
    rows = [Example(str(k), question, answer, str(k)) for k, (question, answer) in enumerate(pairs)]
    found = chosen(rows, plugins.get("tasks", "generate"), similarity=0.99)
    assert [each.id for each in found.left] == ["1"]


def test_entity_types_are_labels_that_stay():
    rows = [Example(str(k), f"Ann went out {k}", '[{"type":"person","text":"Ann"}]', str(k)) for k in range(20)]
    text = "Rome is a rather long text for what it says of it"
    rows.append(Example("place", text, '[{"type":"place","text":"Rome"}]', "p"))
    found = chosen(rows, plugins.get("tasks", "extract"), tokens=60)
    assert 20 in found.kept


def test_a_selection_is_a_view_that_differs_in_train_alone(tmp_path):
    world = World(tmp_path)
    found = select(world.vault, world.dataset, Selection(tokens=60), CLASSIFY, 0, silent)
    version, view = (world.vault.get_value(each, Dataset) for each in (found.version, found.dataset))
    assert found.version == world.dataset
    assert {split for split in version.tables if version.tables[split] != view.tables[split]} == {"train"}
    assert view.labels == version.labels
    assert len(read_for_selection(world.vault, found.dataset, "train")) == found.n_kept == view.counts["train"]
    assert len(read_for_evaluation(world.vault, world.dataset, "test")) == view.counts["test"]
    left = from_parquet(world.vault.get(found.left))
    assert left.height == found.n_left == version.counts["train"] - found.n_kept
    assert set(left["reason"]) == {BEYOND}
    assert [each.n_rows for each in found.findings] == [found.n_left]


def test_only_train_is_read_for_a_selection(tmp_path, monkeypatch):
    world = World(tmp_path)
    read: list[bytes] = []
    get = world.vault.get
    monkeypatch.setattr(world.vault, "get", lambda identifier: read.append(identifier) or get(identifier))
    select(world.vault, world.dataset, Selection(quality=0.5, tokens=60), CLASSIFY, 0, silent)
    tables = world.vault.get_value(world.dataset, Dataset).tables
    assert not set(read) & {table for split in ("validation", "test", "guard") for table in tables[split]}
    assert set(read) & set(tables["train"])


def test_an_encoder_that_is_not_there_is_named():
    with pytest.raises(ModelError) as caught:
        chosen(mail(), tokens=200, encoder="package:no-such-model")
    assert caught.value.where == "lifeloop.toml: data.selection.encoder"


# which rows to label next


def vectors_of(texts_):
    return text_vectors(texts_, "", 0, "", silent)


def pool(inputs: list[str]) -> list[Pooled]:
    return [Pooled(f"p{k}", f"new.csv:{k}", text) for k, text in enumerate(inputs)]


def listed(rows: list[Pooled], n: int, guesses=None, known=()):
    return shortlist(rows, guesses, {normalise(text) for text in known}, vectors_of, n, 0)


def test_the_least_sure_come_and_say_between_what():
    inputs = texts(100, "billing")
    sure = [Guess("billing", 0.99, "delivery", 0.01)] * 97
    unsure = [Guess("billing", 0.41, "delivery", 0.38)] * 3
    found = listed(pool(inputs), 3, [*sure, *unsure])
    assert {each.row.input for each in found.rows} == set(inputs[97:])
    assert found.rows[0].why.startswith("unsure between billing (0.41) and delivery (0.38)")
    assert (found.rows[0].suggestion, found.rows[0].confidence) == ("billing", 0.41)


def test_of_those_that_are_unsure_the_list_takes_some_of_each_kind():
    inputs = texts(60, "billing") + texts(20, "delivery")
    found = listed(pool(inputs), 4, [Guess("billing", 0.5, "delivery", 0.5)] * 80)
    kinds = {"billing" if each.row.input in inputs[:60] else "delivery" for each in found.rows}
    assert kinds == {"billing", "delivery"}


def test_texts_that_are_known_or_repeat_others_are_not_asked_for_twice():
    inputs = ["Where is it?", "where is it", "WHERE IS IT!", "my card", "the van", "", "  "]
    found = listed(pool(inputs), 10, known=["My card."])
    assert [each.row.input for each in found.rows if each.alike] == ["Where is it?"]
    assert {each.row.input for each in found.rows} == {"Where is it?", "the van"}
    assert (found.n_pool, found.n_known, found.n_repeats) == (7, 3, 2)
    assert "comes 3 times" in next(each.why for each in found.rows if each.alike)


def test_near_repeats_come_once():
    inputs = ["please tell me where my parcel is", "please tell me where the parcel is", "a card", "a bill"]
    angles = dict(zip(inputs, (0.0, 0.1, 1.0, 2.0), strict=True))

    def by_angle(texts_):
        return np.array([[np.cos(angles[text]), np.sin(angles[text])] for text in texts_], dtype=np.float32)

    found = shortlist(pool(inputs), None, set(), by_angle, 12, 0)
    assert len(found.rows) == 3
    assert sorted(each.alike for each in found.rows) == [0, 0, 1]
    assert found.n_repeats == 1


def test_without_a_model_rows_are_chosen_that_differ():
    inputs = texts(40, "billing") + texts(4, "delivery")
    found = listed(pool(inputs), 6)
    assert any(each.row.input in inputs[40:] for each in found.rows)
    assert all(each.suggestion == "" and each.confidence is None for each in found.rows)
    assert all(each.why.startswith("differs from the others") for each in found.rows)


def test_a_confidence_alone_will_do():
    guesses = [Guess("billing", 0.9)] * 40 + [Guess("delivery", 0.2)] * 4
    found = listed(pool(texts(44, "billing")), 2, guesses)
    assert found.rows[0].why.startswith("unsure: ")
    assert min(each.confidence for each in found.rows) == 0.2


def test_an_empty_pool_gives_an_empty_list():
    assert listed([], 5).rows == ()
    assert listed(pool(["known"]), 5, known=["known"]).rows == ()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=40), st.integers(1, 12), st.data())
def test_a_list_holds_no_text_twice_and_no_more_than_was_asked_for(inputs, n, data):
    guesses = [Guess("a", data.draw(st.floats(0, 1)), "b", 0.0) for _ in inputs]
    found = listed(pool(inputs), n, guesses)
    said = [normalise(each.row.input) for each in found.rows]
    assert len(said) == len(set(said)) <= n
    assert all(said)
    again = listed(pool(inputs), n, guesses)
    assert again == found
    assert len(found.rows) <= UNSURE * n
