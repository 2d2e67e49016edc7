"""Clients that send what no library would, too much, too slowly, or leave: no crash, no wrong answer, one format."""

import json
import resource
import socket
import struct
import threading
import time
from contextlib import contextmanager

import httpx
import msgspec
import pytest
from gateway_scene import Says, Scene, Streams, client_of, said, wait_for
from raw_client import Raw

from lifeloop.core.gateway_brief import Gateway, Load

CHAT = "/v1/chat/completions"
GOOD = json.dumps({"model": "desk", "messages": said("x")}).encode()


class Impatient(Scene):
    """A gateway that waits half a second for its clients."""

    def serving(self):
        return msgspec.structs.replace(super().serving(), settings=Gateway(load=Load(header_seconds=0.5)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Impatient(tmp_path_factory.mktemp("bad"))
    scene.candidate("first", Says("billing"))
    scene.release("first")
    return scene


@pytest.fixture(scope="module")
def url(scene):
    with scene.running() as url:
        yield url


@pytest.fixture(autouse=True)
def still_well(url):
    """Whatever a test sent, the gateway answers the next client."""
    yield
    assert httpx.post(url + CHAT, content=GOOD).status_code == 200


def answered(got) -> bool:
    return got.status == 200 and json.loads(got.body)["choices"][0]["message"]["content"] == "billing"


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnot hex\r\n",
        b"POST /v1/feedback HTTP/1.1\r\nname with space: x\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_and_ends_the_connection(url, sent):
    with Raw(url) as raw:
        assert raw.send(sent).read().error(400)["code"] == "invalid_http"
        assert raw.ended()


@contextmanager
def dripping(raw, piece):
    """Send a piece again and again until the block ends, or the other side hears no more."""
    stop = threading.Event()

    def drip():
        while not stop.wait(0.05):
            try:
                raw.send(piece)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_slow_head_is_told_that_it_took_too_long(url):
    with Raw(url) as raw:
        began = time.monotonic()
        raw.send(b"POST /v1/feedback HTTP/1.1\r\n")
        with dripping(raw, b"a: b\r\n"):
            error = raw.read().error(408)
        assert error["code"] == "request_timeout" and time.monotonic() - began < 2.0


def test_a_second_head_on_the_same_connection_is_held_to_the_same_time(url):
    with Raw(url) as raw:
        assert answered(raw.post(CHAT, GOOD).read())
        began = time.monotonic()
        raw.send(b"POST /v1/feed").read().error(408)
        assert time.monotonic() - began < 2.0


def test_a_connection_that_asks_nothing_is_closed_without_a_word(url):
    with Raw(url) as raw:
        assert raw.ended()


def test_a_body_that_stops_is_told_that_it_took_too_long(url):
    with Raw(url) as raw:
        raw.send(b"POST /v1/feedback HTTP/1.1\r\ncontent-length: 100\r\n\r\n{").read().error(408)
        assert raw.ended()


def test_a_body_that_drips_is_told_that_it_took_too_long(url):
    with Raw(url) as raw:
        raw.send(b"POST /v1/feedback HTTP/1.1\r\ncontent-length: 1000\r\n\r\n")
        with dripping(raw, b" "):
            raw.read().error(408)


def test_a_body_that_comes_in_pieces_but_steadily_is_taken(url):
    body = GOOD + b" " * 3000
    with Raw(url) as raw:
        raw.send(b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)))
        for start in range(0, len(body), 200):
            raw.send(body[start : start + 200])
            time.sleep(0.06)  # a second in all: twice the time for a silence
        assert answered(raw.read())


def test_a_flood_of_headers_is_a_431(url):
    with Raw(url) as raw:
        many = b"".join(b"h%d: v\r\n" % n for n in range(1000))
        raw.send(b"GET /healthz HTTP/1.1\r\n" + many + b"\r\n").read("GET").error(431)
    with Raw(url) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\na: ")
        for _ in range(20):
            raw.send(b"x" * 65536)
        raw.read("GET").error(431)


