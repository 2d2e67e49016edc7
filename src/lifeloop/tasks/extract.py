"""Extract: the entities of a text, each with its type and its place."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.candidates import Contract
from lifeloop.tasks.classify import f1_by_label, first, place_of, ratio
from lifeloop.tasks.task import Floats, Metric, Scope, Scored


class Entity(Struct, frozen=True):
    """One entity. `start` and `end` count characters; both 0 where a candidate names the text alone."""

    type: str
    text: str = ""
    start: int = 0
    end: int = 0


class Extract:
    """The task that `task = "extract"` names. Outputs and references are JSON lists of entities."""

    name = "extract"
    metrics: dict[str, Metric]

    def flaw(self, reference: str) -> str:
        """Return why a reference is not a JSON list of entities, or ""."""
        try:
            _entities(reference)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return f"not a JSON list of entities: {error}"
        return ""

    def labels(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the distinct entity types, sorted."""
        return tuple(sorted({entity.type for reference in references for entity in _entities(reference)}))

    def contract(self, labels: Sequence[str]) -> Contract:
        """Return that the output is JSON: a list of objects with a type and a text."""
        kind = {"type": "string", "enum": list(labels)} if labels else {"type": "string"}
        item = {
            "type": "object",
            "properties": {"type": kind, "text": {"type": "string", "maxLength": 100}},
            "required": ["type", "text"],
            "additionalProperties": False,
        }
        listed = ", ".join(labels)
        return Contract(
            instructions=f"Answer with a JSON list of the entities in the text, each as "
            f'{{"type": TYPE, "text": WORDS}}. Types: {listed}. Answer [] if there are none.',
            schema={"type": "array", "items": item, "maxItems": 20},
            max_tokens=256,
        )

    def parse(self, output: str, labels: Sequence[str]) -> tuple[Entity, ...]:
        """Return the entities that an output lists. Raises ValueError where it is no such list."""
        try:
            entities = _entities(output)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ValueError(f"not a JSON list of entities: {error}") from None
        unknown = sorted({entity.type for entity in entities} - set(labels)) if labels else []
        if unknown:
            raise ValueError(f"unknown entity types: {', '.join(unknown)}")
        return tuple(entities)


def _entities(text: str) -> list[Entity]:
    return msgspec.json.decode(text, type=list[Entity])


def _found(item: Scored) -> tuple[set[Any], set[Any]]:
    """Return the predicted and the true entities as comparable keys.

    By place where both give places, by type and words where one does not: a language model names words, and so may a
    reference.
    """
    actual = _entities(item.reference)
    predicted = list(item.prediction or ())
    if (predicted and all(entity.end == 0 for entity in predicted)) or any(entity.end == 0 for entity in actual):
        return {_words(entity) for entity in predicted}, {_words(entity) for entity in actual}
    return {_place(entity) for entity in predicted}, {_place(entity) for entity in actual}


def _words(entity: Entity) -> tuple[str, str]:
    return entity.type, entity.text.casefold().strip()


def _place(entity: Entity) -> tuple[str, int, int]:
    return entity.type, entity.start, entity.end


def _counts(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 3): entities found right, predicted, actual."""
    del scope
    pairs = [_found(item) for item in scored]
    return np.array([[len(p & a), len(p), len(a)] for p, a in pairs], dtype=float).reshape(-1, 3)


def _credits(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 3): credit for what was found, predicted, actual.

    Credit as the partial scheme of SemEval-2013 task 9.1 gives it, and as its type scheme the type must be right too:
    1 for an exact entity, 0.5 for one that overlaps an actual entity of its type. Each entity counts once, and exact
    ones are matched first. Without places, entities overlap that share a word.
    """
    del scope
    rows = []
    for item in scored:
        predicted, actual = _found(item)
        exact = predicted & actual
        rest = _overlapping(sorted(predicted - exact), sorted(actual - exact))
        rows.append((len(exact) + 0.5 * rest, len(predicted), len(actual)))
    return np.array(rows, dtype=float).reshape(-1, 3)


def _overlapping(predicted: Sequence[Any], actual: Sequence[Any]) -> int:
    """Return how many pairs of overlapping entities there are at most, each entity in one pair."""
    meets = np.array([[_overlap(p, a) for a in actual] for p in predicted], dtype=bool)
    if not meets.any():
        return 0
    if max(meets.sum(axis=0).max(), meets.sum(axis=1).max()) == 1:  # nothing to choose, as nearly always
        return int(meets.sum())
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_matrix(meets), perm_type="column") >= 0).sum())


def _overlap(one: Any, other: Any) -> bool:
    if one[0] != other[0]:
        return False
    if isinstance(one[1], str):
        return bool(set(one[1].split()) & set(other[1].split()))
    return bool(one[1] < other[2] and other[1] < one[2])


def _by_type(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 3 * n_types): entities found right, predicted, actual, one column a type of the scope."""
    place = {kind: index for index, kind in enumerate(scope.labels)}
    columns = np.zeros((len(scored), 3, max(1, len(place))))
    for row, item in enumerate(scored):
        predicted, actual = _found(item)
        for part, entities in enumerate((predicted & actual, predicted, actual)):
            for kind, *_ in entities:
                columns[row, part, place_of(kind, place)] += 1
    return columns.reshape(len(scored), columns.shape[1] * columns.shape[2])


def _worst_type(means: Floats) -> Floats:
    f1, actual = f1_by_label(means)
    worst = np.where(actual > 0, f1, np.inf).min(-1)
    return np.where(np.isinf(worst), 0.0, worst)


def _f1(means: Floats) -> Floats:
    return ratio(2 * means[..., 0], means[..., 1] + means[..., 2])


def _exact(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    pairs = [_found(item) for item in scored]
    kept = [float(item.prediction is not None and p == a) for item, (p, a) in zip(scored, pairs, strict=True)]
    return np.array(kept).reshape(-1, 1)


def _valid(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    return np.array([[float(item.prediction is not None)] for item in scored]).reshape(-1, 1)


Extract.metrics = {
    metric.name: metric
    for metric in (
        Metric(
            "entity_f1",
            "max",
            _counts,
            _f1,
            "micro F1 over entities, type and boundaries exact (as the CoNLL tasks count)",
        ),
        Metric(
            "entity_precision", "max", _counts, lambda m: ratio(m[..., 0], m[..., 1]), "share of found that is right"
        ),
        Metric("entity_recall", "max", _counts, lambda m: ratio(m[..., 0], m[..., 2]), "share of actual that is found"),
        Metric("partial_f1", "max", _credits, _f1, "the same, with half a point where the boundaries only overlap"),
        Metric("worst_type_f1", "max", _by_type, _worst_type, "entity_f1 of the type where it is lowest"),
        Metric("exact", "max", _exact, first, "share of texts with every entity right"),
        Metric("valid", "max", _valid, first, "share of answers that keep the contract"),
    )
}

TASK = Extract()
