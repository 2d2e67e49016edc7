from pathlib import Path

import pytest
from small_world import World

from lifeloop.core.candidates import Prompt
from lifeloop.core.content import Id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.engine.trial import run_trial
from lifeloop.stages.make import version_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def tried(world: World, candidate: Id, **order) -> Id:
    trial = run_trial(world.vault, world.order(candidate, **order), world.workplace(), progress=silent)
    return world.vault.put_value(trial)


def test_a_candidate_holds_all_that_it_takes_to_answer(world):
    prompt = Prompt("p", "s", "{{ text }}")
    made = world.candidate(world.make({"kind": "features", "c": 2}, "tfidf", prompt=prompt))
    assert (made.name, made.kind, made.task, made.labels) == ("tfidf", "features", "classify", world.labels)
    assert made.settings["c"] == 2.0
    assert made.settings["char_ngrams"] == [2, 5]  # defaults too, so that they can change without changing it
    assert (made.dataset, made.prompt, made.parent, made.members) == (world.dataset, prompt, "", ())
    assert sorted(path.name for path in world.vault.folder(made.files).iterdir()) == [
        "char-idf.npy",
        "char-terms.json",
        "head-bias.npy",
        "head-weights.npy",
        "word-idf.npy",
        "word-terms.json",
    ]


def test_the_same_recipe_makes_the_same_candidate_and_another_seed_or_setting_another(world):
    table = {"kind": "features", "min_examples": 1}
    assert world.make(table) == world.make(table)
    assert world.make(table) != world.make(table | {"c": 0.1})
    assert world.make(table, "a") != world.make(table, "b")
    remote = {"kind": "remote", "url": "http://127.0.0.1:9/v1", "model": "m", "shots": 2}
    assert world.make(remote, seed=0) != world.make(remote, seed=1)


def test_training_never_reads_the_test_or_the_guard_split(world):
    dataset = world.vault.get_value(world.dataset, Dataset)
    for split in ("test", "guard"):
        (table,) = dataset.tables[split]
        (Path(world.vault.url) / "objects" / table[:2] / table).unlink()
    for kind in ("majority", "features", "nearest"):
        world.make({"kind": kind}, kind)


def test_a_cascade_is_composed_of_what_its_members_said(world):
    members = {kind: world.make({"kind": kind}, kind) for kind in ("majority", "features")}
    trials = tuple((candidate, tried(world, candidate)) for candidate in members.values())
    made = world.candidate(world.make({"kind": "cascade", "members": list(members)}, "both", members=trials))
    assert made.members == tuple(members.values())
    assert made.settings["threshold"] > 1 / 3  # the majority is never sure enough
    fixed = world.candidate(
        world.make({"kind": "cascade", "members": list(members), "threshold": 0.25}, members=trials)
    )
    assert fixed.settings["threshold"] == 0.25


def test_a_cascade_is_composed_on_the_very_examples_that_its_members_were_tried_on(world):
    members = {kind: world.make({"kind": kind}, kind) for kind in ("majority", "features")}
    trials = tuple((candidate, tried(world, candidate, max_items=10)) for candidate in members.values())
    made = world.make({"kind": "cascade", "members": list(members)}, "both", max_items=10, members=trials)
    assert world.candidate(made).settings["threshold"] > 1 / 3


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"kind": "features", "cc": 1}, "candidates.one.cc"),
        ({"kind": "cascade", "members": ["a"]}, "candidates.one.members"),
        ({"kind": "majority", "c": 1}, "candidates.one.c"),
    ],
)
def test_wrong_settings_name_their_key(world, table, key):
    with pytest.raises(BriefError) as caught:
        world.make(table)
    assert caught.value.where == f"lifeloop.toml: {key}"


def test_only_an_encoder_can_be_fine_tuned(world):
    parent = world.make({"kind": "features"}, "tfidf")
    with pytest.raises(ModelError, match="its parent is no encoder") as caught:
        world.make({"parent": "tfidf", "adapt": "finetune"}, "tuned", parent=parent)
    assert 'kind = "encoder"' in caught.value.fix


def test_the_version_of_making_covers_trainer_and_kind():
    assert version_of({"kind": "features"}).count("/") == 2
    assert version_of({"parent": "a", "adapt": "finetune"}).count("/") == 2
    assert version_of({"kind": "features"}) != version_of({"parent": "a", "adapt": "finetune"})
