"""Requests mean the same however their bytes are cut into pieces: none is swallowed, and no body becomes a request."""

import asyncio
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from lifeloop.gateway.web.protocol import Protocol

INNER = b"GET /inner HTTP/1.1\r\nhost: x\r\n\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"


async def echo(scope, receive, send):
    """Read the whole body, then say what was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body, more = body + message["body"], message["more_body"]
    asked = [scope["method"], scope["path"], len(scope["headers"]), body.decode("latin-1")]
    said = json.dumps(asked).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


class Transport(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.written, self.closed = bytearray(), False

    def get_extra_info(self, name, default=None):
        return default

    def write(self, data):
        self.written += data

    def write_eof(self):
        self.closed = True

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        """Tests send all they have."""

    resume_reading = pause_reading


async def _answers(pieces):
    config = Config(echo, log_config=None)
    config.load()
    protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
    transport = Transport()
    protocol.connection_made(transport)
    for piece in pieces:
        if transport.closed:
            break
        protocol.data_received(piece)
        await asyncio.sleep(0)
    while tasks := protocol.tasks - {None}:
        done, _ = await asyncio.wait(tasks, timeout=0.02)
        if not done:  # a request whose body has not come whole
            break
    closed = transport.closed
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    return _read(bytes(transport.written)), closed


def _read(written):
    """Return status and what was asked of each response; of a refusal its code."""
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
        said = json.loads(rest[:length])
        found.append((int(lines[0].split()[1]), said["error"]["code"] if isinstance(said, dict) else said))
        written = rest[length:]
    return found


def answers(*pieces):
    return asyncio.run(_answers(pieces))


def cut(data, places):
    places = sorted({place % len(data) for place in places} - {0})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def requests(draw):
    """Give a request's bytes and what is asked by it."""
    method = draw(st.sampled_from([b"GET", b"POST"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    extra = draw(
        st.lists(
            st.sampled_from(
                [
                    b"x-upgrade: 1\r\n",
                    b"upgrade: h2c\r\n",
                    H2C,
                    b"X: pgrade\r\n",
                    b"connection: keep-alive\r\n",
                    b"Connection: close, upgrade\r\nUPGRADE:websocket\r\n",
                    b"note: upgrade:\r\n",
                ]
            ),
            max_size=3,
        )
    )
    body = draw(st.sampled_from([b"", b"hello", INNER, b"\r\n\r\nupgrade: h2c\r\n\r\n", b"0\r\n\r\n" + INNER]))
    if method == b"GET":
        framing, coded, body = b"", b"", b""
    elif draw(st.booleans()) and version == b"1.1":
        size = draw(st.integers(1, 40))
        chunks = [body[place : place + size] for place in range(0, len(body), size)]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        framing = b"Transfer-Encoding: Chunked\r\n"
    else:
        framing, coded = b"content-length: %d\r\n" % len(body), body
    place = draw(st.integers(0, len(extra)))
    head = b"%b /outer HTTP/%b\r\nhost: x\r\n" % (method, version) + b"".join([*extra[:place], framing, *extra[place:]])
    held = b"close" not in head and version == b"1.1"
    return head + b"\r\n" + coded, [method.decode(), "/outer", body.decode()], held


@settings(max_examples=300, deadline=None)
@given(sent=st.lists(requests(), min_size=1, max_size=4), places=st.lists(st.integers(0, 10_000), max_size=12))
def test_requests_are_the_same_however_they_are_cut(sent, places):
    data = b"".join(one for one, _, _ in sent)
    asked = []
    for _, what, held in sent:
        asked.append(what)
        if not held:
            break
    whole, closed = answers(data)
    assert (
        [[said[0], said[1], said[3]] for status, said in whole if status == 200]
        == asked
        == [[said[0], said[1], said[3]] for _, said in whole]
    )
    assert answers(*cut(data, places)) == (whole, closed)


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(requests(), min_size=1, max_size=3))
def test_requests_are_the_same_byte_by_byte(sent):
    data = b"".join(one for one, _, _ in sent)
    assert answers(*(data[place : place + 1] for place in range(len(data)))) == answers(data)


@settings(max_examples=300, deadline=None)
@given(
    sent=st.lists(requests(), min_size=1, max_size=3),
    noise=st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(b"\r\n\x00:; \xff0Z")), min_size=1, max_size=3),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
@example(sent=[(INNER, [], True)], noise=[(0, 0)], places=[5])
def test_what_is_no_http_is_refused_behind_the_same_answers_however_it_is_cut(sent, noise, places):
    data = bytearray(b"".join(one for one, _, _ in sent))
    for place, byte in noise:
        data[place % len(data)] = byte
    data = bytes(data)
    assert answers(*cut(data, places)) == answers(data)


def test_smuggling_by_a_header_that_is_cut_in_two():
    begin, end = (
        b"POST /outer HTTP/1.1\r\nhost: x\r\nx-",
        b"upgrade: 1\r\ncontent-length: %d\r\n\r\n" % len(INNER) + INNER,
    )
    assert answers(begin, end) == ([(200, ["POST", "/outer", 3, INNER.decode()])], False)


def test_what_offers_another_protocol_is_answered_and_so_is_what_is_sent_ahead():
    body = b"POST /b HTTP/1.1\r\n" + H2C + b"content-length: %d\r\n\r\n" % len(INNER) + INNER
    chunked = b"POST /c HTTP/1.1\r\n" + H2C + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    told, closed = answers(b"GET /a HTTP/1.1\r\n" + H2C + b"\r\n" + body + chunked + INNER)
    assert [said[1] for _, said in told] == ["/a", "/b", "/c", "/inner"] and not closed
    assert [said[3] for _, said in told] == ["", INNER.decode(), "hi", ""]


@pytest.mark.parametrize(
    "coding",
    [b"gzip, chunked", b"chunked, gzip", b"gzip", b"identity", b"chunked, chunked", b"chunked;a=b", b"xchunked"],
)
def test_a_body_that_is_coded_otherwise_than_in_chunks_is_refused(coding):
    head = b"POST /a HTTP/1.1\r\ntransfer-encoding: %b\r\n\r\n" % coding
    told, closed = answers(INNER + head + b"5\r\nhello\r\n0\r\n\r\n" + INNER)
    assert told[0][0] == 200 and told[1:] in ([(501, "unsupported_encoding")], [(400, "invalid_http")]) and closed


@pytest.mark.parametrize(
    "head",
    [
        b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n",
        b"POST /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /a HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /a HTTP/1.1\r\ncontent-length: 3\r\n" + H2C + b"transfer-encoding: chunked\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT /a HTTP/1.1\r\n\r\n",
    ],
)
def test_a_body_whose_end_could_be_read_in_two_ways_is_refused(head):
    told, closed = answers(head + b"0\r\n\r\n" + INNER)
    assert [status for status, _ in told] in ([400], [501]) and closed


def test_a_head_is_as_large_whether_it_comes_at_once_or_behind_a_body():
    head = b"GET /a HTTP/1.1\r\na: %b\r\n\r\n"
    large = head % (b"x" * 70_000)
    assert answers(large) == answers(*cut(large, [40_000])) == answers(*cut(large, range(0, 70_000, 1000)))
    assert answers(large) == ([(431, "head_too_large")], True)
    body = b"POST /b HTTP/1.1\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000
    told, _ = answers(*cut(body + head % b"x", [len(body) + 5]))
    assert [status for status, _ in told] == [200, 200]
