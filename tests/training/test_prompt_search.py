import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_endpoint import Reply, serving
from prompt_scene import LABELS, PROMPT, SYSTEM, TOPICS, examples, materials, sorts_when

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Contract
from lifeloop.core.data import Example
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.models import prompting
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.training.prompt_bench import SEARCH_FILE, Bench, Search, Variant
from lifeloop.training.prompt_search import TRAINER, Settings, halve
from lifeloop.training.rewordings import rewordings, typical_words
from lifeloop.training.shots import held_out


@pytest.fixture
def folders(tmp_path):
    for name in ("parent", "made"):
        (tmp_path / name).mkdir()
    return tmp_path / "parent", tmp_path / "made"


def learned(folder):
    return msgspec.json.decode((folder / FILE).read_bytes(), type=Learned)


def search(folder):
    return msgspec.json.decode((folder / SEARCH_FILE).read_bytes(), type=Search)


def build(say, settings, folders, **changes):
    parent, made = folders
    with serving(say) as endpoint:
        given = materials(endpoint.url, settings, parent, **changes)
        return TRAINER.build(given, made, silent), endpoint.asked, given


def test_the_wording_that_the_model_needs_is_found(folders):
    say = sorts_when(lambda turns: "mainly about" in turns[-1]["content"])

    decided, asked, _ = build(say, Settings(shots=(), own_proposals=0, budget_calls=250), folders)

    assert "mainly about" in decided.prompt.user
    assert (decided.prompt.name, decided.prompt.system) == ("sort", SYSTEM)
    assert decided.settings == {"shots": 0}
    found = search(folders[1])
    assert found.calls == len(asked) <= 250
    last = {each.about: each.value for each in found.tried if each.split == "validation"}
    assert last[found.chosen] == 1.0
    assert last["as it was"] < 0.6


def test_examples_are_found_to_help_and_none_of_them_is_scored_on(folders):
    say = sorts_when(lambda turns: sum(turn["role"] == "assistant" for turn in turns) >= 3)

    settings = Settings(
        proposals=1, own_proposals=0, shots=(0, 3), items=20, finalists=1, shot_sets=1, budget_calls=150
    )
    decided, asked, given = build(say, settings, folders)

    assert decided.settings == {"shots": 3}
    shown = learned(folders[1]).shots
    assert len(shown) == 3
    assert {label for _, label in shown} == set(LABELS)  # one of each
    inputs = {example.input: example for example in given.train}
    groups = {inputs[text].group for text, _ in shown}
    scored_on = {turns["messages"][-1]["content"] for turns in asked}
    assert not [each for text, each in inputs.items() if each.group in groups and any(text in one for one in scored_on)]
    assert len(asked) <= 150


def test_where_nothing_helps_the_prompt_stays_as_it_was(folders):
    shots = (("my invoice", "billing"),)
    decided, _, _ = build(
        sorts_when(lambda turns: False),
        Settings(proposals=2, own_proposals=0, shot_sets=1, finalists=1, budget_calls=150),
        folders,
        shots=shots,
    )

    assert decided.prompt == PROMPT
    assert decided.settings == {"shots": 1}
    assert learned(folders[1]).shots == [("my invoice", "billing")]
    assert search(folders[1]).chosen == "as it was"


def test_the_models_own_proposals_that_are_templates_are_discarded_and_counted(folders):
    say = sorts_when(lambda turns: True)
    build(say, Settings(proposals=2, own_proposals=3, shots=(), budget_calls=120), folders)
    found = search(folders[1])
    assert found.discarded == 3
    assert not [each for each in found.tried if "secrets" in each.user]


def test_the_same_materials_give_the_same_choice(folders, tmp_path):
    say = sorts_when(lambda turns: "Which" in turns[-1]["content"])
    with serving(say) as endpoint:
        given = materials(
            endpoint.url, Settings(proposals=3, own_proposals=1, shot_sets=1, finalists=1, budget_calls=180), folders[0]
        )
        (tmp_path / "again").mkdir()
        one, two = (TRAINER.build(given, folder, silent) for folder in (folders[1], tmp_path / "again"))
    assert one == two
    assert learned(folders[1]) == learned(tmp_path / "again")