def test_trailers_are_no_headers(url):
    with Raw(url) as raw:
        chunks = b"%x\r\n%b\r\n0\r\nx-lifeloop-user: mallory\r\nidempotency-key: k\r\n\r\n" % (len(GOOD), GOOD)
        raw.send(b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % CHAT.encode() + chunks)
        first = raw.read()
        raw.send(b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % CHAT.encode() + chunks)
        assert answered(first) and raw.read().headers["x-request-id"] != first.headers["x-request-id"]


def test_chunked_bodies_and_http_1_0_are_answered(url):
    with Raw(url) as raw:
        chunks = b"".join(b"1\r\n%b\r\n" % GOOD[place : place + 1] for place in range(len(GOOD))) + b"0\r\n\r\n"
        raw.send(b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % CHAT.encode() + chunks)
        assert answered(raw.read())
    with Raw(url) as raw:
        got = raw.post(CHAT, GOOD, version=b"1.0").read()
        assert answered(got) and got.headers["connection"] == "close" and raw.ended()
    streamed = json.dumps({"model": "desk", "messages": said("x"), "stream": True}).encode()
    with Raw(url) as raw:
        got = raw.post(CHAT, streamed, version=b"1.0").read()  # without chunks: the connection's end is the stream's
        assert "transfer-encoding" not in got.headers and got.body.endswith(b"data: [DONE]\n\n")
        assert got.body.startswith(b"data: {")


def test_requests_sent_ahead_are_answered_in_order(url):
    bodies = [json.dumps({"event": "f" * 31 + str(n), "rating": n}).encode() for n in range(2, 9)]
    with Raw(url) as raw:
        for body in bodies:
            raw.post("/v1/feedback", body)
        raw.post(CHAT, GOOD).send(b"GET /healthz HTTP/1.1\r\n\r\n")
        for _ in bodies:
            raw.read().error(400)
        assert answered(raw.read()) and raw.read("GET").body == b'{"status":"ok"}'


def test_garbage_behind_a_request_does_not_spoil_its_answer(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("slow", Says("billing", seconds=0.3))
    scene.release("slow")
    with scene.running() as url, Raw(url) as raw:
        raw.post(CHAT, GOOD).post(CHAT, GOOD).send(b"garbage\r\n\r\n")
        assert answered(raw.read()) and answered(raw.read())
        raw.read().error(400)
        assert raw.ended()


def test_a_client_may_ask_before_it_sends_a_body(url):
    head = b"POST %b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with Raw(url) as raw:
        raw.send(head % (CHAT.encode(), len(GOOD)))
        assert raw.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        assert answered(raw.send(GOOD).read())
    with Raw(url) as raw:  # and is told at once that it need not
        raw.send(head % (CHAT.encode(), 50_000_000)).read().error(413)


def test_an_offer_of_another_protocol_is_let_pass(url):
    with Raw(url) as raw:
        got = raw.post(
            CHAT, GOOD, b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AA"
        ).read()
        assert answered(got)


def test_head_options_and_strange_methods(url):
    head = httpx.head(f"{url}/healthz")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "15")
    for method in ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH"):
        refused = httpx.request(method, url + CHAT)
        assert refused.status_code == 405 and refused.headers["allow"] == "POST"
        assert len(refused.headers["x-request-id"]) == 32
    assert "POST" not in httpx.options(f"{url}/readyz").headers["allow"]
    with Raw(url) as raw:
        raw.send(b"OPTIONS * HTTP/1.1\r\n\r\n").read("OPTIONS").error(404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tasks/%64esk", 200),
        ("/v1/tasks/desk%00", 404),
        ("/v1/tasks/..%2Fdesk", 404),
        ("/v1/tasks/%ff%fe", 404),
        ("/v1/tasks/", 404),
        ("/v1/tasks/desk?a=b&a=%00", 200),
        ("//v1/tasks/desk", 404),
        ("/v1//tasks/desk", 404),
        ("/v1/tasks/desk/", 404),
        ("/v1/tasks/" + "x" * 20_000, 404),
        ("http://elsewhere/v1/tasks/desk", 200),
    ],
)
def test_paths_are_taken_as_they_are_written(url, path, status):
    with Raw(url) as raw:
        got = raw.post(path, b'{"text": "x"}').read()
        assert got.status == status
        if status != 200:
            got.error(status)


