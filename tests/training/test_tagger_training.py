"""Training a tagger: what it learns, when it stops, what it leaves out, and that a kill changes nothing."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import make_encoder

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.models.encoder import TUNED
from lifeloop.models.tagger import DECISIONS, HEAD, KIND, Settings
from lifeloop.tasks.extract import TASK
from lifeloop.training import tagger_loop
from lifeloop.training.record import load_record
from lifeloop.training.tagger import TRAINER
from lifeloop.training.tagger_examples import Tagged, split_of, tagged, varied
from lifeloop.training.trainer import Decided, Materials, Outdone

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

NAMES = ["Ann", "Bob Lee", "Cho", "Dee Ray", "Eva", "Finn", "Gus Moe", "Hal"]
"""Unknown to the encoder: only how they are written, and the word before, tells of them."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """So small a network is slower on two threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("base"))


def example(k: int, dot: str = "") -> Example:
    """Return a text with a person after "my", a place after "the", and a word in lower case after both."""
    person, place = NAMES[k % 8], NAMES[(3 * k + 1) % 8]
    text = f"please {['now', 'again', 'and'][k % 3]} my {person}{dot} today the {place}{dot} my parcel the box"
    places = [("person", text.index(f"my {person}") + 3, person), ("place", text.index(f"the {place}") + 4, place)]
    listed = [{"type": kind, "text": name, "start": at, "end": at + len(name)} for kind, at, name in places]
    return Example(f"{k}", text, json.dumps(listed), "")


def quick(base: Path, **changes: Any) -> Settings:
    return Settings(
        **{"model": str(base), "epochs": 6, "batch": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2}
        | {"average": 0.9, "hidden": 0.0, "dropout": 0.1, "max_tokens": 32, "swapped": 0.0, "lowered": 0.0}
        | changes
    )


def built(folder: Path, settings: Settings, **changes: Any) -> Decided:
    folder.mkdir()
    plain = Materials(
        task="extract",
        labels=("person", "place"),
        settings=settings,
        train=tuple(map(example, range(48))),
        validation=tuple(map(example, range(48, 72))),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=0,
    )
    return TRAINER.build(msgspec.structs.replace(plain, **changes), folder, silent)


def load(folder: Path, settings: Settings) -> Any:
    return KIND.load(Candidate("t", "tagger", "extract", (), msgspec.to_builtins(settings)), folder, ())


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / TUNED / "model.safetensors") | load_file(folder / HEAD)


def far_apart(one: Path, other: Path) -> float:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, base: Path) -> tuple[Path, Settings, Decided]:
    folder, settings = tmp_path_factory.mktemp("taught") / "made", quick(base)
    return folder, settings, built(folder, settings)


def test_it_learns_names_by_how_they_are_written_and_what_stands_before(taught):
    folder, settings, decided = taught
    assert decided.score > 0.95
    asked = "please and my Zoe today the Yak Wu my parcel the box"  # names that training never saw
    (answer,) = load(folder, settings).answer([Request(asked)])
    found = TASK.parse(answer.output, ("person", "place"))
    assert [(one.type, one.text) for one in found] == [("person", "Zoe"), ("place", "Yak Wu")]
    assert all(asked[one.start : one.end] == one.text for one in found)
    sure = [one["confidence"] for one in json.loads(answer.output)]
    assert all(answer.confidence <= one + 1e-3 and one <= 1 for one in sure)


def test_a_text_longer_than_the_encoder_reads_is_read_to_its_end(taught):
    folder, settings, _ = taught
    text = " ".join(example(k).input for k in range(100, 112))
    (answer,) = load(folder, settings).answer([Request(text)])
    found = [one.text for one in TASK.parse(answer.output, ())]
    expected = [one.text for k in range(100, 112) for one in TASK.parse(example(k).reference, ())]
    assert found == expected  # what the types go by, the place in the text, is not what it was in training


def test_the_record_has_the_curve_and_what_was_decided(taught):
    folder, _, decided = taught
    record = load_record(folder)
    assert [point.step for point in record.curve] == [6 * (n + 1) for n in range(len(record.curve))]
    assert max(point.score for point in record.curve) == decided.score
    assert next(point.score for point in record.curve if point.step == record.best_step) == decided.score
    assert record.settings["words"] == "spaces"
    assert record.settings["temperature"] == pytest.approx(
        json.loads((folder / DECISIONS).read_bytes())["decisions"]["temperature"], abs=1e-4
    )


