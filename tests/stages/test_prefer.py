"""From rows of files, feedback and a judge to preferences that each have exactly one place."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.brief import parse_brief
from lifeloop.core.candidates import Answer, Contract
from lifeloop.core.data import Example
from lifeloop.core.errors import BriefError, DataError
from lifeloop.core.events import Event, Feedback
from lifeloop.core.preferences import Preference
from lifeloop.core.preferences_brief import AiJudge, PreferencesBrief
from lifeloop.sources.source import Reading
from lifeloop.stages import prefer, prefer_ai, prefer_feedback
from lifeloop.stages.prefer import Given, Terms
from lifeloop.stages.prefer_rows import fingerprints, raw_preferences
from lifeloop.store.ledger import FeedbackRow

BRIEF = """
[project]
name = "desk"
task = "generate"
[data]
source = "data.csv"
[[objectives]]
metric = "exact"
target = 0.5
[candidates.small]
kind = "llamacpp"
"""
DATA = parse_brief(BRIEF).data


def terms(task: str = "generate", **brief) -> Terms:
    return Terms(task, DATA, PreferencesBrief(**brief))


def no_progress(done, total, note):
    """Tell nobody."""


def read(folder: Path, task: str = "generate", **brief) -> pl.DataFrame:
    return raw_preferences(Reading(DATA, folder, task), PreferencesBrief(**brief), no_progress)


def usable(folder: Path, task: str = "generate", **brief) -> list[Preference]:
    return prefer.usable([Given("file", read(folder, task, **brief))], terms(task, **brief))[0]


def jsonl(path: Path, *records: dict) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path.name


def place(found: prefer.Sorted) -> dict[str, str]:
    return (
        dict.fromkeys([each.id for each in found.trusted], "trusted")
        | dict.fromkeys([each.id for each in found.held_out], "held out")
        | {each.id: doubt.reason for each, doubt in found.doubted}
    )


# files


def test_records_of_pairs_keep_who_when_and_about_what(tmp_path):
    record = {
        "prompt": "When do you open?",
        "chosen": "At nine.",
        "rejected": "Dunno.",
        "by": "ann",
        "on": "2026-11-02",
    }
    name = jsonl(tmp_path / "pairs.jsonl", record | {"topic": "hours", "seen": "Rejected"})
    (found,) = usable(tmp_path, source=name, rater="by", time="on", subject="topic", first="seen")
    assert (found.input, found.chosen, found.rejected) == ("When do you open?", "At nine.", "Dunno.")
    assert (found.rater, found.at, found.subject, found.shown_first) == ("ann", 1793577600.0, "hours", "rejected")
    assert (found.origin, found.source) == ("file", "pairs.jsonl:1")


def test_whole_conversations_are_parted_at_their_last_turn(tmp_path):
    asked = "\n\nHuman: Is it open?\n\nAssistant:"
    name = jsonl(tmp_path / "hh.jsonl", {"chosen": f"{asked} Yes, till six.", "rejected": f"{asked} No idea."})
    (found,) = usable(tmp_path, source=name)
    assert (found.input, found.chosen, found.rejected) == ("Is it open?", "Yes, till six.", "No idea.")
    (chat,) = usable(tmp_path, "chat", source=name)
    assert json.loads(chat.input) == [{"role": "user", "content": "Is it open?"}]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_with_the_two_columns_are_read_the_same_way(tmp_path, ending):
    messages = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}])
    other = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "What?"}])
    table = pl.DataFrame(
        {
            "prompt": ["Open?", "", "Same?"],
            "chosen": ["Yes.", messages, "equal"],
            "rejected": ["No.", other, "equal"],
            "by": ["ann", "bob", "ann"],
        }
    )
    table.write_csv(tmp_path / "pairs.csv") if ending == "csv" else table.write_parquet(tmp_path / "pairs.parquet")
    rows = read(tmp_path, source=f"pairs.{ending}", rater="by")
    assert rows["flaw"].to_list()[::2] == ["", "chosen and rejected are the same"]
    first, second = usable(tmp_path, source=f"pairs.{ending}", rater="by")[:2]
    assert (first.input, first.chosen, first.rejected, first.rater) == ("Open?", "Yes.", "No.", "ann")
    assert (second.input, second.chosen, second.rejected, second.rater) == ("Hi", "Hello!", "What?", "bob")


def test_answers_that_were_rated_alone_are_liked_or_not(tmp_path):
    name = jsonl(
        tmp_path / "rated.jsonl",
        {"prompt": "Open?", "completion": "Yes.", "label": True},
        {"prompt": "Open?", "completion": "Who cares.", "label": False},
        {"prompt": "Open?", "completion": "Hm.", "label": "perhaps"},
    )
    liked, disliked = usable(tmp_path, source=name)
    assert (liked.chosen, liked.rejected) == ("Yes.", "")
    assert (disliked.chosen, disliked.rejected) == ("", "Who cares.")
    assert "neither true nor false" in read(tmp_path, source=name)["flaw"][2]


def test_rows_of_no_use_are_counted_and_sink_nothing(tmp_path):
    name = jsonl(
        tmp_path / "pairs.jsonl",
        {"prompt": "Open?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": "Open?", "chosen": "Yes."},
        {"prompt": "Open?", "chosen": "same", "rejected": "same"},
        {"prompt": "x" * 20_001, "chosen": "Yes.", "rejected": "No."},
    )
    found, told = prefer.usable([Given("file", read(tmp_path, source=name))], terms())
    assert len(found) == 1
    assert sum(each.n_rows for each in told) == 3
    assert {each.fate for each in told} == {"quarantined"}


def test_personal_data_is_masked_and_raters_stay_apart(tmp_path):
    record = {"prompt": "I am jo@example.org", "chosen": "Hello, write to us@example.org", "rejected": "No."}
    pairs = [record | {"by": f"{who}@example.org"} for who in ("ann", "bob")]
    one, other = usable(tmp_path, source=jsonl(tmp_path / "pairs.jsonl", *pairs), rater="by")
    assert (one.input, one.chosen) == ("I am [MAIL]", "Hello, write to [MAIL]")
    assert one.rater != other.rater
    assert "example.org" not in one.rater + other.rater


def test_a_time_that_cannot_be_read_is_no_time(tmp_path):
    record = {"prompt": "Open?", "chosen": "Yes.", "rejected": "No."}
    pairs = [record | {"on": on} for on in ("1764150000", "soon")]
    rows = read(tmp_path, source=jsonl(tmp_path / "pairs.jsonl", *pairs), time="on")
    found, told = prefer.usable([Given("file", rows)], terms())
    assert [each.at for each in found] == [1764150000.0, 0.0]
    assert [(each.reason, each.n_rows) for each in told] == [("a time that cannot be read", 1)]


@pytest.mark.parametrize("on", [1764150000, "1764150000000", 1764150000000000, "1764150000000000000"])
def test_a_time_in_finer_units_is_the_same_time(tmp_path, on):
    record = {"prompt": "Open?", "chosen": "Yes.", "rejected": "No.", "on": on}
    (found,) = usable(tmp_path, source=jsonl(tmp_path / "pairs.jsonl", record), time="on")
    assert found.at == 1764150000.0


PAIR = {"prompt": "Open?", "chosen": "Yes.", "rejected": "No.", "by": "ann"}
RATED = {"question": "Closed?", "completion": "Dunno.", "label": False, "by": "bob"}


@pytest.mark.parametrize("records", [[PAIR, RATED, {"x": 1}], [RATED, PAIR, {"x": 1}]], ids=["pair", "rated"])
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_pairs_and_rated_answers_may_stand_in_one_file(tmp_path, records, ending):
    path = tmp_path / f"mixed.{ending}"
    path.write_text("\n".join(map(json.dumps, records)) if ending == "jsonl" else json.dumps(records))
    rows = read(tmp_path, source=path.name, rater="by")
    found, told = prefer.usable([Given("file", rows)], terms())
    assert {(each.input, each.chosen, each.rejected, each.rater) for each in found} == {
        ("Open?", "Yes.", "No.", "ann"),
        ("Closed?", "", "Dunno.", "bob"),
    }
    assert rows["source"].to_list() == [f"mixed.{ending}:{n}" for n in (1, 2, 3)]
    assert sum(each.n_rows for each in told) == 1


def test_rated_answers_far_down_a_file_of_pairs_are_read(tmp_path):
    pairs = [PAIR | {"prompt": f"Question {n}?"} for n in range(1100)]
    found = usable(tmp_path, source=jsonl(tmp_path / "pairs.jsonl", *pairs, RATED))
    assert len(found) == 1101
    assert (found[-1].input, found[-1].rejected) == ("Closed?", "Dunno.")


@pytest.mark.parametrize(
    ("brief", "error", "words", "where"),
    [
        ({"rater": "byy"}, BriefError, "did you mean 'by'", "lifeloop.toml: preferences.rater"),
        ({"source": "pair.jsonl"}, DataError, "did you mean 'pairs.jsonl'", "pair.jsonl"),
        ({"source": "other/none.jsonl"}, DataError, "mend preferences.source", "other/none.jsonl"),
        ({"source": "plain.csv"}, DataError, "mend preferences.format", "plain.csv"),
    ],
)
def test_what_a_file_lacks_is_said_in_the_keys_of_the_section(tmp_path, brief, error, words, where):
    jsonl(tmp_path / "pairs.jsonl", {"prompt": "Open?", "chosen": "Yes.", "rejected": "No.", "by": "ann"})
    (tmp_path / "plain.csv").write_text("text,label\nhi,there\n")
    with pytest.raises(error) as caught:
        read(tmp_path, **({"source": "pairs.jsonl"} | brief))
    assert words in str(caught.value)
    assert caught.value.where == where


def test_a_changed_file_is_another_one(tmp_path):
    reading, asked = Reading(DATA, tmp_path, "generate"), PreferencesBrief(source="pairs.jsonl")
    jsonl(tmp_path / "pairs.jsonl", {"prompt": "Open?", "chosen": "Yes.", "rejected": "No."})
    before = fingerprints(reading, asked)
    jsonl(tmp_path / "pairs.jsonl", {"prompt": "Open?", "chosen": "No.", "rejected": "Yes."})
    assert fingerprints(reading, asked) != before


# feedback


def event(name: str, output: str = "Dunno.", input: str = "Open?") -> Event:
    return Event(name, 1.0, "r", "c", "small", input, output, None, 0.1, 1, 1, 0.0)


def said_of(*said: tuple[Event, dict], others: tuple[Event, ...] = ()) -> list[Preference]:
    rows = [
        FeedbackRow(n, Feedback(f"f{n}", about.id, 100.0 + n, **words), about)
        for n, (about, words) in enumerate(said, 1)
    ]
    table = prefer_feedback.said(rows, {each.id: each for each in others}, "generate")
    return prefer.usable([Given("feedback", table)], terms())[0]


def test_a_correction_is_liked_better_than_what_came_out():
    (found,) = said_of((event("e1"), {"label": "At nine.", "rater": "ann"}))
    assert (found.chosen, found.rejected, found.rater, found.at) == ("At nine.", "Dunno.", "ann", 101.0)
    assert (found.origin, found.source) == ("feedback", "feedback:e1")


def test_ratings_like_an_answer_or_do_not():
    found = said_of(
        (event("e1"), {"rating": 1.0}),
        (event("e2"), {"rating": -1.0}),
        (event("e3"), {"rating": 0.2}),
        (event("e4"), {"comment": "hm"}),
    )
    assert [(each.source, each.chosen, each.rejected) for each in found] == [
        ("feedback:e1", "Dunno.", ""),
        ("feedback:e2", "", "Dunno."),
    ]


def test_the_latest_word_of_a_rater_counts():
    found = said_of(
        (event("e1"), {"rating": 1.0, "rater": "ann"}),
        (event("e1"), {"rating": -1.0, "rater": "bob"}),
        (event("e1"), {"label": "At nine.", "rater": "ann"}),
    )
    assert [(each.rater, each.chosen, each.rejected) for each in found] == [
        ("bob", "", "Dunno."),
        ("ann", "At nine.", "Dunno."),
    ]


def test_comparisons_are_pairs_of_answers_to_one_input():
    good, bad, elsewhere = event("e1", "At nine."), event("e2"), event("e3", input="How much?")
    found = said_of(
        (bad, {"better_than": "e1", "rater": "ann"}),
        (good, {"better_than": "e2", "rater": "ann"}),
        (good, {"better_than": "e3", "rater": "bob"}),
        (good, {"better_than": "e9", "rater": "bob"}),
        others=(good, bad, elsewhere),
    )
    assert [(each.chosen, each.rejected, each.rater) for each in found] == [("At nine.", "Dunno.", "ann")]


def test_better_than_no_answer_says_nothing():
    good, silent = event("e1", "At nine."), event("e2", "  ")
    rows = [FeedbackRow(1, Feedback("f1", "e1", 1.0, better_than="e2", rater="ann"), good)]
    table = prefer_feedback.said(rows, {"e2": silent}, "generate")
    assert table["flaw"].to_list() == ["the event that it is compared with has no answer"]


# a judge


EXAMPLES = [Example(f"t{n}", f"question {n}", "answer", f"t{n}", source=f"data.csv:{n}") for n in range(12)]
CONTRACT = Contract(instructions="Answer briefly.", max_tokens=64)


def ai_terms(**settings) -> prefer_ai.Terms:
    asked = AiJudge(**({"judge": "large", "answers": "small", "pairs": 8} | settings))
    return prefer_ai.Terms("generate", CONTRACT, None, "Prefer the polite one.", asked)


def answering(writings):
    return [Answer(f"{'please, ' if n % 2 else ''}answer of seed {w.seed}") for n, w in enumerate(writings)]


def polite(writings):
    """Prefer the polite answer, wherever it stands."""
    return [Answer("A" if w.messages[-1].content.index("please") < w.messages[-1].content.index("[answer B") else "B")
            for w in writings]  # fmt: skip


def test_a_judge_compares_two_answers_in_both_orders():
    drafts = prefer_ai.drafts(EXAMPLES, ai_terms(), answering, 4)
    found = prefer_ai.verdicts(drafts, ai_terms(), polite, 4)
    preferences, told = prefer.usable([Given("ai:large", found.table)], terms())
    assert len(drafts) == len(preferences) == 8
    assert not told
    assert all(each.chosen.startswith("please") and not each.rejected.startswith("please") for each in preferences)
    assert {(each.origin, each.rater) for each in preferences} == {("ai:large", "ai:large")}
    assert preferences[0].source.startswith("ai:large:")
    assert (found.lean.value, found.lean.n) == (0.5, 16)


def test_a_judge_that_goes_by_the_place_prefers_nothing():
    drafts = prefer_ai.drafts(EXAMPLES, ai_terms(), answering, 100)
    found = prefer_ai.verdicts(drafts, ai_terms(), lambda writings: [Answer("A") for _ in writings], 100)
    assert set(found.table["flaw"]) == {prefer_ai.CHANGES}
    assert (found.lean.value, found.lean.n) == (1.0, 16)
    preferences, told = prefer.usable([Given("ai:large", found.table)], terms())
    assert not preferences
    assert [(each.reason, each.n_rows) for each in told] == [(prefer_ai.CHANGES, 8)]


def test_an_unreadable_verdict_is_asked_for_once_more():
    asked = Counter()

    def polite_at_first(writings):
        return polite([msgspec.structs.replace(w, messages=w.messages[:2]) for w in writings])

    def patient(writings):
        asked.update(len(writing.messages) for writing in writings)
        return [Answer("well…") if len(w.messages) == 2 else polite_at_first([w])[0] for w in writings]

    drafts = prefer_ai.drafts(EXAMPLES, ai_terms(), answering, 100)
    found = prefer_ai.verdicts(drafts, ai_terms(), patient, 100)
    assert set(found.table["flaw"]) == {""}
    assert asked == {2: 16, 4: 16}
    never = prefer_ai.verdicts(drafts, ai_terms(), lambda writings: [Answer("well…") for _ in writings], 100)
    assert set(never.table["flaw"]) == {"no readable verdict"}


def test_what_is_asked_does_not_hang_on_other_rows():
    seen: list[str] = []

    def noting(writings):
        seen.extend(writing.messages[-1].content for writing in writings)
        return answering(writings)

    prefer_ai.drafts(EXAMPLES, ai_terms(), noting, 100)
    before = set(seen)
    prefer_ai.drafts(
        [*EXAMPLES, Example("t99", "written", "x", "t99", source="synthetic:w:1")], ai_terms(), noting, 100
    )
    assert set(seen) == before
    assert len(before) == 8


# places


def pair(n: int, asked: str = "") -> Preference:
    asked = asked or f"a question about the {n}th thing"
    return Preference(f"{n:016x}", asked, f"good {n}", f"bad {n}", source=f"p:{n}")


def test_an_input_that_judges_never_trains():
    texts = ("When does the shop open on Sundays", "How much is a parcel to Norway", "Can I have my invoice as a file")
    given_ = [pair(n, text) for n, text in enumerate(texts, 1)]
    judging = {"test": [texts[0].upper() + "!"], "guard": [texts[2] + " please"]}
    found = prefer.sorted_out(given_, judging, {}, terms(held_out=0.01))
    assert place(found)[given_[0].id] == prefer.LEAK
    assert place(found)[given_[2].id] == prefer.NEAR_LEAK
    assert place(found)[given_[1].id] == "trusted"
    assert {(each.reason, each.n_rows) for each in found.findings} >= {(prefer.LEAK, 1), (prefer.NEAR_LEAK, 1)}


def test_what_a_rater_says_twice_counts_once(tmp_path):
    record = {"prompt": "Open?", "chosen": "Yes.", "rejected": "No.", "by": "ann"}
    name = jsonl(tmp_path / "pairs.jsonl", record, record, record | {"by": "bob"})
    found = prefer.sorted_out(usable(tmp_path, source=name, rater="by"), {}, {}, terms())
    assert [doubt.reason for _, doubt in found.doubted] == [prefer.REPEAT]
    assert len(found.trusted) + len(found.held_out) == 2


def test_what_a_person_decided_holds():
    given_ = [pair(n) for n in range(4)]
    reviews = {given_[1].id: False, given_[2].id: True, "ffff": True}
    found = prefer.sorted_out(given_, {}, reviews, terms())
    assert place(found)[given_[1].id] == prefer.TAKEN_OUT
    assert any(each.reason == "an answer of a person that fits no preference" for each in found.findings)


def test_held_out_inputs_stay_held_out_whatever_else_comes():
    few = prefer.sorted_out([pair(n) for n in range(100)], {}, {}, terms(held_out=0.2))
    many = prefer.sorted_out([pair(n) for n in range(150)], {}, {}, terms(held_out=0.2))
    held = {each.id for each in few.held_out}
    assert 8 <= len(held) <= 32
    assert held == {each.id for each in many.held_out} & {pair(n).id for n in range(100)}


WORDS = st.sampled_from(["yes", "no", "maybe", "please wait", "at nine", ""])
INPUTS = st.sampled_from(["open?", "how much?", "who are you", "Open"])
ROWS = st.lists(st.tuples(INPUTS, WORDS, WORDS, st.sampled_from(["", "ann", "bob"])), max_size=25)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sets(st.integers(0, 24)), st.floats(0.05, 0.9))
def test_every_preference_has_exactly_one_place(rows, taken_out, held_out):
    raw = [
        {"input": asked, "reference": chosen, "rejected": rejected, "group": rater, "source": f"x:{n}", "slices": "{}"}
        for n, (asked, chosen, rejected, rater) in enumerate(rows)
    ]
    whole = [dict.fromkeys(prefer_feedback.RAW_SCHEMA, "") | row for row in raw]
    table = pl.DataFrame(whole, schema=prefer_feedback.RAW_SCHEMA, orient="row")
    brief = terms(held_out=held_out)
    preferences, told = prefer.usable([Given("file", table)], brief)
    reviews = {each.id: False for n, each in enumerate(preferences) if n in taken_out}

    found = prefer.sorted_out(preferences, {"test": ["Who are you?"], "guard": []}, reviews, brief)

    places = [each.id for each in (*found.trusted, *found.held_out)] + [each.id for each, _ in found.doubted]
    assert sorted(places) == sorted({each.id for each in preferences})
    assert len(preferences) + sum(each.n_rows for each in told if each.fate == "quarantined") == len(rows)
    assert not {each.input for each in found.trusted} & {each.input for each in found.held_out}
    assert all(0 < each.weight <= 1 for each in (*found.trusted, *found.held_out))
