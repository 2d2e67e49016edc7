"""Raw texts that a brief names for pre-training: read, cleared of what judges, and kept in the vault.

Takes the patterns of a candidate's `corpus`, gives the id of a folder with one JSONL of documents. A text that repeats
an example of test or guard would make every candidate look better than it is, so such documents are left out.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Dataset
from lifeloop.core.data_brief import PersonalData
from lifeloop.core.errors import BriefError, DataError
from lifeloop.core.progress import Progress
from lifeloop.guards.guard import comparable
from lifeloop.guards.personal.masking import Masking, masked_text
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import Project
from lifeloop.store.datasets import read_for_evaluation
from lifeloop.store.vault import Vault, file_id

VERSION = "1"
FILE = "corpus.jsonl"
ENDINGS = (".txt", ".md", ".jsonl")
RUN_OF_WORDS = 13
"""Words in a row that a document and a judging text may not share (as Brown et al., 2020, clean their corpus)."""
FEWEST_WORDS = 5
"""A judging text of fewer words is in many documents by chance: only a document that is it and nothing else goes."""


class Corpus(Struct, frozen=True):
    """Raw texts, ready to be trained on."""

    folder: Id
    n_documents: int
    n_chars: int
    n_left_out: int
    """Documents that repeat what judges, or hold personal data where the brief quarantines that."""


class _Record(Struct):
    text: str = ""


def files_of(patterns: Sequence[str], folder: Path, where: str) -> tuple[Path, ...]:
    """Return the files that patterns name, relative to the project, sorted. Raises BriefError where one names none."""
    found: set[Path] = set()
    root = folder.resolve()
    for pattern in patterns:
        try:
            named = [path.resolve() for path in root.glob(pattern)] if pattern else []
        except (NotImplementedError, ValueError, OSError):  # an absolute path, or what is no pattern
            named = []
        matches = [path for path in named if path.is_file() and path.suffix in ENDINGS and path.is_relative_to(root)]
        if not matches:
            raise BriefError(
                f"no text file is named by {pattern!r}",
                where=f"lifeloop.toml: {where}",
                fix=f"write a path or a pattern of files inside the project that end in {', '.join(ENDINGS)}",
            )
        found.update(matches)
    return tuple(sorted(found))


def patterns_of(table: dict[str, object]) -> tuple[str, ...]:
    """Return the patterns in a candidate's section, however many there are."""
    said = table.get("corpus") or ()
    return (said,) if isinstance(said, str) else tuple(str(each) for each in said)  # type: ignore[attr-defined]


def fingerprint(project: Project) -> Id:
    """Return a hash of every corpus file that the brief names, or "" where it names none."""
    tables = project.brief.candidates
    files = [
        path
        for name, table in tables.items()
        for path in files_of(patterns_of(table), project.folder, f"candidates.{name}.corpus")
    ]
    return content_id(_named(files, project.folder)) if files else ""


def _named(files: Sequence[Path], folder: Path) -> dict[str, Id]:
    """Return the hash of each file by its path in the project."""
    return {str(path.relative_to(folder.resolve())): file_id(path) for path in files}


def corpus_of(project: Project, runner: Runner, dataset: Done[Dataset], name: str) -> Done[Corpus] | None:
    """Return the corpus of a candidate, made once; None where it names none. Raises BriefError or DataError."""
    patterns = patterns_of(project.brief.candidates[name])
    if not patterns:
        return None
    files = files_of(patterns, project.folder, f"candidates.{name}.corpus")

    def gather(progress: Progress) -> Corpus:
        judging = [
            text
            for split in ("test", "guard")
            for example in read_for_evaluation(runner.vault, dataset.id, split)  # type: ignore[arg-type]
            for text in ((example.input, example.reference) if written else (example.input,))
        ]
        return gathered(runner.vault, files, judging, masking, progress)

    brief = project.brief
    written = brief.project.task in ("generate", "chat")  # else a reference is a label, and in texts of all kinds
    masking = brief.data.refine.personal_data

    return runner.run(
        "collect",
        f"corpus of {name}",
        version=VERSION,
        inputs={str(path.relative_to(project.folder.resolve())): file_id(path) for path in files}
        | {"dataset": dataset.id},
        section=msgspec.to_builtins([written, masking]),
        kind=Corpus,
        work=gather,
    )


def gathered(
    vault: Vault, files: Sequence[Path], judging: Sequence[str], personal: PersonalData, progress: Progress
) -> Corpus:
    """Return the documents of files that repeat none of the judging texts, their personal data as the data's own.

    Raises DataError where none is left.
    """
    forbidden = _judging_runs(judging)
    n, n_chars, left_out = 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as folder:
        with (Path(folder) / FILE).open("wb") as out:
            for place, path in enumerate(files):
                progress(place, len(files), path.name)
                for text in (_without_personal(text, personal) for text in _documents(path)):
                    if not text or _repeats(text, forbidden):
                        left_out += 1
                        continue
                    out.write(msgspec.json.encode({"text": text}) + b"\n")
                    n, n_chars = n + 1, n_chars + len(text)
        if not n:
            raise DataError(
                "no document is left to train on",
                where=", ".join(path.name for path in files[:3]),
                fix=f"{left_out} repeat examples of test or guard; name other files"
                if left_out
                else "name other files",
            )
        return Corpus(vault.put_folder(Path(folder)), n, n_chars, left_out)


def _documents(path: Path) -> Iterator[str]:
    """Yield the documents of a file: the `text` of each line of JSON, else what empty lines part."""
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    text = msgspec.json.decode(line, type=_Record).text
                except msgspec.MsgspecError as error:
                    where, fix = f"{path.name}:{number}", 'write {"text": "…"} on each line'
                    raise DataError(f"not a record with a text: {error}", where=where, fix=fix) from None
                if text.strip():
                    yield text
        return
    try:
        whole = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=path.name, fix="save it as UTF-8") from None
    for text in whole.replace("\r\n", "\n").split("\n\n"):
        if text.strip():
            yield text.strip()


def _without_personal(text: str, settings: PersonalData) -> str:
    """Return a document as refining would leave its text; "" where it would be set aside."""
    if not settings.on or settings.action == "report":
        return text
    masked, _, found = masked_text(text, Masking(settings.kinds, settings.regions, None, {}))
    return "" if found and settings.action == "quarantine" else masked


def _judging_runs(texts: Sequence[str]) -> dict[int, set[tuple[str, ...]]]:
    """Return the runs of words that no document may hold, by their length: a text shorter than a run is one itself."""
    found: dict[int, set[tuple[str, ...]]] = {}
    for text in texts:
        words = comparable(text).split()
        size = min(len(words), RUN_OF_WORDS)
        for run in _runs(words, size):
            found.setdefault(size, set()).add(run)
    return found


def _repeats(text: str, forbidden: dict[int, set[tuple[str, ...]]]) -> bool:
    words = comparable(text).split()
    return any(
        not runs.isdisjoint(_runs(words, size)) if size >= FEWEST_WORDS else tuple(words) in runs
        for size, runs in forbidden.items()
    )


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - size + 1):
        yield tuple(words[start : start + size])
