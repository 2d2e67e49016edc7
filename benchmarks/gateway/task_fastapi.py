"""What most people write: a FastAPI endpoint before a model, one request at a time. Runs in the peers' environment.

task_fastapi.py --site SITE_PACKAGES_OF_LIFELOOP --vault URL --cache FOLDER --candidate ID --log FILE
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

parser = argparse.ArgumentParser()
for name in ("site", "vault", "cache", "candidate", "log", "port"):
    parser.add_argument(f"--{name}", required=True)
options = parser.parse_args()
sys.path += [options.site, str(Path(__file__).parents[2] / "src")]

from lifeloop.core.candidates import Request  # noqa: E402 - found only now
from lifeloop.models.loading import load_candidate  # noqa: E402
from lifeloop.store.vault import Vault  # noqa: E402


class Question(BaseModel):
    """What is asked."""

    text: str


class Label(BaseModel):
    """What is answered."""

    label: str
    confidence: float


app = FastAPI()
model = load_candidate(Vault(options.vault, cache=Path(options.cache)), options.candidate)
alone = threading.Lock()  # the model is for one thread at a time
log = Path(options.log).open("a", buffering=1)  # noqa: SIM115 - as long as the process lives


@app.get("/healthz")
def healthz() -> str:
    """Say that it answers."""
    return "ok"


@app.post("/classify")
def classify(question: Question) -> Label:
    """Answer one text, and log it."""
    started = time.time()
    with alone:
        (answer,) = model.answer([Request(question.text)])
    log.write(json.dumps({"at": started, "in": question.text, "out": answer.output, "s": time.time() - started}) + "\n")
    return Label(label=answer.output, confidence=answer.confidence or 0.0)


uvicorn.run(
    app, host="127.0.0.1", port=int(options.port), loop="uvloop", http="httptools", log_config=None, access_log=False
)
