"""What a candidate learns from beside the examples: its teacher's answers, preferences, raw texts.

Takes a candidate's section of the brief, gives the ids that its recipe names. Each is made once, and only for
candidates that want it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.content import Id
from lifeloop.core.data import Dataset
from lifeloop.core.errors import ModelError
from lifeloop.core.evidence import Trial
from lifeloop.core.preferences import Preferences
from lifeloop.engine.trial import TrialOrder
from lifeloop.lifecycle.corpora import corpus_of
from lifeloop.lifecycle.runner import Done, Runner
from lifeloop.place import BRIEF_FILE
from lifeloop.project import Project
from lifeloop.stages.adapt import NOT_SETTINGS, Learns


def wants_preferences(table: dict[str, Any]) -> bool:
    """Return whether a candidate is aligned to preferences."""
    if "adapt" not in table:
        return False
    trainer = plugins.get("adaptations", table["adapt"])
    if not hasattr(trainer, "prefers"):
        return False
    settings = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    return bool(trainer.prefers(convert_settings(settings, trainer.settings, "candidates", BRIEF_FILE)))


def learns(
    project: Project,
    runner: Runner,
    dataset: Done[Dataset],
    name: str,
    preferences: Done[Preferences] | None,
    teach: Callable[[str], Trial],
) -> Learns:
    """Return what a candidate is taught. `teach` gives a teacher's trial on the training examples, by its name.

    Raises ModelError where preferences are wanted and there are none, or the teacher cannot be tried.
    """
    table = project.brief.candidates[name]
    taught: Id = teach(table["teacher"]).answers if table.get("teacher") else ""
    preferred = _preferences(name, preferences) if wants_preferences(table) else ""
    corpus = corpus_of(project, runner, dataset, name)
    return Learns(taught=taught, preferences=preferred, corpus=corpus.value.folder if corpus else "")


def _preferences(name: str, found: Done[Preferences] | None) -> Id:
    if found is None or not found.value.n_trusted:
        raise ModelError(
            "there are no preferences to align to",
            where=f"candidates.{name}",
            fix="name a file in [preferences] source, a judge in [preferences.ai], or gather feedback first",
        )
    return found.id


def on_training(order: TrialOrder, candidate: Id, training: Id) -> TrialOrder:
    """Return the order by which a teacher answers every training example once."""
    return msgspec.structs.replace(
        order, candidate=candidate, dataset=training, split="train", max_items=0, repeats=1, metrics={}
    )
