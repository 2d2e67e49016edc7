"""Opens connections to an endpoint: directly, with TLS, or through the HTTP proxy that the environment names.

Takes a URL, gives transports for a protocol of the caller's. Knows nothing of requests.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from yarl import URL

from lifeloop.models.endpoint import checked_proxy, checked_url
from lifeloop.models.model import Unanswered

P = TypeVar("P", bound=asyncio.Protocol)

MOST_HEAD = 65536
"""Bytes of a proxy's answer."""


class Way:
    """How an endpoint is reached. Raises ModelError where a URL or a proxy cannot be used; connects to nothing yet."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        self.url = checked_url(url)
        proxy = checked_proxy(url)
        self._proxy = URL(proxy) if proxy else None
        secure = self.url.scheme == "https"
        through_tls = secure or bool(self._proxy and self._proxy.scheme == "https")
        self._context = (context or _default_context()) if through_tls else None
        self._tunnels = secure and self._proxy is not None

    @property
    def target(self) -> str:
        """Return what a request asks for: the path, or for a proxy without a tunnel the whole URL."""
        whole = self._proxy is not None and not self._tunnels
        return str(self.url.with_user(None).with_fragment(None)) if whole else self.url.raw_path_qs

    @property
    def proxy_header(self) -> bytes:
        """Return the header line with the proxy's own name and password; b"" where it has none or sees no requests."""
        return b"" if self._tunnels else _credentials(self._proxy)

    async def open(self, make: Callable[[], P]) -> P:
        """Return the protocol of a new connection. Raises Unanswered."""
        loop = asyncio.get_running_loop()
        there = self._proxy or self.url
        host, port = there.host or "", there.port or 80
        to_tls = self._context if there.scheme == "https" else None
        try:
            if not self._tunnels:
                _, protocol = await loop.create_connection(make, host, port, ssl=to_tls)
                return protocol
            transport, tunnel = await loop.create_connection(_Tunnel, host, port, ssl=to_tls)
            try:
                await tunnel.dig(self.url, _credentials(self._proxy))
                protocol = make()
                assert self._context is not None
                secured = await loop.start_tls(transport, protocol, self._context, server_hostname=self.url.host)
                if secured is None:
                    raise OSError("the connection ended")
                protocol.connection_made(secured)
                return protocol
            except BaseException:
                transport.abort()
                raise
        except ssl.SSLError:
            raise Unanswered("failed", "no connection to the endpoint: its certificate or TLS is at fault") from None
        except (OSError, UnicodeError):  # UnicodeError: a name that no host can have
            through = "through the proxy" if self._proxy else "to the endpoint"
            raise Unanswered("failed", f"no connection {through}") from None


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel."""

    def __init__(self) -> None:
        self._said = b""
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def dig(self, url: URL, credentials: bytes) -> None:
        """Return once the tunnel is there. Raises OSError where the proxy refuses."""
        place = f"{_bracketed(url)}:{url.port}".encode()
        head = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (place, place, credentials)
        self._transport.write(head)  # type: ignore[attr-defined]
        await self._answer

    def data_received(self, data: bytes) -> None:
        self._said += data
        if self._answer.done():
            return
        if b"\r\n\r\n" in self._said or len(self._said) > MOST_HEAD:
            if re.match(rb"HTTP/1\.[01] 2\d\d\b", self._said) and self._said.endswith(b"\r\n\r\n"):
                self._answer.set_result(None)
            else:
                self._answer.set_exception(OSError("the proxy refuses"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(OSError("the proxy broke off"))


@cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads a file of all authorities, which takes a while


def host_header(url: URL) -> str:
    """Return what stands in Host: the port only where it is not the scheme's own."""
    return _bracketed(url) if url.is_default_port() else f"{_bracketed(url)}:{url.port}"


def basic(url: URL | None) -> str:
    """Return the value of a header that carries the name and password in a URL; "" where there are none."""
    if url is None or url.user is None:
        return ""
    return "Basic " + base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()


def _credentials(proxy: URL | None) -> bytes:
    value = basic(proxy)
    return f"Proxy-Authorization: {value}\r\n".encode() if value else b""


def _bracketed(url: URL) -> str:
    host = url.raw_host or ""
    return f"[{host}]" if ":" in host else host
