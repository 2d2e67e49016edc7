"""What any suite has to keep, ours or a plugin's."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop import plugins
from lifeloop.core.data import Example
from lifeloop.suites.suite import Suite

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
examples = st.lists(texts, max_size=6).map(
    lambda inputs: [Example(f"e{n}", text, "label", f"g{n}", {"lang": "en"}, f"f:{n}") for n, text in enumerate(inputs)]
)
SUITES = plugins.names("suites")
TEXT = "Where is the PARCEL that I ordered last Monday? " * 5


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> Suite:
    return plugins.get("suites", request.param)


@pytest.mark.parametrize("name", SUITES)
@given(given_=examples, seed=st.integers(0, 2**32 - 1))
def test_only_inputs_change_and_always_in_the_same_way(name, given_, seed):
    suite = plugins.get("suites", name)
    changed = suite.change(given_, seed)
    assert [msgspec.structs.replace(one, input="") for one in changed] == [
        msgspec.structs.replace(one, input="") for one in given_
    ]
    assert suite.change(given_, seed) == changed
    assert all(one.input.encode() is not None for one in changed)


def test_it_makes_examples_harder_which_means_other(suite):
    (changed,) = suite.change([Example("1", TEXT, "a", "")], 0)
    assert changed.input != TEXT
    assert changed.input.strip()


def test_it_names_the_tasks_whose_references_stay_right(suite):
    assert set(suite.tasks) <= set(plugins.names("tasks"))
    assert suite.version


def test_an_example_changes_alike_whoever_is_beside_it(suite):
    rows = [Example(str(n), TEXT, "a", "") for n in range(5)]
    assert suite.change(rows, 3)[4] == suite.change(rows[4:], 3)[0]
