"""A vLLM server, joined or started. The started one is a real process that speaks OpenAI's protocol under its name."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai_endpoint import serving

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.errors import ModelError
from lifeloop.models import vllm_server
from lifeloop.models.model import AnswersInLoop, Unanswered
from lifeloop.models.vllm import KIND, Vllm

STAND_IN = """#!{python}
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
arguments = sys.argv[1:]
if "--fail" in arguments:
    print("loading"); print("CUDA out of memory", file=sys.stderr); sys.exit(3)
option = lambda name: arguments[arguments.index(name) + 1]
time.sleep(float(option("--load-seconds")) if "--load-seconds" in arguments else 0.1)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def send(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        sick = "--sick" in arguments and os.path.exists(option("--sick"))
        self.send(503 if sick else 200, {{}})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != "Bearer " + os.environ["VLLM_API_KEY"]:
            return self.send(401, {{"error": {{"message": "no"}}}})
        said = json.dumps([os.getpid(), arguments[:2], asked["model"], asked["messages"][-1]["content"]])
        self.send(200, {{"choices": [{{"message": {{"role": "assistant", "content": said}}, "finish_reason": "stop"}}],
                        "usage": {{"prompt_tokens": 3, "completion_tokens": 2}}}})
    def log_message(self, *_): pass

ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "HEALTH_SECONDS", 0.05)
    monkeypatch.setattr(vllm_server, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(vllm_server, "SILENT_SECONDS", 0.3)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "vllm"
    command.write_text(STAND_IN.format(python=sys.executable))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def load(**settings) -> Vllm:
    values = {"model": "hub:org/small", "retries": 0, **settings}
    return KIND.load(Candidate("big", "vllm", "chat", (), values), None, ())


def says(model: Vllm, text: str = "hi") -> list:
    return json.loads(asyncio.run(model.answer_in_loop(Request(text), 5.0)).output)


def again(model: Vllm, before: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            assert says(model)[0] != before
            return
        except Unanswered as failure:
            assert failure.passing
        time.sleep(0.02)
    raise AssertionError("it did not come back")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_a_server_is_started_waited_for_asked_with_its_own_key_and_ended():
    model = load(args=("--load-seconds", "0.3"))
    try:
        assert isinstance(model, AnswersInLoop)
        pid, arguments, name, text = says(model, "hello")
        assert (arguments, name, text) == (["serve", "org/small"], "big", "hello")
        assert pid == model.server.pid
        assert model.answer([Request("again")])[0].tokens_out == 2
        assert not any(
            "Bearer" in word or "key" in word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        )
    finally:
        model.close()
        model.close()
    assert gone(pid)


def test_a_running_server_is_joined_by_its_url():
    with serving(lambda asked: "from there") as endpoint:
        model = load(url=endpoint.url, model="there")
        try:
            assert model.answer([Request("hi")])[0].output == "from there"
            assert endpoint.asked[0]["model"] == "there"
        finally:
            model.close()


def test_a_server_that_dies_fails_what_it_was_asked_and_comes_back():
    model = load()
    try:
        pid = says(model)[0]
        os.kill(pid, signal.SIGKILL)
        again(model, pid)
        assert model.server.starts == 2
    finally:
        model.close()


def test_a_server_that_is_not_healthy_any_more_is_replaced(tmp_path):
    sick = tmp_path / "sick"
    model = load(args=("--sick", str(sick)))
    try:
        pid = says(model)[0]
        sick.touch()
        end = time.monotonic() + 10
        while not gone(pid) and time.monotonic() < end:
            time.sleep(0.02)
        sick.unlink()
        again(model, pid)
        assert gone(pid)
    finally:
        model.close()


def test_a_server_that_cannot_load_says_its_last_words():
    with pytest.raises(ModelError, match="vllm ended with exit code 3") as caught:
        load(args=("--fail",))
    assert caught.value.where == "candidates.big"
    assert "CUDA out of memory" in caught.value.fix


def test_a_server_that_takes_too_long_is_given_up_and_left_behind_nowhere():
    with pytest.raises(ModelError, match="not healthy after"):
        load(args=("--load-seconds", "60"), start_seconds=0.3)
    found = subprocess.run(["pgrep", "-f", "org/small.*--load-seconds 60"], capture_output=True, check=False)
    assert found.stdout == b""


def test_where_vllm_is_absent_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ModelError, match="vllm is not installed") as caught:
        load()
    assert "pip install" in caught.value.fix
    assert "url" in caught.value.fix


def test_a_killed_parent_takes_its_server_along():
    program = (
        "import time; from lifeloop.core.candidates import Candidate; from lifeloop.models.vllm import KIND;"
        "model = KIND.load(Candidate('big', 'vllm', 'chat', (), {'model': 'hub:org/small'}), None, ());"
        "print(model.server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert not gone(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    end = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert gone(pid)
