"""Gazetteer: finds the entities that training named, word for word. The floor for extract."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.models.model import Model, whole

FILE = "gazetteer.json"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How sure the gazetteer must be of a name."""

    precision: float = 0.5
    """Least share of a name's occurrences in training that are entities."""


class Gazetteer:
    """Looks for known names, longest first."""

    batch_size = 256
    concurrency = 64

    def __init__(self, names: dict[str, str]) -> None:
        self._types = {name.casefold(): kind for name, kind in names.items()}
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        listed = "|".join(re.escape(name) for name in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE) if names else None

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the entities found, with their places, as JSON."""
        return [Answer(output=msgspec.json.encode(self._find(request.text)).decode()) for request in requests]

    def _find(self, text: str) -> list[dict[str, object]]:
        if self._pattern is None:
            return []
        return [
            {
                "type": self._types[match.group().casefold()],
                "text": match.group(),
                "start": match.start(),
                "end": match.end(),
            }
            for match in self._pattern.finditer(text)
            if match.group().casefold() in self._types
        ]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the JSON in one piece."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


class GazetteerKind:
    """Model kind "gazetteer"."""

    settings = Settings
    tasks = ("extract",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model from its list of names."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        return Gazetteer(msgspec.json.decode((folder / FILE).read_bytes(), type=dict[str, str]))

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return next to nothing."""
        return Estimate(
            memory_gb=0.15, build_seconds=1e-4 * profile.n_train + 0.1, seconds_per_item=2e-4, basis="a word list"
        )


KIND = GazetteerKind()
