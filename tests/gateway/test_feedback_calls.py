import httpx
import pytest
from gateway_scene import LABELS, Says, Scene, client_of, said, wait_for


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing"))
    scene.release("first")
    return scene


def give(url, **body):
    return httpx.post(f"{url}/v1/feedback", json=body)


def test_feedback_reaches_the_ledger_by_either_id(scene):
    with scene.running() as url:
        answer = client_of(url).chat.completions.create(model="desk", messages=said("x"))
        event = answer.id.removeprefix("chatcmpl-")
        first = give(url, event=answer.id, rating=-1, label="shipping", comment=" wrong ", rater="ann")
        second = give(url, event=event, correction="other")
        third = give(url, event=event, rating=0.5)
        assert [first.status_code, second.status_code, third.status_code] == [200] * 3
        wait_for(lambda: len(scene.ledger.feedback()) == 3)
        rows = scene.ledger.feedback()
    assert [row.feedback.id for row in rows] == [first.json()["id"], second.json()["id"], third.json()["id"]]
    assert {row.event.id for row in rows} == {event}
    said_first = rows[0].feedback
    assert (said_first.rating, said_first.label, said_first.comment, said_first.rater) == (
        -1.0,
        "shipping",
        "wrong",
        "ann",
    )
    assert [row.feedback.label for row in rows] == ["shipping", "other", None]


def test_feedback_is_taken_at_once_and_after_a_restart(scene):
    with scene.running() as url:
        for _ in range(30):
            event = httpx.post(f"{url}/v1/tasks/desk", json={"text": "x"}).json()["event"]
            assert give(url, event=event, label="billing").status_code == 200
    with scene.running() as url:
        assert give(url, event=event, rating=1).status_code == 200
    assert len(scene.ledger.feedback()) == 31


def test_two_answers_to_one_input_can_be_compared(scene):
    with scene.running() as url:
        first, second = (httpx.post(f"{url}/v1/tasks/desk", json={"text": "x"}).json()["event"] for _ in range(2))
        assert give(url, event=f"chatcmpl-{first}", better_than=f"chatcmpl-{second}", rater="ann").status_code == 200
        itself = give(url, event=first, better_than=first)
        nobody = give(url, event=first, better_than="f" * 32)
    rows = scene.ledger.feedback()
    assert [(row.event.id, row.feedback.better_than, row.feedback.rater) for row in rows] == [(first, second, "ann")]
    assert set(scene.ledger.events([first, second, "f" * 32])) == {first, second}
    assert itself.status_code == 400
    assert (nobody.status_code, nobody.json()["error"]["param"]) == (404, "better_than")


def test_wrong_feedback_is_refused(scene):
    with scene.running() as url:
        event = httpx.post(f"{url}/v1/tasks/desk", json={"text": "x"}).json()["event"]
        for unknown in ("f" * 32, "chatcmpl-", "", "x\x00y", "e" * 500, "../../etc/passwd", "é"):
            assert give(url, event=unknown, rating=1).status_code == 404
        for body in (
            {},
            {"comment": " "},
            {"rating": 1.01},
            {"rating": -2},
            {"rating": "good"},
            {"rating": True},
            {"label": 5},
            {"label": "billing", "correction": "other"},
            {"rating": 1, "rater": "r" * 256},
        ):
            response = give(url, event=event, **body)
            assert response.status_code == 400, (body, response.text)
        response = give(url, event=event, label="refunds")
        assert response.status_code == 400
        assert all(label in response.json()["error"]["message"] for label in LABELS)
        assert give(url, rating=1).json()["error"]["param"] == "event"
    assert scene.ledger.feedback() == []


def test_a_correction_of_entities_must_be_entities(tmp_path):
    scene = Scene(tmp_path, "extract")
    scene.candidate("finds", Says("[]"))
    scene.release("finds")
    with scene.running() as url:
        event = httpx.post(f"{url}/v1/tasks/desk", json={"text": "Ada"}).json()["event"]
        assert give(url, event=event, label="Ada is a person").status_code == 400
        assert give(url, event=event, label='[{"type":"person","text":"Ada"}]').status_code == 200
    assert len(scene.ledger.feedback()) == 1
