"""Preferences of a cycle: from files, the data's own pairs, feedback and a judge to one artifact that says which of
them may be learnt from.

Reads the splits that judge, to keep their inputs out of what trains. Nothing is read, asked or judged twice.
"""

from pathlib import Path

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.data import Dataset, Finding, Split
from lifeloop.core.data_brief import Splits
from lifeloop.core.errors import DataError
from lifeloop.core.preferences import Preferences
from lifeloop.core.progress import Progress
from lifeloop.guards.reviewed import NO, YES
from lifeloop.lifecycle.preferences_ai import JudgedPairs, constitution_of, judged_pairs
from lifeloop.lifecycle.refined import reading_of
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.project import Project
from lifeloop.sources.places import places, source_of
from lifeloop.sources.source import Reading
from lifeloop.stages import prefer, prefer_feedback, prefer_rows
from lifeloop.stages.prefer import Given, Sorted, Terms
from lifeloop.store.dataset_parts import tables_of
from lifeloop.store.ledger import CycleRow
from lifeloop.store.preference_tables import doubted_to_table, preferences_to_table
from lifeloop.store.tables import RAW_SCHEMA, from_parquet, scan, to_parquet
from lifeloop.store.vault import Vault

STAGE = "prefer"
_JUDGING: tuple[Split, ...] = ("test", "guard")


class RawPreferences(Struct, frozen=True):
    """Preferences of one origin as they came."""

    origin: str
    table: Id
    """Parquet of RAW_SCHEMA."""


def trusted_preferences(
    project: Project, runner: Runner, row: CycleRow, dataset: Done[Dataset], *, spend: bool = True
) -> Done[Preferences] | None:
    """Return the cycle's preferences, or None where there are no files, no judge, no feedback and no pairs in the data.

    Without `spend`, no model is asked to judge; what one preferred before is there all the same. Raises BriefError or
    DataError for files that cannot be used, ModelError where a judge does not answer or the budget is used up.
    """
    raw = [
        *_from_files(project, runner),
        *_from_data(project, runner.vault, dataset.value),
        *_from_feedback(project, runner, row),
    ]
    judged = judged_pairs(project, runner, dataset, spend=spend)
    if judged:
        raw.append(RawPreferences(f"ai:{project.brief.preferences.ai.judge}", judged.value.table))
    if not raw:
        return None
    terms = Terms(project.brief.project.task, project.brief.data, project.brief.preferences)
    reviews = _reviews(project)
    section = prefer.section(terms)
    against = {split: dataset.value.tables[split] for split in _JUDGING}
    return runner.run(
        STAGE,
        "preferences",
        version=prefer.VERSION,
        inputs={
            "given": content_id([msgspec.to_builtins(each) for each in raw]),
            "judging": content_id(against),
            "reviews": content_id(reviews),
            "lean": content_id(judged.value.lean) if judged else "",
        },
        section=section,
        kind=Preferences,
        work=lambda progress: _sorted(runner.vault, raw, dataset.id, reviews, terms, judged, progress),
    )


def preferences_fingerprint(project: Project) -> str:
    """Return an id of all that preferences rest on beside the brief and the ledger: files, the constitution, reviews.

    "" where there is nothing of the kind. Raises DataError or BriefError where a file is missing.
    """
    asked = project.brief.preferences
    files = prefer_rows.fingerprints(reading_of(project), asked)
    constitution = bytes_id(constitution_of(project).encode()) if asked.ai.judge else ""
    reviews = _reviews(project)
    return content_id([files, constitution, reviews]) if files or constitution or reviews else ""


# where they come from


def _from_files(project: Project, runner: Runner) -> list[RawPreferences]:
    asked, reading = project.brief.preferences, reading_of(project)
    if not asked.sources:
        return []
    data = reading.data
    columns = [data.input, data.encoding, data.query, data.sheet, data.subset, data.revision]
    told = [asked.format, asked.rater, asked.time, asked.subject, asked.first]
    done = runner.run(
        STAGE,
        "files",
        version=prefer_rows.VERSION,
        inputs={"source": content_id(prefer_rows.fingerprints(reading, asked))},
        section=[asked.sources, told, columns, reading.task],
        kind=RawPreferences,
        work=lambda progress: RawPreferences(
            "file", runner.vault.put(to_parquet(prefer_rows.raw_preferences(reading, asked, progress)))
        ),
    )
    return [done.value]


