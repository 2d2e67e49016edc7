"""Router: a classifier says which slice a request belongs to, and that slice's specialist answers it.

Holds the router and its specialists, each loaded by its own kind; how they were made is `lifeloop.training.router`'s
business. What they are beside each other for, one slice or ten, it does not know.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import BriefError
from lifeloop.models import encoder, features
from lifeloop.models.model import Model, ModelKind, whole
from lifeloop.models.project_files import files_of

KINDS: dict[str, ModelKind] = {"features": features.KIND, "encoder": encoder.KIND}
"""What knows the probability of every label, and so can be a part."""
ROUTER, ROUTES = "router", "routes.json"
"""Folder of the router's files, and the file that says what its classes lead to."""
NEGLIGIBLE = 1e-3
"""A specialist whose slice is less likely than this is not asked."""
SPECIALISTS = 10
"""Specialists that an estimate counts with: how many values the column has, a profile does not say."""


def _features() -> dict[str, Any]:
    return {"kind": "features"}


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """By what requests are told apart, and who answers them."""

    by: str
    """Column of data.slices; each value that training knows gets a specialist."""
    router: dict[str, Any] = msgspec.field(default_factory=_features)
    """What tells the slices apart: a kind that knows the probability of every label (features, encoder), and its
    settings."""
    specialist: dict[str, Any] = msgspec.field(default_factory=_features)
    """What answers in each slice: the same choice of kinds."""
    soft: bool = True
    """Ask every specialist and weigh what they say by the router's probabilities, rather than the likeliest alone."""


class Route(Struct, frozen=True):
    """Where a class of the router leads."""

    label: str
    """The router's class."""
    labels: tuple[str, ...]
    """What can be answered there; a single label needs no specialist."""
    folder: str = ""
    """The specialist's files, or "" where there is none."""


class Classifier(Model, Protocol):
    """A model that knows the probability of each of its labels."""

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return (n, n_labels), the labels in the candidate's order."""


