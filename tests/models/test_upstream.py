import asyncio
import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import Line, chunked, endpoint, hangs, says, whole

from lifeloop.core.errors import ModelError
from lifeloop.models import upstream_connection
from lifeloop.models.model import Unanswered
from lifeloop.models.upstream import Upstream

BODY = b'{"model":"m"}'


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    return request.param


async def until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


async def failure(work) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        await work
    return caught.value


# what comes back


def test_a_request_is_posted_and_its_connection_kept(run):
    async def scene():
        async with endpoint(says(whole(b'{"n":1}', headers=b"X-Small: yes\r\n"))) as asked:
            client = Upstream(asked.url, "abc")
            for _ in range(3):
                status, headers, body = await client.post(BODY, 5.0)
                assert (status, body) == (200, b'{"n":1}')
                assert (b"X-Small", b"yes") in headers
            client.close()
        assert (asked.connections, asked.bodies) == (1, [BODY] * 3)
        head = asked.heads[0]
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAuthorization: Bearer abc\r\n" in head

    run(scene())


def test_small_packets_are_sent_at_once(run):
    async def scene():
        async with endpoint(says(whole())) as asked:
            client = Upstream(asked.url)
            await client.post(BODY, 5.0)
            (connection,) = client._here()._idle
            found = connection._transport.get_extra_info("socket")
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()

    run(scene())


@pytest.mark.parametrize("response", [whole(b"some body"), chunked(b"some", b" ", b"body")], ids=["length", "chunks"])
def test_a_response_may_be_cut_at_every_byte(response):
    async def scene():
        async def do(line: Line) -> None:
            cut = len(line.asked.bodies) - 1
            await line.send(response[:cut], response[cut:])

        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            for _ in range(len(response)):
                assert (await client.post(BODY, 5.0))[2] == b"some body"
            client.close()
            assert asked.connections == 1

    asyncio.run(scene())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.lists(st.integers(1, 60), max_size=30))
def test_a_stream_is_the_same_however_it_is_cut(pieces, sizes):
    response = chunked(*pieces)

    async def do(line: Line) -> None:
        rest = response
        for size in sizes:
            await line.send(rest[:size])
            rest = rest[size:]
        await line.send(rest)

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            stream = await client.stream(BODY, 5.0)
            assert b"".join([piece async for piece in stream]) == b"".join(pieces)
            await client.post(BODY, 5.0)  # on the same connection
            client.close()
            assert asked.connections == 1

    asyncio.run(scene())


def test_a_body_that_the_end_of_the_connection_ends_is_whole(run):
    async def do(line: Line) -> None:
        await line.send(b"HTTP/1.1 200 OK\r\n\r\nsome ", b"body")
        line.close()

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            assert (await client.post(BODY, 5.0))[2] == b"some body"
            stream = await client.stream(BODY, 5.0)
            assert b"".join([piece async for piece in stream]) == b"some body"
            assert client._here().in_use == 0
            client.close()

    run(scene())


def test_continue_is_no_response():
    async def scene():
        async with endpoint(says(b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"real"))) as asked:
            client = Upstream(asked.url)
            assert (await client.post(BODY, 5.0))[::2] == (200, b"real")
            client.close()

    asyncio.run(scene())


# what goes wrong


async def _resets(line: Line) -> None:
    line.reset()


async def _closes(line: Line) -> None:
    line.close()


async def _half(line: Line) -> None:
    await line.send(whole(b"a whole body")[:-5])
    line.close()


async def _half_and_reset(line: Line) -> None:
    await line.send(chunked(b"a whole body")[:-9], pause=0.02)
    line.reset()


async def _dribbles(line: Line) -> None:
    await line.send(*(bytes([byte]) for byte in whole(b"x" * 500)), pause=0.01)


