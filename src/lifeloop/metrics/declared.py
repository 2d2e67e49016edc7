"""From the sections `[metrics.NAME]` of a brief to metrics, beside those that the task brings.

Takes sections and where files are, gives metrics by name, or one error that names the key. Knows no kind by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.content import bytes_id, content_id
from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import OPERATIONAL, Direction
from lifeloop.metrics.metric_kind import BRIEF_FILE, MetricKind, Surroundings, key_of
from lifeloop.models.project_files import inside
from lifeloop.tasks.task import Metric, Task

FINGERPRINT = "fingerprint"
"""Key that `fingerprinted` adds to a section; people do not write it."""

Declared = Mapping[str, dict[str, Any]]


def metrics_of(task_name: str, declared: Declared, surroundings: Surroundings) -> dict[str, Metric]:
    """Return the task's metrics and the declared ones, by name. Raises BriefError that names the key."""
    task: Task = plugins.get("tasks", task_name)
    found = dict(task.metrics)
    for name, section in declared.items():
        kind, settings = _read(name, {key: value for key, value in section.items() if key != FINGERPRINT})
        _check(name, kind, settings, task, surroundings.folder)
        found[name] = kind.metric(name, settings, surroundings)
    return found


def check_declared(task_name: str, declared: Declared, folder: Path) -> dict[str, Metric]:
    """Check the sections as people wrote them, before any label is known; return the metrics there are.

    Raises BriefError that names the key.
    """
    for name, section in declared.items():
        if FINGERPRINT in section:
            raise BriefError("unknown key", where=key_of(name, FINGERPRINT), fix="remove it: lifeloop computes it")
    return metrics_of(task_name, declared, Surroundings(task_name, (), folder, None))


def direction_of(name: str, section: dict[str, Any]) -> Direction:
    """Return whether more or less of a declared metric is better. Raises BriefError."""
    kind, settings = _read(name, section)
    return kind.direction(settings)


def fingerprinted(declared: Declared, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the sections, each with a `fingerprint` of its kind's version and of what its files hold.

    What is keyed by it is done again when a metric would score differently. Raises BriefError where a file is missing.
    """
    found = {}
    for name, section in declared.items():
        kind, settings = _read(name, section)
        files = {
            key: bytes_id(inside(folder, file, key_of(name, key)).read_bytes())
            for key, file in kind.files(settings).items()
        }
        found[name] = section | {FINGERPRINT: content_id([kind.version, files])}
    return found


def _read(name: str, section: dict[str, Any]) -> tuple[MetricKind, Any]:
    """Return the kind that a section names, and its settings."""
    named = section.get("kind")
    if not isinstance(named, str):
        raise BriefError(
            "a metric has a `kind`",
            where=key_of(name, "kind"),
            fix=f"add kind = one of: {', '.join(plugins.names('metrics'))}",
        )
    kind: MetricKind = plugins.get("metrics", named, where=key_of(name, "kind"))
    rest = {key: value for key, value in section.items() if key != "kind"}
    return kind, convert_settings(rest, kind.settings, f"metrics.{name}", BRIEF_FILE)


def _check(name: str, kind: MetricKind, settings: Any, task: Task, folder: Path) -> None:
    if name in task.metrics or name in OPERATIONAL:
        raise BriefError(
            f"{task.name} has a metric {name!r} of its own",
            where=f"{BRIEF_FILE}: metrics.{name}",
            fix=f"give this one another name, such as {name}_2",
        )
    if kind.tasks and task.name not in kind.tasks:
        raise BriefError(
            f"this kind of metric cannot score {task.name}",
            where=key_of(name, "kind"),
            fix=f"it scores: {', '.join(kind.tasks)}",
        )
    for key, file in kind.files(settings).items():
        inside(folder, file, key_of(name, key))
