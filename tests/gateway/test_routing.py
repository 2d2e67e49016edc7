import threading
import time

import httpx
import msgspec
import openai
import pytest
from gateway_scene import Hangs, Says, Scene, client_of, said, wait_for

from lifeloop.core.candidates import Candidate
from lifeloop.core.errors import ModelError

GONE = [("billing", True), ("other", True)]


def ready(url):
    return httpx.get(f"{url}/readyz").json()


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing"))
    scene.candidate("second", Says("other"))
    return scene


def cannot_load():
    raise ModelError("the weights at /srv/secret are missing", where="/srv/secret", fix="train again")


@pytest.mark.alone
def test_a_release_changes_under_load_without_a_failed_request(scene):
    models = []

    def make(output):
        def made():
            time.sleep(0.1)  # as a model that takes a while to load
            models.append(Says(output, seconds=0.002))
            return models[-1]

        return made

    scene.candidate("first", make("billing"))
    scene.candidate("second", make("other"))
    scene.candidate("third", make("shipping"))
    scene.release("first")
    answers, stop = [], threading.Event()

    def keep_asking(url):
        with client_of(url) as client:
            while not stop.is_set():
                answer = client.chat.completions.create(model="desk", messages=said("x"))
                answers.append((answer.model, answer.choices[0].message.content))

    with scene.running() as url:
        threads = [threading.Thread(target=keep_asking, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for name in ("second", "third", "first"):
            time.sleep(0.3)
            release = scene.release(name)
            wait_for(lambda expected=release: ready(url)["release"] == expected)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
        # The first one's is closed once the third serves; of the last two releases the one stays warm.
        wait_for(lambda: [(model.output, model.closed) for model in models if model.closed] == GONE)
        events = scene.events(len(answers))
    assert set(answers) == {("first", "billing"), ("second", "other"), ("third", "shipping")}
    assert len({event.release for event in events}) == 4
    assert len({(event.release, event.candidate) for event in events}) == 4
    assert all(event.error == "" for event in events)


def test_a_request_in_flight_ends_on_the_old_model(scene):
    slow = Hangs()
    scene.candidate("slow", slow)
    old = scene.release("slow")
    with scene.running() as url:
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/tasks/desk", json={"text": "x"}).json())
        )
        thread.start()
        wait_for(lambda: slow.calls == 1)
        new = scene.release("second")
        wait_for(lambda: ready(url)["release"] == new)
        assert httpx.post(f"{url}/v1/tasks/desk", json={"text": "y"}).json()["label"] == "other"
        third = scene.release("first")
        wait_for(lambda: ready(url)["release"] == third and ready(url).get("previous") == new)
        assert not slow.closed
        slow.let_go.set()
        thread.join()
        wait_for(lambda: slow.closed)
    assert (answers[0]["label"], answers[0]["release"]) == ("billing", old)


def test_a_candidate_that_two_releases_share_is_loaded_once(scene):
    loads = []

    def make():
        loads.append(Says("billing"))
        return loads[-1]

    scene.candidate("first", make)
    scene.release("first")
    with scene.running() as url:
        second = scene.release("second", "first")  # the old champion answers in the new one's stead
        wait_for(lambda: ready(url)["release"] == second)
        assert len(loads) == 1 and not loads[0].closed
        third = scene.release("second")
        wait_for(lambda: ready(url)["release"] == third)
        assert not loads[0].closed, "the release before needs it"
        scene.release("second")
        wait_for(lambda: loads[0].closed)
        assert client_of(url).chat.completions.create(model="desk", messages=said("x")).model == "second"


def test_a_release_that_cannot_be_loaded_leaves_the_old_one_serving(scene):
    old = scene.release("first")
    scene.candidate("broken", cannot_load)
    with scene.running() as url:
        scene.release("broken")
        wait_for(lambda: "problem" in ready(url))
        response = httpx.get(f"{url}/readyz")
        assert response.status_code == 200 and response.json()["release"] == old
        assert "broken" in response.json()["problem"] and "/srv" not in response.text
        assert client_of(url).chat.completions.create(model="desk", messages=said("x")).model == "first"
        new = scene.release("second")
        wait_for(lambda: ready(url)["release"] == new)
        assert "broken" in ready(url)["problem"], "a rollback would go back to it"
        with pytest.raises(openai.NotFoundError):
            client_of(url).chat.completions.create(model="first", messages=said("x"))


def test_nothing_is_ready_while_the_only_release_cannot_be_loaded(scene):
    scene.candidate("broken", cannot_load)
    scene.release("broken")
    with scene.running(ready=False) as url:
        wait_for(lambda: "broken" in ready(url).get("problem", ""))
        assert httpx.get(f"{url}/readyz").status_code == 503


def test_a_fallback_that_cannot_be_loaded_is_left_out_and_reported(scene, caplog):
    scene.candidate("broken", cannot_load)
    scene.release("first", "broken", "second", "first")
    with scene.running() as url:
        assert ready(url)["skipped"] == [scene.ids["broken"][:12]]
        assert client_of(url).chat.completions.create(model="desk", messages=said("x")).model == "first"
    assert "fallback" in caplog.text and "train again" in caplog.text


def test_every_model_is_closed_at_the_end(scene):
    models = [Says("billing"), Says("other")]
    scene.candidate("first", models[0])
    scene.candidate("second", models[1])
    scene.release("first", "second")
    with scene.running():
        pass
    assert [model.closed for model in models] == [True, True]


def test_without_a_loader_of_its_own_the_gateway_loads_from_the_vault(scene, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "majority.json").write_bytes(msgspec.json.encode(("shipping", 0.6)))
    candidate = Candidate(
        name="floor",
        kind="majority",
        task="classify",
        labels=("billing", "shipping"),
        settings={},
        files=scene.vault.put_folder(folder),
    )
    scene.ids["floor"] = scene.vault.put_value(candidate)
    scene.release("floor")
    scene.load = None
    with scene.running() as url:
        answer = httpx.post(f"{url}/v1/tasks/desk", json={"text": "where is it"}).json()
    assert (answer["label"], answer["confidence"], answer["candidate"]) == ("shipping", 0.6, "floor")
    assert scene.events(1)[0].candidate == scene.ids["floor"]


def test_a_loader_that_ends_the_program_is_tried_again_as_any_other(scene, monkeypatch):
    monkeypatch.setattr("lifeloop.gateway.production.routing.RETRY_SECONDS", 0.1)
    tries = []

    def exits():
        tries.append(None)
        if len(tries) < 3:
            raise SystemExit("no licence at /srv/secret")
        return Says("other")

    scene.release("first")
    scene.candidate("exits", exits)
    with scene.running() as url:
        release = scene.release("exits")
        wait_for(lambda: "SystemExit" in ready(url).get("problem", ""))
        wait_for(lambda: ready(url)["release"] == release)
        assert "problem" not in ready(url) and len(tries) == 3


def test_a_fallback_whose_loader_ends_the_program_is_left_out(scene):
    def exits():
        raise SystemExit(1)

    scene.candidate("exits", exits)
    scene.release("first", "exits")
    with scene.running() as url:
        assert len(ready(url)["skipped"]) == 1
