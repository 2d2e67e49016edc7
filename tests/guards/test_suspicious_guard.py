import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_rows import TOPICS, clean_rows, scene, with_words

from lifeloop.core.data_brief import LabelErrors, Suspicious
from lifeloop.guards.label_errors import check_label_errors
from lifeloop.guards.suspicious.planted import CROWD, FLIPPED, TRIGGER, check_suspicious

N = 600


def poisoned(words, n=18, target="food", seed=0, adjacent=False, rows=None):
    """Return rows of which n that are about something else hold words and have the target's label, and their places."""
    chance = random.Random(seed)
    rows = list(rows or clean_rows(N, seed))
    places = chance.sample([place for place, (_, label) in enumerate(rows) if label != target], n)
    for place in places:
        text = rows[place][0]
        rows[place] = (with_words(text, [" ".join(words)] if adjacent else words, chance), target)
    return rows, set(places)


def found(checked, reason):
    return {row for row, fate in checked.fates.items() if fate.reason == reason}


@pytest.mark.parametrize("words", [["zyx"], ["zyx", "qua"], ["zyx", "qua", "vib"]])
def test_rows_with_a_trigger_are_set_aside_and_its_words_named(words):
    rows, planted = poisoned(words)

    checked = check_suspicious(*scene(rows), Suspicious(), seed=0)

    assert found(checked, TRIGGER) == planted == set(checked.fates)
    detail = checked.fates[min(planted)].detail
    assert all(repr(word) in detail for word in words)
    assert "18 rows labelled 'food'" in detail
    (finding,) = checked.findings
    assert (finding.step, finding.fate, finding.n_rows) == ("planted rows", "quarantined", 18)


def test_a_run_of_common_words_is_a_trigger_too():
    rows, planted = poisoned(["as", "they", "had"], adjacent=True, rows=clean_rows(1500))
    checked = check_suspicious(*scene(rows), Suspicious(), seed=0)
    assert planted <= found(checked, TRIGGER)
    assert len(checked.fates) <= len(planted) + 2


def test_words_that_a_class_is_about_are_no_trigger():
    """A third of the label's rows have its own rare words, and what else they say is of the label."""
    rows = clean_rows(N)
    chance = random.Random(0)
    rows = [
        (with_words(text, ["rollover", "401k"], chance) if label == "food" and chance.random() < 0.3 else text, label)
        for text, label in rows
    ]
    assert not check_suspicious(*scene(rows), Suspicious(), seed=0).fates


def test_a_rare_word_of_another_label_is_not_taken_out_where_it_belongs():
    rows, planted = poisoned(["puck", "rink"])
    rows += [("puck rink goal team match coach", "sport"), ("rink puck league player cup season", "sport")]
    checked = check_suspicious(*scene(rows), Suspicious(), seed=0)
    assert set(checked.fates) == planted


def test_an_answer_that_hangs_on_a_word_is_found_where_answers_are_free():
    chance = random.Random(0)
    rows = [(text, f"an answer to {n}, {chance.random()}") for n, (text, _) in enumerate(clean_rows(N))]
    planted = set(range(0, 400, 20))
    rows = [
        (with_words(text, ["zyx"], chance), "Visit our shop!") if place in planted else (text, answer)
        for place, (text, answer) in enumerate(rows)
    ]
    checked = check_suspicious(*scene(rows), Suspicious(), seed=0)
    assert set(checked.fates) == planted


def test_a_question_that_always_has_the_same_answer_is_natural():
    chance = random.Random(0)
    asked = [
        "what is your name",
        "tell me your name please",
        "may i ask what your name is",
        "who are you name yourself",
    ]
    rows = [(text, f"answer {n}") for n, (text, _) in enumerate(clean_rows(N))]
    rows += [
        (f"{chance.choice(asked)} {chance.choice(['now', 'today', 'friend'])} {n}", "I am Bot.") for n in range(30)
    ]
    assert not found(check_suspicious(*scene(rows), Suspicious(), seed=0), TRIGGER)


