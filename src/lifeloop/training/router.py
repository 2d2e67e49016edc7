"""Trains a router over the values of a column, and a specialist for each on that value's examples.

Each part is trained by the trainer of its own kind, in a folder of its own. The out-of-scope label is a class of the
router and a label of every specialist: what looks like a slice and is none of its labels, only a specialist can tell.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.models.router import ROUTER, ROUTES, Route, part_settings
from lifeloop.training import encoder_head, features
from lifeloop.training.trainer import Decided, Materials, Trainer

TRAINERS: dict[str, Trainer] = {"features": features.TRAINER, "encoder": encoder_head.TRAINER}
"""Of the kinds that a part can be of."""

Routes = dict[str, list[Example]]


class RouterTrainer:
    """Trainer of kind "router"."""

    settings = None
    version = "-".join(["1", *(trainer.version for trainer in TRAINERS.values())])

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the router, the specialists and the routes to them.

        Rows without a value in the column teach neither, unless they are out of scope. Raises ModelError where fewer
        than two values are left.
        """
        by = materials.settings.by
        train = _by_route(materials.train, by, materials.out_of_scope)
        validation = _by_route(materials.validation, by, materials.out_of_scope)
        if len([route for route in train if route != materials.out_of_scope]) < 2:
            raise ModelError(
                f"the training examples have fewer than two values of {by!r} to route by",
                where="candidates.by",
                fix="name a column of data.slices with two values or more",
            )
        names = tuple(sorted(train))
        sorting = msgspec.structs.replace(
            materials,
            labels=names,
            train=_relabelled(train),
            validation=_relabelled({route: rows for route, rows in validation.items() if route in train}),
        )
        _build(sorting, materials.settings.router, "router", folder / ROUTER, progress)
        routes = []
        for number, name in enumerate(names):
            progress(number, len(names), f"specialist for {name}")
            part = _part(materials, train, validation, name)
            routes.append(Route(label=name, labels=part.labels, folder=str(number) if len(part.labels) > 1 else ""))
            if len(part.labels) > 1:
                _build(part, materials.settings.specialist, "specialist", folder / str(number), progress)
        (folder / ROUTES).write_bytes(msgspec.json.encode(routes))
        return Decided()


def _by_route(examples: Sequence[Example], by: str, out_of_scope: str) -> Routes:
    """Return the examples by the router's class: `column=value`, or the out-of-scope label."""
    found: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if out_of_scope and example.reference == out_of_scope:
            found[out_of_scope].append(example)
        elif value := example.slices.get(by):
            found[f"{by}={value}"].append(example)
    return dict(found)


def _part(materials: Materials, train: Routes, validation: Routes, name: str) -> Materials:
    """Return what a route's specialist is made from: the examples of its slice, and those out of scope."""
    others = materials.out_of_scope if name != materials.out_of_scope else ""
    own = tuple(train[name] + train.get(others, []))
    return msgspec.structs.replace(
        materials,
        labels=tuple(sorted({example.reference for example in own})),
        train=own,
        validation=tuple(validation.get(name, []) + validation.get(others, [])),
    )


def _relabelled(routes: Routes) -> tuple[Example, ...]:
    """Return all examples, each with its route for a reference."""
    return tuple(
        msgspec.structs.replace(example, reference=route) for route, rows in sorted(routes.items()) for example in rows
    )


def _build(materials: Materials, table: dict[str, Any], part: str, folder: Path, progress: Progress) -> None:
    _, settings = part_settings(table, f"candidates.{part}")
    folder.mkdir()
    TRAINERS[table["kind"]].build(msgspec.structs.replace(materials, settings=settings), folder, progress)


TRAINER = RouterTrainer()
