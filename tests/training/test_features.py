"""Training candidates of kind "features": what is selected, which head reads it, and what validation says of it."""

import pytest
from feature_scene import build, load, made, materials, right, rows_of

from lifeloop.core.candidates import Request
from lifeloop.core.errors import ModelError

TEXTS = {
    "billing": ["refund my invoice", "the invoice is wrong", "charge on my card", "pay the bill", "a bill came twice"],
    "delivery": ["where is my parcel", "the parcel is late", "deliver on monday", "courier lost it", "parcel came wet"],
    "greeting": ["hello there", "good morning", "hi and hello", "good evening", "hello to you"],
}
TRAIN = rows_of(TEXTS) * 3
NEW = [("the invoice", "billing", {}), ("my parcel, please", "delivery", {}), ("hello", "greeting", {})]


@pytest.mark.parametrize("head", ["svm", "logistic", "boosting"])
def test_every_head_learns_and_is_as_sure_as_it_is_right(tmp_path, head):
    given = materials({"head": head, "min_examples": 1, "c": 5.0, "trees": 30}, TRAIN * 2, TRAIN)
    decided = build(given, tmp_path / "one")
    model = load(given, tmp_path / "one")
    assert decided.score == right(model, TRAIN) > 0.9
    assert all(answer.confidence > 0.8 for answer in model.answer([Request(text) for text, _, _ in TRAIN[:15]]))


def test_the_score_is_the_briefs_metric_and_the_share_of_right_answers_without_one(tmp_path):
    wrong = [*NEW, ("good morning", "delivery", {})]
    accuracy = build(materials({"min_examples": 1}, TRAIN, wrong), tmp_path / "accuracy").score
    macro = build(materials({"min_examples": 1}, TRAIN, wrong, metric="macro_f1"), tmp_path / "macro").score
    assert accuracy == 0.75
    assert 0 < macro != accuracy
    assert build(materials({"min_examples": 1}, TRAIN), tmp_path / "unseen").score is None


EMOJI = [("👍", "good", {}), ("👎", "bad", {})] * 5


@pytest.mark.parametrize("table", [{}, {"select": 2}])
def test_where_no_text_has_a_word_its_characters_are_counted(tmp_path, table):
    given = materials(table, EMOJI, EMOJI)
    assert build(given, tmp_path / "one").score == 1.0
    assert not (tmp_path / "one" / "word-terms.json").exists()
    assert right(load(given, tmp_path / "one"), EMOJI) == 1.0


@pytest.mark.parametrize("texts", [EMOJI, [(" ", "good", {}), ("\n", "bad", {})] * 5])
def test_where_nothing_can_be_counted_it_is_said(tmp_path, texts):
    with pytest.raises(ModelError, match="no training text has anything that word features count"):
        build(materials({"char_ngrams": [0, 0]}, texts), tmp_path / "one")


@pytest.mark.parametrize("by", ["chi2", "mutual_information", "l1"])
def test_the_ngrams_that_tell_labels_apart_are_kept(tmp_path, by):
    said = {"a": ["red zz one", "red zz two"] * 4, "b": ["blue zz one", "blue zz two"] * 4}
    table = {"select": 2, "select_by": by, "word_ngrams": [1, 1], "char_ngrams": [0, 0]}
    model = made(materials(table, rows_of(said)), tmp_path / "one")
    assert (tmp_path / "one" / "word-terms.json").read_bytes() == b'["blue","red"]'
    assert right(model, [("a red thing", "a", {}), ("a blue thing", "b", {})]) == 1.0


def test_all_ngrams_of_a_block_may_be_left_out(tmp_path):
    said = {"a": ["red zz"] * 4, "b": ["blue zz"] * 4}
    table = {"select": 1, "char_ngrams": [1, 1], "word_ngrams": [1, 1]}
    model = made(materials(table, rows_of(said)), tmp_path / "one")
    assert len(list((tmp_path / "one").glob("*-terms.json"))) == 1
    assert right(model, [("red", "a", {}), ("blue", "b", {})]) >= 0.5


@pytest.mark.parametrize("head", ["svm", "boosting"])
def test_the_same_materials_give_the_same_files(tmp_path, head):
    table = {"head": head, "statistics": True, "columns": ["channel"], "select": 20, "trees": 25}
    train = [(text, label, {"channel": "desk" if label == "billing" else "web"}) for text, label, _ in TRAIN]
    (tmp_path / "own.py").write_text("def f(texts):\n    return [len(t) for t in texts]\n")
    given = materials(table | {"engineered": ["own.py:f"], "lexicons": {"x": ["hello"]}}, train, NEW, project=tmp_path)
    files = []
    for name in ("one", "other"):
        build(given, tmp_path / name)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]
    assert {name.rpartition(".")[2] for name in files[0]} == {"npy", "json"}
