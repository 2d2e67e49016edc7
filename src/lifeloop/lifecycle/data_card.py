"""A version's data card: gathers everything it shows, and writes it into the project's `reports/`.

Reads ledger and vault; changes neither.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from lifeloop.core.brief import Brief
from lifeloop.core.content import Id, short
from lifeloop.core.data import Dataset, DatasetPart, Finding, RawPart
from lifeloop.lifecycle import data_figures as figures
from lifeloop.lifecycle.data_diff import difference
from lifeloop.lifecycle.data_texts import shown_rows
from lifeloop.lifecycle.data_versions import brief_of, version_before, version_named
from lifeloop.project import Project
from lifeloop.reports.data_card import data_document
from lifeloop.reports.data_record import DataRecord, DataVersion, FoundRows, Shares
from lifeloop.reports.html import html_page
from lifeloop.reports.markdown import markdown_page
from lifeloop.stages.collect import Collected
from lifeloop.store.dataset_parts import paired_parts
from lifeloop.store.ledger import Ledger
from lifeloop.store.vault import Vault

MOST_ROWS = 3
"""Rows of a finding whose text is shown."""
MOST_FINDINGS = 40
"""Findings with the most rows of which rows are shown."""
NOT_SURE = "too short or too mixed to tell"
"""What stands for the language of a text that the model is less sure of than the brief asks."""


def write_card(project: Project, record: DataRecord) -> list[Path]:
    """Write the card of a version as HTML and Markdown into `reports/`, and return their paths."""
    folder = project.folder / "reports"
    folder.mkdir(exist_ok=True)
    page = data_document(record)
    paths = []
    for suffix, text in (("html", html_page(page)), ("md", markdown_page(page))):
        path = folder / f"data-{short(record.version.id)}.{suffix}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def data_record(project: Project, name: str = "") -> DataRecord:
    """Return a version, whole. Raises DataError where there is none of that name."""
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        version = version_named(ledger, vault, name)
        brief = brief_of(ledger, vault, version)
        dataset = vault.get_value(version.id, Dataset)
        parts = paired_parts(vault, dataset)
        task = brief.project.task
        origins, lost = figures.origins_of(vault, parts, _fingerprints(ledger, vault, version))
        spreads, bins = figures.lengths_of(vault, parts)
        before = version_before(ledger, vault, version)
        return DataRecord(
            project=brief.project.name,
            problem=brief.project.problem,
            task=task,
            version=version,
            data=brief.data,
            about=dataset.about,
            labels=dataset.labels,
            origins=origins,
            losses=figures.losses_of(lost, dataset.findings),
            found=_found(vault, parts, dataset.findings, brief),
            spreads=spreads,
            bins=bins,
            counted=figures.references_of(vault, parts, task),
            slices=figures.slices_of(vault, parts, brief.data.slices),
            turns=figures.turns_of(vault, version.id, task),
            languages=_languages(vault, version.id, brief.data.refine.language.confidence),
            n_reversible=len(dataset.sealed),
            diff=difference(vault, before, version, brief, 0) if before else None,
        )


def _fingerprints(ledger: Ledger, vault: Vault, version: DataVersion) -> dict[str, Id]:
    """Return the fingerprint of each source, as it was when the version's rows were collected."""
    runs = [run for run in ledger.runs() if run.stage == "collect" and run.cycle <= version.cycle]
    runs = [run for run in runs if "settings" in run.inputs]  # those of a version before had none
    if not runs:
        return {}
    return {source.origin: source.fingerprint for source in vault.get_value(runs[-1].output, Collected).sources}


def _found(
    vault: Vault, parts: list[tuple[RawPart, DatasetPart]], findings: Iterable[Finding], brief: Brief
) -> tuple[FoundRows, ...]:
    """Return the findings, those of the most rows with some of them."""
    most = sorted(findings, key=lambda finding: -finding.n_rows)[:MOST_FINDINGS]
    wanted = {source for finding in most for source in finding.examples[:MOST_ROWS]}
    rows = shown_rows(vault, parts, wanted, brief.data, brief.project.task)
    return tuple(
        FoundRows(
            finding,
            tuple(rows[source] for source in finding.examples[:MOST_ROWS] if source in rows and finding in most),
        )
        for finding in findings
    )


def _languages(vault: Vault, dataset: Id, confidence: float) -> Shares | None:
    """Return the languages of a sample of the training examples, as the step that looks for others tells them."""
    from lifeloop.guards.language import language_of

    told = (language_of(text) for text in figures.sampled(vault, dataset))
    return figures.shares_of(language if sure >= confidence else NOT_SURE for language, sure in told)
