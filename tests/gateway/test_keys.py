"""API keys at the gateway: who gets in, and that no database is asked on the way."""

import json
import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import openai
import pytest
from gateway_scene import Says, Scene, client_of, said, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import OpenAI

from lifeloop.core.errors import StoreError
from lifeloop.core.keys import KeyLimits, write_key
from lifeloop.gateway.protection import declared_keys
from lifeloop.gateway.protection.keys import KeyRing
from lifeloop.gateway.web.errors import RequestError
from lifeloop.lifecycle.api_keys import create_key, key_states, limit_key, revoke_key, rotate_key
from lifeloop.store.ledger import Ledger, open_ledger

sys.path.append(str(Path(__file__).parent.parent / "store"))

SCOPES = ("infer", "feedback")


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Desk:
    """A ledger, a clock, and the ring of a gateway before them."""

    def __init__(self, folder: Path, **options) -> None:
        self.ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        self.clock = Clock()
        self.ring = KeyRing(self.ledger, "desk", self.clock, **({"declared": lambda: None} | options))

    def create(self, scopes=SCOPES, **options) -> str:
        made = create_key(self.ledger, "web", scopes=scopes, by="ann", clock=self.clock, **options)
        self.ring.refresh()
        return made.key

    def rotate(self, key: str, hours: float) -> str:
        made = rotate_key(self.ledger, key.split("-")[1], hours=hours, by="ann", clock=self.clock)
        self.ring.refresh()
        return made.key

    def status(self, key: str | None, scope: str = "infer") -> int:
        return status(self.ring, key, scope)


def status(ring: KeyRing, key: str | None, scope: str = "infer") -> int:
    """Return what a request with that key would get."""
    try:
        ring.find(None if key is None else f"Bearer {key}".encode(), scope)
    except RequestError as error:
        assert not key or key not in error.message
        return error.status
    return 200


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


def test_while_no_key_was_ever_created_everybody_may_ask(desk):
    assert not desk.ring.open, "nothing is known yet"
    assert desk.status(None) == 503
    desk.ring.refresh()
    assert desk.ring.open
    assert desk.ring.find(None, "infer") is None
    assert desk.ring.find(b"Bearer whatever", "infer") is None


def test_once_there_is_a_key_it_is_needed_and_stays_needed(desk):
    key = desk.create()
    assert [desk.status(each) for each in (None, key, key + "x", key[:-1], "", "ll-unknown-" + "x" * 43)] == [
        401,
        200,
        401,
        401,
        401,
        401,
    ]
    revoke_key(desk.ledger, key.split("-")[1], by="ann", clock=desk.clock)
    desk.ring.refresh()
    assert desk.status(key) == 401
    assert desk.status(None) == 401
    assert not desk.ring.open


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("Bearer   {} ", 200),
        ("{}", 401),
        ("Basic {}", 401),
        ("Bearer {} {}", 401),
        ("Bearer", 401),
        ("Bearer é{}", 401),
    ],
)
def test_the_header_is_read_as_clients_write_it(desk, header, expected):
    key = desk.create()
    text = header.replace("{}", key).encode()
    for _ in range(2):  # looked up, then remembered
        try:
            found = desk.ring.find(text, "infer")
        except RequestError as error:
            assert error.status == expected == 401
            assert error.headers == {"www-authenticate": "Bearer"}
        else:
            assert expected == 200
            assert found.name == "web"


def test_scopes_and_projects(desk):
    infer, admin = desk.create(scopes=["infer"]), desk.create(scopes=["admin"])
    other, ours = desk.create(projects=["other"]), desk.create(projects=["other", "desk"])

    assert [desk.status(infer, scope) for scope in ("infer", "feedback", "admin")] == [200, 403, 403]
    assert [desk.status(admin, scope) for scope in ("infer", "feedback", "admin")] == [200, 200, 200]
    assert [desk.status(key) for key in (other, ours)] == [403, 200]


def test_a_key_expires_though_nothing_is_refreshed(desk):
    key = desk.create(days=2)
    assert desk.status(key) == 200
    desk.clock.now += 2 * 86400 + 1
    assert desk.status(key) == 401


def test_rotated_without_downtime(desk):
    old = desk.create()
    assert desk.status(old) == 200
    new = desk.rotate(old, hours=1)
    assert [desk.status(key) for key in (old, new)] == [200, 200]
    desk.clock.now += 3599
    assert desk.status(old) == 200
    desk.clock.now += 2
    assert [desk.status(key) for key in (old, new)] == [401, 200]
    newest = desk.rotate(new, hours=0)
    assert [desk.status(key) for key in (old, new, newest)] == [401, 401, 200]


