"""A small project to run for real: a few hundred texts made from word lists, and a brief with quick candidates."""

import contextlib
import csv
import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from lifeloop.cli.main import main
from lifeloop.core.events import Event, Feedback
from lifeloop.lifecycle.cycle import CycleResult, run_cycle
from lifeloop.lifecycle.runner import Notice
from lifeloop.project import open_project
from lifeloop.store.ledger import Ledger

TOPICS = {
    "sport": ("match", "goal", "team", "player", "coach", "league", "stadium", "score", "season", "trophy"),
    "money": ("bank", "stock", "market", "shares", "profit", "bond", "trader", "interest", "dividend", "tax"),
    "health": ("doctor", "nurse", "hospital", "patient", "virus", "vaccine", "surgery", "clinic", "fever", "drug"),
    "travel": ("train", "ticket", "airport", "flight", "hotel", "luggage", "passport", "station", "harbour", "ferry"),
}
FILLER = (
    "the",
    "a",
    "on",
    "of",
    "in",
    "with",
    "today",
    "yesterday",
    "said",
    "report",
    "after",
    "before",
    "new",
    "about",
    "first",
)
SOURCE = '[data]\nsource = "data.csv"\n'
DATA = SOURCE + "splits = { train = 0.6, validation = 0.2, test = 0.2, guard = 0.0 }\n"
OBJECTIVES = '[[objectives]]\nmetric = "accuracy"\ntarget = 0.5\n[[objectives]]\nmetric = "macro_f1"\nguard = true\n'
CANDIDATES = '[candidates.majority]\nkind = "majority"\n[candidates.tfidf]\nkind = "features"\n'
REST = '[release]\nfallback = ["majority"]\n[monitor]\nmin_feedback = 5\n'


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


class Ran(NamedTuple):
    """A cycle's result, and what was told on the way."""

    result: CycleResult
    notices: list[Notice]

    def subjects(self, kind: str) -> list[str]:
        return [f"{notice.stage} {notice.subject}" for notice in self.notices if notice.kind == kind]


def texts(n: int = 320, seed: int = 7, noise: float = 0.08) -> list[tuple[str, str]]:
    """Return texts with labels that words give away, but for a share of them that is labelled by chance."""
    chance, found = random.Random(seed), []
    for number in range(n):
        label = list(TOPICS)[number % len(TOPICS)]
        words = chance.choices(TOPICS[label], k=4) + chance.choices(FILLER, k=4) + [f"n{seed}x{number}"]
        chance.shuffle(words)
        found.append((" ".join(words), chance.choice(list(TOPICS)) if chance.random() < noise else label))
    return found


def write_csv(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def brief(*, data: str = DATA, objectives: str = OBJECTIVES, candidates: str = CANDIDATES, rest: str = REST) -> str:
    head = '[project]\nname = "news"\ntask = "classify"\n'
    return "\n".join([head, data, objectives, candidates, rest])


def small_project(folder: Path, text: str | None = None, rows: list[tuple[str, str]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lifeloop.toml").write_text(brief() if text is None else text, encoding="utf-8")
    write_csv(folder / "data.csv", texts() if rows is None else rows)
    return folder


def edit(folder: Path, **sections: str) -> None:
    (folder / "lifeloop.toml").write_text(brief(**sections), encoding="utf-8")


def run(folder: Path, *, learn_now: bool = False) -> Ran:
    """Run a cycle in this process."""
    notices: list[Notice] = []
    return Ran(run_cycle(open_project(folder), notices.append, time.time, learn_now=learn_now), notices)


@contextlib.contextmanager
def ledger_of(folder: Path) -> Iterator[Ledger]:
    with contextlib.closing(open_project(folder).open_ledger()) as ledger:
        yield ledger


def teach(folder: Path, said: list[tuple[str, str]], first: int = 0) -> None:
    """Record a request for each text, and a person who says what its label is."""
    with ledger_of(folder) as ledger:
        release = ledger.current_release()
        by = (release.id, release.candidate, release.name)
        for number, (text, label) in enumerate(said, first):
            event = Event(f"e{number}", time.time(), *by, text, "sport", 0.5, 0.01, 0, 0, 0.0)
            ledger.add_served([event], [Feedback(f"f{number}", event.id, time.time(), "ann", label=label)])


def call(*arguments: object) -> Said:
    """Run the command in this process, which saves the seconds that an interpreter takes; what it lets out, fails."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["lifeloop", *map(str, arguments)]
    code = 0
    with patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lifeloop", *map(str, arguments)]


def start(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
        **options,
    )


def lifeloop(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> Said:
    """Run the command as users do."""
    process = start(*arguments, env=env, **options)
    out, err = process.communicate(timeout=240)
    return Said(process.returncode, out, err)


def alive_in(session: int) -> list[int]:
    """Return the processes of a session that are alive: all that a command started with `start` has left."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def wait_until(there: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to be so. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.02)


def assert_clear(said: Said, *parts: str) -> None:
    """Assert that a command failed as a person wants it to: with these words, a remedy and no traceback."""
    assert said.code in (1, 2), said
    assert "Traceback" not in said.all, said.all
    for part in parts:
        assert part in said.err, f"{part!r} is not in:\n{said.err}"
    assert said.code == 2 or "→" in said.err, said.err
