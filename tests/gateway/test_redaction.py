"""Personal data in what the gateway records: masked on request, and only there."""

import json
import time

import httpx
import msgspec
import pytest
from gateway_scene import Echoes, Says, Scene, client_of, said
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_scene import Live, Member, asked

from lifeloop.core.events import Event, Feedback
from lifeloop.core.gateway_brief import Gateway, Protection
from lifeloop.gateway.asking.answering import MAX_ERROR, Failed, Outcome, to_event
from lifeloop.gateway.protection.redaction import redactor
from lifeloop.guards.personal.kinds import find_personal
from lifeloop.guards.personal.tokens import KINDS

MAIL, PHONE, CARD = "ann.lee@example.com", "+44 20 7946 0958", "4111 1111 1111 1111"
TEXT = f"Please write to {MAIL}, call {PHONE}, and charge {CARD}."
MASKED = "Please write to [MAIL], call [PHONE], and charge [CARD]."


def event(input: str, output: str = "", error: str = "") -> Event:
    return Event("e", 1.0, "r", "c", "n", input, output, None, 0.1, 1, 1, 0.0, error)


def test_nothing_is_masked_unless_it_is_asked_for():
    assert redactor(()) is None


def test_kinds_that_are_named_are_masked_and_no_others():
    redact = redactor(("mail",), task="generate")
    assert redact(event(TEXT)).input == TEXT.replace(MAIL, "[MAIL]")
    assert redactor(("all",), task="generate")(event(TEXT)).input == MASKED


def test_an_event_without_personal_data_is_the_same_object():
    asked = event("Where is my parcel?", "On its way.")
    assert redactor(("all",), task="generate")(asked) is asked


def test_what_was_masked_in_the_input_is_masked_in_the_output_and_the_error_too():
    asked = event("My password is Hn7!kkq2", "Is Hn7!kkq2 all?", "first failed: Hn7!kkq2 is odd")
    masked = redactor(("secret",), task="generate")(asked)
    assert "Hn7" not in masked.input + masked.output + masked.error
    assert masked.output == "Is [SECRET] all?"


def test_a_conversation_stays_one():
    talk = json.dumps([{"role": "user", "content": TEXT}, {"role": "assistant", "content": "Well"}])
    masked = json.loads(redactor(("all",), task="chat")(event(talk)).input)
    assert masked == [{"role": "user", "content": MASKED}, {"role": "assistant", "content": "Well"}]


def test_a_label_is_never_masked():
    masked = redactor(("all",), task="classify")(event(f"To {MAIL}", "ann.lee@example.com"))
    assert (masked.input, masked.output) == ("To [MAIL]", "ann.lee@example.com")
    assert redactor(("mail",), task="classify").feedback(Feedback("f", "e", 1.0, label=MAIL)).label == MAIL


def test_entities_keep_their_places():
    text = f"Ask {MAIL} or Bob in York."
    entities = [
        {"type": "mail", "text": MAIL, "start": text.index(MAIL), "end": text.index(MAIL) + len(MAIL)},
        {"type": "place", "text": "York", "start": text.index("York"), "end": text.index("York") + 4},
    ]
    masked = redactor(("mail",), task="extract")(event(text, json.dumps(entities)))
    assert masked.input == "Ask [MAIL] or Bob in York."
    for entity in json.loads(masked.output):
        assert masked.input[entity["start"] : entity["end"]] == entity["text"]
    assert MAIL not in masked.output


def test_feedback():
    redact = redactor(("mail",), task="generate")
    given = Feedback("f", "e", 1.0, comment=f"Send it to {MAIL}", label=f"Write to {MAIL}.")
    masked = redact.feedback(given)
    assert (masked.comment, masked.label) == ("Send it to [MAIL]", "Write to [MAIL].")


def test_a_rater_named_by_an_address_stays_one_rater_without_it():
    redact = redactor(("mail",), task="generate").feedback
    raters = [redact(Feedback("f", "e", 1.0, rater=name)).rater for name in (MAIL, MAIL, f"x{MAIL}", "web", "")]
    assert raters[0] == raters[1] != raters[2] and raters[3:] == ["web", ""]
    assert "@" not in raters[0] + raters[2]
    again = redactor(("all",), task="generate").feedback(Feedback("f", "e", 1.0, rater=raters[0]))
    assert again.rater == raters[0]


@pytest.mark.parametrize("made", [Event, Feedback])
def test_no_column_that_people_write_keeps_an_address(made):
    """The others are ids of ours, hashes, and the candidate's name in the brief."""
    ours = {"id", "release", "candidate", "name", "shadow_of", "user_key", "api_key", "event", "better_than"}
    kinds = {field.name: field.type for field in msgspec.structs.fields(made)}
    texts = {name for name, kind in kinds.items() if kind in (str, str | None)}
    given = {name: f"by {MAIL}" if name in texts - ours else "x" if name in texts else 1.0 for name in kinds}
    redact = redactor(("mail",), task="generate")
    masked = redact(made(**given)) if made is Event else redact.feedback(made(**given))
    assert not [name for name in texts if MAIL in (getattr(masked, name) or "")]
    assert texts - ours == ({"input", "output", "error"} if made is Event else {"rater", "label", "comment"})


