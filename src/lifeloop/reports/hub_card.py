"""The head of a card as the Hugging Face hub reads it: YAML with licence, task, languages, size and files.

Takes a record and the files of an export, gives text. Knows nothing of the card under it.
"""

import json
import re
from collections.abc import Mapping, Sequence

from lifeloop.reports.data_record import DataRecord

_TASKS = {
    "classify": "text-classification",
    "extract": "token-classification",
    "generate": "text-generation",
    "chat": "text-generation",
}
_LICENCES = re.compile(
    r"(apache-2\.0|mit|bsd(-[23]-clause)?|cc0-1\.0|cc-by(-sa|-nc|-nd|-nc-sa|-nc-nd)?-[234]\.0|cc-by-sa-3\.0|gpl-[23]\.0"
    r"|lgpl-(2\.1|3\.0)|agpl-3\.0|mpl-2\.0|odc-by|odbl|pddl|cdla-(permissive|sharing)-1\.0|cdla-permissive-2\.0|unlicense)"
)
"""What the hub knows by these names; any other is `other` with a name."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))
_LANGUAGE_SHARE = 0.05
"""A language of fewer of the examples looked at is not named."""


def front_matter(record: DataRecord, counts: Mapping[str, int], files: Mapping[str, Sequence[str]]) -> str:
    """Return the YAML block with its `---` lines. `files` are those of splits that the hub can load by itself."""
    lines = ["---", f"pretty_name: {_text(record.project)}"]
    if licence := record.about.licence.strip():
        name = licence.casefold()
        known = _LICENCES.fullmatch(name) is not None
        lines += [f"license: {name}"] if known else ["license: other", f"license_name: {_text(licence)}"]
    if languages := _languages(record):
        lines += ["language:", *(f"- {_text(language)}" for language in languages)]
    if task := _TASKS.get(record.task):
        lines += ["task_categories:", f"- {task}"]
    lines += ["size_categories:", f"- {_size(sum(counts.values()))}"]
    lines += ["tags:", "- lifeloop"]
    if files:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split, names in files.items():
            lines += [f"  - split: {split}", "    path:", *(f"    - {_text(name)}" for name in names)]
    return "\n".join([*lines, "---", ""])


def _languages(record: DataRecord) -> list[str]:
    if allowed := record.data.refine.language.allowed:
        return list(allowed)
    found = record.languages.shares if record.languages else ()
    return [name for name, share in found if share >= _LANGUAGE_SHARE and len(name) == 2]


def _size(n: int) -> str:
    return next((name for bound, name in (*_SIZES, *_LARGER) if n < bound), "100M<n<1B")


def _text(text: str) -> str:
    """Return a text as YAML reads it back, whatever is in it: JSON's strings are YAML's."""
    return json.dumps(text, ensure_ascii=True)