WRONG = {
    "reset": (_resets, "failed", "broke off"),
    "closed": (_closes, "failed", "broke off"),
    "half a response": (_half, "failed", "broke off"),
    "half a response and a reset": (_half_and_reset, "failed", "broke off"),
    "hangs": (hangs, "timed out", "longer than 0.3 s"),
    "slow bytes": (_dribbles, "timed out", "longer than 0.3 s"),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "failed", "no HTTP"),
    "binary": (says(bytes(range(256))), "failed", "no HTTP"),
    "no status": (says(b"HTTP/1.1 okay\r\n\r\n"), "failed", "no HTTP"),
    "a wrong chunk": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "failed", "no HTTP"),
    "two lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "failed", "no HTTP"),
    "a web socket": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        "failed",
        "endpoint",
    ),
    "endless": (says(whole(b"x" * 2_000_000)), "failed", "larger than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong_is_unanswered_and_its_place_given_back(case, run):
    do, why, detail = WRONG[case]

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url, connections=1, most_bytes=1_000_000)
            for _ in range(2):
                error = await failure(client.post(BODY, 0.3))
                assert error.why == why
                assert detail in error.detail
                assert error.passing
                assert client._here().in_use == 0
            assert len(asked.bodies) == 2, "tried once each"
            client.close()

    run(scene())


def test_nobody_there_is_unanswered(run):
    error = []

    async def scene():
        client = Upstream("http://127.0.0.1:9/v1")
        error.append(await failure(client.post(BODY, 5.0)))
        assert client._here().in_use == 0

    run(scene())
    assert "no connection to the endpoint" in error[0].detail


def test_a_500_is_a_response_and_keeps_its_connection():
    async def scene():
        async with endpoint(says(whole(b"{}", "500 Internal Server Error"))) as asked:
            client = Upstream(asked.url)
            assert [(await client.post(BODY, 5.0))[0] for _ in range(3)] == [500] * 3
            client.close()
            assert asked.connections == 1

    asyncio.run(scene())


def test_a_connection_that_the_server_had_closed_is_replaced_once(run):
    async def do(line: Line) -> None:
        if line.n_before:
            line.reset()  # as a server does whose keep-alive ended while the request was on its way
        else:
            await line.send(whole())

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            for _ in range(3):
                assert (await client.post(BODY, 5.0))[0] == 200
            assert asked.connections == 3
            stream = await client.stream(BODY, 5.0)
            assert stream.status == 200
            stream.close()
            client.close()

    run(scene())


def test_a_request_that_was_begun_to_be_answered_is_not_sent_again(run):
    async def do(line: Line) -> None:
        if line.n_before:
            await line.send(b"HTTP/1.1 2", pause=0.02)
            line.reset()
        else:
            await line.send(whole())

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            await client.post(BODY, 5.0)
            assert "broke off" in (await failure(client.post(BODY, 5.0))).detail
            assert len(asked.bodies) == 2
            client.close()

    run(scene())


def test_a_response_that_nobody_asked_for_answers_no_later_request(run):
    async def do(line: Line) -> None:
        if line.n_before == 0 and line.asked.connections == 1:
            await line.send(whole(b"mine"), pause=0.02)
            await line.send(whole(b"somebody else's"))
        elif line.asked.connections == 2:
            await line.send(whole(b"first") + whole(b"smuggled"))
        else:
            await line.send(whole(b"mine"))

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url)
            assert (await client.post(BODY, 5.0))[2] == b"mine"
            await until(lambda: not client._here()._all)
            assert (await client.post(BODY, 5.0))[2] == b"first"
            assert (await client.post(BODY, 5.0))[2] == b"mine"
            assert asked.connections == 3
            client.close()

    run(scene())


def test_connection_close_is_heeded(run):
    async def scene():
        async with endpoint(says(whole(headers=b"Connection: close\r\n"))) as asked:
            client = Upstream(asked.url, connections=1)
            for _ in range(3):
                assert (await client.post(BODY, 5.0))[0] == 200
            assert asked.connections == 3
            client.close()

    run(scene())


def test_a_connection_that_nobody_uses_is_closed(monkeypatch):
    monkeypatch.setattr(upstream_connection, "IDLE_SECONDS", 0.1)

    async def scene():
        async with endpoint(says(whole())) as asked:
            client = Upstream(asked.url)
            await client.post(BODY, 0.05)
            await until(lambda: asked.open == 0)
            assert client._here()._places == 0
            client.close()

    asyncio.run(scene())


