"""A project with pairs of answers: a question, a polite answer that people like, and a rude one."""

import contextlib
import json
import random
import time
from pathlib import Path

from lifeloop.core.events import Event, Feedback
from lifeloop.core.preferences import Preferences
from lifeloop.lifecycle.cycle import build_preferences
from lifeloop.lifecycle.runner import Done, Notice
from lifeloop.project import Project, open_project
from lifeloop.store.ledger import VerdictRow
from lifeloop.store.preference_tables import Preferred, read_preferences
from lifeloop.store.recorder import Recorder

WORDS = (
    "parcel",
    "invoice",
    "shop",
    "refund",
    "order",
    "ticket",
    "basket",
    "voucher",
    "address",
    "delivery",
    "account",
    "password",
)
HEAD = '[project]\nname = "desk"\ntask = "generate"\n[data]\nsource = "data.jsonl"\ninput = "q"\nreference = "a"\n'
REST = (
    '[[objectives]]\nmetric = "exact"\ntarget = 0.5\n[candidates.small]\nkind = "remote"\n'
    'url = "http://127.0.0.1:9/v1"\nmodel = "small"\nretries = 0\n'
)
PAIRS = '[preferences]\nsource = "pairs.jsonl"\nrater = "by"\ntime = "at"\nsubject = "topic"\n'


def questions(n: int, seed: int) -> list[str]:
    """Return questions no two of which are near copies."""
    chance = random.Random(seed)
    rare = [["".join(chance.choices("bdfgklmnprstaeiou", k=7)) for _ in range(3)] for _ in range(n)]
    return [" ".join([*chance.sample(WORDS, 5), *each]) for each in rare]


def write(path: Path, records: list[dict]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def data(n: int = 60) -> list[dict]:
    return [{"q": text, "a": "Gladly."} for text in questions(n, seed=1)]


def pairs(n: int = 40) -> list[dict]:
    return [
        {"prompt": text, "chosen": f"Gladly: {text}.", "rejected": f"No: {text}!"}
        | {"by": ("ann", "bob", "cleo")[place % 3], "at": 1_760_000_000 + 86_400 * place, "topic": text.split()[0]}
        for place, text in enumerate(questions(n, seed=2))
    ]


def preference_project(folder: Path, preferences: str = PAIRS, rest: str = REST, extra: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lifeloop.toml").write_text("\n".join([HEAD, preferences, rest, extra]), encoding="utf-8")
    write(folder / "data.jsonl", data())
    write(folder / "pairs.jsonl", pairs())
    return folder


class Told:
    """What a project's preferences came to, and what was told on the way."""

    def __init__(self, folder: Path) -> None:
        self.project: Project = open_project(folder)
        self.notices: list[Notice] = []
        self.row, self.done = build_preferences(self.project, self.notices.append, time.time)

    @property
    def id(self) -> str:
        assert self.done is not None
        return self.done.id

    @property
    def value(self) -> Preferences:
        assert isinstance(self.done, Done)
        return self.done.value

    @property
    def tables(self) -> Preferred:
        return read_preferences(self.project.open_vault(), self.id)

    @property
    def n_given(self) -> int:
        return self.value.n_trusted + self.value.n_held_out + self.value.n_doubted

    def ran(self) -> list[str]:
        return [f"{each.stage} {each.subject}" for each in self.notices if each.kind == "done"]


def served(folder: Path, events: list[Event], feedback: list[Feedback]) -> None:
    """Record what the gateway served and was told."""
    ledger = open_project(folder).open_ledger()
    with contextlib.closing(ledger), contextlib.closing(Recorder(ledger)) as recorder:
        for each in events:
            recorder.add_event(each)
        for said in feedback:
            recorder.add_feedback(said)


def event(name: str, asked: str, output: str) -> Event:
    return Event(name, time.time(), "r", "c", "small", asked, output, None, 0.1, 1, 1, 0.0)


def finished(folder: Path) -> None:
    """Give the last cycle a verdict, so that the next one learns from what was said meanwhile."""
    with contextlib.closing(open_project(folder).open_ledger()) as ledger:
        number = ledger.cycles()[-1].number
        ledger.add_verdict(VerdictRow(f"v{number}", number, "reject", "c1", "c0", "no better", time.time()))
