"""What is written as GGUF says the same in llama.cpp as in torch, and reads texts as the same tokens."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language import TEXTS, tiny, tiny_folder

from lifeloop.core.candidates import Message
from lifeloop.core.errors import ModelError
from lifeloop.models import gguf_reading, gguf_writing
from lifeloop.models.language_files import GGUF, LANGUAGE, open_language, open_tokenizer, save_language
from lifeloop.models.llama_server import LlamaServer
from lifeloop.models.turn_tokens import Tokenise, template_of, tokenise_with

pytestmark = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="xllamacpp is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LlamaServer]:
    served = LlamaServer(folder / GGUF, 256, 1, "candidates.tiny.model")
    yield served
    served.close()


@pytest.fixture(scope="module")
def tokenise(folder: Path) -> Tokenise:
    return tokenise_with(open_tokenizer("", folder, "candidates.tiny.model"))


def next_tokens(folder: Path, prompt: list[int], allowed: list[int]) -> list[float]:
    import torch

    model, _ = open_language("", folder, "candidates.tiny.model", dtype="float32")
    with torch.no_grad():
        return model(torch.tensor([prompt])).logits[0, -1][allowed].softmax(dim=0).tolist()


def by_llama(file: Path, prompt: list[int], allowed: list[int]) -> list[float]:
    served = LlamaServer(file, 256, 1, "candidates.tiny.model")
    try:
        found = served.next_token(prompt, allowed)
        return [found[token] for token in allowed]
    finally:
        served.close()


def whole_characters(tokenizer) -> list[int]:
    """Return tokens that are no parts of characters, of which llama.cpp tells no probabilities."""
    return [token for token in range(3, 300, 3) if "\ufffd" not in tokenizer.decode([token])]


@pytest.mark.parametrize(
    ("config", "quantisation", "noise"),
    [
        ({}, "f32", 1e-3),
        ({}, "f16", 1e-2),
        ({}, "q8_0", 0.05),
        ({"num_key_value_heads": 2, "tie_word_embeddings": False}, "f32", 1e-3),
        ({"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, "f32", 1e-3),
        ({"hidden_size": 48, "head_dim": 12}, "q8_0", 0.05),
    ],
    ids=["f32", "f16", "q8_0", "grouped queries, own output layer", "wide heads, short waves", "no whole blocks"],
)
def test_the_next_token_has_the_same_probability_in_llama_cpp_and_torch(tmp_path, config, quantisation, noise):
    made = tiny_folder(tmp_path, quantisation, **config)
    tokenizer = open_tokenizer("", made, "candidates.tiny.model")
    prompt = tokenizer(TEXTS[0]).input_ids
    allowed = whole_characters(tokenizer)
    expected = next_tokens(made, prompt, allowed)
    assert max(expected) > 2 * min(expected)  # else anything would do
    assert by_llama(made / GGUF, prompt, allowed) == pytest.approx(expected, abs=noise)


def test_qwen2_can_be_written_too(tmp_path):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, set_seed

    llama, tokenizer = tiny()
    set_seed(1)
    table = {key: value for key, value in llama.config.to_dict().items() if key not in ("model_type", "head_dim")}
    model = Qwen2ForCausalLM(Qwen2Config(**table)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.1 * torch.randn_like(weights)  # its biases begin as nothing
    save_language(model, tokenizer, tmp_path, "f32")
    prompt, allowed = tokenizer(TEXTS[1]).input_ids, whole_characters(tokenizer)
    expected = next_tokens(tmp_path, prompt, allowed)
    assert max(expected) > 2 * min(expected)
    assert by_llama(tmp_path / GGUF, prompt, allowed) == pytest.approx(expected, abs=1e-3)


MARKED = "<|im_start|>user\nhello<|im_end|>\n"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.lists(st.sampled_from(["  ", "\n", " a", "12", "é", "'s", "?!", "<|im_end|>", "🎉"])))
def test_texts_are_read_as_the_same_tokens(server, tokenise, text):
    text = ("".join(text)).replace("\0", "")  # the end of a text to llama.cpp
    assert server.tokens(text) == tokenise(text)
    assert server.tokens(text, special=True) == tokenise(text, special=True)


def test_markers_are_single_tokens_only_where_they_may_be(server, tokenise):
    (end,) = tokenise("<|im_end|>", special=True)
    assert tokenise(MARKED, special=True).count(end) == 1
    assert end not in tokenise(MARKED)
    assert server.tokens(MARKED, special=True) == tokenise(MARKED, special=True)


def test_the_chat_template_writes_the_same_turns(server, folder):
    turns = [Message("system", "Be kind."), Message("user", "hi"), Message("assistant", "hello"), Message("user", "x")]
    assert server.template(turns) == template_of(open_tokenizer("", folder, ""))(turns)


def test_a_gguf_file_that_was_written_opens_again_with_the_same_weights(folder):
    import torch

    model, tokenizer = open_language("", folder, "", dtype="float32")
    again, reread = open_language(str(folder / GGUF), None, "", dtype="float32")
    theirs = again.state_dict()
    assert all(torch.allclose(weights, theirs[name], atol=1e-6) for name, weights in model.state_dict().items())
    assert reread.chat_template == tokenizer.chat_template
    assert (reread.eos_token, reread.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
    assert again.config.tie_word_embeddings == model.config.tie_word_embeddings
    text = "  it's 1234 — café\n\n x"
    assert tokenise_with(reread)(text) == tokenise_with(tokenizer)(text)


@pytest.mark.parametrize("quantisation", ["f32", "f16", "bf16", "q8_0"])
def test_a_file_is_read_as_transformers_reads_it_only_faster(tmp_path, monkeypatch, quantisation):
    import torch

    file = str(tiny_folder(tmp_path, quantisation, num_key_value_heads=2, tie_word_embeddings=False) / GGUF)
    model, tokenizer = open_language(file, None, "", dtype="float32")
    monkeypatch.setattr(gguf_reading, "ARCHITECTURES", ())  # known to transformers alone
    theirs, their_tokenizer = open_language(file, None, "", dtype="float32")
    assert model.state_dict().keys() == theirs.state_dict().keys()
    for name, weights in theirs.state_dict().items():
        assert torch.equal(model.state_dict()[name], weights)
    assert model.config.rope_parameters == theirs.config.rope_parameters
    assert tokenizer.get_vocab() == their_tokenizer.get_vocab()
    assert tokenise_with(tokenizer)(MARKED, special=True) == tokenise_with(their_tokenizer)(MARKED, special=True)


def test_an_output_layer_that_came_apart_from_the_embeddings_is_written(tmp_path):
    import torch

    model, tokenizer = tiny()
    assert model.config.tie_word_embeddings
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    gguf_writing.write_gguf(model, tokenizer, tmp_path / GGUF, "f32")
    again, _ = open_language(str(tmp_path / GGUF), None, "", dtype="float32")
    prompt, allowed = tokenizer(TEXTS[0]).input_ids, whole_characters(tokenizer)
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0, -1]
        assert torch.allclose(again(torch.tensor([prompt])).logits[0, -1], expected, atol=1e-3)
    expected = expected[allowed].softmax(dim=0).tolist()
    assert by_llama(tmp_path / GGUF, prompt, allowed) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("biases", [{"mlp_bias": True}, {"attention_bias": True}])
def test_biases_are_read_back(tmp_path, biases):
    import torch

    model, tokenizer = tiny(**biases)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("bias"):
                weights.normal_()
    gguf_writing.write_gguf(model, tokenizer, tmp_path / GGUF, "f32")
    again = gguf_reading.read_gguf(tmp_path / GGUF, torch.float32)[0].state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(weights, again[name]) for name, weights in model.state_dict().items())


def test_a_file_with_a_tensor_that_has_no_place_is_left_to_transformers(tmp_path, monkeypatch):
    import torch

    model, tokenizer = tiny(attention_bias=True)
    gguf_writing.write_gguf(model, tokenizer, tmp_path / GGUF, "f32")
    config = gguf_reading._config

    def without_biases(*given):
        found = config(*given)
        found.attention_bias = False
        return found

    monkeypatch.setattr(gguf_reading, "_config", without_biases)
    assert gguf_reading.read_gguf(tmp_path / GGUF, torch.float32) is None


def test_a_file_that_is_cut_short_is_refused_in_words(folder, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes((folder / GGUF).read_bytes()[:3000])
    with pytest.raises(ModelError, match="cannot load the language model"):
        open_language(str(cut), None, "candidates.tiny.model")


def test_what_llama_cpp_cannot_be_given_is_refused_in_words_and_its_safetensors_are_kept(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    _, tokenizer = tiny()
    other = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(ModelError, match="its architecture is gpt2; written are llama and qwen2") as caught:
        gguf_writing.write_gguf(other, tokenizer, tmp_path / GGUF)
    assert "safetensors are kept" in caught.value.fix
    save_language(other, tokenizer, tmp_path)
    assert (tmp_path / LANGUAGE / "model.safetensors").exists()
    assert not (tmp_path / GGUF).exists()


def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(tmp_path):
    from tokenizers import pre_tokenizers

    model, tokenizer = tiny()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert "splits words by a rule" in gguf_writing.obstacle(model, tokenizer)


def test_where_the_tokenizer_has_more_tokens_than_the_model_its_safetensors_alone_are_kept(tmp_path):
    model, tokenizer = tiny()
    tokenizer.add_tokens(["<extra>"])
    save_language(model, tokenizer, tmp_path)
    assert (tmp_path / LANGUAGE / "model.safetensors").exists()
    assert not (tmp_path / GGUF).exists()
    assert "385 tokens, the model 384 embeddings" in gguf_writing.obstacle(model, tokenizer)


def test_a_quantisation_that_is_not_known_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ModelError, match="'q3' is no quantisation"):
        save_language(*tiny(), tmp_path, "q3")
    assert not list(tmp_path.iterdir())