# streams


@pytest.mark.parametrize("moves", [True, False])
def test_silence_times_a_stream_out_and_so_do_bytes_that_say_nothing(moves):
    async def do(line: Line) -> None:
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await line.send(*[b"5\r\npiece\r\n"] * 8, pause=0.1)
        await asyncio.sleep(10)

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url, connections=1)
            begun = time.monotonic()
            stream = await client.stream(BODY, 0.4)
            got = b""
            with pytest.raises(Unanswered, match="timed out"):
                async for piece in stream:
                    got += piece
                    if moves:
                        stream.moved()
            if moves:
                assert got == b"piece" * 8
                assert time.monotonic() - begun > 0.8, "longer in all than each silence may be"
            else:
                assert got.startswith(b"piece") and time.monotonic() - begun < 0.7
            assert client._here().in_use == 0
            client.close()

    asyncio.run(scene())


def test_a_thousand_cancelled_streams_leak_no_slot(run):
    async def do(line: Line) -> None:
        await line.send(chunked(b"first piece")[:-5])
        await line.reader.read()

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url, connections=16)

            async def begin_and_be_cancelled(number: int) -> None:
                stream = await client.stream(BODY, 30.0)
                try:
                    assert await anext(stream) == b"first piece"
                    if number % 2:
                        await anext(stream)
                finally:
                    stream.close()

            async def cancelled(number: int) -> None:
                task = asyncio.create_task(begin_and_be_cancelled(number))
                await asyncio.sleep(0.002 * (number % 7))  # before its turn, before the head, in the middle
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            for start in range(0, 1000, 100):
                await asyncio.gather(*(cancelled(number) for number in range(start, start + 100)))
            pool = client._here()
            assert (pool.in_use, pool._places, len(pool._all), len(pool._waiting)) == (0, 0, 0, 0)
            await until(lambda: asked.open == 0)
            client.close()

    run(scene())


def test_a_reader_who_is_slow_slows_the_endpoint_down():
    sent = 0

    async def do(line: Line) -> None:
        nonlocal sent
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            await line.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
        await line.send(b"0\r\n\r\n")

    async def scene():
        async with endpoint(do) as asked:
            client = Upstream(asked.url, most_bytes=10**9)
            stream = await client.stream(BODY, 0.2)
            await asyncio.sleep(0.6)  # three times as long as the endpoint may be silent
            assert sent < 20_000_000
            read = 0
            async for piece in stream:
                read += len(piece)
                stream.moved()
            assert read == 65_536_000
            client.close()

    asyncio.run(scene())


# places


def test_who_waits_longest_is_served_first(run):
    async def scene():
        async with endpoint(says(whole())) as asked:
            client = Upstream(asked.url, connections=2)
            await asyncio.gather(*(client.post(b'{"n":%d}' % number, 5.0) for number in range(40)))
            assert asked.connections == 2
            first = [int(body[5:-1]) for body in asked.bodies]
            assert all(abs(place - number) <= 2 for place, number in enumerate(first))
            client.close()

    run(scene())


def test_waiting_for_a_place_counts_as_time(run):
    async def scene():
        async with endpoint(hangs) as asked:
            client = Upstream(asked.url, connections=1)
            first = asyncio.create_task(client.post(BODY, 5.0))
            await until(lambda: asked.bodies)
            begun = time.monotonic()
            assert (await failure(client.post(BODY, 0.2))).why == "timed out"
            assert time.monotonic() - begun < 1.0
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert client._here().in_use == 0
            client.close()

    run(scene())


def test_a_place_that_came_together_with_a_cancellation_is_passed_on():
    async def scene():
        async with endpoint(says(whole())) as asked:
            client = Upstream(asked.url, connections=1)
            for _ in range(50):
                tasks = [asyncio.create_task(client.post(BODY, 5.0)) for _ in range(6)]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                assert done
                for task in tasks[1:4]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert client._here().in_use == 0
            assert (await client.post(BODY, 1.0))[0] == 200
            client.close()

    asyncio.run(scene())


