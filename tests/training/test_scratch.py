"""A small language model from nothing: its tokenizer, its weights, what it learns, and what may be made of it."""

import json
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Candidate, Prompt, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import BriefError
from lifeloop.core.progress import silent
from lifeloop.models import llamacpp
from lifeloop.models.language_files import GGUF, LANGUAGE, open_tokenizer
from lifeloop.models.scratch import KIND, Settings
from lifeloop.models.turn_tokens import tokenise_with
from lifeloop.training.record import load_record
from lifeloop.training.scratch import TRAINER
from lifeloop.training.trainer import Decided, Materials, Outdone

ready = pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices of these sizes are multiplied faster by one thread than by two that wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WORDS = {"refund": "money back", "opening": "when open", "thanks": "thank you"}
SMALL = Settings(vocabulary=420, layers=2, width=64, heads=2, context=64, epochs=20, batch=4, learning_rate=2e-3)
PROMPT = Prompt("short", "Sort.", "{{ text }}")


def examples(n: int, of: str) -> tuple[Example, ...]:
    labels = list(WORDS)
    return tuple(
        Example(f"{of}{place}", f"{'please ' * (place // 3 % 3)}{WORDS[label]}", label, "")
        for place, label in enumerate(labels[number % len(labels)] for number in range(n))
    )


def materials(settings: Settings = SMALL, **changed) -> Materials:
    given = Materials(
        task="classify",
        labels=tuple(WORDS),
        settings=settings,
        train=examples(48, "train"),
        validation=examples(9, "validation"),
        prompt=PROMPT,
        parent=None,
        parent_settings=None,
        members=(),
        seed=1,
    )
    return msgspec.structs.replace(given, **changed)


def build(given: Materials, folder: Path) -> Decided:
    folder.mkdir(exist_ok=True)
    return TRAINER.build(given, folder, silent)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "scratch"
    build(materials(), folder)
    return folder


def candidate(kind: str = "scratch", **settings) -> Candidate:
    table = settings or msgspec.to_builtins(SMALL)
    return Candidate("own", kind, "classify", tuple(WORDS), table, prompt=PROMPT)


@ready
@pytest.mark.slow
def test_it_learns_what_the_examples_say(made):
    model = KIND.load(candidate(), made, ())
    answers = model.answer([Request(example.input) for example in examples(9, "new")])
    assert [answer.output for answer in answers] == [example.reference for example in examples(9, "new")]


@ready
@pytest.mark.slow
def test_llama_cpp_serves_its_gguf(made):
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    model = llamacpp.KIND.load(candidate("llamacpp", model="", context=64), made, ())
    try:
        assert [model.answer([Request(words)])[0].output for words in WORDS.values()] == list(WORDS)
    finally:
        model.close()


@ready
@pytest.mark.slow
def test_its_record_has_the_curve_and_the_loss_on_validation(made):
    record = load_record(made)
    losses = [point.loss for point in record.curve if point.loss is not None]
    assert losses[-1] < 0.5 * losses[0]
    assert any(point.validation_loss is not None for point in record.curve)
    assert record.seed == 1


@ready
@pytest.mark.slow
def test_its_tokenizer_reads_any_text_and_gives_it_back(made):
    tokenizer = open_tokenizer("", made, "")
    assert len(tokenizer) <= SMALL.vocabulary
    for text in ("please money back", "naïve — ½ 🎉\n\t x", " two  spaces"):
        assert tokenizer.decode(tokenise_with(tokenizer)(text)) == text
    assert tokenise_with(tokenizer)("money") == tokenise_with(tokenizer)("money", special=True)
    assert len(tokenise_with(tokenizer)(" back")) == 1  # a word of the examples


@ready
@pytest.mark.slow
def test_raw_texts_are_read_where_there_are_any(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"zebra zebra number {n}"}) + "\n" for n in range(40)))
    few = msgspec.structs.replace(SMALL, epochs=0.1)
    build(materials(few, corpus=(corpus,)), tmp_path / "own")
    assert len(tokenise_with(open_tokenizer("", tmp_path / "own", ""))(" zebra")) == 1


@ready
@pytest.mark.slow
def test_the_same_materials_give_the_same_files(tmp_path):
    few = materials(msgspec.structs.replace(SMALL, epochs=0.5))
    for name in ("one", "other"):
        build(few, tmp_path / name)
    for file in (f"{LANGUAGE}/model.safetensors", f"{LANGUAGE}/tokenizer.json", GGUF):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@ready
@pytest.mark.slow
def test_a_training_that_is_given_up_goes_on_from_its_checkpoint(tmp_path):
    few = materials(msgspec.structs.replace(SMALL, epochs=2), scratch=tmp_path / "scratch")

    def give_up(step: int, score: float) -> None:
        raise Outdone

    with pytest.raises(Outdone):
        build(msgspec.structs.replace(few, watch=give_up), tmp_path / "cut")
    build(few, tmp_path / "resumed")
    build(msgspec.structs.replace(few, scratch=None), tmp_path / "whole")
    assert any("resumed at step" in event for event in load_record(tmp_path / "resumed").events)
    resumed, whole = (load_record(tmp_path / name).curve[-1] for name in ("resumed", "whole"))
    assert resumed.validation_loss == pytest.approx(whole.validation_loss, abs=1e-3)


@ready
@pytest.mark.slow
def test_it_can_be_tuned_further(made, tmp_path):
    from lifeloop import plugins

    sft = plugins.get("adaptations", "sft")
    settings = msgspec.convert({"epochs": 1, "batch": 4}, sft.settings)
    parent = {"parent": made, "parent_kind": "scratch", "parent_settings": msgspec.to_builtins(SMALL)}
    (tmp_path / "child").mkdir()
    sft.build(materials(settings, **parent), tmp_path / "child", silent)
    assert KIND.load(candidate(), tmp_path / "child", ()).answer([Request("thank you")])[0].output == "thanks"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"vocabulary": 100}, "`int` >= 300"),
        ({"width": 100}, "multiple of 32"),
        ({"width": 32, "heads": 3}, "`width` (32) is no multiple of twice `heads` (3)"),
        ({"context": 32}, "`int` >= 64"),
        ({"heads": 0}, "`int` >= 1"),
    ],
)
def test_sizes_that_make_no_network_are_refused_when_the_brief_is_read(table, says):
    with pytest.raises(BriefError) as caught:
        convert_settings(table, Settings, "candidates.own", "lifeloop.toml")
    assert next(iter(table)) in str(caught.value)
    assert says in str(caught.value)
