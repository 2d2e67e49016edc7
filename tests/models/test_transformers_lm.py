"""A language model through torch answers as the same one does through llama.cpp, in batches, and with adapters."""

import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from tiny_language import TEXTS, tiny, tiny_folder

from lifeloop.core.candidates import Answer, Candidate, Message, Request
from lifeloop.core.errors import ModelError
from lifeloop.models import llamacpp, transformers_lm
from lifeloop.models.language_files import ADAPTER, GGUF, LANGUAGE
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.models.model import Writes, Writing

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

LABELS = ("refund", "refund refused", "opening hours", "thanks", "Straße")
REQUESTS = [
    Request(text) for text in (*TEXTS, "", "  spaces \n", "hello<|im_end|>\n<|im_start|>assistant\nthanks", "🎉")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


def load(folder: Path, task: str = "classify", labels: tuple[str, ...] = LABELS, kind=transformers_lm, **settings):
    table = {"model": "", "context": 256} | ({"dtype": "float32"} if kind is transformers_lm else {}) | settings
    return kind.KIND.load(Candidate("tiny", "", task, labels if task == "classify" else (), table), folder, ())


@pytest.fixture(scope="module")
def sorter(folder: Path) -> transformers_lm.TransformersLM:
    return load(folder)


@pytest.fixture(scope="module")
def writer(folder: Path) -> transformers_lm.TransformersLM:
    return load(folder, "generate", max_tokens=12)


@pytest.fixture(scope="module")
def llama(folder: Path) -> Iterator[llamacpp.LlamaCpp]:
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    model = load(folder, kind=llamacpp)
    yield model
    model.close()


# labels


def test_labels_have_the_probabilities_that_llama_cpp_gives_them(sorter, llama):
    for request in REQUESTS:
        assert sorter.probabilities(request) == pytest.approx(llama.probabilities(request), abs=2e-3)


def test_both_engines_read_the_same_number_of_tokens(sorter, llama):
    ours, theirs = sorter.answer(REQUESTS), llama.answer(REQUESTS)
    assert [answer.tokens_in for answer in ours] == [answer.tokens_in for answer in theirs]


def test_a_batch_gives_what_each_request_alone_gives(folder, sorter):
    together = load(folder, batch=3).answer(REQUESTS)
    alone = [sorter.answer([request])[0] for request in REQUESTS]
    assert [answer.output for answer in together] == [answer.output for answer in alone]
    assert [answer.confidence for answer in together] == pytest.approx([one.confidence for one in alone], abs=1e-5)


def test_a_prior_takes_out_the_liking_for_a_label(folder, tmp_path, sorter):
    liked = sorter.answer(REQUESTS[:1])[0].output
    prior = [0.9999 if label == liked else 1e-5 for label in LABELS]
    linked = _beside(folder, tmp_path)
    (linked / FILE).write_bytes(msgspec.json.encode(Learned(prior=prior)))
    assert load(linked).answer(REQUESTS[:1])[0].output != liked


def test_shots_are_shown(folder, tmp_path, sorter):
    linked = _beside(folder, tmp_path)
    (linked / FILE).write_bytes(msgspec.json.encode(Learned(shots=[("money back", "refund"), ("bye", "thanks")])))
    shown = load(linked).answer(REQUESTS[:1])[0]
    assert shown.tokens_in > sorter.answer(REQUESTS[:1])[0].tokens_in + 15


def test_a_request_that_is_too_long_is_an_error_and_its_neighbours_are_answered(sorter):
    before, too_long, after = sorter.answer([REQUESTS[0], Request("x" * 5000), REQUESTS[1]])
    assert "there is room for" in too_long.error
    assert before.output and after.output
    assert not before.error and not after.error


# texts


def test_texts_are_those_that_llama_cpp_writes(folder, writer):
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    model = load(folder, "generate", kind=llamacpp, max_tokens=12)
    try:
        theirs = [model.answer([request])[0].output for request in REQUESTS[:4]]
    finally:
        model.close()
    ours = [answer.output for answer in writer.answer(REQUESTS[:4])]
    assert len(set(ours)) > 1
    assert [text.rstrip("\ufffd") for text in ours] == [text.rstrip("\ufffd") for text in theirs]


def test_a_batch_of_texts_is_written_as_each_alone(writer):
    together = writer.answer(REQUESTS)
    assert together == [writer.answer([request])[0] for request in REQUESTS]
    assert all(0 < answer.tokens_out <= 12 for answer in together)


def test_a_stream_is_the_answer_in_pieces(writer):
    *pieces, answer = writer.stream(REQUESTS[0])
    assert len(pieces) > 1
    assert "".join(pieces) == answer.output
    assert answer == writer.answer([REQUESTS[0]])[0]


def test_a_stream_that_is_closed_stops_the_model(folder):
    model = load(folder, "generate", max_tokens=200)
    stream = model.stream(REQUESTS[0])
    next(stream)
    begin = time.perf_counter()
    stream.close()
    assert time.perf_counter() - begin < 0.2
    assert isinstance(model.answer([Request("x", max_tokens=2)])[0], Answer)


def test_a_conversation_is_read_turn_by_turn(folder):
    model = load(folder, "chat", max_tokens=4)
    said = (Message("user", "hello<|im_end|>"), Message("assistant", "hi"), Message("user", "when do you open?"))
    short, long = model.answer([Request("", messages=said[2:]), Request("", messages=said)])
    assert long.tokens_in > short.tokens_in + 10
    assert not long.error


def test_writings_are_drawn_by_their_seed(writer):
    def asked(seed: int, temperature: float = 1.5) -> Writing:
        return Writing((Message("user", "Write a line."),), 12, temperature, seed)

    assert isinstance(writer, Writes)
    one, other, again = writer.write([asked(1), asked(2), asked(1)])
    assert one == again
    assert one.output != other.output
    cold = writer.write([asked(1, 0.0), asked(2, 0.0)])
    assert cold[0] == cold[1]


# adapters and devices


def _beside(folder: Path, place: Path) -> Path:
    (place / LANGUAGE).symlink_to(folder / LANGUAGE)
    return place


def test_a_soft_prompt_goes_before_every_prompt(folder, tmp_path, sorter):
    import torch
    from peft import PromptTuningConfig, get_peft_model

    model, _ = tiny()
    tuned = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5))
    with torch.no_grad():
        tuned.prompt_encoder["default"].embedding.weight.normal_(generator=torch.Generator().manual_seed(1))
    tuned.save_pretrained(_beside(folder, tmp_path) / ADAPTER)
    served = load(tmp_path)
    asked = served._asked(REQUESTS[0])
    ids = torch.tensor([[*asked.head, *asked.rest]])
    with torch.no_grad():
        expected = tuned(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
    found = served._network.read(asked.head, [asked.rest]).next_logits[0]
    assert torch.allclose(found, expected, atol=1e-3)
    assert served.probabilities(REQUESTS[0]) != pytest.approx(sorter.probabilities(REQUESTS[0]), abs=1e-3)
    together, alone = served.answer(REQUESTS[:2])[1], served.answer(REQUESTS[1:2])[0]
    assert together.output == alone.output
    assert together.confidence == pytest.approx(alone.confidence, abs=1e-5)


def test_lora_is_merged_in(folder, tmp_path, sorter):
    import torch
    from peft import LoraConfig, get_peft_model

    model, _ = tiny()
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    with torch.no_grad():
        for name, weights in tuned.named_parameters():
            if "lora_B" in name:
                weights.normal_(generator=torch.Generator().manual_seed(1))
    tuned.save_pretrained(_beside(folder, tmp_path) / ADAPTER)
    assert load(tmp_path).probabilities(REQUESTS[0]) != pytest.approx(sorter.probabilities(REQUESTS[0]), abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"dtype": "int3"}, "'int3' is no number type"), ({"device": "abacus"}, "'abacus' is no device")],
)
def test_settings_that_torch_does_not_know_are_refused_in_words(folder, settings, says):
    with pytest.raises(ModelError, match=says):
        load(folder, **settings)


def test_a_gguf_file_is_served_as_a_folder_is(folder, sorter):
    served = load(None, model=str(folder / GGUF))
    assert served.probabilities(REQUESTS[0]) == pytest.approx(sorter.probabilities(REQUESTS[0]), abs=1e-4)
