import pytest

from lifeloop.core.errors import ModelError
from lifeloop.stages.adapt import is_derived, recipe

MADE, TRIED = {"a": "id a", "b": "id b"}, {"a": "trial a", "b": "trial b"}


def asked(name: str, table: dict, made=MADE, tried=TRIED):
    return recipe(
        name,
        table,
        task="classify",
        labels=("x",),
        dataset="d",
        prompt=None,
        seed=3,
        out_of_scope="",
        metric="accuracy",
        metrics={},
        made=made,
        tried=tried,
    )


def test_what_has_a_parent_or_members_is_derived():
    assert is_derived({"parent": "a", "adapt": "finetune"})
    assert is_derived({"kind": "cascade", "members": ["a", "b"]})
    assert not is_derived({"kind": "features"})


def test_a_recipe_names_what_it_is_made_from():
    composed = asked("both", {"kind": "cascade", "members": ["a", "b"]})
    assert composed.members == (("id a", "trial a"), ("id b", "trial b"))
    assert (composed.name, composed.parent, composed.seed, composed.dataset) == ("both", "", 3, "d")
    tuned = asked("tuned", {"parent": "a", "adapt": "finetune"})
    assert (tuned.parent, tuned.members) == ("id a", ())
    plain = asked("plain", {"kind": "features"}, made={}, tried={})
    assert (plain.parent, plain.members) == ("", ())


def test_a_parent_need_only_be_made_while_a_member_must_have_been_tried():
    tuned = asked("tuned", {"parent": "a", "adapt": "finetune"}, made={"a": "id a"}, tried={})
    assert tuned.parent == "id a"
    with pytest.raises(ModelError, match="made from b, which failed"):
        asked("both", {"kind": "cascade", "members": ["a", "b"]}, made=MADE, tried={"a": "trial a"})


@pytest.mark.parametrize("table", [{"parent": "a", "adapt": "finetune"}, {"kind": "cascade", "members": ["a", "b"]}])
def test_what_is_made_from_a_failure_fails_too_and_says_why(table):
    with pytest.raises(ModelError, match="made from a, which failed") as caught:
        asked("tuned", table, made={"b": "id b"}, tried={"b": "trial b"})
    assert caught.value.where == "candidates.tuned"
