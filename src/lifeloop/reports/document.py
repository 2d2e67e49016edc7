"""From a record to the document that both renderers print: the sections in the order a decision is read.

Takes a record, gives blocks of text that is ready to be read. Knows nothing of HTML or Markdown.
"""

from lifeloop.core.content import short
from lifeloop.reports.adaptation import adaptation_sections
from lifeloop.reports.blocks import Document, Facts, Section
from lifeloop.reports.evidence import evidence_section
from lifeloop.reports.field import figures_section, leaderboard_section, plan_section, scope_section
from lifeloop.reports.numbers import moment
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.sentence import verdict_sentence
from lifeloop.reports.setting import brief_section, data_section, lineage_section, production_section
from lifeloop.reports.verdict import verdict_section
from lifeloop.reports.wording import DECISION_TONES, glossary


def document(record: CycleRecord) -> Document:
    """Return the report of a cycle: the verdict first, then everything it rests on."""
    return Document(
        title=f"{record.brief.project.name}: cycle {record.cycle}",
        about=f"Decided {moment(record.at)}. Verdict {short(record.verdict_id)}.",
        sentence=verdict_sentence(record),
        tone="open" if record.verdict.override_by else DECISION_TONES[record.verdict.decision],
        sections=(
            verdict_section(record),
            brief_section(record),
            data_section(record),
            leaderboard_section(record),
            figures_section(record),
            scope_section(record),
            evidence_section(record),
            *adaptation_sections(record),
            plan_section(record),
            production_section(record),
            lineage_section(record),
            Section(key="words", title="Words used here", blocks=(Facts(items=glossary(record)),)),
        ),
    )