def test_where_marks_stick_to_entities_words_end_at_marks_too(tmp_path, base):
    settings = quick(base, crf=False)
    built(
        tmp_path / "made",
        settings,
        train=tuple(example(k, ",") for k in range(48)),
        validation=tuple(example(k, ",") for k in range(48, 60)),
    )
    assert load_record(tmp_path / "made").settings["words"] == "marks"
    (answer,) = load(tmp_path / "made", settings).answer(
        [Request("please now my Zoe, today the Wu, my parcel the box")]
    )
    assert [one.text for one in TASK.parse(answer.output, ())] == ["Zoe", "Wu"]


CITIES = ["东京", "北京", "上海", "巴黎"]


def in_chinese(k: int, *, placed: bool = True) -> Example:
    """Return a text whose city stands between two characters that are the same in all of them."""
    text = f"我在{CITIES[k % 4]}工作"
    where = {"start": 2, "end": 4} if placed else {}
    return Example(f"{k}", text, json.dumps([{"type": "place", "text": text[2:4]} | where]), "")


@pytest.mark.parametrize("placed", [True, False])
def test_entities_of_scripts_without_spaces_are_learned_without_what_stands_around_them(tmp_path, base, placed):
    settings = quick(base, patience=0)
    texts = tuple(in_chinese(k, placed=placed) for k in range(32))
    decided = built(tmp_path / "made", settings, train=texts, validation=texts[:4])
    assert decided.score == 1.0
    record = load_record(tmp_path / "made")
    assert record.settings["words"] == "marks"
    assert not record.events
    (answer,) = load(tmp_path / "made", settings).answer([Request("我在东京工作")])
    assert [(one.text, one.start) for one in TASK.parse(answer.output, ())] == [("东京", 2)]


def test_entities_that_are_smaller_than_their_word_are_counted(tmp_path, base):
    inside = Example("8", "the boxAnnbox", '[{"type":"person","text":"Ann","start":7,"end":10}]', "")
    built(tmp_path / "made", quick(base, epochs=1), train=(*map(example, range(8)), inside), validation=())
    (event,) = load_record(tmp_path / "made").events
    assert event == "1 entities begin or end inside a word, and were learned with the whole of it"


def test_training_that_diverges_is_stopped_and_says_what_to_lower(tmp_path, base):
    with pytest.raises(ModelError, match=r"diverged: the loss of step \d+ is (nan|inf)") as caught:
        built(tmp_path / "made", quick(base, learning_rate=1e3, head_learning_rate=1e6, epochs=3))
    assert "learning_rate" in caught.value.fix
    assert not (tmp_path / "made" / HEAD).exists()


def test_validation_is_told_to_whoever_watches_and_who_gives_up_is_heard(tmp_path, base):
    seen = []

    def give_up(step: int, score: float) -> None:
        seen.append((step, score))
        if len(seen) == 2:
            raise Outdone

    with pytest.raises(Outdone):
        built(tmp_path / "made", quick(base), watch=give_up)
    assert [step for step, _ in seen] == [6, 12]
    assert all(0 <= score <= 1 for _, score in seen)


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best_pass(tmp_path, base):
    idle = quick(base, epochs=9, learning_rate=0.0, head_learning_rate=0.0, patience=2)
    built(tmp_path / "made", idle)
    record = load_record(tmp_path / "made")
    assert len(record.curve) == 3  # nothing changes: the first is the best, and two more are waited for
    assert record.best_step == 6
    assert "stopped after pass 3 of 9" in record.events[0]


class Killed(Exception):
    """The process was killed here."""


@pytest.mark.parametrize("at", [5, 6, 10])
def test_killed_at_any_step_and_resumed_it_gives_the_same_weights(tmp_path, base, monkeypatch, at):
    monkeypatch.setattr(tagger_loop, "CHECKPOINT_STEPS", 4)
    settings = quick(base, epochs=2, hidden=0.2, swapped=0.5, lowered=0.1)
    built(tmp_path / "whole", settings)
    real = tagger_loop._step

    def step(network, work, moving, place, batch):
        if place.step == at:
            raise Killed
        return real(network, work, moving, place, batch)

    monkeypatch.setattr(tagger_loop, "_step", step)
    with pytest.raises(Killed):
        built(tmp_path / "killed", settings, scratch=tmp_path / "scratch")
    monkeypatch.setattr(tagger_loop, "_step", real)
    built(tmp_path / "resumed", settings, scratch=tmp_path / "scratch")

    assert far_apart(tmp_path / "whole", tmp_path / "resumed") < 1e-6
    before, after = (load_record(tmp_path / name) for name in ("whole", "resumed"))
    assert after.curve == before.curve
    assert f"resumed at step {6 if at == 6 else at // 4 * 4} of 12" in after.events