class Part(Struct, frozen=True):
    """A route that is ready to be taken."""

    name: str
    places: NDArray[np.intp]
    """Of its labels among the candidate's: (n_labels_here,)."""
    model: Classifier | None

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return the probability of each of its labels: (n, n_labels_here)."""
        if self.model is None:
            return np.ones((len(requests), 1), dtype=np.float32)
        return self.model.probabilities(requests)


class Routed:
    """A router and its specialists."""

    def __init__(self, router: Classifier, parts: Sequence[Part], labels: Sequence[str], *, soft: bool) -> None:
        self._router = router
        self._parts = tuple(parts)
        self._labels = tuple(labels)
        self._soft = soft
        everybody = [router, *(part.model for part in parts if part.model is not None)]
        self.batch_size = min(member.batch_size for member in everybody)
        self.concurrency = min(member.concurrency for member in everybody)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the likeliest label of each text, and in `by` the slice whose specialist likes it best."""
        if not requests:
            return []
        weights = self._weights(requests)
        totals = np.zeros((len(requests), len(self._labels)))
        strongest = np.zeros_like(totals)
        source = np.zeros(totals.shape, dtype=np.intp)
        for index, part in enumerate(self._parts):
            rows = np.flatnonzero(weights[:, index] > NEGLIGIBLE)
            if len(rows) == 0:
                continue
            own = weights[rows, index, None] * part.probabilities([requests[row] for row in rows])
            cells = np.ix_(rows, part.places)
            totals[cells] += own
            source[cells] = np.where(own > strongest[cells], index, source[cells])
            strongest[cells] = np.maximum(strongest[cells], own)
        best = totals.argmax(axis=1)
        return [
            Answer(
                output=self._labels[place],
                confidence=float(min(totals[row, place], 1.0)),
                by=self._parts[source[row, place]].name,
            )
            for row, place in enumerate(best)
        ]

    def _weights(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return how much each route counts for each request: (n, n_parts)."""
        weights = self._router.probabilities(requests)
        if self._soft:
            return weights
        likeliest = np.arange(weights.shape[1]) == weights.argmax(axis=1)[:, None]
        return weights * likeliest

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Close the router and the specialists."""
        for part in self._parts:
            if part.model is not None:
                part.model.close()
        self._router.close()


class RouterKind:
    """Model kind "router"."""

    settings = Settings
    tasks = ("classify",)
    version = f"1-{features.KIND.version}-{encoder.KIND.version}"

    def columns(self, settings: Settings) -> tuple[str, ...]:
        """Return the columns of data.slices that its parts read."""
        parts = [part_settings(table, "candidates")[1] for table in (settings.router, settings.specialist)]
        return tuple(name for part in parts if isinstance(part, features.Settings) for name in part.columns)

    def files(self, settings: Settings) -> dict[str, str]:
        """Return the files of the project that its parts' settings name."""
        tables = {"router": settings.router, "specialist": settings.specialist}
        parts = {name: part_settings(table, f"candidates.{name}") for name, table in tables.items()}
        return {
            f"{name}.{key}": file
            for name, (kind, settings) in parts.items()
            for key, file in files_of(kind, settings).items()
        }

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the router with its specialists, each loaded by its kind."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        settings = msgspec.convert(candidate.settings, Settings)
        routes = msgspec.json.decode((folder / ROUTES).read_bytes(), type=list[Route])
        place = {label: index for index, label in enumerate(candidate.labels)}
        router = _load(candidate, "router", settings.router, tuple(route.label for route in routes), folder / ROUTER)
        parts = [
            Part(
                name=route.label,
                places=np.array([place[label] for label in route.labels], dtype=np.intp),
                model=_load(candidate, "specialist", settings.specialist, route.labels, folder / route.folder)
                if route.folder
                else None,
            )
            for route in routes
        ]
        return Routed(router, parts, candidate.labels, soft=settings.soft)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return what its parts take: the router learns all examples, the specialists together as many.

        Parts of one kind share an encoder, so a request is read once however many specialists there are.
        """
        where = f"candidates (kind router, by {settings.by})"
        one = msgspec.structs.replace(
            profile,
            n_train=profile.n_train // SPECIALISTS,
            n_validation=profile.n_validation // SPECIALISTS,
            n_labels=max(2, profile.n_labels // SPECIALISTS),
        )
        sorting = msgspec.structs.replace(profile, n_labels=SPECIALISTS)
        router = _estimate(settings.router, f"{where}.router", sorting, machine)
        specialist = _estimate(settings.specialist, f"{where}.specialist", one, machine)
        return Estimate(
            memory_gb=max(router.memory_gb, specialist.memory_gb) + 0.05,
            build_seconds=router.build_seconds + SPECIALISTS * specialist.build_seconds,
            seconds_per_item=router.seconds_per_item + specialist.seconds_per_item + 1e-4 * SPECIALISTS,
            basis=f"one router, about {SPECIALISTS} specialists",
        )


def part_settings(table: dict[str, Any], key: str) -> tuple[ModelKind, Any]:
    """Return the kind and the settings of a part of a router. `key` is its path in the brief.

    Raises BriefError where the kind is none that knows the probability of every label, or a setting is wrong.
    """
    name = table.get("kind", "")
    where = f"lifeloop.toml: {key}"
    if name not in KINDS:
        raise BriefError(
            f"a router's part cannot be of kind {name!r}",
            where=f"{where}.kind",
            fix='write kind = "features" or kind = "encoder"',
        )
    kind = KINDS[name]
    rest = {setting: value for setting, value in table.items() if setting != "kind"}
    return kind, convert_settings(rest, kind.settings, key, "lifeloop.toml")


def _load(candidate: Candidate, part: str, table: dict[str, Any], labels: tuple[str, ...], folder: Path) -> Any:
    kind, settings = part_settings(table, f"candidates.{candidate.name}.{part}")
    own = Candidate(
        name=candidate.name,
        kind=table["kind"],
        task=candidate.task,
        labels=labels,
        settings=msgspec.to_builtins(settings),
        dataset=candidate.dataset,
    )
    return kind.load(own, folder, ())


def _estimate(table: dict[str, Any], key: str, profile: Profile, machine: Machine) -> Estimate:
    kind, settings = part_settings(table, key)
    return kind.estimate(settings, profile, machine)


KIND = RouterKind()
