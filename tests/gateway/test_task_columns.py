"""What else is known of a request, through the endpoint of the task."""

import httpx
import pytest
from gateway_scene import Says, Scene


@pytest.fixture
def scene(tmp_path) -> Scene:
    found = Scene(tmp_path)
    found.says = Says("billing")
    found.candidate("first", found.says)
    found.release("first")
    return found


def ask(url: str, **body) -> httpx.Response:
    return httpx.post(f"{url}/v1/tasks/desk", json=body)


def test_columns_reach_the_candidate(scene):
    with scene.running() as url:
        assert ask(url, text="my bill", columns={"channel": "web"}).status_code == 200
        assert ask(url, text="my bill").status_code == 200
        assert ask(url, texts=["one", "two"], columns={"channel": "desk"}).status_code == 200
        assert ask(url, texts=["one", "two"], columns=[{"channel": "web"}, {}]).status_code == 200
        turns = [{"role": "user", "content": "my bill"}]
        assert ask(url, messages=turns, columns={"channel": "phone"}).status_code == 200
    asked = [request.columns.get("channel") for request in scene.says.requests]
    assert asked == ["web", None, "desk", "desk", "web", None, "phone"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": "x", "columns": {"age": 4}}, "columns"),
        ({"text": "x", "columns": "web"}, "columns"),
        ({"text": "x", "columns": [{}]}, "columns"),
        ({"texts": ["x", "y"], "columns": [{}]}, "columns"),
        ({"text": "x", "columns": {"note": "x" * 10_001}}, "columns"),
        ({"text": "x", "columns": {str(n): "" for n in range(101)}}, "columns"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(scene, body, param):
    with scene.running() as url:
        answer = ask(url, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
    assert scene.says.requests == []
