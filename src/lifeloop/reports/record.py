"""Everything a report shows, gathered from the ledger and the vault by the lifecycle, so that rendering is pure."""

from msgspec import Struct

from lifeloop.core.brief import Brief
from lifeloop.core.candidates import Estimate
from lifeloop.core.content import Id
from lifeloop.core.data import Dataset
from lifeloop.core.events import ProductionSummary
from lifeloop.core.evidence import Leaderboard, Release, Trial, Verdict
from lifeloop.core.preferences import Preferences
from lifeloop.core.training_record import TrainingRecord


class LineageStep(Struct, frozen=True):
    """One step on the way from production back to the brief."""

    what: str
    """release, verdict, trial, candidate, dataset, source or brief."""
    id: Id
    about: str


class CycleRecord(Struct, frozen=True):
    """One cycle, whole."""

    cycle: int
    at: float
    """When the verdict fell, in seconds since the epoch, UTC."""
    brief: Brief
    dataset_id: Id
    dataset: Dataset
    n_learned: int
    """Rows that came from feedback."""
    leaderboard: Leaderboard
    """All candidates on validation."""
    estimates: dict[str, Estimate]
    """By candidate name: what the plan expected."""
    build_seconds: dict[str, float]
    """By candidate name: how long making it took."""
    trials: tuple[Trial, ...]
    """The challenger's and the champion's trials on test, guard and the suites, which the verdict rests on."""
    verdict_id: Id
    verdict: Verdict
    release: Release | None
    """What this cycle put in production; None where it promoted nothing."""
    production: ProductionSummary | None
    """What was observed before this cycle; None where nothing was served."""
    lineage: tuple[LineageStep, ...]
    parents: dict[str, str] = {}
    """By candidate name: whom it was adapted from, for those that were."""
    training: dict[str, TrainingRecord] = {}
    """By candidate name: how it was trained, where training kept a record."""
    preferences: Preferences | None = None
    """What candidates were aligned to; None where none was."""
