"""Takes the news use case once round the loop, and again with what users taught it, through the public commands.

Everything here can be typed by hand: each command is printed before it runs. What was done is not done twice.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import prepare

HERE = Path(__file__).parent
LIFELOOP = [sys.executable, "-m", "lifeloop", "-C", str(HERE)]
BATCH = 50


def main() -> None:
    """Run the demonstration."""
    begun = time.monotonic()
    say("News routing: five desks, 1,325 articles, and users who will send headlines instead.")
    prepare.main()
    lifeloop("plan")
    lifeloop("run")
    with gateway() as url:
        ask(url)
        if not told(url):
            teach(url)
        say("The next cycle: what users taught becomes data, and every candidate a challenger.")
        lifeloop("run")
        say("The gateway takes a new release over while it serves; the same request again:")
        wait_for_release(url)
        ask(url)
    lifeloop("status")
    lifeloop("why")
    lifeloop("compare", "tfidf", "smollm")
    say(f"Done in {time.monotonic() - begun:.0f} s. Read {shown(HERE / 'reports')}/cycle-1.html and cycle-2.html.")
    say(f"Serve it again: .venv/bin/lifeloop -C {shown(HERE)} serve")


def say(text: str) -> None:
    """Print a line of the story."""
    print(f"\n# {text}", flush=True)


def shown(path: Path) -> str:
    """Return a path as the reader would type it."""
    return os.path.relpath(path)


def lifeloop(*words: str) -> None:
    """Run a command, printed first."""
    print(f"\n$ lifeloop -C {shown(HERE)} {' '.join(words)}", flush=True)
    done = subprocess.run([*LIFELOOP, *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def status() -> dict[str, Any]:
    """Return what `lifeloop status --json` prints."""
    out = subprocess.run([*LIFELOOP, "status", "--json"], check=True, capture_output=True).stdout
    found: dict[str, Any] = json.loads(out)
    return found


@contextmanager
def gateway() -> Iterator[str]:
    """Serve while the block runs; gives the base URL."""
    print(f"\n$ lifeloop -C {shown(HERE)} serve --port 0 &", flush=True)
    process = subprocess.Popen([*LIFELOOP, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        print("".join(lines).rstrip(), flush=True)
        if process.poll() is not None:
            sys.exit(process.returncode)
        url = lines[1].split()[0].removesuffix("/v1")
        wait_for_release(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for_release(url: str) -> None:
    """Wait until the gateway serves what the ledger says is in production."""
    wanted = status()["release"]
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as reply:
                if json.load(reply).get("release") == wanted:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("the gateway did not become ready")


def ask(url: str) -> None:
    """Send one request with the unmodified `openai` package."""
    from openai import OpenAI

    say("Any OpenAI client works:")
    text = "Injury-hit Wales name young side for opening match"
    print(f">>> client.chat.completions.create(model='news', messages=[{{'role': 'user', 'content': {text!r}}}])")
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    reply = client.chat.completions.create(model="news", messages=[{"role": "user", "content": text}])
    print(f"{reply.choices[0].message.content!r}   (event {reply.id})", flush=True)


def told(url: str) -> bool:
    """Return whether users have given their feedback already."""
    del url
    return bool(status()["n_feedback"] >= prepare.N_TRAFFIC)


def teach(url: str) -> None:
    """Send the headlines, and for each the desk that it should have gone to; the corpus's own labels play the users."""
    lines = (HERE / "data" / "traffic.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][status()["n_feedback"] :]
    say(f"Users send {len(rows)} headlines, and say of each where it belonged:")
    begun, right = time.monotonic(), 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        answers = post(f"{url}/v1/tasks/news", {"texts": [row["text"] for row in batch]})
        for row, answer in zip(batch, answers["answers"], strict=True):
            right += answer["label"] == row["label"]
            post(f"{url}/v1/feedback", {"event": answer["event"], "label": row["label"], "rater": "desk"})
    seconds = time.monotonic() - begun
    print(f"{len(rows)} requests, as much feedback, {seconds:.1f} s; the champion was right on {right}", flush=True)


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON, return JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


if __name__ == "__main__":
    main()
