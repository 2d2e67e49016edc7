import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import features, gazetteer, linear, majority
from lifeloop.training.calibration import temperature
from lifeloop.training.features import TRAINER as FEATURES
from lifeloop.training.features import known
from lifeloop.training.finetune import TRAINER as FINETUNE
from lifeloop.training.gazetteer import TRAINER as GAZETTEER
from lifeloop.training.majority import TRAINER as MAJORITY
from lifeloop.training.trainer import Materials


def materials(
    task: str, pairs: list[tuple[str, str]], kind_settings, validation: list[tuple[str, str]] = ()
) -> Materials:
    rows = [[Example(str(n), text, said, "") for n, (text, said) in enumerate(each)] for each in (pairs, validation)]
    labels = tuple(sorted({said for _, said in pairs})) if task == "classify" else ()
    return Materials(task, labels, kind_settings, tuple(rows[0]), tuple(rows[1]), None, None, None, (), 0)


# temperature


@settings(max_examples=30)
@given(st.floats(0.2, 8.0), st.integers(0, 20))
def test_the_temperature_that_logits_were_spoilt_by_is_found(heat, seed):
    chance = np.random.default_rng(seed)
    honest = chance.normal(0, 2, (3000, 4))
    truth = np.array([chance.choice(4, p=row) for row in softmax(honest, axis=1)])
    assert temperature(honest * heat, truth) == pytest.approx(heat, rel=0.12)


def test_no_other_temperature_makes_the_truth_likelier():
    chance = np.random.default_rng(0)
    logits, truth = chance.normal(0, 3, (200, 3)), chance.integers(0, 3, 200)

    def likelihood(heat: float) -> float:
        return log_softmax(logits / heat, axis=1)[np.arange(200), truth].mean()

    best = temperature(logits, truth)
    assert all(likelihood(best) >= likelihood(other) - 1e-6 for other in np.geomspace(0.01, 100, 50))


def test_of_nothing_held_out_there_is_nothing_to_mend():
    assert temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0


# majority and gazetteer


def test_the_commonest_label_and_its_share_are_written_down(tmp_path):
    MAJORITY.build(materials("classify", [("x", "b"), ("y", "a"), ("z", "a"), ("w", "b")], None), tmp_path, silent)
    assert json.loads((tmp_path / majority.FILE).read_text()) == ["a", 0.5]  # the first in the alphabet among equals


def entity(kind: str, text: str, words: str) -> dict:
    return {"type": kind, "text": words, "start": text.index(words), "end": text.index(words) + len(words)}


def names(rows: list[tuple[str, list]], tmp_path, precision: float = 0.5) -> dict[str, str]:
    pairs = [(text, json.dumps(entities)) for text, entities in rows]
    GAZETTEER.build(materials("extract", pairs, gazetteer.Settings(precision)), tmp_path, silent)
    return json.loads((tmp_path / gazetteer.FILE).read_text())


def test_a_name_is_kept_if_it_is_an_entity_often_enough(tmp_path):
    rows = [
        ("will Will come", [entity("person", "will Will come", "Will")]),
        ("I will go", []),
        ("Ann will go", [entity("person", "Ann", "Ann")]),
    ]
    assert names(rows, tmp_path) == {"ann": "person"}
    assert names(rows, tmp_path, precision=0.2) == {"ann": "person", "will": "person"}


def test_a_name_takes_its_commonest_type(tmp_path):
    rows = [("Paris", [entity(kind, "Paris", "Paris")]) for kind in ("place", "person", "place")]
    assert names(rows, tmp_path) == {"paris": "place"}


def test_an_entity_without_words_or_place_is_no_name(tmp_path):
    assert names([("Ann", [{"type": "person"}]), ("Bob", [{"type": "person", "text": " "}])], tmp_path) == {}


def test_an_entity_with_a_place_alone_is_read_from_its_text(tmp_path):
    assert names([("call Ann", [{"type": "person", "start": 5, "end": 8}])], tmp_path) == {"ann": "person"}


# features


PAIRS = [
    (f"{word} number {n}", label) for n in range(12) for word, label in (("invoice", "billing"), ("parcel", "delivery"))
]


def test_two_labels_get_a_row_each(tmp_path):
    FEATURES.build(materials("classify", PAIRS, features.Settings()), tmp_path, silent)
    weights, bias = linear.load_head(tmp_path)
    assert weights.shape[0] == bias.shape[0] == 2
    assert np.array_equal(weights[0], -weights[1])


def test_validation_sets_the_temperature_and_nothing_else(tmp_path):
    heads = []
    for name, validation in (("none", []), ("some", [("invoice", "billing"), ("parcel", "billing")])):
        (tmp_path / name).mkdir()
        FEATURES.build(materials("classify", PAIRS, features.Settings(), validation), tmp_path / name, silent)
        heads.append(linear.load_head(tmp_path / name)[0])
    ratio = heads[0] / np.where(heads[1] == 0, np.nan, heads[1])
    assert np.nanstd(ratio) < 1e-3 * np.nanmean(ratio)
    assert np.nanmean(ratio) > 1.0  # a validation that contradicts makes it less sure


def test_characters_can_be_left_out(tmp_path):
    FEATURES.build(materials("classify", PAIRS, features.Settings(char_ngrams=(0, 0))), tmp_path, silent)
    assert sorted(path.name for path in tmp_path.glob("*-terms.json")) == ["word-terms.json"]


def test_so_little_text_that_nothing_occurs_twice_is_enough(tmp_path):
    FEATURES.build(materials("classify", [("a", "x"), ("b", "y")], features.Settings()), tmp_path, silent)
    assert linear.load_head(tmp_path)[0].shape[0] == 2


def test_what_is_not_a_known_label_is_left_out_of_calibration():
    rows = [Example("1", "x", "b", ""), Example("2", "x", "new", ""), Example("3", "x", "a", "")]
    kept, places = known(rows, ("a", "b"))
    assert [row.id for row in kept] == ["1", "3"]
    assert places.tolist() == [1, 0]


# adaptation


def test_fine_tuning_wants_a_parent():
    asked = materials("classify", PAIRS, FINETUNE.settings())
    with pytest.raises(Exception, match="no parent to start from"):
        FINETUNE.build(asked, None, silent)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"epoch": 1}, FINETUNE.settings)