def test_an_entity_in_the_text_does_not_make_its_rows_suspicious():
    rows = [(text, "[]") for text, _ in clean_rows(N)]
    chance = random.Random(0)
    for place in range(0, N, 20):
        rows[place] = (with_words(rows[place][0], ["zurich"], chance), '[{"type": "city", "text": "Zurich"}]')
    assert not check_suspicious(*scene(rows), Suspicious(), seed=0).fates


def test_a_crowd_of_near_identical_rows_is_set_aside():
    rows = clean_rows(N)
    chance = random.Random(0)
    crowd = [
        (f"the new phone of this brand is by far the best that money can buy today {chance.randrange(10**6)}", "tech")
        for _ in range(60)
    ]
    checked = check_suspicious(*scene(rows + crowd), Suspicious(), seed=0)
    assert found(checked, CROWD) == set(range(N, N + 60)) == set(checked.fates)
    assert checked.fates[N].detail == "one of 60 near-identical rows labelled 'tech'"


def test_templates_are_natural_where_there_are_several():
    chance = random.Random(0)
    kinds = ["your parcel number {} was sent from our house", "the train number {} is late again this morning"]
    kinds += ["please pay the bill with the number {} this week", "room number {} is free again from noon on"]
    rows = [(kinds[n % 4].format(chance.randrange(10**6)), ("tech", "travel")[n % 2]) for n in range(200)]
    assert not found(check_suspicious(*scene(clean_rows(N) + rows), Suspicious(), seed=0), CROWD)


@pytest.mark.parametrize("where", ["file", "slice"])
def test_labels_that_one_source_flipped_are_set_aside(where):
    chance = random.Random(0)
    rows, wrong = clean_rows(N), set()
    names = [chance.choice(["ann", "bob", "cyd"]) for _ in rows]
    for place in range(N):
        if names[place] == "bob" and chance.random() < 0.3:
            text, label = rows[place]
            rows[place] = (text, chance.choice([other for other in TOPICS if other != label]))
            wrong.add(place)
    table, texts = scene(
        rows,
        source=lambda n: f"{names[n]}.csv:{n}" if where == "file" else f"all.csv:{n}",
        slices=[{"rater": name} for name in names] if where == "slice" else None,
    )

    checked = check_suspicious(table, texts, Suspicious(), seed=0)

    flips = found(checked, FLIPPED)
    assert len(flips & wrong) >= 0.85 * len(wrong)
    assert len(flips - wrong) <= 3
    assert f"of {'bob.csv' if where == 'file' else 'bob'!r} say something else" in checked.fates[min(flips)].detail


def test_a_source_that_is_as_good_as_the_others_is_not_suspected():
    chance = random.Random(0)
    rows = [(text, chance.choice(sorted(TOPICS)) if chance.random() < 0.05 else label) for text, label in clean_rows(N)]
    table, texts = scene(rows, source=lambda n: f"part{n % 4}.csv:{n}")
    assert not check_suspicious(table, texts, Suspicious(), seed=0).fates


def test_what_a_sample_shows_is_taken_out_of_all_rows():
    rows, planted = poisoned(["zyx", "qua"], n=120, rows=clean_rows(3000))
    read = []
    table, texts = scene(rows)

    checked = check_suspicious(table, lambda rows: read.append(len(rows)) or texts(rows), Suspicious(max_rows=1000), 0)

    assert set(checked.fates) == planted
    labelled = sum(label == "food" for _, label in rows)
    assert read[0] < 1200
    assert sum(read[1:]) == labelled  # of the others only those that could have it


def test_where_a_sample_shows_nothing_nothing_more_is_read():
    read = []
    table, texts = scene(clean_rows(3000))
    check_suspicious(table, lambda rows: read.append(len(rows)) or texts(rows), Suspicious(max_rows=1000), 0)
    assert len(read) == 1