def test_it_can_be_closed_from_any_thread(run):
    async def scene():
        async with endpoint(hangs) as asked:
            client = Upstream(asked.url)
            under_way = asyncio.create_task(client.post(BODY, 30.0))
            await until(lambda: asked.bodies)
            thread = threading.Thread(target=client.close)
            thread.start()
            thread.join()
            await failure(under_way)
            await until(lambda: asked.open == 0)
            assert not (await failure(client.post(BODY, 1.0))).passing
            client.close()

    run(scene())


def test_a_loop_that_went_away_takes_its_connections_with_it(run):
    client = []

    async def scene():
        async with endpoint(says(whole())) as asked:
            client[:] = client or [Upstream("http://127.0.0.1:9/v1")]
            client[0]._way.url = client[0]._way.url.with_port(int(asked.url.split(":")[2].split("/")[0]))
            assert (await client[0].post(BODY, 5.0))[0] == 200

    for _ in range(3):
        run(scene())
    assert len(client[0]._pools) == 1
    client[0].close()


# ways


@pytest.mark.parametrize("url", ["nowhere", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_address_that_is_none_is_said_at_once(url):
    with pytest.raises(ModelError, match="no address of an endpoint"):
        Upstream(url)


def _contexts(folder) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate of its own for localhost, and a client's that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=folder / "cert.pem")


def test_https_checks_the_certificate_and_names_the_host(run, tmp_path):
    server, trusting = _contexts(tmp_path)
    named = []
    server.sni_callback = lambda connection, name, context: named.append(name)

    async def scene():
        async with endpoint(says(whole(b"secret")), server) as asked:
            url = asked.url.replace("127.0.0.1", "localhost")
            client = Upstream(url, context=trusting)
            assert [(await client.post(BODY, 5.0))[2] for _ in range(2)] == [b"secret"] * 2
            client.close()
            error = await failure(Upstream(url).post(BODY, 5.0))
            assert "certificate" in error.detail
        assert named[0] == "localhost"
        assert len(asked.bodies) == 2

    run(scene())


async def _proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes], refuse: bool) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    seen.append(head)
    if refuse:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()
        return
    host, port = head.split()[1].split(b":")
    there, back = await asyncio.open_connection(host.decode(), int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    await asyncio.gather(copy(reader, back), copy(there, writer))


@pytest.mark.parametrize("refuse", [False, True], ids=["tunnels", "refuses"])
def test_https_goes_through_a_proxy_in_a_tunnel(run, tmp_path, monkeypatch, refuse):
    server, trusting = _contexts(tmp_path)
    seen: list[bytes] = []
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def scene():
        proxy = await asyncio.start_server(lambda r, w: _proxy(r, w, seen, refuse), "127.0.0.1", 0)
        monkeypatch.setenv("https_proxy", f"http://me:word@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        async with endpoint(says(whole(b"secret")), server) as asked:
            client = Upstream(asked.url.replace("127.0.0.1", "localhost"), context=trusting)
            if refuse:
                assert "through the proxy" in (await failure(client.post(BODY, 5.0))).detail
                assert client._here().in_use == 0
            else:
                assert [(await client.post(BODY, 5.0))[2] for _ in range(2)] == [b"secret"] * 2
                assert b"Proxy-Authorization" not in asked.heads[0]
            client.close()
        proxy.close()

    run(scene())
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT localhost:")
    assert b"Proxy-Authorization: Basic bWU6d29yZA==\r\n" in seen[0]


def test_http_names_the_whole_address_to_a_proxy(run, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def scene():
        async with endpoint(says(whole(b"by proxy"))) as asked:
            monkeypatch.setenv("http_proxy", asked.url.removesuffix("/v1/chat/completions"))
            client = Upstream("http://models.example/v1/chat/completions")
            assert (await client.post(BODY, 5.0))[2] == b"by proxy"
            client.close()
        assert asked.heads[0].startswith(
            b"POST http://models.example/v1/chat/completions HTTP/1.1\r\nHost: models.example\r\n"
        )

    run(scene())