def test_an_error_is_masked_before_it_is_cut():
    live = Live([Member("a", Says("x"))], 1.0)
    why = "e" * (MAX_ERROR - len("a failed: ") - 1 - len(MAIL) // 2)
    outcome = Outcome(failures=(Failed("a", "failed", f"{why} {MAIL}"),))
    error = to_event(live, asked(), outcome, redactor(("mail",), task="chat")).error
    assert "ann" not in error and error.endswith("[MAIL]")
    assert len(to_event(live, asked(), outcome).error) == MAX_ERROR


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.sampled_from((MAIL, PHONE, CARD, "hello", "é", "\n", '"', "[MAIL]", "{", "支払い")), max_size=12),
    task=st.sampled_from(("chat", "generate", "extract", "classify")),
)
def test_of_a_masked_text_nothing_is_found_and_masking_it_again_changes_nothing(parts, task):
    text = " ".join(parts)
    text = json.dumps([{"role": "user", "content": text}]) if task == "chat" else text
    redact = redactor(("all",), task=task)
    masked = redact(event(text, text))
    assert redact(masked) == masked
    assert not find_personal(masked.input, ("mail", "card"), ())
    for each in (MAIL, CARD):
        assert each not in masked.input


def test_hints_let_nothing_through_that_refining_finds():
    texts = [
        TEXT,
        "Mr. John Smith",
        "born on 3 May 1980",
        "from 10.0.0.1",
        "12 High Street",
        "token: abc123DEF456ghi789",
    ]
    for text in texts:
        found = {each.kind for each in find_personal(text, KINDS, ("US", "GB", "DE", "FR"))}
        masked = redactor(("all",), task="generate")(event(text)).input
        assert found
        for kind in found:
            assert f"[{kind.upper()}]" in masked


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(
        st.sampled_from(
            (
                MAIL,
                PHONE,
                CARD,
                "Mr. John Smith",
                "BORN ON 3 MAY 1980",
                "10.0.0.1",
                "12 High Street",
                "PO BOX 5",
                "Password: Hn7!kkq2",
                "AKIAIOSFODNN7EXAMPLE",
                "ghp_" + "a1" * 18,
                "GB29 NWBK 6016 1331 9268 19",
            )
        ),
        min_size=1,
        max_size=3,
    ),
    change=st.sampled_from((str, str.upper, str.lower)),
)
def test_nothing_that_refining_finds_is_left(values, change):
    text = change(f"So it is: {' and '.join(values)}, is it not?")
    masked = redactor(("all",), task="generate")(event(text)).input
    assert not find_personal(masked, KINDS, ("US", "GB", "DE", "FR"))


def scene_of(folder, task: str, model, redact: tuple[str, ...]) -> Scene:
    scene = Scene(folder, task)
    scene.candidate("first", model)
    scene.release("first")
    serving, protected = scene.serving, Gateway(protection=Protection(redact=redact))
    scene.serving = lambda: msgspec.structs.replace(serving(), settings=protected)
    return scene


def test_the_sender_gets_the_answer_and_the_ledger_the_masks(tmp_path):
    scene = scene_of(tmp_path, "generate", Echoes, ("mail", "phone", "card"))
    with scene.running() as url:
        answer = client_of(url).chat.completions.create(model="desk", messages=said(TEXT))
        body = {"event": answer.id, "comment": f"Send it to {MAIL}"}
        assert httpx.post(f"{url}/v1/feedback", json=body).status_code == 200
    assert answer.choices[0].message.content == TEXT
    (recorded,) = scene.events(1)
    assert (recorded.input, recorded.output) == (MASKED, MASKED)
    (row,) = scene.ledger.feedback()
    assert row.feedback.comment == "Send it to [MAIL]"
    scene.ledger.close()
    for file in [*tmp_path.glob("ledger.db*"), *tmp_path.rglob("*.events/*")]:
        if file.is_file():
            assert MAIL.encode() not in file.read_bytes()


def test_a_chat_is_masked_too(tmp_path):
    scene = scene_of(tmp_path, "chat", Says("Thank you."), ("all",))
    with scene.running() as url:
        client_of(url).chat.completions.create(model="desk", messages=said(TEXT))
    (recorded,) = scene.events(1)
    assert MAIL not in recorded.input
    assert json.loads(recorded.input)[0]["content"] == MASKED


def test_what_it_costs():
    """About 0.3 ms for a kilobyte without personal data; a shared machine gets ten times as much."""
    redact = redactor(("mail", "phone", "card", "iban", "secret"), task="generate")
    asked = event("Where is the parcel that I ordered last Monday? It should be here by now. " * 14, "On its way.")

    def once() -> float:
        started = time.perf_counter()
        for _ in range(20):
            redact(asked)
        return (time.perf_counter() - started) / 20

    assert min(once() for _ in range(5)) < 3e-3
