import sys

import msgspec
import pytest
from openai_endpoint import Reply, serving
from prompt_scene import PROMPT, SYSTEM, examples, materials, sorts_when

from lifeloop.core.brief import convert_settings
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.training.prompt_bench import SEARCH_FILE, Search
from lifeloop.training.reflection import TRAINER, Endpoint, Settings, template_in

pytest.importorskip("gepa")
GOOD = "Mail: {{ text }}\nDecide what it is mainly about."


def reflects(writes):
    """An endpoint whose `small` model sorts well when told what to decide, and whose `wise` one writes templates."""
    sorts = sorts_when(lambda turns: "mainly about" in turns[-1]["content"])
    replies = iter(writes)
    last = []

    def say(asked):
        if asked["model"] == "small":
            return sorts(asked)
        last[:] = [next(replies, *last)]
        return last[0]

    return say


@pytest.fixture
def folders(tmp_path):
    for name in ("parent", "made"):
        (tmp_path / name).mkdir()
    return tmp_path / "parent", tmp_path / "made"


def build(writes, folders, calls=150, **changes):
    shots = (("my invoice", "billing"),)
    with serving(reflects(writes)) as endpoint:
        settings = Settings(
            reflection=Endpoint(url=endpoint.url, model="wise"), calls=calls, proposals=3, minibatch=3,
            validation_items=12,
        )  # fmt: skip
        given = materials(endpoint.url, settings, folders[0], shots, **changes)
        decided = TRAINER.build(given, folders[1], silent)
    found = msgspec.json.decode((folders[1] / SEARCH_FILE).read_bytes(), type=Search)
    return decided, found, endpoint.asked


def test_a_template_that_the_reflecting_model_writes_is_taken_where_it_does_better(folders, capsys):
    decided, found, asked = build([f"It is not told what to do.\n```\n{GOOD}\n```"], folders)

    assert decided.prompt.user == GOOD
    assert (decided.prompt.name, decided.prompt.system) == ("sort", SYSTEM)
    assert msgspec.json.decode((folders[1] / FILE).read_bytes(), type=Learned).shots == [("my invoice", "billing")]
    own = [each for each in asked if each["model"] == "small"]
    assert found.calls == len(own) <= 150
    assert capsys.readouterr().out == ""


def test_the_reflecting_model_reads_inputs_answers_and_what_was_right_of_training_alone(folders):
    _, _, asked = build([f"```\n{GOOD}\n```"], folders)
    questions = [each["messages"][-1]["content"] for each in asked if each["model"] == "wise"]
    assert questions
    assert all("{{ text }} ?" in questions[0] and "right is: " in each for each in questions[:1])
    assert not [example for example in examples(24, "validation", 2) if any(example.input in q for q in questions)]


@pytest.mark.parametrize(
    "bad", ["Answer greeting.", "{{ text }}{{ 'x' * 10**9 }}", "{{ text", "x" * 7000 + "{{ text }}"]
)
def test_a_proposal_that_cannot_be_used_is_discarded_and_counted(folders, bad):
    decided, found, _ = build([f"```\n{bad}\n```", f"```\n{GOOD}\n```"], folders)
    assert found.discarded == 1
    assert decided.prompt.user == GOOD


def test_where_no_proposal_is_better_the_prompt_stays_as_it_was(folders):
    decided, found, _ = build(["```\nSort this: {{ text }}\n```"], folders)
    assert decided.prompt == PROMPT
    assert found.chosen == "as it was"


def test_a_reflecting_model_that_does_not_answer_is_named(folders):
    with pytest.raises(ModelError, match=r"the reflecting model does not answer: the endpoint answered 401"):
        build([Reply("no", status=401)], folders)


def test_too_small_a_budget_says_how_much_is_needed(folders):
    with pytest.raises(ModelError, match="too few to score two templates") as caught:
        build([GOOD], folders, calls=20)
    assert caught.value.where == "candidates.calls"
    least = int(caught.value.fix.split()[3].strip(","))
    _, found, _ = build([GOOD], folders, calls=least)
    assert found.calls <= least


def test_without_gepa_the_extra_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "gepa", None)
    with pytest.raises(ModelError, match="gepa is not installed") as caught:
        build([GOOD], folders)
    assert "lifeloop[prompts]" in caught.value.fix


@pytest.mark.parametrize("table", [{}, {"reflection_local": "a.gguf", "reflection": {"url": "u", "model": "m"}}])
def test_one_model_must_reflect(table):
    with pytest.raises(BriefError, match="one model must reflect"):
        convert_settings(table, Settings, "candidates.better", "lifeloop.toml")


@pytest.mark.parametrize(
    ("reply", "template"),
    [
        ("{{ text }} please", "{{ text }} please"),
        ("Here:\n```\nA {{ text }}\n```\nGood luck.", "A {{ text }}"),
        ("```jinja\nA\n{{ text }}\n```", "A\n{{ text }}"),
        ("```{{ text }} now```", "{{ text }} now"),
        ("first ```\nno\n``` then ```\n{{ text }}\n```", "{{ text }}"),
    ],
)
def test_the_template_is_what_stands_in_the_last_block(reply, template):
    assert template_in(reply) == template