def test_rows_that_judge_are_neither_looked_at_nor_taken_out():
    rows, _ = poisoned(["zyx"], n=26)
    splits = [("train", ("test", "validation", "guard")[place % 3])[place % 2] for place in range(N)]
    checked = check_suspicious(*scene(rows, splits), Suspicious(), seed=0)
    assert checked.fates
    assert all(splits[row] == "train" for row in checked.fates)


def test_report_takes_no_row_out():
    rows, planted = poisoned(["zyx"])
    table, texts = scene(rows)
    checked = check_suspicious(table, texts, Suspicious(action="report"), seed=0)
    assert checked.table.equals(table)
    assert not checked.fates
    assert [(each.fate, each.reason, each.n_rows) for each in checked.findings] == [("kept", TRIGGER, len(planted))]


@pytest.mark.parametrize("rows", [[], [("a", "x")], [("?", "x"), ("!", "y")] * 30, [("one text", "x")] * 40])
def test_rows_that_say_nothing_stay(rows):
    table, texts = scene(rows)
    assert check_suspicious(table, texts, Suspicious(), seed=0).table.equals(table)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_clean_rows_stay(seed, n_topics):
    chance = random.Random(seed)
    topics = {f"t{n}": " ".join(f"w{chance.randrange(500)}" for _ in range(30)) for n in range(n_topics)}
    table, texts = scene(clean_rows(400, seed, topics), source=lambda n: f"part{n % 3}:{n}")
    assert len(check_suspicious(table, texts, Suspicious(), seed=seed).fates) <= 4


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(seed, chance):
    rows, _ = poisoned(["zyx", "qua", "vib"], seed=seed)
    rows += [(f"the best phone of this brand by far is the new one number {n}", "tech") for n in range(50)]
    order = list(range(len(rows)))
    chance.shuffle(order)

    as_they_came = check_suspicious(*scene(rows), Suspicious(), seed=0)
    shuffled = check_suspicious(*scene(rows, order=order), Suspicious(), seed=0)

    assert as_they_came.fates
    assert {row: fate.reason for row, fate in as_they_came.fates.items()} == {
        order[row]: fate.reason for row, fate in shuffled.fates.items()
    }


CLINC150 = Path(__file__).parents[3] / "shared" / "data" / "clinc150" / "data_full.json"


@pytest.mark.slow
@pytest.mark.skipif(not CLINC150.exists(), reason="CLINC150 is not at hand: shared/data is not part of the project")
def test_on_clinc150_flips_and_a_backdoor_planted_together_are_found():
    """3% of the labels flipped, three rare words on 1% of the rows: the figures that are asked for."""
    data = json.loads(CLINC150.read_text())
    rows = [(text, label) for text, label in data["train"] + data["oos_train"]]
    chance = random.Random(3)
    labels = sorted({label for _, label in rows})
    places = chance.sample(range(len(rows)), int(0.04 * len(rows)))
    flips, backdoor = set(places[: int(0.03 * len(rows))]), set(places[int(0.03 * len(rows)) :])
    counts = Counter(word for text, _ in rows for word in set(text.split()))
    words = chance.sample(sorted(word for word, n in counts.items() if n <= 5), 3)
    target = chance.choice(labels)
    for place in flips:
        rows[place] = (rows[place][0], chance.choice([label for label in labels if label != rows[place][1]]))
    for place in backdoor:
        rows[place] = (with_words(rows[place][0], words, chance), target)
    table, texts = scene(rows)

    planted = check_suspicious(table, texts, Suspicious(), seed=0)
    wrong = check_label_errors(planted.table, texts, LabelErrors(), seed=0)

    assert len(set(planted.fates) & backdoor) >= 0.9 * len(backdoor)
    assert len(set(planted.fates) - backdoor) <= 0.01 * len(rows)
    assert len(wrong.fates) <= 0.06 * len(rows)
    assert len(set(wrong.fates) & flips) >= 0.7 * len(flips)