def test_a_changed_limit_and_what_was_set_before_stay(desk):
    key = desk.create(limits=KeyLimits(requests_per_minute=5, usd_per_day=1.0))
    limit_key(desk.ledger, key.split("-")[1], by="ann", clock=desk.clock, requests_per_minute=7)
    desk.rotate(key, hours=1)
    assert desk.ring.find(f"Bearer {key}".encode(), "infer").limits == KeyLimits(7, 0, 1.0)


def test_only_hashes_are_kept(desk, tmp_path):
    key = desk.create()
    newer = desk.rotate(key, hours=1)
    desk.ledger.close()
    for file in tmp_path.iterdir():
        for each in (key, newer):
            assert each.split("-", 2)[2].encode() not in file.read_bytes()


class TestDatabaseAway:
    def broken(self, monkeypatch) -> None:
        def away(*_):
            raise StoreError("the ledger is away")

        monkeypatch.setattr(Ledger, "key_rows", away)

    def test_keys_read_last_go_on_working(self, desk, monkeypatch, caplog):
        key = desk.create()
        self.broken(monkeypatch)
        for _ in range(3):
            desk.ring.refresh()
        assert [desk.status(each) for each in (key, None)] == [200, 401]
        assert len(caplog.records) == 1

    def test_one_that_starts_meanwhile_knows_what_was_written_down(self, tmp_path, monkeypatch):
        desk = Desk(tmp_path, memory=tmp_path / "keys.json")
        desk.ring.refresh()
        key = desk.create()
        self.broken(monkeypatch)

        other = Desk(tmp_path, memory=tmp_path / "keys.json")
        other.ring.refresh()

        assert [other.status(each) for each in (key, None)] == [200, 401]
        assert oct((tmp_path / "keys.json").stat().st_mode & 0o777) == "0o600"

    def test_one_that_knows_nothing_lets_nobody_in(self, tmp_path, monkeypatch):
        desk = Desk(tmp_path, memory=tmp_path / "keys.json")
        self.broken(monkeypatch)
        desk.ring.refresh()
        assert desk.status(None) == 503
        (tmp_path / "keys.json").write_text("[{")
        desk.ring.refresh()
        assert desk.status(None) == 503


class TestDeclared:
    SECRET = "d" * 40

    def declare(self, monkeypatch, entries, variable=declared_keys.VARIABLE) -> None:
        monkeypatch.setenv(variable, entries if isinstance(entries, str) else json.dumps(entries))

    def ring(self, folder: Path) -> KeyRing:
        ring = Desk(folder, declared=declared_keys.read_declared).ring
        ring.refresh()
        return ring

    def test_by_the_environment(self, tmp_path, monkeypatch):
        key = write_key("web", self.SECRET)
        self.declare(monkeypatch, [{"key": key, "scopes": ["infer"], "requests_per_minute": 5}])
        ring = self.ring(tmp_path)
        assert ring.find(f"Bearer {key}".encode(), "infer").limits == KeyLimits(requests_per_minute=5)
        assert [status(ring, key, "feedback"), status(ring, None)] == [403, 401]

    def test_by_a_file_that_changes_while_serving(self, tmp_path, monkeypatch):
        file = tmp_path / "keys"
        monkeypatch.setenv(declared_keys.FILE_VARIABLE, str(file))
        old, new = write_key("web", self.SECRET), write_key("web2", self.SECRET)
        file.write_text(json.dumps([{"key": old}]))
        ring = self.ring(tmp_path)
        assert [status(ring, key) for key in (old, new)] == [200, 401]
        file.write_text(json.dumps([{"key": new}]))
        ring.refresh()
        assert [status(ring, key) for key in (old, new)] == [401, 200]
        file.write_text("[]")
        ring.refresh()
        assert [status(ring, key) for key in (new, None)] == [401, 401], "an empty list opens nothing"

    @pytest.mark.parametrize(
        "entries",
        [
            "not json",
            "{}",
            [{"name": "x"}],
            [{"key": "sk-123"}],
            [{"key": write_key("web", "d" * 40), "scopes": ["everything"]}],
            [{"key": write_key("web", "d" * 40), "requests_per_minute": -1}],
            [{"key": write_key("web", "d" * 40), "requests_per_minute": "dddddddddddd"}],
            [{"key": write_key("web", "d" * 40), "limit": 1}],
        ],
    )
    def test_a_slip_in_them_lets_nobody_in_and_tells_no_secret(self, tmp_path, monkeypatch, caplog, entries):
        self.declare(monkeypatch, entries)
        ring = self.ring(tmp_path)
        ring.refresh()
        assert status(ring, None) == 503
        assert len(caplog.records) == 1
        assert declared_keys.VARIABLE in caplog.text
        assert "dddd" not in caplog.text
        assert "sk-123" not in caplog.text

    def test_a_slip_later_leaves_those_read_last(self, tmp_path, monkeypatch):
        key = write_key("web", self.SECRET)
        self.declare(monkeypatch, [{"key": key}])
        ring = self.ring(tmp_path)
        self.declare(monkeypatch, "[")
        ring.refresh()
        assert status(ring, key) == 200


