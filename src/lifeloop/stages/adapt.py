"""Adapt: says which candidates are made from others, and the recipe for each once those others exist.

Takes the brief's sections and what was made and tried so far, gives recipes. `make` carries them out.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from lifeloop.core.brief import needs
from lifeloop.core.candidates import Prompt, Recipe
from lifeloop.core.content import Id
from lifeloop.core.errors import ModelError

SEARCH = "search"
"""Table in a candidate's section: the ranges of settings to search, for whatever trainer it has."""

NOT_SETTINGS = ("kind", "parent", "adapt", SEARCH)
"""Keys of a candidate's section that are no settings of its trainer."""


class Learns(Struct, frozen=True):
    """What a candidate is taught beside the examples."""

    taught: Id = ""
    """Its teacher's answers to the training examples."""
    preferences: Id = ""
    corpus: Id = ""


NOTHING = Learns()


def is_derived(table: Mapping[str, Any]) -> bool:
    """Return whether a candidate is adapted from a parent or composed of members, rather than made from data alone."""
    return bool(needs(dict(table)))


def recipe(
    name: str,
    table: dict[str, Any],
    *,
    task: str,
    labels: tuple[str, ...],
    dataset: Id,
    prompt: Prompt | None,
    seed: int,
    out_of_scope: str,
    metric: str,
    metrics: Mapping[str, dict[str, Any]],
    made: Mapping[str, Id],
    tried: Mapping[str, Id],
    learns: Learns = NOTHING,
    files: Id = "",
) -> Recipe:
    """Return the recipe of a candidate. `made` and `tried` map names to candidates and to their whole trials on
    validation; a parent need not be tried. `learns` is what it is taught beside the examples, `files` a fingerprint of
    the project's files that its settings name.

    Raises ModelError where one that it needs could not be made, or a member could not be tried.
    """
    composed_of = table.get("members", ())
    missing = [other for other in needs(table) if other not in made or (other in composed_of and other not in tried)]
    if missing:
        raise ModelError(
            f"it is made from {missing[0]}, which failed", where=f"candidates.{name}", fix="mend that first"
        )
    members = tuple((made[member], tried[member]) for member in composed_of)
    steered = is_derived(table) or SEARCH in table  # what is made from data alone does not depend on the metric
    return Recipe(
        name=name,
        task=task,
        labels=labels,
        table=table,
        dataset=dataset,
        prompt=prompt,
        parent=made[table["parent"]] if table.get("parent") else "",
        members=members,
        seed=seed,
        out_of_scope=out_of_scope,
        metrics={metric: metrics[metric]} if steered and metric in metrics else {},
        metric=metric if steered else "",
        files=files,
        taught=learns.taught,
        preferences=learns.preferences,
        corpus=learns.corpus,
    )
