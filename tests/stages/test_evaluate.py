from lifeloop import plugins
from lifeloop.engine.trial import CLEAN, TrialOrder
from lifeloop.stages.evaluate import SUITE_ITEMS, orders, suites_for

BLANK = TrialOrder("", "d", "validation", CLEAN, 50, "other", 0.95, 0.1, 7)


def test_both_are_tried_on_test_on_guard_and_under_each_suite():
    listed = orders("new", "old", BLANK, n_guard=40, suites=("typos", "lowercase"))
    places = ("test/clean", "guard/clean", "test/typos", "test/lowercase")
    assert [role for role, _ in listed] == [f"{who}/{place}" for who in ("challenger", "champion") for place in places]
    for role, order in listed:
        who, split, suite = role.split("/")
        assert order.candidate == {"challenger": "new", "champion": "old"}[who]
        assert (order.split, order.suite) == (split, suite)
        assert order.max_items == (0 if suite == CLEAN else SUITE_ITEMS)  # the gate never samples what decides
        assert (order.dataset, order.out_of_scope, order.confidence, order.seed) == ("d", "other", 0.95, 7)


def test_a_parent_is_tried_as_the_others_are_and_once_where_it_is_the_champion_too():
    roles = [role for role, _ in orders("child", "old", BLANK, 9, ("typos",), "parent")]
    assert [role for role in roles if role.startswith("parent/")] == [
        "parent/test/clean",
        "parent/guard/clean",
        "parent/test/typos",
    ]
    assert not [role for role, _ in orders("child", "old", BLANK, 9, (), "old") if role.startswith("parent/")]


def test_an_empty_guard_split_is_not_tried():
    assert [role for role, _ in orders("a", "b", BLANK, 0, ())] == ["challenger/test/clean", "champion/test/clean"]


def test_suites_are_those_whose_references_stay_right():
    assert suites_for("classify") == plugins.names("suites")
    for task in plugins.names("tasks"):
        for name in suites_for(task):
            tasks = plugins.get("suites", name).tasks
            assert not tasks or task in tasks
    assert "typos" not in suites_for("extract")
