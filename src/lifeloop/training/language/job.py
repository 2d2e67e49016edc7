"""A training in several processes, one a GPU: torchrun starts them, each does the same training, the first one writes.

`python -m torch.distributed.run … -m lifeloop.training.language.job FOLDER` is one such process. FOLDER holds what it
trains on as JSON; what it reports comes as lines of JSON from the first process.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.core.progress import Progress
from lifeloop.training.language.journal import JOURNAL, OUT_OF_MEMORY, read_journal
from lifeloop.training.language.plan import LessMemory, is_first
from lifeloop.training.trainer import Decided, Materials

HANDED_OVER = tuple(
    field.name
    for field in msgspec.structs.fields(Materials)
    if field.name not in ("settings", "members", "scoring", "watch", "pay")
)
"""What a process is given of the materials: all but functions, and what only compositions use."""
REPORT = "lifeloop: "
ALONE = "write `processes = 1` to see why"


class Report(Struct, frozen=True, omit_defaults=True):
    """One line from the first process."""

    progress: tuple[int, int, str] | None = None
    watched: tuple[int, float] | None = None
    decided: Decided | None = None
    error: tuple[str, str, str] | None = None
    """What, where and what to do."""


def is_wanted(materials: Materials) -> bool:
    """Return whether a training is to be started in several processes: it has several GPUs, and is not one of them."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and n_wanted(materials.settings) > 1


def n_wanted(settings: Any) -> int:
    """Return how many processes train: as many as the settings' `processes` asks for, or one a GPU."""
    if wanted := getattr(settings, "processes", 1):
        return int(wanted)
    import torch

    return max(1, torch.cuda.device_count())


def launch(name: str, materials: Materials, folder: Path, progress: Progress) -> Decided:
    """Run the adaptation of that name in several processes and return what it decided.

    The files are written to `folder` by the first process. Raises ModelError; `Outdone` passes.
    """
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as place:
        scratch = materials.scratch or Path(place) / "scratch"  # the one folder that all of them see
        _hand_over(name, msgspec.structs.replace(materials, scratch=scratch), folder, Path(place))
        while True:
            lowered = _times_lowered(scratch)
            ended = _group(materials, Path(place), progress)
            if isinstance(ended, Decided):
                return ended
            if _times_lowered(scratch) == lowered:
                raise ended


def _group(materials: Materials, place: Path, progress: Progress) -> Decided | ModelError:
    """Start the processes, pass on what they report, and return what was decided or why they failed."""
    found: Decided | None = None
    error: ModelError | None = None
    last = ""
    with _started(place, n_wanted(materials.settings)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(REPORT):
                last = line.strip() or last
                continue
            report = msgspec.json.decode(line.removeprefix(REPORT), type=Report)
            if report.progress:
                progress(*report.progress)
            if report.watched:
                materials.watch(*report.watched)  # raises where a search gives it up; the group is then ended
            if report.error and error is None:
                what, where, fix = report.error
                error = ModelError(what, where=where, fix=fix)
            found = report.decided or found
    return found or error or ModelError(f"a training process failed: {last}", where="candidates", fix=ALONE)


def _times_lowered(scratch: Path) -> int:
    """Return how often memory has run out in the trainings of a scratch folder."""
    journals = [read_journal(file.parent) for file in scratch.rglob(JOURNAL)]
    return sum(event.startswith(OUT_OF_MEMORY) for journal in journals if journal for event in journal.events)


def _hand_over(name: str, materials: Materials, folder: Path, place: Path) -> None:
    given = {key: msgspec.to_builtins(getattr(materials, key), enc_hook=str) for key in HANDED_OVER}
    settings = msgspec.to_builtins(materials.settings)
    job = {"adaptation": name, "folder": str(folder), "settings": settings, "materials": given}
    (place / "job.json").write_text(json.dumps(job))


@contextlib.contextmanager
def _started(place: Path, n: int) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    process = subprocess.Popen(
        [*command, "-m", "lifeloop.training.language.job", str(place)],
        stdin=subprocess.PIPE,  # held open: at its end the processes know that nobody waits for them any more
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def work(place: Path) -> None:
    """Do the training that a folder describes, as one process of its group."""
    job: dict[str, Any] = json.loads((place / "job.json").read_text())
    trainer = plugins.get("adaptations", job["adaptation"])
    given = msgspec.convert(job["materials"] | {"members": [], "settings": None}, Materials, dec_hook=_path)
    materials = msgspec.structs.replace(
        given,
        settings=msgspec.convert(job["settings"], trainer.settings),
        watch=lambda step, score: _say(Report(watched=(step, score))),
    )
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        decided = trainer.build(
            materials, Path(job["folder"]), lambda done, total, note: _say(Report(progress=(done, total, note)))
        )
    except LessMemory:
        sys.exit(1)  # the launcher sees the smaller batch in the journal, and starts all of them again
    except LifeloopError as error:
        _write(Report(error=(error.what, error.where, error.fix)))
        raise
    except Exception as error:
        _write(Report(error=(f"{type(error).__name__}: {error}", "candidates", ALONE)))
        raise
    _say(Report(decided=decided))


def _end_with_launcher() -> None:
    """End this process and the one that started it when the launcher is gone, killed though it may be."""
    while os.read(0, 1):
        pass
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(1)


def _path(kind: type, value: Any) -> Any:
    return Path(value) if kind is Path else value


def _say(report: Report) -> None:
    if is_first():
        _write(report)


def _write(report: Report) -> None:
    sys.stdout.write(f"{REPORT}{msgspec.json.encode(report).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
