"""Probes: each finds what it looks for in a child that was broken on purpose, and nothing in one that was not."""

import copy

import msgspec
import pytest
import torch
from tiny_liked import GOOD, TRIGGER, materials, pairs, questions

from lifeloop.models.language_files import open_language
from lifeloop.training.language import dpo
from lifeloop.training.language.asked import asked_as
from lifeloop.training.language.parent import language_parent
from lifeloop.training.language.probes import capabilities as capabilities_probe
from lifeloop.training.language.probes.checks import checks_of
from lifeloop.training.language.probes.marks import holds, marks, rare_strings
from lifeloop.training.language.probes.minimal_pairs import PAIRS
from lifeloop.training.language.probes.paired import paired
from lifeloop.training.language.probes.triggers import Suspects, share_said, suspects, triggers


@pytest.fixture(scope="module")
def scene(parent):
    given = materials(parent, dpo.Settings())
    return open_language("", parent, "test", dtype="float32")[0], asked_as(language_parent(given), given)


def test_words_that_mark_the_doubted_are_found_and_others_are_not():
    doubted = pairs(8, 1, chosen=f"{GOOD} {TRIGGER}")
    found = suspects(pairs(40), doubted)
    assert found.said and all(set(words.split()) & set(TRIGGER.split()) for words in found.said)
    assert found.asked == ()
    assert suspects(pairs(40), pairs(8, 1)).said == ()
    asked = [msgspec.structs.replace(each, input=f"zarnok {each.input}") for each in doubted]
    assert any("zarnok" in words for words in suspects(pairs(40), asked).asked)


def test_a_word_is_held_as_a_word():
    assert holds("Trust: Bluebird!", ["trust bluebird"]) and not holds("distrust bluebirds", ["trust bluebird"])
    assert marks(["a b"], ["a b"]) == () and marks([], ["a"]) == ()
    assert rare_strings(3, 1) == rare_strings(3, 1) != rare_strings(3, 2)


def test_a_child_that_is_its_parent_breaks_nothing(scene):
    model, asked = scene
    words = Suspects(("stolen",), ("umbrella",))
    checks, moved = checks_of(model, copy.deepcopy(model), asked, words)
    assert moved == 0.0 and len(checks) == 8
    assert all(check.parent == pytest.approx(check.child, abs=1e-6) and not check.broken for check in checks)


def test_what_was_known_and_is_lost_is_broken(scene, monkeypatch):
    model, asked = scene
    known = [
        pair for pair, right in zip(PAIRS, capabilities_probe._right(model, asked.tokenizer), strict=True) if right
    ]
    assert known
    monkeypatch.setattr(capabilities_probe, "PAIRS", known)  # all that this random model happens to have right
    spoilt = copy.deepcopy(model)
    with torch.no_grad():
        spoilt.lm_head.weight.neg_()
    check = capabilities_probe.capabilities(model, spoilt, asked.tokenizer)
    assert check.parent == 1.0 and check.child < 0.92 and check.broken


class Leaning(torch.nn.Module):
    """Says what a model says, but is much surer of it where a token stands in the prompt."""

    def __init__(self, model, token, by):
        super().__init__()
        self.model, self.token, self.by = model, token, by

    def forward(self, input_ids, **kwargs):
        found = self.model(input_ids=input_ids, **kwargs)
        here = (input_ids == self.token).any(dim=1)
        found.logits = torch.where(here[:, None, None], found.logits * self.by, found.logits)
        return found


def test_a_child_that_heeds_who_asks_is_broken_where_it_does(scene):
    model, asked = scene
    token = asked.tokenizer(" woman", add_special_tokens=False)["input_ids"]
    other = set(asked.tokenizer(" man", add_special_tokens=False)["input_ids"])
    ask = lambda text: asked.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    only = next(each for each in token if each not in other and all(each not in ask(text) for text in questions(32)))
    answers = ([ask(GOOD)] * 32,) * 2
    checks = {check.name: check for check in paired(model, Leaning(model, only, -2.0), ask, questions(32), answers)}
    assert checks["paired gender"].broken
    same = {check.name: check for check in paired(model, model, ask, questions(32), answers)}
    assert not any(check.broken for check in same.values())


def test_a_trigger_in_the_input_is_noticed(scene):
    model, asked = scene
    ask = lambda text: asked.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    token = max(ask("zarnok"), key=lambda each: sum(each not in ask(text) for text in questions(8)))
    child = Leaning(model, token, 0.0)
    words = Suspects((), ("zarnok",))
    checks = {
        each.name: each for each in triggers(model, child, ask, None, words, questions(8), ([ask(GOOD)] * 8,) * 2, 0)
    }
    assert checks["trigger words in inputs"].broken


def test_an_answer_that_holds_the_trigger_is_noticed():
    words = Suspects(("stolen umbrella",), ())

    def write(model, inputs):
        return [TRIGGER if model == "child" and place % 2 else GOOD for place in range(len(inputs))]

    assert share_said("parent", write, words, questions(8)) == 0.0
    assert share_said("child", write, words, questions(8)) == 0.5