# With a server before it


@pytest.fixture
def scene(tmp_path) -> Scene:
    scene = Scene(tmp_path)
    scene.candidate("first", Says("billing", concurrency=8))
    scene.release("first")
    return scene


def make(scene: Scene, scopes=SCOPES, **options) -> str:
    return create_key(scene.ledger, "web", scopes=scopes, by="ann", clock=time.time, **options).key


def completes(url: str, key: str | None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    body = {"model": "desk", "messages": said("where is my parcel?")}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers).status_code


def test_a_key_may_come_in_a_header_of_its_own(scene):
    key = make(scene, ["infer"])
    with scene.running() as url:
        wait_for(lambda: completes(url, None) == 401)
        models = f"{url}/v1/models"
        assert httpx.get(models, headers={"x-api-key": key}).status_code == 200
        assert httpx.get(models, headers={"x-api-key": f"{key}x"}).json()["error"]["code"] == "invalid_api_key"
        both = {"authorization": "Bearer no", "x-api-key": key}
        assert httpx.get(models, headers=both).status_code == 401, "the usual one is what counts"
        assert "x-api-key" in httpx.get(models).json()["error"]["message"]


def test_clients_raise_their_own_errors(scene):
    infer, feedback = make(scene, ["infer"]), make(scene, ["feedback"])
    with scene.running() as url:
        wait_for(lambda: completes(url, None) == 401)
        client = OpenAI(base_url=f"{url}/v1", api_key=infer, max_retries=0)
        assert client.chat.completions.create(model="desk", messages=said("x")).choices[0].message.content == "billing"
        assert client.models.list().data
        with pytest.raises(openai.AuthenticationError) as caught:
            client_of(url).chat.completions.create(model="desk", messages=said("x"))
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.PermissionDeniedError, match="scope `infer`"):
            client.with_options(api_key=feedback).chat.completions.create(model="desk", messages=said("x"))
        with pytest.raises(openai.PermissionDeniedError):
            client.with_options(api_key=infer).post("/feedback", body={"event": "e", "rating": 1}, cast_to=object)
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 200
    (event,) = scene.events(1)
    assert event.api_key == infer.split("-")[1]


def test_a_change_takes_effect_within_a_second(scene):
    key = make(scene)
    with scene.running() as url:
        wait_for(lambda: completes(url, key) == 200)
        revoke_key(scene.ledger, key.split("-")[1], by="ann", clock=time.time)
        wait_for(lambda: completes(url, key) == 401, 1.0)
        new = make(scene)
        wait_for(lambda: completes(url, new) == 200, 1.0)


def test_a_limit_is_a_429_that_says_when_to_try_again(scene):
    key = make(scene, limits=KeyLimits(requests_per_minute=2))
    with scene.running() as url:
        wait_for(lambda: completes(url, None) == 401)
        client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        for _ in range(2):
            client.chat.completions.create(model="desk", messages=said("x"))
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="desk", messages=said("x"))
    assert 59 <= int(caught.value.response.headers["retry-after"]) <= 61
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert caught.value.code == "rate_limit_exceeded"


def test_tokens_and_money_of_an_answer_are_charged(scene):
    tokens = make(scene, limits=KeyLimits(tokens_per_minute=15))
    money = make(scene, limits=KeyLimits(usd_per_day=0.0015))
    with scene.running() as url:
        wait_for(lambda: completes(url, None) == 401)
        assert [completes(url, tokens) for _ in range(3)] == [200, 200, 429], "each takes 9"
        assert [completes(url, money) for _ in range(3)] == [200, 200, 429], "each costs 0.001"