BODIES = {
    "NUL": b'{"text": "a\\u0000b"}',
    "astral": '{"text": "\U0001f600 \u202e"}'.encode(),
    "last of a repeated key": b'{"text": "", "text": "x"}',
    "unknown keys": b'{"text": "x", "zzz": ' + b"[" * 500 + b"]" * 500 + b"}",
}


@pytest.mark.parametrize("name", BODIES)
def test_strange_texts_are_answered_and_recorded(url, scene, name):
    before = scene.ledger.count_events()
    response = httpx.post(f"{url}/v1/tasks/desk", content=BODIES[name])
    assert response.status_code == 200 and response.json()["label"] == "billing"
    wait_for(lambda: scene.ledger.count_events() > before)


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "\\ud800"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": ' + b"[" * 200_000,
        b'{"messages": ' + b'[{"a":' * 100_000,
        b'{"text": 1e999}',
        b'{"text": "x"} {"text": "y"}',
        b'\xef\xbb\xbf{"text": "x"}',
        b'{"text": "x", "columns": {"a": ' + b"9" * 5000 + b"}}",
    ],
)
def test_what_is_no_text_is_refused(url, body):
    with Raw(url) as raw:
        raw.post("/v1/tasks/desk", body).read().error(400)


def test_fifty_megabytes_are_refused_without_being_held(url):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = b" " * 65536
    for head in (b"content-length: 52428800\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"):
        with Raw(url) as raw:
            raw.send(b"POST /v1/feedback HTTP/1.1\r\n" + head)
            chunk = b"10000\r\n%b\r\n" % piece if b"chunked" in head else piece
            for _ in range(800):
                raw.socket.sendall(chunk)
            if b"chunked" in head:
                raw.send(b"0\r\n\r\n")
            raw.read().error(413)
            assert answered(raw.post(CHAT, GOOD).read())  # the connection is in order
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kilobytes


def test_clients_that_vanish_leave_nothing_behind(url, scene):
    for sent in (
        b"",
        b"POST /v1/feed",
        b"POST %b HTTP/1.1\r\ncontent-length: 500\r\n\r\n{" % CHAT.encode(),
    ):
        for _ in range(20):
            with Raw(url) as raw:
                raw.send(sent)
                raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave by a reset
    wait_for(lambda: httpx.get(f"{url}/v1/releases").json()["in_flight"] == 1)  # that of the question itself
    assert all(event.output == "billing" and not event.error for event in scene.ledger.latest_events(1000))


def test_clients_that_vanish_mid_stream_give_their_place_back(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Streams([f"{n} " for n in range(500)], seconds=0.01)
    model.concurrency = 4
    scene.candidate("writer", model)
    scene.release("writer")
    with scene.running() as url:
        for _ in range(4):
            stream = client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True)
            next(iter(stream))
            stream.close()
        wait_for(lambda: httpx.get(f"{url}/v1/releases").json()["in_flight"] == 1)
        events = scene.events(4)
    assert all(event.error.startswith("abandoned: ") for event in events)


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_client_that_leaves_is_noticed_behind_a_body_that_is_large(tmp_path, pause):
    """Reading stops while a large body waits for the application, and must go on after it."""
    scene = Scene(tmp_path, "chat")
    model = Streams(["a"] * 30, seconds=0.05)
    scene.candidate("writer", model)
    scene.release("writer")
    body = json.dumps({"model": "desk", "messages": said("word " * 40_000), "stream": True}).encode()
    with scene.running() as url:
        with Raw(url) as raw:
            raw.post(CHAT, body)
            time.sleep(pause)
        (event,) = scene.events(1)
    assert event.error == "abandoned: the connection ended" and event.tokens_in > 40_000


def test_small_packets_are_not_held_back(url):
    streamed = {"model": "desk", "messages": said("x"), "stream": True}
    with httpx.Client() as client:
        client.post(url + CHAT, content=GOOD)
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            with client.stream("POST", url + CHAT, json=streamed) as got:
                got.read()
            seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[15] < 0.03  # forty milliseconds is what a missing TCP_NODELAY costs