def test_too_little_memory_halves_the_batch_and_says_so(tmp_path, base, monkeypatch):
    from lifeloop.models.tagger_network import Network

    real = Network.forward

    def forward(self, batch):
        if self.training and len(batch.ids) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(self, batch)

    monkeypatch.setattr(Network, "forward", forward)
    built(tmp_path / "tight", quick(base, epochs=1))
    events = load_record(tmp_path / "tight").events
    assert [event.partition(":")[0] for event in events] == ["out of memory at step 1"] * 2
    assert "4 parts" in events[-1]

    def nothing_fits(self, batch):
        raise MemoryError

    monkeypatch.setattr(Network, "forward", nothing_fits)
    with pytest.raises(ModelError, match="one text at a time"):
        built(tmp_path / "none", quick(base, epochs=1))


def test_entities_by_their_words_alone_are_looked_for_and_what_is_nowhere_is_counted(tmp_path, base):
    words = '[{"type":"person","text":"Ann"},{"type":"place","text":"Oslo"}]'
    assert tagged(Example("1", "Ann and Anna, Ann", words, "")) == Tagged(
        "Ann and Anna, Ann", (("person", 0, 3), ("person", 14, 17)), lost=1
    )
    built(tmp_path / "made", quick(base, epochs=1), train=(*map(example, range(8)), Example("9", "my Ann", words, "")))
    assert "1 entities of the references are not in their text" in load_record(tmp_path / "made").events[0]


def test_a_missed_entity_that_costs_more_is_missed_less(tmp_path, base):
    # The same texts, in half of which the reference has forgotten the names.
    train = [
        msgspec.structs.replace(example(k), reference="[]" if k % 8 < 5 else example(k).reference) for k in range(64)
    ]
    recalled = []
    for weight in (0.2, 5.0):
        settings = quick(base, entity_weight=weight, epochs=3)
        built(tmp_path / str(weight), settings, train=tuple(train), validation=())
        answers = load(tmp_path / str(weight), settings).answer([Request(example(k).input) for k in range(70, 90)])
        recalled.append(sum(len(TASK.parse(answer.output, ())) for answer in answers))
    assert recalled[0] < 10 < recalled[1]


def test_a_tuned_encoder_s_folder_may_be_started_from_and_no_validation_keeps_the_last(tmp_path, base, taught):
    settings = quick(taught[0], epochs=1)
    assert built(tmp_path / "made", settings, validation=()).score is None
    assert load_record(tmp_path / "made").best_step == 6


def test_training_without_entities_and_settings_without_sense_are_refused_in_words(tmp_path, base):
    from lifeloop.core.brief import convert_settings

    with pytest.raises(ModelError, match="no training text has an entity"):
        built(tmp_path / "made", quick(base), train=(Example("1", "hello", "[]", ""),))
    for table in ({"epochs": 0}, {"words": "letters"}, {"hidden": 1.5}):
        with pytest.raises(BriefError) as caught:
            convert_settings({"model": "m"} | table, Settings, "candidates.tagger", "lifeloop.toml")
        assert next(iter(table)) in str(caught.value)


@given(st.integers(0, 1000), st.integers(0, 40))
def test_a_varied_text_has_its_entities_where_they_are_said_to_be(seed, k):
    text = tagged(example(k))
    names = {"person": ["Li", "Maximilian Mustermann"], "place": ["Rio de Janeiro", "A"]}
    other = varied(text, names, 0.7, 0.3, np.random.default_rng(seed))
    assert [kind for kind, _, _ in other.entities] == [kind for kind, _, _ in text.entities]
    before = [text.text[start:end] for _, start, end in text.entities]
    for (kind, start, end), name in zip(other.entities, before, strict=True):
        assert other.text[start:end].lower() in {name.lower(), *(known.lower() for known in names[kind])}
    assert split_of([other]) == "spaces"
