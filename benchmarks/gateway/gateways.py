"""What is measured: the stub alone, the bare pass-through, lifeloop's gateway and LiteLLM's proxy, each started whole.

Each gives the URL of its chat completions, the headers its clients send and the name they ask for.
"""

import contextlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from processes import Process, cores, running, until

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.core.keys import KeyLimits
from lifeloop.lifecycle.api_keys import create_key
from lifeloop.models.remote import Settings
from lifeloop.project import open_project

HERE = Path(__file__).parent
THEIRS, OURS = cores()
"""The core of what is measured, and those of the stub and the clients."""

BRIEF = """
[project]
name = "bench"
task = "chat"

[data]
source = "turns.csv"

[[objectives]]
metric = "token_f1"
target = 0.5

[candidates.stub]
kind = "remote"
url = "{upstream}"
model = "stub"
{workers}
"""
LITELLM = """
model_list:
  - model_name: bench
    litellm_params:
      model: openai/stub
      api_base: {upstream}
      api_key: none
litellm_settings:
  callbacks: peer_log.log
  request_timeout: 30
  telemetry: false
general_settings:
  disable_spend_logs: true
  disable_error_logs: true
"""
PEER_LOG = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Log(CustomLogger):
    def __init__(self):
        self.file = open("peer.jsonl", "a", buffering=1)
    async def async_log_success_event(self, kwargs, response, start, end):
        usage = getattr(response, "usage", None)
        tokens = getattr(usage, "total_tokens", None)
        line = {"model": kwargs.get("model"), "tokens": tokens, "s": (end - start).total_seconds()}
        self.file.write(json.dumps(line) + "\\n")

log = Log()
"""


class Server(Struct, frozen=True):
    """A server under measurement."""

    name: str
    url: str
    model: str
    process: Process
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that its clients send."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@contextlib.contextmanager
def stub(folder: Path, *, latency: float = 0.0, gap: float = 0.0, pieces: int = 20) -> Iterator[Server]:
    """Run the stub upstream."""
    command = [
        sys.executable,
        str(HERE / "stub.py"),
        "--latency",
        str(latency),
        "--gap",
        str(gap),
        "--pieces",
        str(pieces),
    ]
    with running(command, OURS, log=folder / "stub.log") as process:
        base = f"http://127.0.0.1:{process.line()}/v1"
        yield Server("stub alone", f"{base}/chat/completions", "stub", process)


@contextlib.contextmanager
def bare(folder: Path, upstream: str) -> Iterator[Server]:
    """Run the bare pass-through."""
    command = [sys.executable, str(HERE / "bare.py"), "--upstream", upstream, "--log", str(folder / "bare.jsonl")]
    with running(command, THEIRS, log=folder / "bare.log") as process:
        base = f"http://127.0.0.1:{process.line()}/v1"
        until(lambda: answers(f"{base}/chat/completions", post=b"{}"))
        yield Server("bare", f"{base}/chat/completions", "bench", process)


def make_project(folder: Path, upstream: str, more: str = "") -> str:
    """Make a project with a remote candidate in production and a key with limits; return the key."""
    folder.mkdir()
    (folder / "lifeloop.toml").write_text(BRIEF.format(upstream=upstream, workers=more))
    (folder / "turns.csv").write_text("text,reference\nhello,hello\n")
    project = open_project(folder)
    vault, ledger = project.open_vault(), project.open_ledger()
    settings = msgspec.to_builtins(
        Settings(url=upstream, model="stub", usd_per_million_in=1.0, usd_per_million_out=2.0)
    )
    candidate = vault.put_value(Candidate("stub", "remote", "chat", (), settings))
    release = vault.put_value(Release(cycle=1, verdict="v", candidate=candidate, name="stub", timeout_seconds=30.0))
    ledger.add_release(id=release, verdict="v", candidate=candidate, name="stub", at=time.time())
    limits = KeyLimits(requests_per_minute=100_000_000, tokens_per_minute=10_000_000_000, usd_per_day=1e9)
    made = create_key(ledger, "bench", scopes=("infer",), limits=limits, by="benchmark", clock=time.time)
    ledger.close()
    return made.key


@contextlib.contextmanager
def lifeloop(folder: Path, upstream: str, *, workers: int = 1) -> Iterator[Server]:
    """Run `lifeloop serve` before a project with a release, a key with limits and all that is on by default."""
    project = folder / f"project-{time.time_ns()}"
    key = make_project(project, upstream)
    program = Path(sys.executable).with_name("lifeloop")
    command = [str(program), "-C", str(project), "serve", "--port", "0", "--workers", str(workers)]
    with running(command, THEIRS, log=folder / "lifeloop.log") as process:
        process.line()
        base = process.line().split()[0]
        until(lambda: answers(f"{base.removesuffix('/v1')}/readyz"))
        yield Server("lifeloop", f"{base}/chat/completions", "bench", process, key)
    with contextlib.closing(open_project(project).open_ledger()) as ledger:
        print(f"  {ledger.count_events()} events are in the ledger after its end")


@contextlib.contextmanager
def litellm(folder: Path, upstream: str, python: Path) -> Iterator[Server]:
    """Run LiteLLM's proxy: one worker, no database, nothing printed, a log of one line a request."""
    place = folder / "litellm"
    place.mkdir(exist_ok=True)
    (place / "config.yaml").write_text(LITELLM.format(upstream=upstream))
    (place / "peer_log.py").write_text(PEER_LOG)
    port = free_port()
    command = [
        str(python.parent / "litellm"),
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": "sk-bench",
    }
    with running(command, THEIRS, log=folder / "litellm.log", env=env, cwd=place) as process:
        base = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{base}/health/liveliness"), 180.0)
        yield Server("litellm", f"{base}/v1/chat/completions", "bench", process, "sk-bench")


def answers(url: str, post: bytes | None = None) -> bool:
    """Return whether a URL answers with success, or a POST with anything."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=post), timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError as error:
        return isinstance(error, urllib.error.HTTPError) and post is not None


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