def test_the_budget_of_calls_is_kept_where_it_is_as_small_as_it_may_be(folders):
    small = {"proposals": 2, "own_proposals": 1, "shot_sets": 1, "finalists": 2}
    with pytest.raises(ModelError) as caught:
        build(sorts_when(lambda turns: False), Settings(**small, budget_calls=1), folders)
    least = int(caught.value.fix.split()[3].strip(","))
    _, asked, _ = build(sorts_when(lambda turns: False), Settings(**small, budget_calls=least), folders)
    assert len(asked) <= least


def test_too_small_a_budget_is_said_with_its_key(folders):
    with pytest.raises(ModelError, match="too few to try") as caught:
        build(sorts_when(lambda turns: False), Settings(budget_calls=40), folders)
    assert caught.value.where == "candidates.budget_calls"


def test_an_endpoint_that_answers_nothing_ends_the_search_at_once(folders):
    with pytest.raises(ModelError, match="not one of 4 requests was answered: the endpoint answered 401"):
        build(lambda asked: Reply("no", status=401), Settings(), folders)


def test_a_parent_without_a_prompt_is_named(folders):
    with pytest.raises(ModelError, match="no prompt"):
        build(sorts_when(lambda turns: False), Settings(), folders, parent_settings={"c": 1.0})


def test_too_little_data_is_said(folders):
    with pytest.raises(ModelError, match="too few to search"):
        build(sorts_when(lambda turns: False), Settings(), folders, train=examples(5, "train"))


@pytest.mark.parametrize("table", [{"items": 1}, {"shots": [-1]}, {"rounds": 0}, {"budget_calls": 0}])
def test_settings_that_cannot_be_are_named_before_anything_runs(table):
    with pytest.raises(BriefError, match=next(iter(table))):
        convert_settings(table, Settings, "candidates.better", "lifeloop.toml")


@given(st.integers(36, 400), st.integers(1, 4), st.integers(1, 4), st.integers(5, 9))
def test_halving_keeps_the_best_of_clearly_different_variants_within_its_calls(calls, rounds, keep, n):
    variants = [Variant(f"v{place}", f"{place}") for place in range(n)]
    bench = _Counting({variant: place for place, variant in enumerate(variants)})
    best = halve(bench, variants, examples(60, "x"), calls, rounds, keep)
    assert bench.calls <= calls
    assert best == variants[::-1][:keep]


class _Counting(Bench):
    """A bench whose values are known: what is under test is the halving."""

    def __init__(self, values):
        self.known, self.calls, self.seen = values, 0, set()

    def value(self, variant, examples, prior=()):
        fresh = {(variant, example.id) for example in examples} - self.seen
        self.seen |= fresh
        self.calls += len(fresh)
        return self.known[variant]


# rewordings

CONTRACTS = {
    "classify": Contract("Answer with one of these labels.", choices=LABELS),
    "extract": Contract("Answer with JSON.", schema={"type": "array"}),
    "generate": Contract("Answer briefly."),
}


@pytest.mark.parametrize("task", CONTRACTS)
def test_every_rewording_can_be_used_and_differs_from_the_others(task):
    found = rewordings(task, CONTRACTS[task], examples(30, "train"), "{{ text }}")
    assert len(found) >= 6
    assert [prompting.flaw(template, CONTRACTS[task]) for _, template in found] == [""] * len(found)
    rendered = {
        prompting.render_user(prompting.Prompt("", "", template), CONTRACTS[task], "my text") for _, template in found
    }
    assert len(rendered) == len(found)
    assert "my text" not in rendered


def test_labels_are_described_by_words_that_set_them_apart():
    words = typical_words(examples(60, "train"))
    for label in LABELS:
        assert set(words[label]) & set(TOPICS[label])
        assert "please" not in words[label]


def test_a_label_that_looks_like_a_template_is_but_a_label():
    label = "{{ 7 * 7 }}{% for %}"
    train = [Example(str(n), f"strange thing{n}", label, "") for n in range(4)]
    contract = Contract("", choices=(label, "other"))
    for _, template in rewordings("classify", contract, train, ""):
        assert prompting.flaw(template, contract) == ""
        assert "49" not in prompting.render_user(prompting.Prompt("", "", template), contract, "x")


@given(st.integers(0, 80), st.integers(0, 50))
def test_what_is_scored_on_and_what_may_be_shown_share_no_group(n, seed):
    import random

    train = examples(40, "train")
    scored, pool = held_out(train, n, random.Random(seed))
    assert len(scored) == min(n, 20)
    assert not {example.group for example in scored} & {example.group for example in pool}
