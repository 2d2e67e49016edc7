"""The sheet on which people fill in labels: written for a list of rows, and read back as feedback on events.

A row of a file is given back by naming the sheet as a source of the data; a row that came in as an event, by
`give_back`, or as POST /v1/feedback. Knows nothing of how the rows were chosen.
"""

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import content_id
from lifeloop.core.data_brief import Data
from lifeloop.core.errors import BriefError, DataError
from lifeloop.core.events import Feedback
from lifeloop.project import Project
from lifeloop.stages.shortlist import Proposed
from lifeloop.tasks.task import Task

ABOUT = ("source", "event", "suggestion", "confidence", "why", "alike")
"""Columns beside those that the brief names."""


class GivenBack(Struct, frozen=True):
    """What came of a sheet."""

    n_labels: int
    """Labels that are feedback now, or were before."""
    n_empty: int
    """Rows of events that nobody filled in."""
    n_others: int
    """Filled rows that came from files: give the sheet as a source for them."""
    refused: tuple[str, ...]
    """Rows whose label cannot be used, each with the reason."""


def check_sheet(path: Path) -> None:
    """Raise BriefError where a sheet cannot be written there, before anybody is asked."""
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise BriefError(f"{path.name} is no name for a sheet", where="--to", fix="end it in .csv or .jsonl")
    if path.exists():
        raise BriefError("there is such a file", where=str(path), fix="name another: it may hold labels already")


def write_sheet(path: Path, rows: tuple[Proposed, ...], data: Data) -> None:
    """Write rows as CSV or, for a name that ends in .jsonl, as JSON lines. Raises as `check_sheet` does.

    It has the columns that the brief names, so that it can be named as a source; that of the reference is empty. A row
    that was chosen is no random one: where the brief has a column of splits, it is declared for train.
    """
    check_sheet(path)
    records = [_record(each, data) for each in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix.lower() == ".jsonl":
            file.writelines(msgspec.json.encode(record).decode() + "\n" for record in records)
            return
        writer = csv.DictWriter(file, fieldnames=_columns(data))
        writer.writeheader()
        writer.writerows(records)


def _columns(data: Data) -> list[str]:
    named = [data.id or "id", data.input, data.reference, data.group, data.split, data.splits.column, *data.slices]
    return list(dict.fromkeys(name for name in (*named, *ABOUT) if name))


def _record(proposed: Proposed, data: Data) -> dict[str, str]:
    row = proposed.row
    sure = "" if proposed.confidence is None else f"{proposed.confidence:.4f}"
    about = (row.source, row.event, proposed.suggestion, sure, proposed.why, str(proposed.alike))
    own = {data.id or "id": row.id, data.input: row.input, data.reference: ""}
    given = {data.group: row.group, data.split: "train"} | row.slices
    record = dict(zip(ABOUT, about, strict=True)) | given | own  # a column of the brief's comes before one of ours
    return {name: record.get(name, "") for name in _columns(data)}


def give_back(project: Project, path: Path, rater: str, at: float) -> GivenBack:
    """Record the labels of a filled sheet as feedback of `rater` on the events that its rows came from.

    The same sheet twice changes nothing. Raises DataError where it cannot be read.
    """
    task: Task = plugins.get("tasks", project.brief.project.task)
    said: list[Feedback] = []
    refused: list[str] = []
    n_empty, n_others = 0, 0
    with contextlib.closing(project.open_ledger()) as ledger:
        release = ledger.current_release()
        labels = project.open_vault().get_value(release.candidate, Candidate).labels if release else ()
        choices = task.contract(labels).choices
        for place, record in _filled(path, project.brief.data):
            label, event = record[project.brief.data.reference].strip(), record.get("event", "").strip()
            if not event or not label:
                n_others += bool(label)
                n_empty += bool(event)
                continue
            flaw = task.flaw(label)
            if choices and label not in choices:
                flaw = "a label that what is in production does not know: give the sheet as a source for it"
            if not flaw and ledger.event(event) is None:
                flaw = "there is no such event"
            if flaw:
                refused.append(f"{place}: {flaw}")
                continue
            said.append(Feedback(content_id([event, rater, label])[:32], event, at, rater, label=label))
        ledger.add_served([], said)
    return GivenBack(len(said), n_empty, n_others, tuple(refused))


def _filled(path: Path, data: Data) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the rows of a sheet, each with its place."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(path), fix="name the sheet that was filled in") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="save it as UTF-8") from None
    if path.suffix.lower() == ".jsonl":
        lines = [line for line in text.splitlines() if line.strip()]
        records = [_json(line, f"{path.name}:{number}") for number, line in enumerate(lines, start=1)]
    else:
        records = [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    for number, record in enumerate(records, start=1):
        if data.reference not in record:
            fix = f"keep the column {data.reference!r}: labels go there"
            raise DataError(f"there is no column {data.reference!r}", where=f"{path.name}:{number}", fix=fix)
        yield f"{path.name}:{number}", {key: str(value or "") for key, value in record.items() if key is not None}


def _json(line: str, place: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise DataError("not a JSON object", where=place, fix="one object a line") from None