def _from_data(project: Project, vault: Vault, dataset: Dataset) -> list[RawPreferences]:
    """Return the pairs among the training rows, where the brief names no files of pairs besides."""
    parts = dataset.tables["train"]
    if project.brief.preferences.sources or not parts:
        return []
    named = [pl.col(name) for name in ("input", "reference", "rejected", "source")]
    found = scan([vault.get(part) for part in parts]).select(named).filter(pl.col("rejected") != "").collect()
    if not found.height:
        return []
    blank = {name: pl.lit("") for name in RAW_SCHEMA} | {"slices": pl.lit("{}")}
    rows = found.with_columns(each.alias(name) for name, each in blank.items() if name not in found.columns)
    return [RawPreferences("file", vault.put(to_parquet(rows.select(list(RAW_SCHEMA)))))]


def _from_feedback(project: Project, runner: Runner, row: CycleRow) -> list[RawPreferences]:
    if not project.brief.preferences.feedback:
        return []
    rows = runner.ledger.feedback(until=row.feedback_until)
    others = runner.ledger.events(prefer_feedback.compared(rows))
    table = prefer_feedback.said(rows, others, project.brief.project.task)
    return [RawPreferences("feedback", runner.vault.put(to_parquet(table)))] if table.height else []


# what people decided


def _reviews(project: Project) -> dict[str, bool]:
    """Return of ids whether a person keeps them. Raises DataError where a row says something else than yes or no."""
    path = project.brief.preferences.trust.reviewed
    if not path:
        return {}
    where = "lifeloop.toml: preferences.trust.reviewed"
    if not Path(project.folder / path).exists() and not any(sign in path for sign in "*?["):
        raise DataError(
            f"there is no file {path!r}", where=where, fix="`lifeloop data preferences --review` writes one"
        )
    reading = _of_reviews(reading_of(project), path)
    found: dict[str, bool] = {}
    for place in places(reading):
        source = source_of(place)
        if not source.sample(place.place, reading, 1):  # a header alone: nobody has said anything yet
            continue
        for chunk in source.chunks(place.place, reading):
            for each in chunk.table.iter_rows(named=True):
                keep = each["reference"].strip().casefold()
                if each["flaw"] or (keep and keep not in (*YES, *NO)):
                    what = each["flaw"] or f"the column keep says {keep!r}"
                    raise DataError(what, where=each["source"], fix='write "yes" or "no", or leave it empty')
                if keep and found.setdefault(each["input"], keep in YES) != (keep in YES):
                    fix = "leave one of them: of one preference there is one answer"
                    raise DataError("another answer than a row above it has", where=each["source"], fix=fix)
    return found


def _of_reviews(reading: Reading, path: str) -> Reading:
    data = msgspec.structs.replace(
        reading.data,
        source=path,
        format="auto",
        input="id",
        reference="keep",
        id="",
        group="",
        split="",
        slices=(),
        splits=Splits(),
        encoding="utf-8",
    )
    return msgspec.structs.replace(reading, data=data)


# what becomes of them


def _sorted(
    vault: Vault,
    raw: list[RawPreferences],
    dataset: Id,
    reviews: dict[str, bool],
    terms: Terms,
    judged: Done[JudgedPairs] | None,
    progress: Progress,
) -> Preferences:
    given = [Given(each.origin, from_parquet(vault.get(each.table))) for each in raw]
    preferences, unusable = prefer.usable(given, terms)
    progress(0, len(preferences), "looking for what may not be learnt from")
    judging = {
        split: [text for table in tables_of(vault, dataset, split) for text in table["input"]] for split in _JUDGING
    }
    found = prefer.sorted_out(preferences, judging, reviews, terms)
    return _stored(vault, found, unusable, judged)


def _stored(
    vault: Vault, found: Sorted, unusable: tuple[Finding, ...], judged: Done[JudgedPairs] | None
) -> Preferences:
    return Preferences(
        trusted=vault.put(to_parquet(preferences_to_table(found.trusted))),
        held_out=vault.put(to_parquet(preferences_to_table(found.held_out))),
        doubted=vault.put(to_parquet(doubted_to_table(found.doubted))),
        n_trusted=len(found.trusted),
        n_held_out=len(found.held_out),
        n_doubted=len(found.doubted),
        flip_rate=found.flip_rate,
        raters=found.raters,
        leans=(*found.leans, *((judged.value.lean,) if judged and judged.value.lean.n else ())),
        findings=(*unusable, *found.findings),
    )
