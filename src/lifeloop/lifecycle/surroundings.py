"""What a project's candidates and trials rest on beside the brief: its metrics, the order that comparisons follow, the
files that settings name.

Takes a project and what may still be spent, gives metrics by name. Knows nothing of which trials are compared.
"""

from pathlib import Path

from lifeloop import plugins
from lifeloop.comparison.compare import ComparisonOrder
from lifeloop.core.content import Id
from lifeloop.engine.spending import Allowance
from lifeloop.metrics.declared import metrics_of
from lifeloop.metrics.metric_kind import Surroundings
from lifeloop.models.model import ModelKind
from lifeloop.models.project_files import fingerprint_of
from lifeloop.project import Project
from lifeloop.stages.adapt import NOT_SETTINGS, SEARCH
from lifeloop.tasks.task import Metric


def responses_of(project: Project) -> Path:
    """Return the file of the project's cache of responses."""
    return project.state / "responses.sqlite"


def metrics_for(project: Project, labels: tuple[str, ...], cycle: int, left: Allowance) -> dict[str, Metric]:
    """Return the task's metrics and the brief's own. A judge may ask for what is `left`, and `cycle` pays."""
    surroundings = Surroundings(
        task=project.brief.project.task,
        labels=labels,
        folder=project.folder,
        responses=responses_of(project),
        cycle=cycle,
        usd=left.usd,
        tokens=left.tokens,
    )
    return metrics_of(project.brief.project.task, project.brief.metrics, surroundings)


def comparison_order(project: Project) -> ComparisonOrder:
    """Return how this project's trials are compared."""
    brief = project.brief
    return ComparisonOrder(brief.gate.confidence, brief.data.out_of_scope, brief.explore.seed)


def settings_files(project: Project, name: str) -> Id:
    """Return a fingerprint of the files that a candidate's settings name, "" without any: an edit makes it anew."""
    table = project.brief.candidates[name]
    if "kind" not in table:
        return ""
    kind: ModelKind = plugins.get("models", table["kind"])
    settings = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    return fingerprint_of(kind, settings, table.get(SEARCH), project.folder, f"candidates.{name}")
