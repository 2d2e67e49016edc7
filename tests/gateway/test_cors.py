"""Pages of other origins: off unless the brief names them."""

import httpx
import msgspec
import pytest
from gateway_scene import Says, Scene, said

from lifeloop.core.errors import BriefError
from lifeloop.core.gateway_brief import Gateway, Protection, check_origins
from lifeloop.lifecycle.api_keys import create_key

PAGE = "https://app.example.com"
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, x-stainless-lang",
}


def scene_of(folder, *origins: str) -> Scene:
    scene = Scene(folder)
    scene.candidate("first", Says("billing", concurrency=8))
    scene.release("first")
    serving, settings = scene.serving, Gateway(protection=Protection(cors=origins))
    scene.serving = lambda: msgspec.structs.replace(serving(), settings=settings)
    return scene


def allowed(response: httpx.Response) -> str | None:
    return response.headers.get("access-control-allow-origin")


def complete(url: str, **headers: str) -> httpx.Response:
    body = {"model": "desk", "messages": said("where is my parcel?")}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers)


def preflight(url: str, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    return httpx.options(f"{url}{path}", headers=ASKS | headers)


def test_off_by_default(tmp_path):
    with scene_of(tmp_path).running() as url:
        for response in (complete(url, origin=PAGE), preflight(url)):
            assert not [name for name in response.headers if name.startswith("access-control")]
        assert preflight(url).status_code == 405


def test_a_page_that_is_named_may_ask(tmp_path):
    scene = scene_of(tmp_path, PAGE, "http://localhost:3000")
    create_key(scene.ledger, "web", scopes=["infer"], by="ann", clock=lambda: 1.0)
    with scene.running() as url:
        response = preflight(url)
        assert response.status_code == 204, "though no key comes with it"
        assert response.headers["access-control-allow-origin"] == PAGE
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "x-stainless-lang" in response.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in response.headers
        refused = complete(url, origin="http://localhost:3000")
        assert refused.status_code == 401
        assert allowed(refused) == "http://localhost:3000", "a page must be able to read what is wrong"
        assert "origin" in refused.headers["vary"].lower()
        assert "x-request-id" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "other", ["https://evil.example", "https://app.example.com.evil.example", "null", PAGE + ":8443"]
)
def test_other_pages_may_not(tmp_path, other):
    with scene_of(tmp_path, PAGE).running() as url:
        assert preflight(url, origin=other).status_code == 403
        response = complete(url, origin=other)
        assert allowed(response) is None
        assert "origin" in response.headers["vary"].lower()
        assert allowed(complete(url)) is None


def test_every_page_where_the_brief_says_so(tmp_path):
    with scene_of(tmp_path, "*").running() as url:
        assert allowed(preflight(url)) == "*"
        assert allowed(complete(url, origin="https://anything.example")) == "*"


def test_a_stream_can_be_read_too(tmp_path):
    with scene_of(tmp_path, PAGE).running() as url:
        body = {"model": "desk", "messages": said("hello"), "stream": True}
        response = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"origin": PAGE})
        assert response.text.endswith("data: [DONE]\n\n")
        assert allowed(response) == PAGE


@pytest.mark.parametrize("origin", ["example.com", PAGE + "/", PAGE + "/path", "https://*.example.com", "", "null"])
def test_what_no_browser_sends_is_no_origin(origin):
    with pytest.raises(BriefError, match="is no origin"):
        check_origins([origin])
    check_origins([PAGE, "*", "http://[::1]:3000", "http://localhost:3000", "chrome-extension://abcdef"])
