"""Extract: the entities of a text, each with its type and its place."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.candidates import Contract
from lifeloop.tasks.classify import first
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

    By place where the candidate gives places, by type and words where it does not: a language model names words.
    """
    actual = _entities(item.reference)
    predicted = list(item.prediction or ())
    if predicted and all(entity.end == 0 for entity in predicted):
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


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top, dtype=float), where=bottom > 0)


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
            lambda m: _ratio(2 * m[..., 0], m[..., 1] + m[..., 2]),
            "micro F1 over entities, type and boundaries exact (as the CoNLL tasks count)",
        ),
        Metric(
            "entity_precision", "max", _counts, lambda m: _ratio(m[..., 0], m[..., 1]), "share of found that is right"
        ),
        Metric(
            "entity_recall", "max", _counts, lambda m: _ratio(m[..., 0], m[..., 2]), "share of actual that is found"
        ),
        Metric("exact", "max", _exact, first, "share of texts with every entity right"),
        Metric("valid", "max", _valid, first, "share of answers that keep the contract"),
    )
}

TASK = Extract()