def test_authentication_without_a_free_connection_of_the_database(scene):
    key = make(scene)
    with scene.running() as url, ExitStack() as held:
        wait_for(lambda: completes(url, key) == 200)
        pool = scene.ledger._engine.pool
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(scene.ledger._engine.connect())
        started = time.monotonic()
        assert [completes(url, each) for each in (key, None, key + "x")] == [200, 401, 401]
        assert time.monotonic() - started < 5.0


@pytest.mark.slow
def test_authentication_while_the_database_is_stopped(scene, tmp_path):
    from postgres_server import running_server

    with ExitStack() as stack:
        url_of_ledger = stack.enter_context(running_server())
        sqlite = scene.ledger
        scene.ledger = open_ledger(url_of_ledger)
        row = sqlite.current_release()
        scene.ledger.add_release(id=row.id, verdict="v", candidate=row.candidate, name=row.name, at=row.at)
        key = make(scene)
        serving = scene.serving
        import msgspec

        scene.serving = lambda: msgspec.structs.replace(serving(), events=tmp_path / "events")
        with scene.running() as url:
            wait_for(lambda: completes(url, key) == 200)
            stack.close()
            assert [completes(url, each) for each in (key, None)] == [200, 401]


SECRETS = st.text("abcdefghijkmnopqrstuvwxyz0123456789", min_size=24, max_size=24).map(lambda text: f"S3{text}")


@pytest.fixture
def open_scene(tmp_path_factory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("secrets"))
    scene.candidate("first", Says("billing", concurrency=8))
    scene.release("first")
    return scene


def test_no_error_and_no_log_line_holds_a_key_or_a_prompt(open_scene, caplog):
    scene = open_scene
    key = make(scene, ["infer"])
    caplog.set_level(logging.DEBUG)
    with scene.running() as url, httpx.Client(base_url=url) as client:
        wait_for(lambda: completes(url, key) == 200)

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(secret=SECRETS, where=st.integers(0, 15), valid=st.booleans())
        def thrown_in(secret: str, where: int, valid: bool) -> None:
            body, headers, path = _thrown(secret, where, key if valid else write_key("web", secret))
            response = client.request("POST", path, headers=headers, content=body)
            assert response.status_code < 500
            for text in (response.text, str(response.headers), caplog.text):
                assert secret not in text
                assert key.split("-", 2)[2] not in text

        thrown_in()


def _thrown(secret: str, where: int, key: str) -> tuple[bytes, dict[str, str], str]:
    """Return a request with a secret somewhere: in the key, in what is asked, in what breaks it."""
    headers = {"authorization": f"Bearer {key}"}
    good = {"model": "desk", "messages": said(secret)}
    bodies = {
        1: good | {"n": secret},
        2: good | {"messages": [{"role": "user", "content": {"x": secret}}]},
        3: good | {"messages": [{"role": "user", "content": [{"type": "text", "text": 5, "x": secret}]}]},
        4: good | {"messages": [{"role": "system", "content": secret}]},
        5: good | {"temperature": secret},
        6: good | {"response_format": secret},
        7: good | {"messages": secret},
        8: {"event": "e", "comment": secret, "rating": 7},
        9: good | {"stream": secret},
        10: good | {"user": secret, "max_tokens": -1},
        11: good | {"tools": [{"type": "function", "function": {"name": secret}}]},
    }
    body = json.dumps(bodies.get(where, good)).encode()
    paths = {8: "/v1/feedback", 12: "/v1/tasks/desk", 13: "/v1/completions", 14: "/v1/embeddings"}
    if where == 15:
        headers = {"authorization": secret}
    if where == 0:
        body = body[:-1] + secret.encode()
    return body, headers, paths.get(where, "/v1/chat/completions")


def test_states_are_listed(desk):
    key = desk.create(days=1, projects=["desk"])
    desk.rotate(key, hours=1)
    (state,) = key_states(desk.ledger, desk.clock())
    assert (state.state, state.scopes, state.projects, state.created_by) == ("valid", SCOPES, ("desk",), "ann")
    assert state.overlap == desk.clock() + 3600
    desk.clock.now += 86401
    (state,) = key_states(desk.ledger, desk.clock())
    assert (state.state, state.overlap) == ("expired", None)
